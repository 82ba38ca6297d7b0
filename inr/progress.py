"""The progress bar of a fit, on stderr: step, PSNR, time left."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inr.fit_types import Progress


@contextlib.contextmanager
def progress_bar(*, show: bool) -> Iterator["Callable[[Progress], None] | None"]:
    """Yields the `report` of a fit, or None where nothing is to be shown."""
    if not show:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("fitting"),
        BarColumn(),
        TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[psnr]}"),
        TextColumn("{task.fields[left]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("fit", total=1, psnr="", left="compiling")

        def report(progress: "Progress") -> None:
            minutes, seconds = divmod(round(progress.seconds_left), 60)
            bar.update(
                task,
                completed=progress.step,
                total=progress.n_steps,
                psnr=f"{progress.psnr_db:.2f} dB",
                left=f"{minutes}:{seconds:02d} left",
            )

        yield report
