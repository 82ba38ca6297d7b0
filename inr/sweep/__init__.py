"""`inr sweep`: a table of fits over recipes, settings, pictures and seeds.

plan -> skip what the ledger has -> groups of one shape -> fits, a row each -> CSV, plot, report

The folder holds ledger.sqlite (every run ever made there), files/ with their .inr files, and, of
the last sweep, runs.csv, runs.parquet (with the extra `parquet`), rd.png and report.html.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inr.errors import InrError, UsageError
from inr.sweep.ledger import Ledger, Result
from inr.sweep.plan import Request, Run, parse_vary, plan
from inr.sweep.run import file_path, grouped, ledger_path

__all__ = ["Request", "Summary", "Todo", "parse_vary", "run_sweep", "todo_of"]


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

    Raises:
      ValueError: a request that cannot be met, or a folder that is not a sweep's.
    """
    ledger = Ledger(ledger_path(folder))
    if not ledger.path.exists():
        _check_folder(folder)
    results = ledger.results()
    runs = plan(request, same_shape=batch > 1, warn=warn)
    finished = frozenset(
        run.config_hash
        for run in runs
        if run.config_hash in results
        and _has_bytes(file_path(folder, run), results[run.config_hash].n_bytes)
    )
    pending = [run for run in runs if run.config_hash not in finished]
    groups = grouped(pending, batch=batch, jobs=jobs)
    return Todo(folder, runs, finished, groups, tuple(results.values()), jobs)


def run_sweep(todo: Todo, *, show_progress: bool) -> Summary:
    """Runs what is to be done, then writes table, plot and report of the whole sweep.

    Raises:
      RuntimeError: it was interrupted; what is finished stays.
      OSError: the folder cannot be written.
    """
    from inr.sweep.bar import progress_bar
    from inr.sweep.pool import run_groups

    started_at = time.monotonic()
    todo.folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(ledger_path(todo.folder))
    ledger.create()  # first of all: it tells later sweeps that the folder is one
    (todo.folder / "files").mkdir(exist_ok=True)
    ledger.forget(run.config_hash for group in todo.groups for run in group)  # failed, files lost
    n_skipped = len(todo.finished)
    try:
        with progress_bar(todo.groups, n_skipped=n_skipped, show=show_progress) as report:
            run_groups(todo.groups, todo.folder, jobs=todo.jobs, report=report)
    except KeyboardInterrupt:
        n_finished = sum(run.config_hash in ledger.results() for run in todo.runs)
        raise InrError(
            f"interrupted with {n_finished} of {len(todo.runs)} runs finished; the same command "
            "goes on from there"
        ) from None
    results, errors = ledger.results(), ledger.errors()
    _write_tables(todo, results, errors)
    failed = [run for run in todo.runs if run.config_hash not in results]
    first = None
    if failed:
        first = f"{failed[0].label}: {errors.get(failed[0].config_hash, 'not run')}"
    seconds = time.monotonic() - started_at
    return Summary(len(todo.runs), n_skipped, len(failed), seconds, first)


def _write_tables(todo: Todo, results: dict[str, Result], errors: dict[str, str]) -> None:
    from inr.report import Table
    from inr.sweep import tables
    from inr.sweep.curves import curves
    from inr.sweep.pages import write_report
    from inr.sweep.plot import write_plot

    varied = [path for path, _ in todo.runs[0].varied]
    names = tables.columns(varied)
    rows = tables.rows(todo.runs, results)
    tables.write_csv(todo.folder / "runs.csv", names, rows)
    if tables.has_parquet():
        tables.write_parquet(todo.folder / "runs.parquet", names, varied, rows)
    drawn = curves(todo.runs, results)
    write_plot(todo.folder / "rd.png", drawn)
    table = Table("Runs", names, tuple(rows))
    write_report(todo.folder, todo.runs, results, errors, drawn, table)


def _has_bytes(path: Path, n_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == n_bytes


def _check_folder(folder: Path) -> None:
    """Refuses, before the work, a folder in which a sweep would overwrite what is not its own."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; name one, it is made if it does not exist")
    for name in ("runs.csv", "runs.parquet", "rd.png", "report.html", "files"):
        if (folder / name).exists():
            raise UsageError(f"{folder} holds {name} but no ledger of a sweep; name another folder")
