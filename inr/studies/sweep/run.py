"""Fits the runs of a sweep, those of one shape together, and records each when it is finished."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inr.errors import BackendError, UsageError
from inr.exact.threads import available_cores
from inr.files import write_whole
from inr.image.picture import Picture
from inr.studies.failures import Failure, Notice, failure_of
from inr.studies.sweep.ledger import Ledger, Result
from inr.studies.sweep.origin import machine, processor
from inr.studies.sweep.plan import Run, hash_of_picture, hash_of_request

if TYPE_CHECKING:
    from inr.options import EncodeResult, Progress

Group = tuple[Run, ...]
Report = Callable[[float], None]  # told the fraction of a group that is done
Tell = Callable[[Notice], None]

_MOST_NAMED = 8  # runs in a warning


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


def run_group(group: Group, folder: Path, commit: str, report: Report, tell: Tell) -> None:
    """Fits a group, writes its files, then its rows.

    A run that fails gets a row with the error, and the others go on. A batch that fails is fitted
    run by run, which shows whose fault it was.

    Raises:
      OSError, UsageError: files or rows cannot be written.
      BackendError: jax cannot compute here.
    """
    if len(group) > 1:
        try:
            finished = _encoded_together(group, report)
        except BackendError:  # no other run will do better
            raise
        except Exception as error:  # a bug too: its traceback is told
            _tell_of_batch(group, failure_of(error), tell)
        else:
            for run, (picture, encoded) in zip(group, finished, strict=True):
                _record(run, picture, encoded, len(group), folder, commit, tell)
            return
    for i, run in enumerate(group):
        try:
            picture, encoded = _encoded_alone(run, _part_of(report, i, len(group)))
        except BackendError:
            raise
        except Exception as error:  # likewise
            _record_failure(run, failure_of(error), folder, tell)
        else:
            _record(run, picture, encoded, 1, folder, commit, tell)


def _tell_of_batch(group: Group, failure: Failure, tell: Tell) -> None:
    labels = [run.label for run in group[:_MOST_NAMED]]
    if len(group) > _MOST_NAMED:
        labels.append(f"{len(group) - _MOST_NAMED} more")
    tell(
        Notice(
            f"a batch of {len(group)} runs failed and is fitted again run by run "
            f"({', '.join(labels)}): {failure.reason}"
        )
    )
    if failure.traceback is not None:
        tell(Notice(failure.traceback, is_traceback=True))


def _encoded_together(group: Group, report: Report) -> list[tuple[Picture, "EncodeResult"]]:
    from inr.codec import encode_batch
    from inr.options import Job

    pictures = {run.path: picture_of(run) for run in {run.path: run for run in group}.values()}
    jobs = [Job(pictures[run.path], run.recipe, run.options) for run in group]
    encoded = encode_batch(jobs, report=_told(report))
    return [(job.picture, result) for job, result in zip(jobs, encoded, strict=True)]


def _encoded_alone(run: Run, report: Report) -> tuple[Picture, "EncodeResult"]:
    from inr.codec import encode_picture

    picture = picture_of(run)
    return picture, encode_picture(picture, run.recipe, run.options, report=_told(report))


def picture_of(run: Run) -> Picture:
    """The picture of a run, read again.

    Raises:
      UsageError: it cannot be read any more, or it is another one (or the weights that its recipe
        names are).
    """
    from inr.image.read import load

    picture = load(run.path, warn=lambda text: None)  # the plan has warned already
    if hash_of_request(hash_of_picture(picture), run.recipe, run.options) != run.request_hash:
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
    encoded: "EncodeResult",
    n_together: int,
    folder: Path,
    commit: str,
    tell: Tell,
) -> None:
    try:
        result = _measured(run, picture, encoded, n_together, commit)
    except Exception as error:  # as of the encoding
        _record_failure(run, failure_of(error), folder, tell)
        return
    with write_whole(file_path(folder, run), overwrite=True) as file:
        file.write(encoded.data)
    Ledger(ledger_path(folder)).record(run, result)


def _record_failure(run: Run, failure: Failure, folder: Path, tell: Tell) -> None:
    text = failure.reason
    if failure.traceback is not None:
        tell(Notice(failure.traceback, is_traceback=True))
        text = f"{text}\n{failure.traceback}"
    Ledger(ledger_path(folder)).record_failure(run, text)


def _measured(
    run: Run, picture: Picture, encoded: "EncodeResult", n_together: int, commit: str
) -> Result:
    from inr.codec import decode_picture, describe
    from inr.image.metrics import MS_SSIM_MIN_SIDE, bpp, ms_ssim
    from inr.kinds import trusting_options

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
        commit=commit,
        machine=machine() if encoded.n_steps else processor(),  # without a fit no jax is loaded
    )
