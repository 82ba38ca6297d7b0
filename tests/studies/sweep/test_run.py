"""run.py: groups, and what one group leaves behind."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.errors import JaxRuntimeError
from PIL import Image

import inr
from inr.coders.zstd import Zstd
from inr.errors import FitError, UsageError
from inr.mlp.fields.siren import Siren
from inr.mlp.file import PictureInfo, write_file
from inr.mlp.quantize.uniform import Uniform
from inr.mlp.splits.whole import Whole
from inr.mlp.tags import Stages
from inr.options import Progress
from inr.studies.failures import Notice
from inr.studies.sweep.ledger import Ledger
from inr.studies.sweep.plan import Request, plan
from inr.studies.sweep.run import file_path, grouped, ledger_path, run_group


class Numbered:
    """As much of a Run as `grouped` looks at."""

    def __init__(self, shape):
        self.shape = shape


@given(st.lists(st.integers(0, 3)), st.integers(1, 6), st.integers(1, 5))
def test_groups_hold_every_run_once(shapes, batch, jobs):
    runs = [Numbered(shape) for shape in shapes]
    groups = grouped(runs, batch=batch, jobs=jobs)
    assert sorted(id(run) for group in groups for run in group) == sorted(map(id, runs))
    assert all(1 <= len(group) <= batch for group in groups)
    assert all(len({run.shape for run in group}) == 1 for group in groups)


def test_groups_are_split_until_each_job_has_one():
    runs = [Numbered(0) for _ in range(6)]
    sizes = [len(group) for group in grouped(runs, batch=16, jobs=4)]
    assert sizes == [2, 2, 2]
    assert [len(group) for group in grouped(runs, batch=4, jobs=1)] == [4, 2]


@pytest.fixture
def group(folder):
    """Two runs in the folder `out`, whose ledger is made."""
    (folder / "out/files").mkdir(parents=True)
    Ledger(ledger_path(Path("out"))).create()
    settings = {"field.hidden": "4", "fit.steps": "5"}
    request = Request((Path("a.png"),), ("siren",), {"quantize.bits": ("4", "6")}, settings)
    return plan(request, same_shape=False, warn=pytest.fail)


def results():
    return Ledger(ledger_path(Path("out"))).results()


def errors():
    return Ledger(ledger_path(Path("out"))).errors()


def unheard(notice):
    pytest.fail(f"unexpected: {notice.text}")


def run_it(group, report=lambda fraction: None, tell=unheard):
    run_group(group, Path("out"), "c0ffee", report, tell)


def test_a_group_is_one_batch_with_a_file_and_a_row_each(group, instant):
    run_it(group)
    assert instant == [[(4.0, 0), (6.0, 0)]]
    for run, psnr_db in zip(group, (40.0, 60.0), strict=True):
        data = file_path(Path("out"), run).read_bytes()
        result = results()[run.config_hash]
        assert inr.decode(data).shape == (12, 16, 3)
        assert (result.n_bytes, result.bpp) == (len(data), 8 * len(data) / 192)
        assert (result.psnr_db, result.steps, result.seconds) == (psnr_db, 5, 1.5)
        assert (result.ms_ssim, result.sparsity, result.n_together) == (None, 1.0, 2)
        assert result.commit == "c0ffee"
        assert result.machine.endswith("jax on cpu")


def test_ms_ssim_where_the_picture_is_large_enough(folder, instant):
    (folder / "out/files").mkdir(parents=True)
    Ledger(ledger_path(Path("out"))).create()
    Image.new("L", (170, 165), 99).save("large.png")
    request = Request((Path("large.png"),), ("siren",), {}, {"fit.steps": "5"})
    run_it(plan(request, same_shape=False, warn=pytest.fail))
    (result,) = results().values()
    assert result.ms_ssim == 1.0  # the file of one colour is exact


def test_a_batch_that_fails_is_run_one_by_one(group, instant, monkeypatch):
    original = inr.codec.encode_picture

    def encode_batch(jobs, report=None):
        raise FitError("one of them")

    def encode_picture(picture, recipe, options, **rest):
        if recipe.quantize.bits == 4:
            raise FitError("the loss stopped\nbeing a number")
        return original(picture, recipe, options, **rest)

    monkeypatch.setattr("inr.batch.encode_batch", encode_batch)
    monkeypatch.setattr("inr.codec.encode_picture", encode_picture)
    told = []
    run_it(group, tell=told.append)
    assert told == [
        Notice(
            "a batch of 2 runs failed and is fitted again run by run (a.png siren quantize.bits=4 "
            "seed 0, a.png siren quantize.bits=6 seed 0): one of them"
        )
    ]
    assert errors() == {group[0].config_hash: "the loss stopped being a number"}
    assert list(results()) == [group[1].config_hash]
    assert results()[group[1].config_hash].n_together == 1
    assert not file_path(Path("out"), group[0]).exists()


@pytest.mark.usefixtures("instant")
def test_a_bug_of_batches_shows_its_traceback_and_the_runs_are_done(group, monkeypatch):
    def encode_batch(jobs, report=None):
        raise IndexError("our own mistake")

    monkeypatch.setattr("inr.batch.encode_batch", encode_batch)
    told = []
    run_it(group, tell=told.append)
    assert [notice.is_traceback for notice in told] == [False, True]
    assert "IndexError: our own mistake (a bug of inr, whose traceback was shown)" in told[0].text
    assert told[1].text.splitlines()[-1] == "IndexError: our own mistake"
    assert (len(results()), errors()) == (2, {})


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UsageError("caf\udce9\tis no\npicture"), "caf\\xe9 is no picture"),
        (FitError(), "FitError"),
        (MemoryError(), "MemoryError"),
        (FileNotFoundError(2, "No such file", "x.npz"), "x.npz: No such file"),
        (JaxRuntimeError("RESOURCE_EXHAUSTED"), "JaxRuntimeError: RESOURCE_EXHAUSTED"),
    ],
)
def test_failures_have_a_text(group, monkeypatch, error, text):
    def encode_picture(*_, **__):
        raise error

    monkeypatch.setattr("inr.codec.encode_picture", encode_picture)
    run_it(group[:1])
    assert errors() == {group[0].config_hash: text}


@pytest.mark.parametrize(
    "error", [TypeError("our own mistake"), ValueError("operands"), RuntimeError("ours")]
)
def test_a_bug_is_recorded_with_its_traceback_shown(group, monkeypatch, error):
    def encode_picture(*_, **__):
        raise error

    monkeypatch.setattr("inr.codec.encode_picture", encode_picture)
    told = []
    run_it(group[:1], tell=told.append)
    line = f"{type(error).__name__}: {error}"
    assert errors() == {group[0].config_hash: f"{line} (a bug of inr, whose traceback was shown)"}
    (notice,) = told
    assert notice.is_traceback
    assert notice.text.startswith("Traceback (most recent call last):\n")
    assert notice.text.endswith(f"\n{line}")


@pytest.mark.usefixtures("instant")
def test_a_bug_of_measuring_is_a_failure_of_its_run(group, monkeypatch):
    monkeypatch.setattr("inr.mlp.describe.achieved_sparsity", lambda data: data.nothing)
    told = []
    run_it(group, tell=told.append)
    assert errors().keys() == {run.config_hash for run in group}
    assert [notice.is_traceback for notice in told] == [True, True]
    assert list(Path("out/files").iterdir()) == []


def test_ctrl_c_ends_the_sweep(group, monkeypatch):
    def encode_picture(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("inr.codec.encode_picture", encode_picture)
    with pytest.raises(KeyboardInterrupt):
        run_it(group[:1])
    assert errors() == {}


@pytest.mark.usefixtures("instant")
def test_a_file_that_cannot_be_written_has_no_row(group, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("inr.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        run_it(group[:1])
    assert (results(), errors()) == ({}, {})
    assert list(Path("out/files").iterdir()) == []


@pytest.mark.usefixtures("instant")
def test_a_picture_that_changed_meanwhile(group):
    Image.open("b.png").save("a.png")
    run_it(group[:1])
    assert errors()[group[0].config_hash].startswith("a.png changed while the sweep was running")


def test_progress_is_the_fraction_of_the_group(group, monkeypatch, instant):
    original, told = inr.codec.encode_picture, []

    def encode_picture(picture, recipe, options, *, report):
        for step in (1, 5):
            report(Progress(step, n_steps=5, psnr_db=9.0, seconds_left=1.0))
        return original(picture, recipe, options)

    def encode_batch(jobs, report):
        raise FitError("so that they run one by one")

    monkeypatch.setattr("inr.codec.encode_picture", encode_picture)
    monkeypatch.setattr("inr.batch.encode_batch", encode_batch)
    run_it(group, told.append, tell=lambda notice: None)
    assert told == [0.1, 0.5, 0.6, 1.0]


def test_sparsity_counts_the_zeros_of_trained_matrices():
    codes = {
        "w0": np.array([[0, 1], [2, 0]], np.int32),
        "b0": np.zeros(2, np.int32),
        "w1": np.array([[0, 0, 0], [1, 2, 3]], np.int32),
        "b1": np.zeros(3, np.int32),
    }
    facts = PictureInfo(3, 4, 3, 8, ((0, 255),) * 3, None)
    stages = Stages(Whole(), Siren(hidden=2, n_layers=1), Uniform(), Zstd())
    data = write_file(facts, stages, codes, dict.fromkeys(codes, np.float32(1)))
    assert inr.describe(data)["sparsity"] == 5 / 10  # biases do not count
