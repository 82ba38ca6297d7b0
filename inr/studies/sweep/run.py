"""`inr sweep`: a table of fits over recipes, settings, pictures and seeds.

plan -> groups of one shape, each to a worker -> files, a row each -> CSV, plot, report

The folder holds ledger.sqlite (every run ever made there), files/ with their .inr files, and, of
the last sweep, runs.csv, runs.parquet (with the extra `parquet`), rd.png and report.html.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from inr.codec import decode_picture, describe, encode_batch
from inr.errors import BackendError, InrError
from inr.exact.threads import available_cores
from inr.files import write_whole
from inr.image.metrics import MS_SSIM_MIN_SIDE, bpp, ms_ssim
from inr.image.picture import Picture
from inr.kinds import trusting_options
from inr.options import EncodeResult, Job, Progress, Report
from inr.progress import sweep_bar
from inr.studies.failures import Failure, Notice, Notify, failure_of, once
from inr.studies.ledger import Ledger
from inr.studies.sweep.estimate import shares_of_work
from inr.studies.sweep.origin import commit, machine, processor
from inr.studies.sweep.pages import write_outputs
from inr.studies.sweep.plan import Plan, load_again
from inr.studies.sweep.pool import Pool, open_pool
from inr.studies.sweep.request import Group, Result, Run, ledger_of

_MOST_NAMED = 8  # runs in a warning
_DEATH = (
    "the worker process died (killed, often for want of memory: try fewer --jobs or a smaller "
    "--batch)"
)
_FIT_SHARE = 0.99  # of a run, as its progress is reported; then it is coded, drawn and measured


class Encode(Protocol):
    """As `codec.encode_batch`; must be a function of a module where there are workers."""

    def __call__(
        self, jobs: Sequence[Job[Any]], *, report: Report | None = None
    ) -> list[EncodeResult]: ...


@dataclass(frozen=True)
class Summary:
    """What a sweep did."""

    n_runs: int
    n_skipped: int  # finished before
    n_failed: int
    seconds: float
    first_failure: str | None  # the run and its error


def run_sweep(
    plan: Plan, *, show_progress: bool, notify: Notify, encode: Encode = encode_batch
) -> Summary:
    """Run what is to be done, then write table, plot and report of the whole sweep.

    Args:
      notify: called with what there is to say meanwhile; each traceback comes once.
      encode: makes the files of the runs of a group.
    Raises:
      InrError: it was interrupted; what is finished stays.
      OSError: the folder cannot be written.
    """
    started_at = time.monotonic()
    plan.folder.mkdir(parents=True, exist_ok=True)
    ledger = ledger_of(plan.folder)
    ledger.create()  # first of all: it tells later sweeps that the folder is one
    (plan.folder / "files").mkdir(exist_ok=True)
    ledger.forget(run.config_hash for group in plan.groups for run in group)  # failed, files lost
    n_skipped, notify = len(plan.finished), once(notify)
    shares = shares_of_work(plan.groups)
    try:
        with (
            sweep_bar(shares, n_done_before=n_skipped, show=show_progress) as report,
            open_pool(max(1, min(plan.jobs, len(plan.groups))), report) as pool,
        ):
            _run_groups(plan, pool, ledger, encode, report, notify)
    except KeyboardInterrupt:
        n_finished = sum(run.config_hash in ledger.rows() for run in plan.runs)
        raise InrError(
            f"interrupted with {n_finished} of {len(plan.runs)} runs finished; the same command "
            "goes on from there"
        ) from None
    results, errors = ledger.rows(), ledger.errors()
    try:
        write_outputs(plan, results, errors, warn=lambda text: notify(Notice(text)))
    except KeyboardInterrupt:
        raise InrError(
            f"interrupted with all runs finished; the same command writes what {plan.folder} lacks"
        ) from None
    failed = [run for run in plan.runs if run.config_hash not in results]
    first = None
    if failed:
        first = f"{failed[0].label}: {errors.get(failed[0].config_hash, 'not run')}"
    seconds = time.monotonic() - started_at
    return Summary(len(plan.runs), n_skipped, len(failed), seconds, first)


def _run_groups(
    plan: Plan,
    pool: Pool,
    ledger: Ledger[Result],
    encode: Encode,
    report: Callable[[Sequence[str], float], None],
    notify: Notify,
) -> None:
    """Fit all groups and record every run.

    A run that fails gets a row with the error, and the others go on. A batch that fails is fitted
    run by run, which shows whose fault it was.

    Raises:
      OSError, UsageError: files or rows cannot be written.
      BackendError: jax cannot compute here.
    """
    code = commit()
    waiting = deque(plan.groups)
    running: dict[Future[_Outcomes], Group] = {}
    while waiting or running:
        while waiting and len(running) < pool.n_workers:
            group = waiting.popleft()
            keys = [run.config_hash for run in group]
            running[pool.submit(keys, fit_group, group, code, encode)] = group
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            group = running.pop(future)
            try:
                outcomes = future.result()
            except BrokenProcessPool:
                outcomes = [Failure(_DEATH, None)] * len(group)
            if isinstance(outcomes, Failure):
                _tell_of_batch(group, outcomes, notify)
                waiting.extendleft((run,) for run in reversed(group))
                continue
            for run, outcome in zip(group, outcomes, strict=True):
                _record(run, outcome, plan.folder, ledger, notify)
                report([run.config_hash], 1.0)


def _tell_of_batch(group: Group, failure: Failure, notify: Notify) -> None:
    labels = [run.label for run in group[:_MOST_NAMED]]
    if len(group) > _MOST_NAMED:
        labels.append(f"{len(group) - _MOST_NAMED} more")
    notify(
        Notice(
            f"a batch of {len(group)} runs failed and is fitted again run by run "
            f"({', '.join(labels)}): {failure.reason}"
        )
    )
    if failure.traceback is not None:
        notify(Notice(failure.traceback, is_traceback=True))


def _record(
    run: Run, outcome: "Fitted | Failure", folder: Path, ledger: Ledger[Result], notify: Notify
) -> None:
    if isinstance(outcome, Fitted):
        with write_whole(run.file(folder), overwrite=True) as file:
            file.write(outcome.data)
        ledger.record(run.entry, outcome.result)
        return
    text = outcome.reason
    if outcome.traceback is not None:
        notify(Notice(outcome.traceback, is_traceback=True))
        text = f"{text}\n{outcome.traceback}"
    ledger.record_failure(run.entry, text)


# ---------------------------------------------------------------- in a worker


@dataclass(frozen=True)
class Fitted:
    """What a run has come to."""

    data: bytes  # the .inr file
    result: Result


_Outcomes = list[Fitted | Failure] | Failure


def fit_group(
    group: Group, code: str, encode: Encode, report: Callable[[float], None]
) -> _Outcomes:
    """Fit a group and measure its files; writes nothing.

    Args:
      code: commit of the rows.
      report: called with the fraction that is done.
    Returns:
      What each run has come to; for a batch that could not be encoded, why.
    Raises:
      BackendError: jax cannot compute here, so that no other run will do better.
    """

    def report_steps(progress: Progress) -> None:
        report(_FIT_SHARE * progress.step / max(1, progress.n_steps))

    try:
        pictures = {run.path: load_again(run) for run in {run.path: run for run in group}.values()}
        jobs = [Job(pictures[run.path], run.recipe, run.options) for run in group]
        encoded = encode(jobs, report=report_steps)
    except BackendError:
        raise
    except Exception as error:  # a bug too: its traceback is printed
        failure = failure_of(error)
        return failure if len(group) > 1 else [failure]
    outcomes: list[Fitted | Failure] = []
    for run, job, result in zip(group, jobs, encoded, strict=True):
        try:
            measured = _measure(run, job.picture, result, len(group), code)
            outcomes.append(Fitted(result.data, measured))
        except Exception as error:  # likewise
            outcomes.append(failure_of(error))
    return outcomes


def _measure(
    run: Run, picture: Picture, encoded: EncodeResult, n_together: int, code: str
) -> Result:
    similarity, options = None, trusting_options(run.recipe)
    if min(picture.height, picture.width) >= MS_SSIM_MIN_SIDE:
        decoded = decode_picture(encoded.data, options)
        similarity = ms_ssim(picture.pixels, decoded.pixels)
    return Result(
        n_bytes=len(encoded.data),
        bpp=bpp(len(encoded.data), picture.height, picture.width),
        psnr_db=encoded.psnr_db,
        ms_ssim=similarity,
        sparsity=describe(encoded.data, options).get("sparsity"),
        steps=encoded.n_steps,
        seconds=encoded.seconds,
        n_together=n_together,
        cores=available_cores(),
        work=run.work,
        commit=code,
        machine=machine() if encoded.n_steps else processor(),  # without a fit no jax is loaded
    )
