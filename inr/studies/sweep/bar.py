"""The progress bar of a sweep, on stderr: runs finished and time left."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from inr.studies.sweep.estimate import Speed
from inr.studies.sweep.run import Group

_NOMINAL = Speed(core_flops=5e10)  # only the groups' shares of the whole count


@contextlib.contextmanager
def progress_bar(
    groups: Sequence[Group], *, n_skipped: int, show: bool
) -> Iterator[Callable[[int, float], None]]:
    """Yields what is to be called with the index of a group and the fraction that is done."""
    if not show or not groups:
        yield lambda group, fraction: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("sweep"),
        BarColumn(),
        TextColumn("run {task.fields[n_done]}/{task.fields[n_runs]}"),
        TextColumn("{task.fields[left]}"),
    )
    share = shares(groups)
    done = [0.0] * len(groups)
    n_runs = n_skipped + sum(len(group) for group in groups)
    started_at = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("sweep", total=1.0, n_done=n_skipped, n_runs=n_runs, left="compiling")

        def report(group: int, fraction: float) -> None:
            done[group] = fraction
            n_done = sum(len(groups[i]) for i, part in enumerate(done) if part == 1.0)
            whole = sum(map(float.__mul__, share, done))
            left = time_left(time.monotonic() - started_at, whole)
            bar.update(task, completed=whole, n_done=n_skipped + n_done, left=left)

        yield report


def shares(groups: Sequence[Group]) -> list[float]:
    """How much of the whole sweep each group is; they add up to 1."""
    seconds = [_NOMINAL.seconds([run.work for run in group], cores=1) for group in groups]
    return [part / sum(seconds) for part in seconds]


def time_left(elapsed: float, done: float) -> str:
    """(60 seconds, 0.25 of the work) -> "3:00 left"."""
    if done <= 0:
        return "compiling"
    minutes, seconds = divmod(round(elapsed * (1 - done) / done), 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{clock}:{seconds:02d} left"
