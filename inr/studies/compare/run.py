"""`inr compare`: recipes and classical codecs on the same pixels, in one run.

pictures -> each codec at each of its qualities -> a row each -> rows.csv, rd.png, report.html

Every codec gets 8-bit RGB: grey pictures become three equal channels for all of them, recipes
included, and colour profiles are left out. Bytes are those of whole files, kept under encoded/
where they are .inr files. ledger.sqlite has every row ever measured in the folder.
"""

import hashlib
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inr.errors import BackendError, InrError, UsageError
from inr.files import write_whole
from inr.image.metrics import MS_SSIM_MIN_SIDE, bpp, ms_ssim, psnr_db
from inr.progress import clock
from inr.studies.baselines import PictureCodec
from inr.studies.compare.inputs import NamedPicture, make_folder
from inr.studies.compare.pages import conventions, write_plot, write_report, write_table
from inr.studies.compare.summary import Compared, Row, bd_rates
from inr.studies.failures import Notice, Notify, failure_of, once
from inr.studies.ledger import Entry, Ledger
from inr.studies.report import Pair, Table

Tell = Callable[[str], None]

_MAX_PAIRS = 6  # pictures under a slider in the page; each takes a few megabytes
_PAIR_BPP = 0.3  # the file of each recipe that is nearest to it is shown


@dataclass(frozen=True)
class Measured:
    """What is known of a picture that was coded once."""

    n_bytes: int
    bpp: float
    psnr_db: float
    ms_ssim: float | None
    encode_seconds: float
    decode_seconds: float
    library: str  # that has coded it


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
    folder: Path,
    *,
    anchor: str,
    tell: Tell,
    notify: Notify,
    notes: Sequence[str] = (),
) -> Comparison:
    """Measure what the ledger does not have yet, and write the results beside it.

    Args:
      pictures: each under a name of its own.
      classical: quick codecs.
      recipes: by `codec_of`; their files are kept.
      folder: made where it is not there.
      anchor: name of the codec that BD-rates are relative to.
      tell: called with one line after each row measured.
      notify: called with warnings, and with the traceback of each of our mistakes, once.
      notes: further paragraphs for the page.
    Raises:
      UsageError: an unknown anchor, a folder with other results, or nothing that could be coded.
      BackendError: a recipe needs jax, which cannot compute here.
    """
    codecs = [*classical, *recipes]
    names = [codec.name for codec in codecs]
    if anchor not in names:
        raise UsageError(f"the anchor {anchor!r} is not compared; there are {', '.join(names)}")
    make_folder(folder, [picture.path for picture in pictures if picture.path is not None])
    ledger = Ledger(folder, "rows", Measured)
    ledger.create()
    codings = list_codings(pictures, classical, recipes)
    skipped, n_bugs = _measure_missing(codings, ledger, folder, tell, once(notify))
    measured = ledger.rows()
    done = [coding for coding in codings if coding.entry.key in measured]
    rows = [_row_of(coding, measured[coding.entry.key]) for coding in done]
    if not rows:
        raise UsageError(f"nothing could be coded; {skipped[0]}")
    # The table comes first: whatever other libraries or files do, it is there.
    write_table(folder, rows)
    svg = write_plot(folder, rows, notify)
    compared = bd_rates(rows, anchor)
    write_report(
        folder,
        rows,
        compared,
        anchor=anchor,
        notes=[*conventions(pictures), *notes, *(f"Skipped: {text}" for text in skipped)],
        svg=svg,
        settings=_settings_of(codings),
        pairs=_pairs(done, measured, folder, notify),
    )
    return Comparison(tuple(rows), tuple(compared), tuple(skipped), n_bugs)


# ---------------------------------------------------------------- what there is to measure


@dataclass(frozen=True, eq=False)
class Coding:
    """One picture that is to be coded once."""

    picture: NamedPicture
    codec: PictureCodec
    library: str
    quality: float
    is_kept: bool  # whether its file is
    entry: Entry

    @property
    def label(self) -> str:
        return f"{self.picture.name}, {self.codec.name} at {self.quality:g}"

    def file(self, folder: Path) -> Path:
        """Return where the file is kept; names of pictures may be too long for one more suffix."""
        name = f"{self.codec.name}-{self.quality:g}-{self.entry.key}.inr"
        return folder / "encoded" / name


def list_codings(
    pictures: Sequence[NamedPicture],
    classical: Sequence[PictureCodec],
    recipes: Sequence[PictureCodec],
) -> list[Coding]:
    """List every picture with every codec at each of its qualities."""
    codecs = [(codec, False) for codec in classical] + [(codec, True) for codec in recipes]
    libraries = [codec.library() for codec, _ in codecs]  # of ffmpeg, a process each
    codings = []
    for picture in pictures:
        pixels = hashlib.sha256(repr(picture.pixels.shape).encode() + picture.pixels.tobytes())
        for (codec, is_recipe), library in zip(codecs, libraries, strict=True):
            for quality in codec.qualities:
                facts = (pixels.hexdigest(), picture.name, codec.name, codec.settings, quality)
                entry = Entry(
                    key=_hash(*facts, library),
                    request=_hash(*facts),
                    picture=picture.name,
                    method=codec.name,
                    setting=f"{quality:g}",
                    config=codec.settings,
                )
                codings.append(Coding(picture, codec, library, quality, is_recipe, entry))
    return codings


