"""What the tests of sweeps share: pictures, and runs and results that are made up."""

from pathlib import Path

import pytest
from helpers.sweep_runs import save_noise
from PIL import Image

from inr import recipes
from inr.options import EncodeOptions
from inr.studies.sweep.request import Result, Run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder: a.png and b.png of 16 x 12 pixels, flat.png of one colour."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a.png", "b.png")):
        save_noise(name, seed)
    Image.new("RGB", (16, 12), (10, 200, 30)).save("flat.png")
    return tmp_path


@pytest.fixture
def make_run():
    def make(config_hash="ab", picture="a.png", varied=(), seed=0, shape=0, recipe="siren"):
        return Run(
            config_hash,
            picture,
            Path(picture),
            recipes.named(recipe),
            varied,
            EncodeOptions(seed=seed),
            shape,
            work=1e9,
        )

    return make


@pytest.fixture
def make_result():
    def make(bpp=1.0, psnr_db=30.0, ms_ssim=None, n_bytes=24, **others):
        values = {
            **{"n_bytes": n_bytes, "bpp": bpp, "psnr_db": psnr_db, "ms_ssim": ms_ssim},
            **{"sparsity": 0.5, "steps": 5, "seconds": 2.0, "n_together": 1, "cores": 1},
            **{"work": 1e9, "commit": "c0ffee", "machine": "1 of 1 cores of a CPU, jax on cpu"},
        }
        return Result(**values | others)

    return make
