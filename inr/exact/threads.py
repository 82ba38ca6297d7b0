"""Threads of numpy calls: tiles of a picture side by side, each call with one thread of BLAS.

Most builds of OpenBLAS have one number of threads for the whole process. Of two blocks that
overlap, the second sees the limit of the first: if each put back what it saw, the limit would stay
for good. So the blocks are counted; the first one sets the limit and the last one removes it.
Other libraries have a number for each thread, so there every block and every thread has its own.
"""

import functools
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

from threadpoolctl import ThreadpoolController


def available_cores() -> int:
    """Count the cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    # PJRT_NPROC is what XLA reads where a process cannot be tied to cores.
    return int(os.environ.get("PJRT_NPROC") or os.cpu_count() or 1)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Give BLAS calls one thread until the block ends, where it cannot be had otherwise those of
    the whole process.

    Blocks may overlap in threads and end in any order. Do not yield from a generator inside one:
    the limit would stay for as long as somebody keeps the generator.
    """
    block = object()
    own = _blas_libraries().per_thread
    before = [library.get_num_threads() for library in own]
    try:
        _limit_this_thread()
        _PROCESS.enter(block)
        yield
    finally:
        _PROCESS.leave(block)
        for library, n_threads in zip(own, before, strict=True):
            library.set_num_threads(n_threads)


@contextmanager
def tile_pool(n_threads: int | None) -> Iterator[Executor]:
    """Open a pool of threads whose numpy calls have one thread of BLAS each.

    Args:
      n_threads: in the pool; None for one a core.
    """
    n_threads = n_threads or available_cores()
    with (
        one_blas_thread(),
        ThreadPoolExecutor(n_threads, initializer=_limit_this_thread) as pool,
    ):
        yield pool


class _Blas(NamedTuple):
    """The BLAS libraries that are loaded, by what a number of threads holds for."""

    per_thread: list[Any]
    per_process: list[Any]


@functools.cache
def _blas_libraries() -> _Blas:
    """Find numpy's BLAS, and what else is loaded at the first call.

    To look takes 0.2 ms, with jax loaded 1.5 ms; a limit takes 0.01 ms. Libraries that are loaded
    later are not the one that numpy calls.
    """
    import numpy as np  # noqa: F401, loads its BLAS

    blas = _Blas([], [])
    for library in ThreadpoolController().select(user_api="blas").lib_controllers:
        is_shared = library.internal_api == "openblas" and library.threading_layer != "openmp"
        (blas.per_process if is_shared else blas.per_thread).append(library)
    return blas


def _limit_this_thread() -> None:
    for library in _blas_libraries().per_thread:
        library.set_num_threads(1)


class _ProcessLimit:
    """The blocks that run, and what numbers of threads the libraries have without them."""

    def __init__(self) -> None:
        # Reentrant: a signal handler or a finalizer may decode while its own thread holds it.
        self._lock = threading.RLock()
        self._thread_of: dict[object, int] = {}  # by block
        self._before: dict[int, int] = {}  # by index of the library; of those limited

    def enter(self, block: object) -> None:
        with self._lock:
            self._thread_of[block] = threading.get_ident()
            for i, library in enumerate(_blas_libraries().per_process):
                n_threads = library.get_num_threads()
                if n_threads > 1:  # also in a later block: the caller has set it meanwhile
                    self._before[i] = n_threads
                    _set_of_process(library, 1)

    def leave(self, block: object) -> None:
        with self._lock:
            self._thread_of.pop(block, None)
            if not self._thread_of:
                self._restore()

    def keep_own(self) -> None:
        """Forget the blocks of other threads: a forked process does not have these threads."""
        self._lock = threading.RLock()  # one of them may have held it
        me = threading.get_ident()
        self._thread_of = {
            block: thread for block, thread in self._thread_of.items() if thread == me
        }
        if not self._thread_of:
            self._restore()

    def _restore(self) -> None:
        for i, n_threads in self._before.items():
            library = _blas_libraries().per_process[i]
            if library.get_num_threads() == 1:  # another number is the caller's, set meanwhile
                _set_of_process(library, n_threads)
        self._before.clear()


def _set_of_process(library: Any, n_threads: int) -> None:
    """Set the number from any thread. threadpoolctl lets only that thread do so which was the
    first, as long as it lives; neither may our threads bar the caller's."""
    library.clear_controlling_thread(force=True)
    library.set_num_threads(n_threads)
    library.clear_controlling_thread(force=True)


_PROCESS = _ProcessLimit()
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_PROCESS.keep_own)