def _hash(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def _settings_of(codings: Sequence[Coding]) -> Table:
    rows = dict.fromkeys((c.codec.name, c.codec.settings, c.library) for c in codings)
    return Table("Settings", ("codec", "settings; what steers the rate", "library"), tuple(rows))


# ---------------------------------------------------------------- measuring


def _measure_missing(
    codings: Sequence[Coding],
    ledger: Ledger[Measured],
    folder: Path,
    tell: Tell,
    notify: Notify,
) -> tuple[list[str], int]:
    """Write the rows that the ledger lacks.

    Returns:
      What could not be coded, and how many of these for a mistake of ours.
    """
    known = ledger.rows()
    missing = [coding for coding in codings if coding.entry.key not in known]
    _warn_of_other_code(missing, ledger.last_by_request(), notify)
    left = TimeLeft([coding.codec.name for coding in missing])
    skipped, n_bugs = [], 0
    for coding in missing:
        started_at = time.monotonic()
        try:
            measured, data = _measure(coding)
        except BackendError:  # no other recipe will do better
            raise
        except Exception as error:  # a bug too: its traceback is printed
            failure = failure_of(error)
            skipped.append(f"{coding.label}: {failure.reason}")
            tell(f"skipped {skipped[-1]}")
            if failure.traceback is not None:
                n_bugs += 1
                notify(Notice(failure.traceback, is_traceback=True))
            left.count(coding.codec.name, time.monotonic() - started_at)
            continue
        if coding.is_kept:
            with write_whole(coding.file(folder), overwrite=True) as file:
                file.write(data)
        ledger.record(coding.entry, measured)
        so_far = left.count(coding.codec.name, time.monotonic() - started_at)
        tell(f"{so_far}: {coding.label}: {measured.bpp:.4f} bpp, {measured.psnr_db:.2f} dB")
    return skipped, n_bugs


def _warn_of_other_code(
    missing: Sequence[Coding], earlier: Mapping[str, Measured], notify: Notify
) -> None:
    requests = [coding.entry.request for coding in missing]
    libraries = [earlier[request].library for request in requests if request in earlier]
    if libraries:
        made, again = ("row was", "is") if len(libraries) == 1 else ("rows were", "are")
        by = ", ".join(sorted(set(libraries)))
        notify(Notice(f"{len(libraries)} {made} made by other code ({by}) and {again} made again"))


def _measure(coding: Coding) -> tuple[Measured, bytes]:
    pixels = coding.picture.pixels
    started_at = time.monotonic()
    data = coding.codec.encode(pixels, coding.quality)
    encoded_at = time.monotonic()
    decoded = coding.codec.decode(data)
    decoded_at = time.monotonic()
    height, width = pixels.shape[:2]
    is_large_enough = min(height, width) >= MS_SSIM_MIN_SIDE
    measured = Measured(
        n_bytes=len(data),
        bpp=bpp(len(data), height, width),
        psnr_db=psnr_db(pixels, decoded),
        ms_ssim=ms_ssim(pixels, decoded) if is_large_enough else None,
        encode_seconds=round(encoded_at - started_at, 4),
        decode_seconds=round(decoded_at - encoded_at, 4),
        library=coding.library,
    )
    return measured, data


def _row_of(coding: Coding, measured: Measured) -> Row:
    return Row(
        picture=coding.picture.name,
        codec=coding.codec.name,
        setting=coding.quality,
        n_bytes=measured.n_bytes,
        bpp=measured.bpp,
        psnr_db=measured.psnr_db,
        ms_ssim=measured.ms_ssim,
        encode_seconds=measured.encode_seconds,
        decode_seconds=measured.decode_seconds,
    )


def _pairs(
    codings: Sequence[Coding], measured: Mapping[str, Measured], folder: Path, notify: Notify
) -> list[Pair]:
    """Show for each picture and recipe the file next to _PAIR_BPP, as far as there are files."""

    def bpp_of(coding: Coding) -> float:
        return measured[coding.entry.key].bpp

    nearest: dict[tuple[str, str], Coding] = {}
    for coding in sorted(codings, key=lambda coding: abs(bpp_of(coding) - _PAIR_BPP)):
        if coding.is_kept and coding.file(folder).exists():
            nearest.setdefault((coding.picture.name, coding.codec.name), coding)
    pairs: list[Pair] = []
    for coding in codings:
        if len(pairs) == _MAX_PAIRS:
            break
        if nearest.get((coding.picture.name, coding.codec.name)) is not coding:
            continue
        try:
            decoded = coding.codec.decode(coding.file(folder).read_bytes())
        except (InrError, OSError, MemoryError) as error:  # damaged or deleted since
            reason = failure_of(error).reason
            notify(Notice(f"{coding.label} is not shown in the report: {reason}"))
            continue
        title = f"{coding.label}: {bpp_of(coding):.4f} bpp"
        pairs.append(Pair(title, coding.picture.pixels, decoded))
    return pairs


class TimeLeft:
    """How much is done and how long the rest takes, by each codec's mean so far."""

    def __init__(self, todo: Sequence[str]) -> None:
        self._n_rows = len(todo)
        self._left = Counter(todo)
        self._spent: dict[str, list[float]] = {}

    def count(self, codec: str, seconds: float) -> str:
        """Take a row off, and say what is left."""
        self._left[codec] -= 1
        self._spent.setdefault(codec, []).append(seconds)
        left = sum(
            n * statistics.fmean(self._spent[name])
            for name, n in self._left.items()
            if name in self._spent
        )
        is_open = any(n > 0 and name not in self._spent for name, n in self._left.items())
        done = self._n_rows - sum(self._left.values())
        return f"{done}/{self._n_rows}, {'at least ' if is_open else ''}{clock(left)} left"
