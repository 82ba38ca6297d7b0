"""What README.md says to run, runs."""

import re

import numpy as np
import pytest
from helpers.paths import ROOT
from PIL import Image

from inr.recipes import all_recipes


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
    for name in all_recipes():
        assert f"| `{name}` |" in text
