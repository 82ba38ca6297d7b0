"""A fourth kind is one folder and one line: all commands take it without another change."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers.paths import ROOT
from PIL import Image

TABLE = "KINDS: tuple[Kind[Any], ...] = (MLP, GRID, CAE)"
WITH_TOY = TABLE[:-1] + ', __import__("inr.toy.kind", fromlist=["TOY"]).TOY)'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the package with the kind of helpers/toy_kind.py, and a picture of four tiles."""
    folder = tmp_path_factory.mktemp("fourth")
    package = folder / "inr"
    shutil.copytree(ROOT / "inr", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "assets").mkdir()
    shutil.copy(ROOT / "assets" / "manifest.json", package / "assets")
    (package / "toy").mkdir()
    (package / "toy" / "__init__.py").touch()
    shutil.copy(ROOT / "tests" / "helpers" / "toy_kind.py", package / "toy" / "kind.py")
    kinds = package / "kinds.py"
    assert kinds.read_text().count(TABLE) == 1
    kinds.write_text(kinds.read_text().replace(TABLE, WITH_TOY))
    tiles = np.array([[[10, 50, 90], [201, 7, 33]], [[0, 0, 255], [128, 128, 128]]], np.uint8)
    Image.fromarray(tiles.repeat(8, 0).repeat(8, 1)[:14]).save(folder / "tiles.png")
    return folder


@pytest.fixture
def run(folder):
    def run_inr(*arguments) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "inr", *map(str, arguments)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_inr


def test_it_has_forty_lines_or_few_more():
    lines = (ROOT / "tests" / "helpers" / "toy_kind.py").read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 60


def test_it_is_encoded_decoded_and_described(folder, run):
    told = run("encode", "tiles.png", "-o", "a.inr", "--recipe", "toy", "--set", "step=1", "--json")
    assert json.loads(told)["psnr_db"] is None  # nothing is lost of tiles of one colour
    run("decode", "a.inr", "-o", "a.png")
    pixels = [np.asarray(Image.open(folder / name)) for name in ("tiles.png", "a.png")]
    np.testing.assert_array_equal(*pixels)
    run("decode", "a.inr", "-o", "b.png", "--scale", "2", "--region", "20,3,5,4")
    np.testing.assert_array_equal(
        np.asarray(Image.open(folder / "b.png")), np.full((4, 5, 3), (201, 7, 33))
    )
    info = json.loads(run("info", "a.inr", "--json"))
    assert (info["kind"], info["n_tiles"], info["sections"]) == ("toy", 4, {"latents": 12})
    assert "step=4" in run("recipes")


def test_it_is_swept(folder, run):
    run("sweep", "tiles.png", "--recipe", "toy", "--vary", "step=1,100", "-o", "swept", "-q")
    rows = (folder / "swept" / "runs.csv").read_text().splitlines()
    assert len(rows) == 3


def test_it_is_compared(folder, run):
    run("compare", "tiles.png", "--recipe", "toy", "--codec", "jpeg420", "-o", "compared", "-q")
    rows = (folder / "compared" / "rows.csv").read_text().splitlines()
    assert sum(row.startswith("toy") or ",toy," in row for row in rows) == 4
