"""`inr compare`: recipes and classical codecs on the same pixels, in one run.

pictures -> each codec at each of its qualities -> rows.jsonl -> rows.csv, rd.png, report.html

Every codec gets 8-bit RGB: grey pictures become three equal channels for all of them, recipes
included, and colour profiles are left out. Bytes are those of whole files, kept under encoded/
where they are .inr files.
"""

import hashlib
import os
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inr.errors import BackendError, CodecError, InrError, UsageError
from inr.files import write_whole
from inr.image.metrics import MS_SSIM_MIN_SIDE, bpp, ms_ssim, psnr_db
from inr.studies.baselines import PictureCodec
from inr.studies.compare.inputs import NamedPicture, check_folder, library_before
from inr.studies.compare.plot import plot
from inr.studies.compare.rows import Ledger, Row
from inr.studies.compare.summary import Compared, bd_rates, csv_text, mean_curves, means, page
from inr.studies.failures import Notice, failure_of, once
from inr.studies.report import Pair, Table

Tell = Callable[[str], None]
Notify = Callable[[Notice], None]

_MAX_PAIRS = 6  # pictures under a slider in the page; each takes a few megabytes
_PAIR_BPP = 0.3  # of each recipe the file next to it is shown


@dataclass(frozen=True)
class Comparison:
    """What was measured, and what could not be."""

    rows: tuple[Row, ...]
    bd_rates: tuple[Compared, ...]
    skipped: tuple[str, ...]  # codec, setting, picture and reason
    n_bugs: int  # of those skipped, because of a mistake of ours


def compare(
    pictures: Sequence[NamedPicture],
    classical: Sequence[PictureCodec],
    recipes: Sequence[PictureCodec],
    out_dir: Path,
    *,
    anchor: str,
    tell: Tell,
    notify: Notify,
    notes: Sequence[str] = (),
) -> Comparison:
    """Measures what rows.jsonl does not have yet, and writes the results beside it.

    Args:
      pictures: each under a name of its own.
      classical: quick codecs.
      recipes: by `codec_of`; their files are kept.
      out_dir: made where it is not there.
      anchor: name of the codec that BD-rates are relative to.
      tell: called with one line after each row measured.
      notify: called with warnings, and with the traceback of each of our mistakes, once.
      notes: further paragraphs for the page.
    Raises:
      ValueError: an unknown anchor, a folder with other results, or nothing that could be coded.
      BackendError: a recipe needs jax, which cannot compute here.
    """
    codecs = [*classical, *recipes]
    names = [codec.name for codec in codecs]
    if anchor not in names:
        raise UsageError(f"the anchor {anchor!r} is not compared; there are {', '.join(names)}")
    check_folder(out_dir, [picture.path for picture in pictures if picture.path is not None])
    ledger = Ledger(out_dir / "rows.jsonl")
    jobs = _jobs(pictures, codecs)
    _warn_of_other_code(jobs, ledger, notify)
    skipped, n_bugs = _measure(jobs, recipes, ledger, out_dir, tell, once(notify))
    rows = [row for job in jobs if (row := ledger.get(job.key)) is not None]
    if not rows:
        raise UsageError(f"nothing could be coded; {skipped[0]}")
    # The table comes first: whatever other libraries or files do, it is there.
    with write_whole(out_dir / "rows.csv", overwrite=True) as file:
        file.write(csv_text(rows).encode())
    _write_plot(out_dir / "rd.png", rows, notify)
    compared = bd_rates(rows, anchor)
    paragraphs = [
        *_conventions(pictures),
        *notes,
        *(f"Skipped: {text}" for text in skipped),
    ]
    shown = _pairs([job for job in jobs if job.codec in recipes], ledger, out_dir, notify)
    libraries = {job.codec.name: job.library for job in jobs}
    settings = tuple((codec.name, codec.settings, libraries[codec.name]) for codec in codecs)
    table = Table("Settings", ("codec", "settings; what steers the rate", "library"), settings)
    html = page(rows, compared, anchor, paragraphs, table, shown)
    with write_whole(out_dir / "report.html", overwrite=True) as file:
        file.write(html.encode())
    return Comparison(tuple(rows), tuple(compared), tuple(skipped), n_bugs)


