"""What the tests of sweeps share: pictures, made-up runs and results, encoders that take no
time, and the command line."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inr import recipes
from inr.cli import main as cli
from inr.mlp.encode import encode_one_colour
from inr.options import EncodeOptions, EncodeResult
from inr.studies.sweep.ledger import Result
from inr.studies.sweep.plan import Run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder: a.png and b.png of 16 x 12 pixels, flat.png of one colour."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a.png", "b.png")):
        pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(pixels).save(name)
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


@pytest.fixture
def instant(monkeypatch):
    """Encoders that draw black at once; returns the list of the batches they were given.

    The psnr_db that they claim is 10 times the quantizer's bits, plus the seed.
    """
    calls = []

    def encoded(picture, recipe, options):
        data = encode_one_colour(picture, recipe)
        psnr_db = 10.0 * recipe.quantize.bits + options.seed
        return EncodeResult(data, psnr_db, recipe.fit.steps, seconds=1.5)

    def encode_picture(picture, recipe, options, *, report=None):
        calls.append([(recipe.quantize.bits, options.seed)])
        return encoded(picture, recipe, options)

    def encode_batch(jobs, report=None):
        calls.append([(job.recipe.quantize.bits, job.options.seed) for job in jobs])
        return [encoded(job.picture, job.recipe, job.options) for job in jobs]

    monkeypatch.setattr("inr.codec.encode_picture", encode_picture)
    monkeypatch.setattr("inr.codec.encode_batch", encode_batch)
    return calls


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs main() here; returns (exit code, stdout, stderr)."""

    def run_main(*arguments):
        monkeypatch.setattr(sys, "argv", ["inr", "sweep", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return (end.value.code or 0, *capsys.readouterr())

    return run_main
