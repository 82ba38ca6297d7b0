"""Progress bars on stderr, and how long something still takes, in words."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from inr.cae.training.loop import TrainProgress
    from inr.options import Progress


class _Steps(Protocol):
    """What the progress of every fit and training has."""

    @property
    def step(self) -> int: ...
    @property
    def n_steps(self) -> int: ...
    @property
    def seconds_left(self) -> float: ...


P = TypeVar("P", bound=_Steps)
_Update = Callable[[float, str, str], None]  # the fraction that is done, figures, time left


def clock(seconds: float) -> str:
    """Write seconds as m:ss, from an hour on as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def progress_bar(*, show: bool) -> "AbstractContextManager[Callable[[Progress], None] | None]":
    """Give the `report` of a fit, or None where nothing is to be shown."""

    def figures(progress: "Progress") -> str:
        return f"{progress.psnr_db:.2f} dB"

    return _bar_of_steps("fitting", show, figures)


def training_bar(*, show: bool) -> "AbstractContextManager[Callable[[TrainProgress], None] | None]":
    """Give the `report` of a training, or None where nothing is to be shown."""

    def figures(progress: "TrainProgress") -> str:
        return f"loss {progress.loss:.4f} {progress.psnr_db:.2f} dB {progress.bpp:.3f} bpp"

    return _bar_of_steps("training", show, figures)


@contextlib.contextmanager
def sweep_bar(
    shares: Mapping[str, float], *, n_done_before: int, show: bool
) -> Iterator[Callable[[Sequence[str], float], None]]:
    """Give what is to be called with the keys of runs and the fraction of them that is done.

    Args:
      shares: how much of the whole work each run is, by its key; they add up to 1.
      n_done_before: runs that are finished already, which the bar counts too.
    """
    if not show or not shares:
        yield lambda keys, fraction: None
        return
    done = dict.fromkeys(shares, 0.0)
    n_runs = n_done_before + len(shares)
    started_at = time.monotonic()
    with _bar("sweep") as update:

        def report(keys: Sequence[str], fraction: float) -> None:
            for key in keys:
                if done[key] < 1:  # what a worker reported before the end may arrive after it
                    done[key] = fraction
            whole = sum(share * done[key] for key, share in shares.items())
            left = clock((time.monotonic() - started_at) * (1 - whole) / whole) if whole else ""
            n_done = n_done_before + sum(fraction == 1 for fraction in done.values())
            update(whole, f"run {n_done}/{n_runs}", f"{left} left" if left else "compiling")

        yield report


@contextlib.contextmanager
def _bar_of_steps(
    verb: str, show: bool, figures: Callable[[P], str]
) -> Iterator[Callable[[P], None] | None]:
    if not show:
        yield None
        return
    with _bar(verb) as update:

        def report(progress: P) -> None:
            update(
                progress.step / progress.n_steps,
                f"step {progress.step}/{progress.n_steps} {figures(progress)}",
                f"{clock(progress.seconds_left)} left",
            )

        yield report


@contextlib.contextmanager
def _bar(verb: str) -> Iterator[_Update]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn(verb),
        BarColumn(),
        TextColumn("{task.fields[figures]}"),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(verb, total=1.0, figures="", left="compiling")
        yield lambda fraction, figures, left: bar.update(
            task, completed=fraction, figures=figures, left=left
        )
