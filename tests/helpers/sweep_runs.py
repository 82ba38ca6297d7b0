"""What the tests of `inr sweep` share: pictures, encoders that take no time, and what it leaves."""

import csv
import os
import signal
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inr.mlp.encode import encode_one_colour
from inr.options import EncodeResult
from inr.studies.sweep.plan import list_runs, plan_sweep
from inr.studies.sweep.request import Request
from inr.studies.sweep.run import run_sweep

TINY = {"field.hidden": "4", "field.n_layers": "1", "fit.steps": "5"}
BITS = {"quantize.bits": ("4", "6")}


def save_noise(name, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(pixels).save("saved.png")
    Path("saved.png").rename(name)


def request_of(pictures=("a.png",), names=("siren",), varied=None, settings=TINY, seeds=(0,)):
    return Request(tuple(map(Path, pictures)), names, varied or {}, settings, seeds)


def listed(*arguments, same_shape=False, code=None, **others):
    request = request_of(*arguments, **others)
    return list_runs(request, same_shape=same_shape, warn=pytest.fail, code=code)


def planned(request, *, jobs=1, batch=16, warn=pytest.fail, code=None):
    return plan_sweep(request, Path("out"), jobs=jobs, batch=batch, warn=warn, code=code)


def swept(request, encode, *, jobs=1, batch=16):
    """Runs a sweep in the folder `out`; returns its summary and the notices."""
    notices = []
    plan = planned(request, jobs=jobs, batch=batch)
    summary = run_sweep(plan, show_progress=False, notify=notices.append, encode=encode)
    return summary, notices


def encode_black(jobs, *, report=None):
    """Draws black at once, and claims 10 dB for each of the quantizer's bits, and the seed."""
    return [
        EncodeResult(
            encode_one_colour(job.picture, job.recipe),
            psnr_db=10.0 * job.recipe.quantize.bits + job.options.seed,
            n_steps=job.recipe.fit.steps,
            seconds=1.5,
        )
        for job in jobs
    ]


class Calls:
    """`encode_black` that lists its batches, and raises what it is told to."""

    def __init__(self, error=None, *, when=lambda job: True):
        self.batches, self.error, self.when = [], error, when

    def __call__(self, jobs, *, report=None):
        self.batches.append([(job.recipe.quantize.bits, job.options.seed) for job in jobs])
        if self.error is not None and any(map(self.when, jobs)):
            raise self.error.with_traceback(None)  # else it would grow
        return encode_black(jobs)


def encode_or_die(jobs, *, report=None):
    """Kills its process where the seed is 1."""
    if jobs[0].options.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return encode_black(jobs)


def table(folder="out"):
    with open(f"{folder}/runs.csv", newline="") as file:
        return list(csv.DictReader(file))


def names(folder="out"):
    return sorted(path.name for path in Path(folder).iterdir())


def ledger_keys():
    """Keys of all rows so far; [] where there is no table yet."""
    if not Path("out/ledger.sqlite").exists():
        return []
    connection = sqlite3.connect("out/ledger.sqlite", timeout=10)
    try:
        return [row[0] for row in connection.execute("SELECT key FROM runs")]
    except sqlite3.OperationalError:  # between the file and its table
        return []
    finally:
        connection.close()
