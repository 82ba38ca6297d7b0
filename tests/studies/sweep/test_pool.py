"""pool.py: calls in worker processes, their progress, and their death."""

import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from helpers import pool_calls
from helpers.paths import ROOT

from inr.errors import BackendError
from inr.exact.threads import available_cores
from inr.studies.sweep.pool import open_pool


def quiet(label, fraction):
    pass


def test_one_worker_is_this_process():
    told = []
    with open_pool(1, lambda *progress: told.append(progress)) as pool:
        assert pool.submit("a", pool_calls.add, 2, 3).result() == 5
        assert pool.submit("b", pool_calls.name).result() == os.getpid()
        error = ValueError("ours")
        assert pool.submit("c", pool_calls.fail, error).exception() is error
        with pytest.raises(KeyboardInterrupt):
            pool.submit("d", pool_calls.fail, KeyboardInterrupt())
    assert told == [("a", 0.5)]


@pytest.mark.slow  # two processes, which load numpy
def test_workers_have_their_own_cores_and_tell_their_progress():
    told = []
    with open_pool(2, lambda *progress: told.append(progress)) as pool:
        calls = [pool.submit(i, pool_calls.name) for i in range(2)]
        assert len({call.result() for call in calls} | {os.getpid()}) == 3
        n_cores, n_told = pool.submit("a", pool_calls.cores).result()
        assert n_told == max(1, available_cores() // 2)
        assert sys.platform != "linux" or n_cores == n_told
        call = pool.submit("b", pool_calls.fail, BackendError("no such backend"))
        assert isinstance(call.exception(), BackendError)
        assert pool.submit("c", pool_calls.add, 2, 3).result() == 5
    wait_until(lambda: told)
    assert told == [("c", 0.5)]
    assert multiprocessing.active_children() == []


@pytest.mark.slow  # four processes
@pytest.mark.skipif(sys.platform == "win32", reason="kills itself by a signal")
def test_a_worker_that_dies_costs_its_own_call():
    with open_pool(2, quiet) as pool:
        other = pool.submit("a", pool_calls.name)
        with pytest.raises(BrokenProcessPool):
            pool.submit("b", pool_calls.die).result()
        survivor = other.result()
        calls = [pool.submit(i, pool_calls.name) for i in range(2)]
        assert survivor in {call.result() for call in calls}


def test_no_worker_outlives_an_interruption(tmp_path):
    def interrupted():
        with open_pool(2, quiet) as pool:
            pool.submit("a", pool_calls.sleep, tmp_path / "pid")
            wait_until((tmp_path / "pid").exists)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="finds processes in /proc")
def test_workers_end_with_a_killed_parent(tmp_path):
    code = (
        "import pathlib, time\n"
        "from helpers import pool_calls\n"
        "from inr.studies.sweep.pool import open_pool\n"
        "if __name__ == '__main__':\n"
        "    with open_pool(2, print) as pool:\n"
        f"        pool.submit('a', pool_calls.sleep, pathlib.Path({str(tmp_path / 'pid')!r}))\n"
        "        time.sleep(600)\n"
    )
    (tmp_path / "parent.py").write_text(code)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py"], env=os.environ | {"PYTHONPATH": paths}
    )
    pid = tmp_path / "pid"
    wait_until(lambda: pid.exists() and pid.read_text())
    worker = Path("/proc") / pid.read_text()
    assert worker.exists()
    parent.kill()
    parent.wait()
    wait_until(lambda: not worker.exists() or not (worker / "cmdline").read_bytes())


def wait_until(is_so, seconds=60):
    give_up_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
