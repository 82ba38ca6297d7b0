"""Progress bars on stderr: step, quality, time left."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inr.cae.train import TrainProgress
    from inr.fit_types import Progress


@contextlib.contextmanager
def progress_bar(*, show: bool) -> Iterator["Callable[[Progress], None] | None"]:
    """Yields the `report` of a fit, or None where nothing is to be shown."""
    with _bar("fitting", show) as update:
        if update is None:
            yield None
            return

        def report(progress: "Progress") -> None:
            told = f"{progress.psnr_db:.2f} dB"
            update(progress.step, progress.n_steps, told, progress.seconds_left)

        yield report


@contextlib.contextmanager
def training_bar(*, show: bool) -> Iterator["Callable[[TrainProgress], None] | None"]:
    """Yields the `report` of a training, or None where nothing is to be shown."""
    with _bar("training", show) as update:
        if update is None:
            yield None
            return

        def report(progress: "TrainProgress") -> None:
            told = f"loss {progress.loss:.4f} {progress.psnr_db:.2f} dB {progress.bpp:.3f} bpp"
            update(progress.step, progress.n_steps, told, progress.seconds_left)

        yield report


@contextlib.contextmanager
def _bar(verb: str, show: bool) -> Iterator["Callable[[int, int, str, float], None] | None"]:
    """Yields a function of step, number of steps, quality and seconds left."""
    if not show:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn(verb),
        BarColumn(),
        TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[quality]}"),
        TextColumn("{task.fields[left]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(verb, total=1, quality="", left="compiling")

        def update(step: int, n_steps: int, quality: str, seconds_left: float) -> None:
            minutes, seconds = divmod(round(seconds_left), 60)
            left = f"{minutes}:{seconds:02d} left"
            bar.update(task, completed=step, total=n_steps, quality=quality, left=left)

        yield update
