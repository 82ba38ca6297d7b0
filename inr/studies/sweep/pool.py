"""Runs groups of fits one after the other, or in several worker processes.

A worker is told its groups over a pipe and answers over it; what it finished it has written to
the ledger itself. One that dies is replaced, and its runs are recorded as failed.
"""

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from inr.errors import InrError
from inr.studies.failures import Notice
from inr.studies.sweep.cores import note_share, pinned
from inr.studies.sweep.ledger import Ledger
from inr.studies.sweep.origin import commit
from inr.studies.sweep.run import Group, Tell, ledger_path, run_group

_SECONDS_TO_END = 5.0  # for a worker that is told to end, before it is killed


@dataclass(frozen=True)
class _Answer:
    """What a worker says about the group in its hands."""

    fraction: float | None = None  # of it that is done
    finished: bool = False
    notice: Notice | None = None
    stop: Exception | None = None  # nothing can be written: no use in going on


@dataclass
class _Worker:
    """A worker process as its parent sees it."""

    place: int  # which share of the cores it has
    process: SpawnProcess
    pipe: Connection
    group: int = -1  # index of the group in its hands


def run_groups(
    groups: Sequence[Group],
    folder: Path,
    *,
    jobs: int,
    report: Callable[[int, float], None],
    tell: Tell,
) -> None:
    """Fits all groups and records every run in the ledger of the folder.

    Args:
      jobs: so many at a time. One runs in this process, more in a process each with its share
        of the cores.
      report: called with the index of a group and the fraction of it that is done.
      tell: called with what there is to say besides, such as a batch that failed.
    Raises:
      OSError, UsageError: files or rows cannot be written.
    """
    jobs = min(jobs, len(groups))
    if jobs > 1:
        _run_in_workers(groups, folder, jobs, report, tell)
        return
    code = commit()
    for i, group in enumerate(groups):
        run_group(group, folder, code, functools.partial(report, i), tell)
        report(i, 1.0)


def _run_in_workers(
    groups: Sequence[Group],
    folder: Path,
    jobs: int,
    report: Callable[[int, float], None],
    tell: Tell,
) -> None:
    code = commit()
    waiting = deque(range(len(groups)))
    workers = [_started(place, jobs, folder, code) for place in range(jobs)]
    busy: dict[Connection, _Worker] = {}

    def hand_out(worker: _Worker) -> None:
        if waiting:
            worker.group = waiting.popleft()
            busy[worker.pipe] = worker
            with contextlib.suppress(BrokenPipeError):  # dead already: the next receipt shows it
                worker.pipe.send(groups[worker.group])

    try:
        for worker in workers:
            hand_out(worker)
        while busy:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                worker = busy[pipe]
                try:
                    answer: _Answer = pipe.recv()
                except (EOFError, OSError):  # the end of the pipe, perhaps in mid-message
                    del busy[pipe]
                    _record_death(worker, groups[worker.group], folder)
                    report(worker.group, 1.0)
                    if waiting:
                        workers.append(_started(worker.place, jobs, folder, code))
                        hand_out(workers[-1])
                    continue
                if answer.stop is not None:
                    raise answer.stop
                if answer.notice is not None:
                    tell(answer.notice)
                if answer.fraction is not None:
                    report(worker.group, answer.fraction)
                if answer.finished:
                    del busy[pipe]
                    hand_out(worker)
    finally:
        _end(workers)


def _started(place: int, jobs: int, folder: Path, code: str) -> _Worker:
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads can hang
    ours, theirs = context.Pipe()
    with pinned(place, jobs) as n_cores:
        process = context.Process(target=_serve, args=(theirs, folder, code, n_cores), daemon=True)
        process.start()
    theirs.close()  # so that the end of the process is the end of the pipe
    return _Worker(place, process, ours)


def _record_death(worker: _Worker, group: Group, folder: Path) -> None:
    worker.process.join()
    for run in group:
        Ledger(ledger_path(folder)).record_failure(
            run,
            f"the worker process ended with exit code {worker.process.exitcode} (-9: killed, often "
            "for want of memory: try fewer --jobs or a smaller --batch)",
        )


def _end(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(_SECONDS_TO_END)
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()


def _serve(pipe: Connection, folder: Path, code: str, n_cores: int) -> None:
    """The life of a worker: group after group until the parent ends it."""
    note_share(n_cores)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def say(answer: _Answer) -> None:
        with contextlib.suppress(ConnectionError):  # the parent is gone: no failure of the run
            pipe.send(answer)

    with contextlib.suppress(EOFError, ConnectionError):  # likewise
        while True:
            group: Group = pipe.recv()
            try:
                run_group(
                    *(group, folder, code),
                    report=lambda fraction: say(_Answer(fraction)),
                    tell=lambda notice: say(_Answer(notice=notice)),
                )
            except (OSError, InrError) as error:  # from the files, from the ledger
                pipe.send(_Answer(stop=error))
            else:
                pipe.send(_Answer(1.0, finished=True))


def _end_with_parent() -> None:
    """A parent that was killed ends nobody; its next start must not find the cores taken."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
