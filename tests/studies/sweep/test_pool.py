"""pool.py and cores.py: worker processes, their share of the cores, and their death."""

import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inr.exact.threads import available_cores
from inr.studies.sweep import pool
from inr.studies.sweep.cores import _share, pinned
from inr.studies.sweep.ledger import Ledger
from inr.studies.sweep.plan import Request, plan
from inr.studies.sweep.pool import run_groups
from inr.studies.sweep.run import grouped, ledger_path


@pytest.fixture
def groups(folder):
    """Four runs without a fit, each a group, for the folder `out`."""
    (folder / "out/files").mkdir(parents=True)
    Ledger(ledger_path(Path("out"))).create()
    request = Request((Path("flat.png"),), ("siren",), {}, {}, (0, 1, 2, 3))
    return grouped(plan(request, same_shape=False, warn=pytest.fail), batch=1, jobs=1)


def ledger():
    return Ledger(ledger_path(Path("out")))


def unheard(notice):
    pytest.fail(f"unexpected: {notice.text}")


def hashes(groups):
    return {run.config_hash for group in groups for run in group}


def test_one_job_runs_in_this_process(groups, monkeypatch):
    monkeypatch.setattr(pool, "_started", lambda *_: pytest.fail("a process was started"))
    told = []
    run_groups(groups, Path("out"), jobs=1, report=lambda *p: told.append(p), tell=unheard)
    run_groups(groups[:1], Path("out"), jobs=4, report=lambda *_: None, tell=unheard)
    assert ledger().results().keys() == hashes(groups)
    assert told == [(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0)]


@pytest.mark.slow  # two processes that load jax, on a busy machine
def test_two_jobs_run_in_two_processes_on_their_own_cores(groups):
    told = []
    run_groups(groups, Path("out"), jobs=2, report=lambda *p: told.append(p), tell=unheard)
    results = ledger().results()
    assert results.keys() == hashes(groups)
    assert sorted(told) == [(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0)]
    assert {result.cores for result in results.values()} == {max(1, available_cores() // 2)}
    assert multiprocessing.active_children() == []


@pytest.mark.slow  # two processes that load jax
def test_workers_tell_of_a_batch_that_fails(groups):
    """Pictures of one colour cannot be one batch."""
    (a,), (b,), (c,), (d,) = groups
    told = []
    run_groups([(a, b), (c, d)], Path("out"), jobs=2, report=lambda *_: None, tell=told.append)
    assert ledger().results().keys() == hashes(groups)
    warnings = sorted(notice.text for notice in told if not notice.is_traceback)
    assert [text.split(": ")[0] for text in warnings] == [
        "a batch of 2 runs failed and is fitted again run by run (flat.png siren seed 0, flat.png "
        "siren seed 1)",
        "a batch of 2 runs failed and is fitted again run by run (flat.png siren seed 2, flat.png "
        "siren seed 3)",
    ]
    tracebacks = [notice.text for notice in told if notice.is_traceback]
    assert len(tracebacks) == 2
    assert "cannot run as one batch" in tracebacks[0].splitlines()[-1]


@pytest.mark.slow  # four processes, two of which load jax
@pytest.mark.skipif(sys.platform != "linux", reason="waits for a signal's exit code")
def test_a_worker_that_dies_is_told_with_its_run_and_the_others_go_on(groups, monkeypatch):
    real_wait, killed = pool.wait, []

    def wait(pipes):
        if not killed:
            for process in multiprocessing.active_children():
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)
        return real_wait(pipes)

    monkeypatch.setattr(pool, "wait", wait)
    run_groups(groups, Path("out"), jobs=2, report=lambda *_: None, tell=unheard)
    assert len(killed) == 2
    assert ledger().errors().keys() == hashes(groups[:2])
    assert all("ended with exit code -9" in error for error in ledger().errors().values())
    assert ledger().results().keys() == hashes(groups[2:])


def test_no_worker_outlives_an_interruption(groups, monkeypatch):
    def wait(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "wait", wait)
    with pytest.raises(KeyboardInterrupt):
        run_groups(groups, Path("out"), jobs=2, report=lambda *_: None, tell=unheard)
    assert multiprocessing.active_children() == []


def test_a_folder_that_cannot_be_written_ends_the_sweep(groups):
    Path("out/files").rmdir()
    with pytest.raises(FileNotFoundError, match="out/files"):
        run_groups(groups, Path("out"), jobs=2, report=lambda *_: None, tell=unheard)
    assert multiprocessing.active_children() == []


# ---------------------------------------------------------------- cores


@pytest.mark.parametrize(
    ("n_workers", "n_cores", "shares"),
    [
        (2, 2, [[0], [1]]),
        (2, 8, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (3, 8, [[0, 1], [2, 3, 4], [5, 6, 7]]),
        (3, 2, [[0], [1], [0]]),
        (2, 1, [[0], [0]]),
    ],
)
def test_shares_of_the_cores(n_workers, n_cores, shares):
    assert [list(_share(worker, n_workers, n_cores)) for worker in range(n_workers)] == shares


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties threads to cores")
def test_children_inherit_their_share_and_the_other_threads_keep_their_cores():
    n_cores, environment = available_cores(), dict(os.environ)
    code = "from inr.exact.threads import available_cores as n; print(n())"
    with ThreadPoolExecutor(1) as other:
        assert other.submit(available_cores).result() == n_cores
        with pinned(0, n_cores) as n_own:
            child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            assert dict(os.environ) == environment  # which all threads share
            assert other.submit(available_cores).result() == n_cores
    assert (child.stdout, n_own) == ("1\n", 1)
    assert available_cores() == n_cores
