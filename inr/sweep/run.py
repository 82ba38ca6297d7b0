"""Fits the runs of a sweep, those of one shape together, and records each when it is finished."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inr.errors import UsageError
from inr.files import write_whole
from inr.picture import Picture
from inr.sweep.cores import available_cores
from inr.sweep.ledger import Ledger, Result
from inr.sweep.origin import machine
from inr.sweep.plan import Run, hash_of_picture, hash_of_run

if TYPE_CHECKING:
    from inr.codec import Encoded
    from inr.fit_types import Progress

Group = tuple[Run, ...]
Report = Callable[[float], None]  # told the fraction of a group that is done

# What one run can fail of while the others go on: FitError and what jax raises are RuntimeErrors.
FAILURES = (ValueError, RuntimeError, MemoryError)


def ledger_path(folder: Path) -> Path:
    return folder / "ledger.sqlite"


def file_path(folder: Path, run: Run) -> Path:
    """Where the finished .inr file of a run stands."""
    return folder / "files" / f"{run.config_hash}.inr"


def grouped(runs: Sequence[Run], *, batch: int, jobs: int) -> list[Group]:
    """Runs of one shape, at most `batch` together, in no fewer groups than there are jobs."""
    by_shape: dict[int, list[Run]] = {}
    for run in runs:
        by_shape.setdefault(run.shape, []).append(run)
    groups: list[Group] = []
    for same in by_shape.values():
        size = min(batch, -(-len(same) // jobs))
        groups += [tuple(same[i : i + size]) for i in range(0, len(same), size)]
    return groups


def run_group(group: Group, folder: Path, commit: str, report: Report) -> None:
    """Fits a group, writes its files, then its rows.

    A run that fails gets a row with the error. A batch that fails is fitted run by run, which
    shows whose fault it was.
    """
    if len(group) > 1:
        try:
            finished = _encoded_together(group, report)
        except FAILURES:
            pass
        else:
            for run, (picture, encoded) in zip(group, finished, strict=True):
                _record(run, picture, encoded, len(group), folder, commit)
            return
    for i, run in enumerate(group):
        try:
            picture, encoded = _encoded_alone(run, _part_of(report, i, len(group)))
        except FAILURES as error:
            text = " ".join(str(error).split()) or type(error).__name__
            Ledger(ledger_path(folder)).record_failure(run, text)
        else:
            _record(run, picture, encoded, 1, folder, commit)


def _encoded_together(group: Group, report: Report) -> list[tuple[Picture, "Encoded"]]:
    from inr.batch import encode_batch

    pictures = {run.path: _picture_of(run) for run in {run.path: run for run in group}.values()}
    jobs = [(pictures[run.path], run.recipe, run.wish) for run in group]
    encoded = encode_batch(jobs, report=_told(report))
    return [(picture, result) for (picture, _, _), result in zip(jobs, encoded, strict=True)]


def _encoded_alone(run: Run, report: Report) -> tuple[Picture, "Encoded"]:
    from inr.codec import encode_picture

    picture = _picture_of(run)
    return picture, encode_picture(picture, run.recipe, run.wish, report=_told(report))


def _picture_of(run: Run) -> Picture:
    from inr.image import load

    picture = load(run.path, warn=lambda text: None)  # the plan has warned already
    if hash_of_run(hash_of_picture(picture), run.recipe, run.wish) != run.config_hash:
        raise UsageError(f"{run.path} changed while the sweep was running; start it again")
    return picture


def _part_of(report: Report, i: int, n: int) -> Report:
    """The report of the i-th run of n."""
    return lambda fraction: report((i + fraction) / n)


def _told(report: Report) -> Callable[["Progress"], None]:
    return lambda progress: report(progress.step / max(1, progress.n_steps))


def _record(
    run: Run,
    picture: Picture,
    encoded: "Encoded",
    n_together: int,
    folder: Path,
    commit: str,
) -> None:
    from inr.codec import View, decode_picture
    from inr.describe import achieved_sparsity
    from inr.metrics import MS_SSIM_MIN_SIDE, bpp, ms_ssim

    with write_whole(file_path(folder, run), overwrite=True) as file:
        file.write(encoded.data)
    similarity = None
    if min(picture.height, picture.width) >= MS_SSIM_MIN_SIDE:
        decoded = decode_picture(encoded.data, View(max_pixels=None))
        similarity = ms_ssim(picture.pixels, decoded.pixels)
    result = Result(
        n_bytes=len(encoded.data),
        bpp=bpp(len(encoded.data), picture.height, picture.width),
        psnr_db=encoded.psnr_db,
        ms_ssim=similarity,
        sparsity=achieved_sparsity(encoded.data),
        steps=encoded.n_steps,
        seconds=encoded.seconds,
        n_together=n_together,
        cores=available_cores(),
        work=run.work,
        commit=commit,
        machine=machine(),
    )
    Ledger(ledger_path(folder)).record(run, result)
