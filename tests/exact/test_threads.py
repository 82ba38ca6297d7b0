"""threads.py: one BLAS thread while anything is drawn, and the caller's number again afterwards."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import pytest
from helpers.grid_models import moderate
from threadpoolctl import threadpool_info, threadpool_limits

from inr.cae.exact.chain import ExactChain
from inr.cae.layers import Conv
from inr.exact.threads import one_blas_thread, tile_pool
from inr.grid.latent_coder import encode_latents
from inr.grid.synthesis import synthesize
from inr.mlp.decode import render
from inr.mlp.fields.siren import Siren

N_DECODES = 4


def blas_threads():
    """Of numpy's BLAS: other packages may have loaded one of their own, at any time."""
    blas = [each for each in threadpool_info() if each["user_api"] == "blas"]
    of_numpy = [each for each in blas if "numpy" in each["filepath"]]
    return [each["num_threads"] for each in of_numpy or blas]


pytestmark = pytest.mark.skipif(not blas_threads(), reason="numpy has a BLAS of unknown threads")
ONE, CALLERS = [1] * len(blas_threads()), [3] * len(blas_threads())


@pytest.fixture
def callers_limit():
    """The caller allows three threads of BLAS, also where there are fewer cores."""
    with threadpool_limits(3, user_api="blas"):
        yield


limited = pytest.mark.usefixtures("callers_limit")


class MeetingSiren(Siren):
    """Its evaluations wait for one another."""

    def evaluate(self, params, points):
        params["meeting"].wait(30)
        seen.append(blas_threads())
        return super().evaluate(params, points)


class MeetingTensors(dict):
    """Whoever reads a tensor waits until as many others have come as far."""

    def __init__(self, tensors, meeting):
        super().__init__(tensors)
        self.meeting = meeting

    def __getitem__(self, name):
        self.meeting.wait(30)
        seen.append(blas_threads())
        return super().__getitem__(name)


seen: list[list[int]] = []  # BLAS threads in the middle of the decodes


def drawn_mlp(meeting):
    net = MeetingSiren(hidden=4, n_layers=2)
    params = net.init(np.random.default_rng(0), 1) | {"meeting": meeting}
    return render(net, params, ((0, 255),), 8, height=4, width=4, n_threads=1)


def drawn_grid(meeting):
    latents, params, pyramid = moderate(40, 40)  # doubled: its tiles read tensors
    return synthesize(latents, MeetingTensors(params, meeting), pyramid, 8, n_threads=1)


def drawn_cae(meeting):
    conv = Conv("conv", 3, 2, 5, 1)
    weights = np.random.default_rng(0).normal(size=(5, 5, 3, 2)).astype(np.float32)
    exact = ExactChain.of((conv,), {"conv_w": weights, "conv_b": np.zeros(2, np.float32)})
    exact = ExactChain(exact.chain, MeetingTensors(exact.tensors, meeting))
    return exact.apply(np.ones((4, 4, 3)), {}, n_threads=1)


@pytest.mark.parametrize("decode", [drawn_mlp, drawn_grid, drawn_cae])
def test_decodes_that_overlap_leave_the_number_of_blas_threads_alone(decode):
    seen.clear()
    before = blas_threads()
    alone = decode(threading.Barrier(1))
    assert blas_threads() == before
    meeting = threading.Barrier(N_DECODES)
    with ThreadPoolExecutor(N_DECODES) as pool:
        results = list(pool.map(decode, [meeting] * N_DECODES))
    assert blas_threads() == before
    assert ONE in seen
    assert all(np.array_equal(alone, each) for each in results)


@limited
@pytest.mark.parametrize("first", [0, 1, 2])
def test_blocks_end_in_any_order(first):
    blocks = [one_blas_thread() for _ in range(3)]
    for block in blocks:
        block.__enter__()
    for block in [blocks.pop(first), *blocks]:
        assert blas_threads() == ONE
        block.__exit__(None, None, None)
    assert blas_threads() == CALLERS


@limited
def test_another_thread_may_be_the_last():
    may_end, has_begun = threading.Event(), threading.Event()

    def longer():
        with one_blas_thread():
            has_begun.set()
            may_end.wait(30)

    thread = threading.Thread(target=longer)
    with one_blas_thread():
        thread.start()
        has_begun.wait(30)
    assert blas_threads() == ONE
    may_end.set()
    thread.join()
    assert blas_threads() == CALLERS


@limited
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ValueError])
def test_an_error_ends_the_limit(error):
    def failing(_):
        seen.append(blas_threads())
        raise error

    seen.clear()
    with pytest.raises(error), tile_pool(1) as pool:
        list(pool.map(failing, range(2)))
    assert seen[0] == ONE
    assert blas_threads() == CALLERS


@limited
def test_an_error_of_the_coder_ends_the_limit_while_its_traceback_is_kept():
    latents, params, pyramid = moderate(9, 9)
    with pytest.raises(ValueError, match="shapes") as caught:
        encode_latents(latents[1:], params, pyramid)
    assert blas_threads() == CALLERS
    assert caught.tb is not None


@limited
def test_a_limit_that_the_caller_sets_meanwhile_stays():
    with one_blas_thread():
        threadpool_limits(2, user_api="blas")
        assert blas_threads() == [2] * len(ONE)
    assert blas_threads() == [2] * len(ONE)
    with one_blas_thread():
        threadpool_limits(4, user_api="blas")
        with one_blas_thread():
            assert blas_threads() == ONE
    assert blas_threads() == [4] * len(ONE)


@limited
def test_a_callers_limit_that_ends_meanwhile_is_removed_by_the_caller():
    with ExitStack() as ours:
        with threadpool_limits(2, user_api="blas"), ThreadPoolExecutor(1) as pool:
            pool.submit(ours.enter_context, one_blas_thread()).result()
            assert blas_threads() == ONE
        assert blas_threads() == CALLERS
    assert blas_threads() == CALLERS


FORKS = """
import os, sys, threading
from threadpoolctl import threadpool_info, threadpool_limits
from inr.exact.threads import one_blas_thread

def blas_threads():
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

def in_child(check):
    pid = os.fork()
    if pid == 0:
        try:
            check()
        except BaseException as error:
            print("child:", repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

def free():
    assert blas_threads() == {3}, blas_threads()
    with one_blas_thread():
        assert blas_threads() == {1}, blas_threads()
    assert blas_threads() == {3}, blas_threads()

def inside():
    assert blas_threads() == {1}, blas_threads()
    block.__exit__(None, None, None)
    free()

threadpool_limits(3, user_api="blas")
begun, end = threading.Event(), threading.Event()

def other():
    with one_blas_thread():
        begun.set()
        end.wait(30)

thread = threading.Thread(target=other)
thread.start()
begun.wait(30)
in_child(free)
block = one_blas_thread()
block.__enter__()
in_child(inside)
end.set()
thread.join()
assert blas_threads() == {1}
block.__exit__(None, None, None)
free()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks on this system")
def test_a_forked_process_has_no_blocks_of_other_threads():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
