"""What README.md and the experiments say to run, runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inr.recipes import RECIPES

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow  # a whole fit, if of a picture of 256 pixels
def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    ramp = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 8
    Image.fromarray(np.stack([ramp, ramp.T, 255 - ramp], axis=2)).save("photo.png")
    names: dict = {}
    exec(code[1], names)
    assert names["pixels"].shape == (32, 32, 3)
    assert names["thumbnail"].size == (96, 64)


def test_the_readme_names_every_recipe():
    text = (ROOT / "README.md").read_text()
    for name in RECIPES:
        assert f"| `{name}` |" in text


@pytest.mark.slow  # encodes a 768x512 picture for 20 steps in processes of their own
def test_the_experiment_of_the_readme_table_runs():
    script = ROOT / "experiments" / "readme_table" / "run.py"
    done = subprocess.run(
        [sys.executable, str(script), "--tiny", "--recipe", "siren"],
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr
    assert "| siren | 0.2" in done.stdout
    assert "| jpeg at siren's bytes | 0.2" in done.stdout