def _measure(
    jobs: "Sequence[_Job]",
    recipes: Sequence[PictureCodec],
    ledger: Ledger,
    out_dir: Path,
    tell: Tell,
    notify: Notify,
) -> tuple[list[str], int]:
    """Writes the rows that the ledger lacks; returns what could not be coded, and how much of that
    for a mistake of ours."""
    missing = [job for job in jobs if ledger.get(job.key) is None]
    clock = _Clock([job.codec.name for job in missing])
    skipped, n_bugs = [], 0
    for job in missing:
        started_at = time.monotonic()
        try:
            row, data = _measured(job)
        except BackendError:  # no other recipe will do better
            raise
        except Exception as error:  # a bug too: its traceback is told
            failure = failure_of(error)
            skipped.append(f"{job.what}: {failure.reason}")
            tell(f"skipped {skipped[-1]}")
            if failure.traceback is not None:
                n_bugs += 1
                notify(Notice(failure.traceback, is_traceback=True))
            clock.took(job.codec.name, time.monotonic() - started_at)
            continue
        if job.codec in recipes:
            with write_whole(_kept(out_dir, job), overwrite=True) as file:
                file.write(data)
        ledger.add(job.key, row, asked=job.asked, library=job.library)
        left = clock.took(job.codec.name, time.monotonic() - started_at)
        tell(f"{left}: {job.what}: {row.bpp:.4f} bpp, {row.psnr_db:.2f} dB")
    return skipped, n_bugs


def _write_plot(path: Path, rows: Sequence[Row], notify: Notify) -> None:
    try:
        with write_whole(path, overwrite=True) as file:
            plot(mean_curves(means(rows)), file)
    except CodecError as error:
        stale = "; the one there is of an earlier run" if path.exists() else ""
        notify(Notice(f"{path} is not written: {error}{stale}"))


def _warn_of_other_code(jobs: "Sequence[_Job]", ledger: Ledger, notify: Notify) -> None:
    libraries = [
        library
        for job in jobs
        if ledger.get(job.key) is None and (library := job.made_by(ledger)) is not None
    ]
    if libraries:
        n = len(libraries)
        made, again = ("row was", "is") if n == 1 else ("rows were", "are")
        others = ", ".join(sorted(set(libraries)))
        notify(Notice(f"{n} {made} made by other code ({others}) and {again} made again"))


@dataclass(frozen=True, eq=False)
class _Job:
    """One row to be."""

    picture: NamedPicture
    codec: PictureCodec
    library: str
    quality: float
    key: str  # of pixels, codec, its library and quality: the same key, the same row
    asked: str  # the same without the library
    key_before: str  # what the key was when no library of ours told its code

    @property
    def what(self) -> str:
        return f"{self.picture.name}, {self.codec.name} at {self.quality:g}"

    def made_by(self, ledger: Ledger) -> str | None:
        """The other library that has made this row, if one has."""
        if ledger.get(self.key_before) is not None:
            return library_before()
        return ledger.library_of(self.asked)


def _jobs(pictures: Sequence[NamedPicture], codecs: Sequence[PictureCodec]) -> list[_Job]:
    libraries = [codec.library() for codec in codecs]  # of ffmpeg, a process each
    jobs = []
    for picture in pictures:
        pixels = hashlib.sha256(repr(picture.pixels.shape).encode() + picture.pixels.tobytes())
        for codec, library in zip(codecs, libraries, strict=True):
            for quality in codec.qualities:
                of_codec = (picture.name, codec.name, codec.settings)
                keys = [
                    hashlib.sha256(repr((pixels.hexdigest(), *facts)).encode()).hexdigest()[:32]
                    for facts in (
                        (*of_codec, library, quality),
                        (*of_codec, quality),
                        (*of_codec, library_before(), quality),
                    )
                ]
                jobs.append(_Job(picture, codec, library, quality, *keys))
    return jobs


