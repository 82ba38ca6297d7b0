"""cores.py: how workers share the cores."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from inr.exact.threads import available_cores
from inr.studies.sweep.cores import pin_children, share_of_cores


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
    found = [list(share_of_cores(worker, n_workers, n_cores)) for worker in range(n_workers)]
    assert found == shares


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties threads to cores")
def test_children_inherit_their_share_and_the_other_threads_keep_their_cores():
    n_cores, environment = available_cores(), dict(os.environ)
    code = "from inr.exact.threads import available_cores as n; print(n())"
    with ThreadPoolExecutor(1) as other:
        assert other.submit(available_cores).result() == n_cores
        with pin_children(0, n_cores) as n_own:
            child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            assert dict(os.environ) == environment  # which all threads share
            assert other.submit(available_cores).result() == n_cores
    assert (child.stdout, n_own) == ("1\n", 1)
    assert available_cores() == n_cores
