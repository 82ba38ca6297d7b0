"""run.py: what a group comes to, and what a sweep leaves, however it ends."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.paths import ROOT
from helpers.sweep_runs import (
    BITS,
    Calls,
    encode_black,
    encode_or_die,
    ledger_keys,
    listed,
    names,
    planned,
    request_of,
    swept,
    table,
)
from jax.errors import JaxRuntimeError
from PIL import Image

import inr
from inr.codec import encode_batch
from inr.errors import BackendError, FitError, InrError, UsageError
from inr.options import EncodeResult, Progress
from inr.studies.failures import Failure, Notice
from inr.studies.sweep.request import ledger_of
from inr.studies.sweep.run import fit_group, run_sweep

pytestmark = pytest.mark.usefixtures("folder")


def fitted(group, encode=encode_black, report=lambda fraction: None):
    return fit_group(tuple(group), "c0ffee", encode, report)


# ---------------------------------------------------------------- a group


def test_a_group_is_one_batch_with_a_file_and_a_result_each():
    calls, group = Calls(), listed(varied=BITS)
    outcomes = fitted(group, calls)
    assert calls.batches == [[(4.0, 0), (6.0, 0)]]
    for outcome, psnr_db in zip(outcomes, (40.0, 60.0), strict=True):
        data, result = outcome.data, outcome.result
        assert inr.decode(data).shape == (12, 16, 3)
        assert (result.n_bytes, result.bpp) == (len(data), 8 * len(data) / 192)
        assert (result.psnr_db, result.steps, result.seconds) == (psnr_db, 5, 1.5)
        assert (result.ms_ssim, result.sparsity, result.n_together) == (None, 1.0, 2)
        assert (result.commit, result.work) == ("c0ffee", group[0].work)
        assert result.machine.endswith("jax on cpu")


def test_ms_ssim_where_the_picture_is_large_enough():
    Image.new("L", (170, 165), 99).save("large.png")
    (outcome,) = fitted(listed(("large.png",)), encode_batch)
    assert outcome.result.ms_ssim == 1.0  # the file of one colour is exact


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
def test_failures_have_a_text(error, text):
    assert fitted(listed(), Calls(error)) == [Failure(text, None)]


@pytest.mark.parametrize(
    "error", [TypeError("our own mistake"), ValueError("operands"), RuntimeError("ours")]
)
def test_a_bug_has_its_traceback(error):
    (failure,) = fitted(listed(), Calls(error))
    line = f"{type(error).__name__}: {error}"
    assert failure.reason == f"{line} (a bug of inr, whose traceback was shown)"
    assert failure.traceback.startswith("Traceback (most recent call last):\n")
    assert failure.traceback.endswith(f"\n{line}")


def test_a_batch_that_cannot_be_encoded_is_one_failure():
    assert fitted(listed(varied=BITS), Calls(FitError("one of them"))) == Failure(
        "one of them", None
    )


def test_a_bug_of_measuring_is_a_failure_of_its_run():
    def encode(jobs, *, report=None):
        first, second = encode_black(jobs)
        return [EncodeResult(b"no file", first.psnr_db, 5, 1.5), second]

    first, second = fitted(listed(varied=BITS), encode)
    assert "not an .inr file" in first.reason
    assert second.result.psnr_db == 60.0


def test_a_picture_that_changed_meanwhile():
    (run,) = listed()
    Image.open("b.png").save("a.png")
    (failure,) = fitted([run])
    assert failure.reason.startswith("a.png changed while the sweep was running")


@pytest.mark.parametrize("error", [BackendError("no such backend"), KeyboardInterrupt()])
def test_what_would_meet_every_run_ends_the_sweep(error):
    with pytest.raises(type(error)):
        fitted(listed(), Calls(error))


def test_progress_leaves_time_for_what_follows_the_fit():
    told = []

    def encode(jobs, *, report):
        for step in (1, 5):
            report(Progress(step, n_steps=5, psnr_db=9.0, seconds_left=1.0))
        return encode_black(jobs)

    fitted(listed(varied=BITS), encode, told.append)
    assert told == pytest.approx([0.2 * 0.99, 0.99])


# ---------------------------------------------------------------- a sweep


def test_a_sweep_leaves_table_plot_report_and_files():
    calls = Calls()
    summary, notices = swept(request_of(varied=BITS, seeds=(0, 1)), calls, batch=3)
    assert calls.batches == [[(4.0, 0), (4.0, 1), (6.0, 0)], [(6.0, 1)]]
    assert (summary.n_runs, summary.n_skipped, summary.n_failed, notices) == (4, 0, 0, [])
    assert set(names()) >= {"files", "ledger.sqlite", "rd.png", "report.html", "runs.csv"}
    found = [(row["quantize.bits"], row["seed"], float(row["psnr_db"])) for row in table()]
    assert found == [("4", "0", 40.0), ("4", "1", 41.0), ("6", "0", 60.0), ("6", "1", 61.0)]
    assert [row["n_together"] for row in table()] == ["3", "3", "3", "1"]
    for row in table():
        data = Path(f"out/files/{row['config_hash']}.inr").read_bytes()
        assert len(data) == int(row["n_bytes"])


def test_without_batches_each_run_is_alone():
    calls = Calls()
    swept(request_of(varied=BITS), calls, batch=1)
    assert calls.batches == [[(4.0, 0)], [(6.0, 0)]]


def test_what_is_done_is_not_run_again():
    calls, request = Calls(), request_of(varied=BITS)
    swept(request, calls)
    before = table()
    summary, _ = swept(request, calls)
    assert (summary.n_runs, summary.n_skipped, len(calls.batches)) == (2, 2, 1)
    assert table() == before


def test_other_arguments_add_rows_and_the_table_is_that_of_the_last_sweep():
    calls = Calls()
    swept(request_of(varied=BITS), calls)
    summary, _ = swept(request_of(varied={"quantize.bits": ("6", "8")}), calls)
    assert (summary.n_skipped, calls.batches[-1]) == (1, [(8.0, 0)])
    assert [row["quantize.bits"] for row in table()] == ["6", "8"]
    assert len(ledger_keys()) == 3


def test_a_lost_file_that_cannot_be_made_again_is_a_failure():
    request = request_of(varied=BITS)
    swept(request, Calls())
    Path(f"out/files/{table()[0]['config_hash']}.inr").unlink()
    summary, _ = swept(request, Calls(FitError("not a number")))
    assert summary.n_failed == 1
    assert [row["quantize.bits"] for row in table()] == ["6"]


def of_four_bits(job):
    return job.recipe.quantize.bits == 4


def test_a_batch_that_fails_is_run_one_by_one_and_a_failed_run_is_tried_again():
    calls = Calls(FitError("the loss stopped\nbeing a number"), when=of_four_bits)
    summary, notices = swept(request_of(varied=BITS), calls)
    assert calls.batches == [[(4.0, 0), (6.0, 0)], [(4.0, 0)], [(6.0, 0)]]
    text = "the loss stopped being a number"
    assert notices == [
        Notice(
            "a batch of 2 runs failed and is fitted again run by run (a.png siren quantize.bits=4 "
            f"seed 0, a.png siren quantize.bits=6 seed 0): {text}"
        )
    ]
    assert (summary.n_failed, summary.first_failure) == (
        1,
        f"a.png siren quantize.bits=4 seed 0: {text}",
    )
    assert [(row["quantize.bits"], row["n_together"]) for row in table()] == [("6", "1")]
    assert text in Path("out/report.html").read_text()
    assert len(names("out/files")) == 1
    summary, _ = swept(request_of(varied=BITS), Calls())
    assert (summary.n_skipped, summary.n_failed) == (1, 0)
    assert [row["quantize.bits"] for row in table()] == ["4", "6"]


def test_a_bug_is_shown_once_and_the_other_runs_go_on():
    calls = Calls(TypeError("our own mistake"), when=lambda job: job.options.seed)
    summary, notices = swept(request_of(varied=BITS, seeds=(1, 0, 2)), calls, batch=1)
    (notice,) = notices
    assert notice.is_traceback
    assert notice.text.endswith("\nTypeError: our own mistake")
    text = "TypeError: our own mistake (a bug of inr, whose traceback was shown)"
    assert summary.n_failed == 4
    assert summary.first_failure == f"a.png siren quantize.bits=4 seed 1: {text}"
    assert [(row["quantize.bits"], row["seed"]) for row in table()] == [("4", "0"), ("6", "0")]
    assert set(ledger_of(Path("out")).errors().values()) == {text}
    with sqlite3.connect("out/ledger.sqlite") as connection:
        (whole,) = connection.execute("SELECT error FROM runs WHERE error NOT NULL").fetchone()
    connection.close()
    assert whole == f"{text}\n{notice.text}"


def test_ctrl_c_says_how_to_go_on():
    calls = Calls(KeyboardInterrupt(), when=lambda job: not of_four_bits(job))
    with pytest.raises(InrError, match=r"interrupted with 1 of 2 runs finished; the same command"):
        swept(request_of(varied=BITS), calls, batch=1)
    assert swept(request_of(varied=BITS), Calls())[0].n_skipped == 1


def test_a_file_that_cannot_be_written_has_no_row(monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        swept(request_of(), Calls())
    assert ledger_keys() == names("out/files") == []


# ---------------------------------------------------------------- processes


@pytest.mark.slow  # three processes
@pytest.mark.skipif(sys.platform == "win32", reason="kills itself by a signal")
def test_jobs_run_in_processes_and_one_that_dies_is_told_with_its_run():
    asked = request_of(("flat.png",), settings={}, seeds=(0, 1, 2))
    summary, _ = swept(asked, encode_or_die, jobs=2)
    assert summary.n_failed == 1
    assert summary.first_failure.startswith("flat.png siren seed 1: the worker process died")
    assert [row["seed"] for row in table()] == ["0", "2"]


@pytest.mark.slow  # fits in this process and in two others
def test_two_processes_fit_what_a_batch_fits():
    found = []
    for jobs in (1, 2):
        summary, notices = swept(request_of(varied=BITS), encode_batch, jobs=jobs)
        assert (summary.n_failed, notices) == (0, [])
        assert {row["n_together"] for row in table()} == {str(3 - jobs)}
        found.append([float(row["psnr_db"]) for row in table()])
        Path("out").rename(f"of {jobs}")
    assert found[0] == pytest.approx(found[1], abs=0.1)  # another order of sums in f32


SLOWLY = """
import time
from helpers.sweep_runs import encode_black, request_of, swept

def encode(jobs, **_):
    time.sleep(0.3)
    return encode_black(jobs)

swept(request_of(("flat.png",), settings={}, seeds=range(6)), encode, batch=1)
"""


def test_a_killed_sweep_goes_on_to_the_same_table():
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = os.environ | {"PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
    process = subprocess.Popen([sys.executable, "-c", SLOWLY], env=environment)
    give_up_at = time.monotonic() + 60
    while len(ledger_keys()) < 2 and time.monotonic() < give_up_at:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    before = ledger_keys()
    assert 2 <= len(before) < 6
    assert "runs.csv" not in names()
    summary, _ = swept(
        request_of(("flat.png",), settings={}, seeds=range(6)), encode_black, batch=1
    )
    assert summary.n_skipped == len(before)
    assert [row["seed"] for row in table()] == ["0", "1", "2", "3", "4", "5"]
    assert {row["config_hash"] for row in table()[: len(before)]} == set(before)
    assert len(ledger_keys()) == 6


def test_a_bar_is_shown_where_it_is_asked_for(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # stderr is no terminal here
    plan = planned(request_of(varied=BITS))
    run_sweep(plan, show_progress=True, notify=pytest.fail, encode=encode_black)
    assert "run 2/2" in capsys.readouterr().err
