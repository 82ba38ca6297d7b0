"""`inr sweep` once more: after it ended, failed, lost a file, or was killed at any moment."""

import contextlib
import json
import re
import signal
import sqlite3
import time
from pathlib import Path

import pytest
from helpers.sweep_runs import OTHER_CODE, SWEEP, ledger_hashes, names, other_code, started, table

import inr


@pytest.mark.usefixtures("folder")
def test_what_is_done_is_not_run_again(run, instant):
    run(*SWEEP)
    before = table()
    told = json.loads(run(*SWEEP, "--json")[1])
    assert (told["runs"], told["skipped"]) == (2, 2)
    assert len(instant) == 1
    assert table() == before


@pytest.mark.usefixtures("folder")
def test_other_arguments_add_rows_and_the_table_is_that_of_the_last_sweep(run, instant):
    run(*SWEEP)
    wider = (*SWEEP[:-4], "--vary", "quantize.bits=6,8", "-o", "out", "--json")
    told = json.loads(run(*wider)[1])
    assert (told["runs"], told["skipped"]) == (2, 1)
    assert instant[-1] == [(8.0, 0)]
    assert [row["quantize.bits"] for row in table()] == ["6", "8"]
    assert len(ledger_hashes()) == 3


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"short")])
def test_a_lost_file_is_made_again(run, instant, damage):
    run(*SWEEP)
    whole = {path: path.read_bytes() for path in Path("out/files").iterdir()}
    damage(next(iter(whole)))
    assert json.loads(run(*SWEEP, "--json")[1])["skipped"] == 1
    assert {path: path.read_bytes() for path in Path("out/files").iterdir()} == whole
    assert len(ledger_hashes()) == 2


@pytest.mark.usefixtures("folder", "instant")
def test_a_lost_file_that_cannot_be_made_again_is_a_failure(run, monkeypatch):
    run(*SWEEP)
    Path(f"out/files/{table()[0]['config_hash']}.inr").unlink()

    def encode_picture(*_, **__):
        raise inr.FitError("not a number")

    monkeypatch.setattr("inr.codec.encode_picture", encode_picture)
    code, out, _ = run(*SWEEP, "--json")
    assert (code, json.loads(out)["failed"]) == (1, 1)
    assert [row["quantize.bits"] for row in table()] == ["6"]


@pytest.mark.usefixtures("folder", "instant")
def test_a_failed_run_is_told_and_tried_again(run, monkeypatch):
    original = inr.codec.encode_picture

    def encode_picture(picture, recipe, options, **rest):
        if recipe.quantize.bits == 4:
            raise inr.FitError("the loss stopped being a number")
        return original(picture, recipe, options, **rest)

    with monkeypatch.context() as patch:
        patch.setattr("inr.codec.encode_picture", encode_picture)
        code, out, err = run(*SWEEP, "--batch", 1, "--json")
    assert code == 1
    assert err == (
        "error: 1 of 2 runs failed, first a.png siren quantize.bits=4 seed 0: the loss stopped "
        "being a number; the same command tries them again\n"
    )
    assert json.loads(out)["failed"] == 1
    assert [row["quantize.bits"] for row in table()] == ["6"]
    assert "the loss stopped being a number" in Path("out/report.html").read_text()
    told = json.loads(run(*SWEEP, "--json")[1])
    assert (told["skipped"], told["failed"]) == (1, 0)
    assert [row["quantize.bits"] for row in table()] == ["4", "6"]


@pytest.mark.usefixtures("folder")
def test_rows_of_other_code_are_told_and_made_again(run, instant, monkeypatch):
    run(*SWEEP)
    with monkeypatch.context() as patch:
        other_code(patch)
        for options in (("--dry-run",), ()):
            code, _, err = run(*SWEEP, "--seed", 0, "--seed", 1, *options)
            assert code == 0
            assert re.match(
                r"warning: 2 rows were made by other code \(commit [0-9a-f.]+(\+[0-9a-f]{8})?\) "
                r"and are run again\n",
                err,
            )
        assert instant[1:] == [[(4.0, 0), (4.0, 1), (6.0, 0), (6.0, 1)]]
        assert {row["config_hash"][40:] for row in table()} == {OTHER_CODE}
        assert run(*SWEEP, "--json")[2] == ""  # they are done now
    code, out, err = run(*SWEEP, "--json")  # and those of the first code are still there
    assert (json.loads(out)["skipped"], err) == (2, "")
    assert len(ledger_hashes()) == 2 + 4


@pytest.mark.usefixtures("folder")
def test_rows_of_the_time_before_the_code_was_told_are_known(run, instant):
    run(*SWEEP)
    (first, _) = (row["config_hash"] for row in table())
    with sqlite3.connect("out/ledger.sqlite") as connection:
        connection.execute(
            "UPDATE runs SET config_hash = ?, \"commit\" = 'b0a7' WHERE config_hash = ?",
            (first[:40] + "0" * 24, first),
        )
    connection.close()
    err = run(*SWEEP)[2]
    assert err == "warning: 1 row was made by other code (commit b0a7) and is run again\n"


