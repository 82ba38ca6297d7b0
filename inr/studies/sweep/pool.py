"""Calls in worker processes, each on its share of the cores.

A pool has the part of `concurrent.futures.Executor` that a sweep needs: `submit` and `shutdown`.
Each worker is an executor of the standard library with one process, so that one that dies costs
its own call only; it is replaced at the next. A worker ends when this process does, however that
ends: it holds one end of a pipe whose other end is here. A second pipe brings the progress.

pebble.ProcessPool (5.2) was looked at in their place. It survives dead workers in one pool too and
kills busy ones, but it is no shorter: its workers are all started alike, so a pool of one worker
each would be needed here as well to give every one its cores before numpy counts them; a call does
not tell its progress; a worker outlives a killed parent until its call ends; and one that dies
before its first call breaks the pool.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

from inr.studies.sweep.cores import note_share, pin_children

T = TypeVar("T")
Label = Any  # of a call: whatever its progress is to be reported with
Report = Callable[[Label, float], None]


class Pool(Protocol):
    """Whatever makes calls of functions whose last argument is called with the fraction done."""

    n_workers: int

    def submit(self, label: Label, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Begin a call; there may be as many at a time as there are workers."""


@contextlib.contextmanager
def open_pool(n_workers: int, report: Report) -> Iterator[Pool]:
    """Open a pool: one worker is this process, more are processes of their own.

    Args:
      report: called with the label of a call and the fraction of it that is done.
    """
    if n_workers == 1:
        yield ThisProcess(report)
        return
    pool = Processes(n_workers, report)
    try:
        yield pool
    finally:
        pool.shutdown()


class ThisProcess:
    """A pool that makes its calls at once, without another process."""

    n_workers = 1

    def __init__(self, report: Report) -> None:
        self._report = report

    def submit(self, label: Label, function: Callable[..., T], *arguments: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(function(*arguments, lambda fraction: self._report(label, fraction)))
        except Exception as error:  # but no KeyboardInterrupt, which ends the study
            future.set_exception(error)
        return future


class Processes:
    """A pool of processes, which are started when they are needed."""

    def __init__(self, n_workers: int, report: Report) -> None:
        self.n_workers = n_workers
        self._report = report
        self._workers: list[_Worker | None] = [None] * n_workers

    def submit(self, label: Label, function: Callable[..., T], *arguments: Any) -> Future[T]:
        place = next(i for i, worker in enumerate(self._workers) if not (worker and worker.is_busy))
        worker = self._workers[place]
        if worker is not None:
            try:
                return worker.submit(label, function, *arguments)
            except BrokenProcessPool:  # it has died with its last call, or since
                worker.end()
        worker = self._workers[place] = _Worker(place, self.n_workers, self._report)
        return worker.submit(label, function, *arguments)

    def shutdown(self) -> None:
        """End all workers, whatever they do."""
        for worker in self._workers:
            if worker is not None:
                worker.end()


class _Worker:
    """A worker process as its parent sees it."""

    def __init__(self, place: int, n_workers: int, report: Report) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads can hang
        their_life, self._life = context.Pipe(duplex=False)
        progress, their_progress = context.Pipe(duplex=False)
        with pin_children(place, n_workers) as n_cores:
            self._executor = ProcessPoolExecutor(
                1, context, initializer=_begin, initargs=(their_life, their_progress, n_cores)
            )
            self._call: Future[Any] = self._executor.submit(int)  # starts the process
        their_life.close()
        their_progress.close()  # so that the end of the process is the end of the pipe
        threading.Thread(target=_relay, args=(progress, report), daemon=True).start()

    @property
    def is_busy(self) -> bool:
        return not self._call.done()

    def submit(self, label: Label, function: Callable[..., T], *arguments: Any) -> Future[T]:
        self._call = self._executor.submit(_call, label, function, *arguments)
        return self._call

    def end(self) -> None:
        self._life.close()
        self._executor.shutdown(cancel_futures=True)


def _relay(progress: Connection, report: Report) -> None:
    """Tell what comes through a pipe, until the worker at its other end is no more."""
    with progress, contextlib.suppress(EOFError, OSError):
        while True:
            report(*progress.recv())


# ---------------------------------------------------------------- in a worker

_progress: Connection  # of this process, if it is a worker


def _begin(life: Connection, progress: Connection, n_cores: int) -> None:
    """Prepare a worker before its first call."""
    global _progress
    _progress = progress
    note_share(n_cores)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    threading.Thread(target=_end_with, args=(life,), daemon=True).start()


def _end_with(life: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        life.recv()  # nothing is ever sent
    os._exit(1)


def _call(label: Label, function: Callable[..., T], *arguments: Any) -> T:
    def report(fraction: float) -> None:
        with contextlib.suppress(ConnectionError):  # the parent is gone: no failure of the call
            _progress.send((label, fraction))

    return function(*arguments, report)
