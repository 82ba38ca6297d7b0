"""Progress bars on stderr: step, quality, time left."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from inr.cae.training.loop import TrainProgress
    from inr.options import Progress


class _Steps(Protocol):
    """What every progress has."""

    @property
    def step(self) -> int: ...
    @property
    def n_steps(self) -> int: ...
    @property
    def seconds_left(self) -> float: ...


P = TypeVar("P", bound=_Steps)


def progress_bar(*, show: bool) -> "AbstractContextManager[Callable[[Progress], None] | None]":
    """Gives the `report` of a fit, or None where nothing is to be shown."""

    def quality(progress: "Progress") -> str:
        return f"{progress.psnr_db:.2f} dB"

    return _bar("fitting", show, quality)


def training_bar(*, show: bool) -> "AbstractContextManager[Callable[[TrainProgress], None] | None]":
    """Gives the `report` of a training, or None where nothing is to be shown."""

    def quality(progress: "TrainProgress") -> str:
        return f"loss {progress.loss:.4f} {progress.psnr_db:.2f} dB {progress.bpp:.3f} bpp"

    return _bar("training", show, quality)


@contextlib.contextmanager
def _bar(
    verb: str, show: bool, quality: Callable[[P], str]
) -> Iterator[Callable[[P], None] | None]:
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

        def report(progress: P) -> None:
            minutes, seconds = divmod(round(progress.seconds_left), 60)
            bar.update(
                task,
                completed=progress.step,
                total=progress.n_steps,
                quality=quality(progress),
                left=f"{minutes}:{seconds:02d} left",
            )

        yield report