@pytest.mark.usefixtures("folder", "instant")
def test_a_bug_is_shown_once_and_the_other_runs_go_on(run, monkeypatch):
    original = inr.codec.encode_picture

    def encode_picture(picture, recipe, options, **rest):
        if options.seed:
            raise TypeError("our own mistake")
        return original(picture, recipe, options, **rest)

    options = (*SWEEP, "--batch", 1, "--seed", 1, "--seed", 0, "--seed", 2, "-q")
    monkeypatch.setattr("inr.codec.encode_picture", encode_picture)
    code, out, err = run(*options)
    assert (code, out) == (1, "")
    assert err.count("Traceback") == err.count("\nTypeError: our own mistake\n") == 1
    assert err.splitlines()[-1] == (
        "error: 4 of 6 runs failed, first a.png siren quantize.bits=4 seed 1: TypeError: our own "
        "mistake (a bug of inr, whose traceback was shown); the same command tries them again"
    )
    assert [(row["quantize.bits"], row["seed"]) for row in table()] == [("4", "0"), ("6", "0")]
    assert "TypeError: our own mistake (a bug" in Path("out/report.html").read_text()


@pytest.mark.usefixtures("folder", "instant")
def test_a_batch_that_fails_is_told_unless_quiet(run, monkeypatch):
    def encode_batch(jobs, report=None):
        raise inr.FitError("one of them\nwas bad")

    monkeypatch.setattr("inr.batch.encode_batch", encode_batch)
    code, _, err = run(*SWEEP)
    assert code == 0
    assert err == (
        "warning: a batch of 2 runs failed and is fitted again run by run (a.png siren "
        "quantize.bits=4 seed 0, a.png siren quantize.bits=6 seed 0): one of them was bad\n"
    )
    assert [row["n_together"] for row in table()] == ["1", "1"]
    assert run("b.png", *SWEEP[1:], "-q") == (0, "", "")


@pytest.mark.usefixtures("folder", "instant")
def test_ctrl_c_says_how_to_go_on(run, monkeypatch):
    original = inr.codec.encode_picture

    def encode_picture(picture, recipe, options, **rest):
        if recipe.quantize.bits == 6:
            raise KeyboardInterrupt
        return original(picture, recipe, options, **rest)

    with monkeypatch.context() as patch:
        patch.setattr("inr.codec.encode_picture", encode_picture)
        code, out, err = run(*SWEEP, "--batch", 1)
    assert (code, out) == (1, "")
    assert err == (
        "error: interrupted with 1 of 2 runs finished; the same command goes on from there\n"
    )
    assert json.loads(run(*SWEEP, "--json")[1])["skipped"] == 1


# ---------------------------------------------------------------- kills


def wait_for_rows(process, n, seconds=60):
    give_up_at = time.monotonic() + seconds
    while len(ledger_hashes()) < n and process.poll() is None and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()[1]


@pytest.mark.slow  # two processes, one of which sleeps in each run
@pytest.mark.usefixtures("folder")
def test_a_killed_sweep_goes_on_to_the_same_table(run):
    options = ("flat.png", "--recipe", "siren", "--batch", 1, "-o", "out")
    options = (*options, *(f"--seed={seed}" for seed in range(6)))
    slowly = (
        "import time, inr.codec as c\n"
        "original = c.encode_picture\n"
        "def encode_picture(*a, **k):\n    time.sleep(0.5)\n    return original(*a, **k)\n"
        "c.encode_picture = encode_picture"
    )
    process = started(*options, before=slowly)
    wait_for_rows(process, 2)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    rows_before = ledger_hashes()
    assert 2 <= len(rows_before) < 6
    assert "runs.csv" not in names()
    told = json.loads(run(*options, "--json")[1])
    assert told["skipped"] == len(rows_before)
    assert [row["seed"] for row in table()] == ["0", "1", "2", "3", "4", "5"]
    assert len(ledger_hashes()) == 6
    assert [row["config_hash"] for row in table()][: len(rows_before)] == sorted(
        rows_before, key=[row["config_hash"] for row in table()].index
    )


@pytest.mark.slow  # three processes that load jax
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds children in /proc")
@pytest.mark.usefixtures("folder")
def test_workers_end_with_a_killed_parent(run):
    options = ("flat.png", "--recipe", "siren", "--batch", 1, "-o", "out")
    options = (*options, *(f"--seed={seed}" for seed in range(400)))
    process = started(*options, "--jobs", 2)
    wait_for_rows(process, 2)
    children = [
        int(child)
        for task in Path(f"/proc/{process.pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    process.kill()
    process.communicate()
    assert len(children) >= 2

    def alive():
        found = []
        for pid in children:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if Path(f"/proc/{pid}/cmdline").read_bytes():  # empty: ended, not yet waited for
                    found.append(pid)
        return found

    give_up_at = time.monotonic() + 20
    while alive() and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert alive() == []
    n_rows = len(ledger_hashes())
    assert 2 <= n_rows < 400
    assert json.loads(run(*options, "--dry-run", "--json")[1])["skipped"] == n_rows
