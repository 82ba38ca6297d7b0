"""What a comparison says of its rows: BD-rates and means.

BD-rates are taken for each picture and then averaged. A point of a codec on a picture does not
count if another point of the same codec is at least as good for as many bits or fewer: nobody would
choose it. Lossless points lie on no curve and are left out too.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inr.errors import UsageError
from inr.studies.bd_rate import bd_rate, ms_ssim_db
from inr.studies.plot import Curve, Point


@dataclass(frozen=True)
class Row:
    """One picture coded once."""

    picture: str  # name of the file
    codec: str
    setting: float  # the codec's quality; of a recipe the target in bits per pixel, or lambda
    n_bytes: int  # of the whole file
    bpp: float
    psnr_db: float  # inf where nothing is lost
    ms_ssim: float | None  # None: a side below 161 pixels
    encode_seconds: float
    decode_seconds: float


Quality = Callable[[Row], float | None]  # dB; None where the row has none


def _psnr(row: Row) -> float | None:
    return row.psnr_db if math.isfinite(row.psnr_db) else None


def _ms_ssim(row: Row) -> float | None:
    return None if row.ms_ssim is None or row.ms_ssim >= 1 else ms_ssim_db(row.ms_ssim)


MEASURES: dict[str, Quality] = {"psnr_db": _psnr, "ms_ssim": _ms_ssim}


@dataclass(frozen=True)
class Compared:
    """The BD-rate of a codec against the anchor by one measure."""

    codec: str
    measure: str  # psnr_db or ms_ssim (in dB, -10 log10(1 - x))
    picture: str | None  # None: mean over the pictures that have one
    percent: float | None  # negative: fewer bytes than the anchor; None where it was refused
    low: float | None  # dB, the common range; in the mean, the mean of its ends
    high: float | None
    n_pictures: int  # that percent stands for
    reason: str | None  # why it was refused; in the mean, for the first picture that was


def bd_rates(rows: Sequence[Row], anchor: str) -> list[Compared]:
    """Compare every codec with the anchor: by each measure the mean first, then each picture.

    Pictures too small for MS-SSIM have no entry there; if all are, there is none by MS-SSIM.
    """
    compared = []
    for codec in dict.fromkeys(row.codec for row in rows if row.codec != anchor):
        for measure, of in MEASURES.items():
            pictures = dict.fromkeys(row.picture for row in rows if of(row) is not None)
            each = [_compare(rows, anchor, codec, measure, picture) for picture in pictures]
            compared += [_mean(each), *each] if each else []
    return compared


def _compare(rows: Sequence[Row], anchor: str, codec: str, measure: str, picture: str) -> Compared:
    curves = []
    for name in (anchor, codec):
        members = [row for row in rows if row.picture == picture and row.codec == name]
        curves.append(_best_points(members, MEASURES[measure]))
    (anchor_bpp, anchor_quality), (bpp, quality) = curves
    try:
        result = bd_rate(anchor_bpp, anchor_quality, bpp, quality)
    except UsageError as error:
        return Compared(codec, measure, picture, None, None, None, 0, str(error))
    return Compared(codec, measure, picture, result.percent, result.low, result.high, 1, None)


def _best_points(rows: Sequence[Row], of: Quality) -> tuple[list[float], list[float]]:
    """Return rates and qualities, both rising, without the rows that nobody would choose."""
    points = [(row.bpp, quality) for row in rows if (quality := of(row)) is not None]
    best: list[tuple[float, float]] = []
    for bpp, quality in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or quality > best[-1][1]:
            best.append((bpp, quality))
    return [bpp for bpp, _ in best], [quality for _, quality in best]


def _mean(each: Sequence[Compared]) -> Compared:
    taken = [one for one in each if one.percent is not None]
    reason = next((f"{one.picture}: {one.reason}" for one in each if one.reason is not None), None)

    def mean(values: list[float | None]) -> float | None:
        numbers = [value for value in values if value is not None]
        return statistics.fmean(numbers) if numbers else None

    return Compared(
        each[0].codec,
        each[0].measure,
        None,
        mean([one.percent for one in taken]),
        mean([one.low for one in taken]),
        mean([one.high for one in taken]),
        len(taken),
        reason,
    )


def mean_lines(compared: Sequence[Compared], anchor: str, n_pictures: int) -> list[str]:
    """Write the means as lines of text, with the range that each stands for."""
    titles = {"psnr_db": "PSNR", "ms_ssim": "MS-SSIM"}
    lines = []
    for one in compared:
        if one.picture is not None:
            continue
        head = f"{one.codec} against {anchor}, {titles[one.measure]}:"
        if one.percent is None:
            lines.append(f"{head} none ({one.reason})")
            continue
        line = f"{head} {one.percent:+.1f} % over {one.low:.1f}..{one.high:.1f} dB"
        if one.n_pictures < n_pictures:
            line += f", {one.n_pictures} of {n_pictures} pictures ({one.reason})"
        lines.append(line)
    return lines


@dataclass(frozen=True)
class MeanPoint:
    """One codec at one setting, averaged over all pictures of the comparison."""

    codec: str
    setting: float
    bpp: float
    psnr_db: float  # mean of the pictures' PSNRs
    psnr_of_mean_mse_db: float  # the other convention, lower: hard pictures weigh more
    ms_ssim: float | None
    encode_seconds: float
    decode_seconds: float


def means(rows: Sequence[Row]) -> list[MeanPoint]:
    """Average over pictures; a setting that some picture lacks is left out."""
    n_pictures = len({row.picture for row in rows})
    groups: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.codec, row.setting), []).append(row)
    points = []
    for (codec, setting), members in groups.items():
        if len(members) < n_pictures:
            continue
        mean_mse = statistics.fmean(10 ** (-row.psnr_db / 10) for row in members)  # peak 1
        similarities = [row.ms_ssim for row in members if row.ms_ssim is not None]
        points.append(
            MeanPoint(
                codec,
                setting,
                statistics.fmean(row.bpp for row in members),
                statistics.fmean(row.psnr_db for row in members),
                -10 * math.log10(mean_mse) if mean_mse > 0 else math.inf,
                statistics.fmean(similarities) if len(similarities) == len(members) else None,
                statistics.fmean(row.encode_seconds for row in members),
                statistics.fmean(row.decode_seconds for row in members),
            )
        )
    return points


def mean_curves(points: Sequence[MeanPoint]) -> list[Curve]:
    """Make one curve a codec."""
    curves: dict[str, list[Point]] = {}
    for point in points:
        label = f"setting {point.setting:g}"
        curves.setdefault(point.codec, []).append(
            Point(point.bpp, point.psnr_db, point.ms_ssim, label)
        )
    return [Curve(name, tuple(members)) for name, members in curves.items()]