def _measured(job: _Job) -> tuple[Row, bytes]:
    pixels = job.picture.pixels
    started_at = time.monotonic()
    data = job.codec.encode(pixels, job.quality)
    encoded_at = time.monotonic()
    decoded = job.codec.decode(data)
    decoded_at = time.monotonic()
    height, width = pixels.shape[:2]
    large_enough = min(height, width) >= MS_SSIM_MIN_SIDE
    row = Row(
        job.picture.name,
        job.codec.name,
        job.quality,
        len(data),
        bpp(len(data), height, width),
        psnr_db(pixels, decoded),
        ms_ssim(pixels, decoded) if large_enough else None,
        round(encoded_at - started_at, 4),
        round(decoded_at - encoded_at, 4),
    )
    return row, data


def _kept(out_dir: Path, job: _Job) -> Path:
    """Where a recipe's file stays; names of pictures may be too long for one more suffix."""
    return out_dir / "encoded" / f"{job.codec.name}-{job.quality:g}-{job.key}.inr"


def _pairs(jobs: Sequence[_Job], ledger: Ledger, out_dir: Path, notify: Notify) -> list[Pair]:
    """Of each picture and recipe the file next to _PAIR_BPP, as far as there are files."""
    nearest: dict[tuple[str, str], tuple[_Job, float]] = {}
    for job in jobs:
        row = ledger.get(job.key)
        if row is None or not _kept(out_dir, job).exists():
            continue
        place = (job.picture.name, job.codec.name)
        if place not in nearest or abs(row.bpp - _PAIR_BPP) < abs(nearest[place][1] - _PAIR_BPP):
            nearest[place] = job, row.bpp
    pairs: list[Pair] = []
    for job, file_bpp in nearest.values():
        if len(pairs) == _MAX_PAIRS:
            break
        try:
            decoded = job.codec.decode(_kept(out_dir, job).read_bytes())
        except (InrError, OSError, MemoryError) as error:  # damaged or deleted since
            reason = failure_of(error).reason
            notify(Notice(f"{job.what} is not shown in the report: {reason}"))
            continue
        pairs.append(Pair(f"{job.what}: {file_bpp:.4f} bpp", job.picture.pixels, decoded))
    return pairs


def _conventions(pictures: Sequence[NamedPicture]) -> list[str]:
    """What every reader of the figures has to know."""
    sizes = ", ".join(
        f"{picture.name} {picture.pixels.shape[1]}x{picture.pixels.shape[0]}"
        for picture in pictures
    )
    return [
        f"Pictures, as 8-bit RGB: {sizes}.",
        "bpp is 8 * bytes of the whole file / pixels. PSNR is taken over RGB of each picture and "
        "then averaged; psnr_of_mean_mse_db is the other convention. MS-SSIM is the mean over RGB, "
        "in curves and BD-rates as -10 log10(1 - x) dB.",
        "BD-rate: mean difference in bytes at equal quality, negative for fewer, by PCHIP of log "
        "rate over the range that both curves reach; refused below 3 dB or 4 points. Taken for "
        "each picture, then averaged. Settings that cost more than another of the same codec and "
        "are no better do not enter.",
        "Seconds are wall time in one process: the first fit of each size compiles, hevc and vvc "
        f"start ffmpeg each time. {os.cpu_count()} cores, {platform.platform()}.",
    ]


class _Clock:
    """How much is done and how long the rest takes, by each codec's mean so far."""

    def __init__(self, todo: Sequence[str]) -> None:
        self._n_rows = len(todo)
        self._left = Counter(todo)
        self._spent: dict[str, list[float]] = {}

    def took(self, codec: str, seconds: float) -> str:
        self._left[codec] -= 1
        self._spent.setdefault(codec, []).append(seconds)
        left = sum(
            n * statistics.fmean(self._spent[name])
            for name, n in self._left.items()
            if name in self._spent
        )
        is_open = any(n > 0 and name not in self._spent for name, n in self._left.items())
        minutes, rest = divmod(round(left), 60)
        done = self._n_rows - sum(self._left.values())
        return f"{done}/{self._n_rows}, {'at least ' if is_open else ''}{minutes}:{rest:02d} left"
