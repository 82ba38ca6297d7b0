"""`inr sweep`: a table of fits over recipes, settings, pictures and seeds.

plan -> skip what the ledger has -> groups of one shape -> fits, a row each -> CSV, plot, report

The folder holds ledger.sqlite (every run ever made there), files/ with their .inr files, and, of
the last sweep, runs.csv, runs.parquet (with the extra `parquet`), rd.png and report.html.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from inr.errors import CodecError, InrError
from inr.studies.failures import Notice, once
from inr.studies.folder import StudyFolder
from inr.studies.sweep.ledger import Ledger, Result
from inr.studies.sweep.plan import Request, Run, parse_vary, plan, request_part
from inr.studies.sweep.run import Tell, file_path, grouped, ledger_path

__all__ = ["Request", "Summary", "Todo", "parse_vary", "run_sweep", "todo_of"]

_FOLDER = StudyFolder(
    "sweep",
    ledger="ledger.sqlite",
    outputs=("runs.csv", "runs.parquet", "rd.png", "report.html"),
    folders=("files",),
)


@dataclass(frozen=True)
class Todo:
    """A sweep that is planned and not yet run."""

    folder: Path
    runs: tuple[Run, ...]
    finished: frozenset[str]  # config hashes of the runs that are in the ledger already
    groups: list[tuple[Run, ...]]  # the others, those of a group to be fitted together
    earlier: tuple[Result, ...]  # all that the ledger knows of past runs
    jobs: int


@dataclass(frozen=True)
class Summary:
    """What a sweep did."""

    n_runs: int
    n_skipped: int  # finished before
    n_failed: int
    seconds: float
    first_failure: str | None  # the run and its error


def todo_of(
    request: Request, folder: Path, *, jobs: int, batch: int, warn: Callable[[str], None]
) -> Todo:
    """Plans a sweep: what there is to run, and what the folder has already. Writes nothing.

    Args:
      warn: called with a line for each thing that a picture loses, and if runs are made again
        because the code is another than before.
    Raises:
      ValueError: a request that cannot be met, or a folder that is not a sweep's.
    """
    ledger = Ledger(ledger_path(folder))
    _FOLDER.check(folder, request.pictures)
    results = ledger.results()
    runs = plan(request, same_shape=batch > 1, warn=warn)
    finished = frozenset(
        run.config_hash
        for run in runs
        if run.config_hash in results
        and _has_bytes(file_path(folder, run), results[run.config_hash].n_bytes)
    )
    pending = [run for run in runs if run.config_hash not in finished]
    _warn_of_other_code(pending, results, warn)
    groups = grouped(pending, batch=batch, jobs=jobs)
    return Todo(folder, runs, finished, groups, tuple(results.values()), jobs)


def run_sweep(todo: Todo, *, show_progress: bool, tell: Tell) -> Summary:
    """Runs what is to be done, then writes table, plot and report of the whole sweep.

    Args:
      tell: called with what there is to say meanwhile; each traceback comes once.
    Raises:
      InrError: it was interrupted; what is finished stays.
      OSError: the folder cannot be written.
    """
    from inr.studies.sweep.bar import progress_bar
    from inr.studies.sweep.pool import run_groups

    started_at = time.monotonic()
    todo.folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(ledger_path(todo.folder))
    ledger.create()  # first of all: it tells later sweeps that the folder is one
    (todo.folder / "files").mkdir(exist_ok=True)
    ledger.forget(run.config_hash for group in todo.groups for run in group)  # failed, files lost
    n_skipped = len(todo.finished)
    tell = once(tell)
    try:
        with progress_bar(todo.groups, n_skipped=n_skipped, show=show_progress) as report:
            run_groups(todo.groups, todo.folder, jobs=todo.jobs, report=report, tell=tell)
    except KeyboardInterrupt:
        n_finished = sum(run.config_hash in ledger.results() for run in todo.runs)
        raise InrError(
            f"interrupted with {n_finished} of {len(todo.runs)} runs finished; the same command "
            "goes on from there"
        ) from None
    results, errors = ledger.results(), ledger.errors()
    try:
        _write_outputs(todo, results, errors, warn=lambda text: tell(Notice(text)))
    except KeyboardInterrupt:
        raise InrError(
            f"interrupted with all runs finished; the same command writes what {todo.folder} lacks"
        ) from None
    failed = [run for run in todo.runs if run.config_hash not in results]
    first = None
    if failed:
        first = f"{failed[0].label}: {errors.get(failed[0].config_hash, 'not run')}"
    seconds = time.monotonic() - started_at
    return Summary(len(todo.runs), n_skipped, len(failed), seconds, first)


def _write_outputs(
    todo: Todo,
    results: dict[str, Result],
    errors: dict[str, str],
    warn: Callable[[str], None],
) -> None:
    """The table comes first: whatever other libraries or pictures do, it is there."""
    from inr.studies.report import Table
    from inr.studies.sweep import tables
    from inr.studies.sweep.curves import curves
    from inr.studies.sweep.pages import write_report
    from inr.studies.sweep.plot import write_plot

    varied = [path for path, _ in todo.runs[0].varied]
    names = tables.columns(varied)
    rows = tables.rows(todo.runs, results)
    tables.write_csv(todo.folder / "runs.csv", names, rows)
    parquet, plot = todo.folder / "runs.parquet", todo.folder / "rd.png"
    if tables.has_parquet():
        try:
            tables.write_parquet(parquet, names, varied, rows)
        except CodecError as error:
            warn(_not_written(parquet, error))
    elif parquet.exists():
        warn(f"{parquet} is of an earlier run: the extra `parquet` is not installed now")
    drawn = curves(todo.runs, results)
    try:
        write_plot(plot, drawn)
    except CodecError as error:
        warn(_not_written(plot, error))
    table = Table("Runs", names, tuple(rows))
    write_report(todo.folder, todo.runs, results, errors, drawn, table, warn=warn)


def _not_written(path: Path, error: CodecError) -> str:
    stale = "; the one there is of an earlier run" if path.exists() else ""
    return f"{path} is not written: {error}{stale}"


def _warn_of_other_code(
    pending: list[Run], results: Mapping[str, Result], warn: Callable[[str], None]
) -> None:
    earlier = {request_part(config_hash): result for config_hash, result in results.items()}
    others = [run for run in pending if run.request_hash in earlier]
    # Those of this code are run again for another reason: their files are lost.
    others = [run for run in others if run.config_hash not in results]
    if not others:
        return
    commits = sorted({earlier[run.request_hash].commit for run in others})
    were = "row was" if len(others) == 1 else "rows were"
    again = "is run again" if len(others) == 1 else "are run again"
    warn(f"{len(others)} {were} made by other code (commit {', '.join(commits)}) and {again}")


def _has_bytes(path: Path, n_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == n_bytes
