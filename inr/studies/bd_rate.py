"""BD-rate: by how many percent more or fewer bytes one codec reaches the quality of another.

Bjøntegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001. Differs
from the paper: instead of one cubic polynomial through all points, log rate over quality is a
monotone piecewise cubic (PCHIP: Fritsch and Butland, "A Method for Constructing Local Monotone
Piecewise Cubic Interpolants", 1984), which does not swing between points; JVET's sheets do so too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inr.errors import UsageError

MIN_POINTS = 4  # fewer leave the shape of the curve open
MIN_OVERLAP_DB = 3.0  # over less, BD-rate says little: COIN gets +6 % to JPEG on Kodak, and loses

Values = NDArray[np.float64]


@dataclass(frozen=True)
class BdRate:
    """Mean difference in rate at equal quality, over the qualities that both curves reach."""

    percent: float  # negative: fewer bytes than the anchor
    low: float  # dB, where the common range begins
    high: float  # dB, where it ends


def bd_rate(
    anchor_bpp: Sequence[float],
    anchor_quality: Sequence[float],
    bpp: Sequence[float],
    quality: Sequence[float],
) -> BdRate:
    """Compares two rate-distortion curves.

    Args:
      anchor_bpp, anchor_quality: the curve that is 0 %, in any order: bits per pixel above 0, and
        quality in dB: PSNR, or MS-SSIM by `ms_ssim_db`.
      bpp, quality: the curve that is judged.
    Raises:
      ValueError: fewer than 4 points in a curve, a common range below 3 dB, or a curve whose
        quality does not rise with its rate.
    """
    anchor_x, anchor_y = _curve("anchor", anchor_bpp, anchor_quality)
    x, y = _curve("candidate", bpp, quality)
    low, high = max(anchor_x[0], x[0]), min(anchor_x[-1], x[-1])
    if high - low < MIN_OVERLAP_DB:
        raise UsageError(
            f"the anchor spans {anchor_x[0]:.2f}..{anchor_x[-1]:.2f} dB, the candidate "
            f"{x[0]:.2f}..{x[-1]:.2f} dB: {max(high - low, 0):.2f} dB in common, BD-rate needs "
            f"{MIN_OVERLAP_DB:g}; add settings until the curves meet"
        )
    difference = _integral(x, y, low, high) - _integral(anchor_x, anchor_y, low, high)
    percent = 100 * math.expm1(difference / (high - low))
    return BdRate(percent, float(low), float(high))


def ms_ssim_db(similarity: float) -> float:
    """MS-SSIM as -10 log10(1 - x) dB, in which equal steps mean equal shares of what is lost."""
    if not 0 <= similarity <= 1:
        raise UsageError(f"ms_ssim={similarity} is outside 0..1")
    return -10 * math.log10(1 - similarity) if similarity < 1 else math.inf


def _curve(name: str, bpp: Sequence[float], quality: Sequence[float]) -> tuple[Values, Values]:
    """Quality and log rate, both rising."""
    if len(bpp) != len(quality):
        raise UsageError(f"{name}: {len(bpp)} rates and {len(quality)} qualities; give one for one")
    if len(bpp) < MIN_POINTS:
        raise UsageError(
            f"{name}: {len(bpp)} points, BD-rate needs {MIN_POINTS}; add settings of that codec"
        )
    rates, x = np.asarray(bpp, np.float64), np.asarray(quality, np.float64)
    if not (np.isfinite(rates).all() and np.isfinite(x).all() and rates.min() > 0):
        raise UsageError(
            f"{name}: rates must be above 0 and qualities finite, got rates {rates.min():g}.."
            f"{rates.max():g} and {x.min():g}..{x.max():g} dB; leave out lossless points"
        )
    order = np.lexsort((x, rates))
    rates, x = rates[order], x[order]
    falls = np.flatnonzero((np.diff(x) <= 0) | (np.diff(rates) <= 0))
    if len(falls) > 0:
        i = int(falls[0])
        raise UsageError(
            f"{name}: {x[i]:.3f} dB at {rates[i]:.4f} bpp, then {x[i + 1]:.3f} dB at "
            f"{rates[i + 1]:.4f} bpp; BD-rate needs quality that rises with the rate, leave out "
            "the worse setting"
        )
    return x, np.log(rates)


def _slopes(x: Values, y: Values) -> Values:
    """PCHIP's slopes at the points: f64[n] for n >= 3 points with x rising."""
    h = np.diff(x)  # [n - 1]
    m = np.diff(y) / h  # [n - 1]
    slopes = np.empty_like(x)
    left, right = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    # A harmonic mean: near a flat piece the slope is flat too, so that the cubic cannot overshoot.
    slopes[1:-1] = (left + right) / (left / m[:-1] + right / m[1:])
    slopes[0] = _end_slope(h[0], h[1], m[0], m[1])
    slopes[-1] = _end_slope(h[-1], h[-2], m[-1], m[-2])
    return slopes


def _end_slope(h0: float, h1: float, m0: float, m1: float) -> float:
    """Of the parabola through the last three points, but never downhill; m0, m1 > 0."""
    return max(0.0, ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1))


def _integral(x: Values, y: Values, low: float, high: float) -> float:
    """Of the piecewise cubic through rising points, from low to high, within x."""
    h = np.diff(x)
    d = _slopes(x, y)

    def up_to(t: Values) -> Values:
        """Of each piece from its start to the fraction t: Hermite's basis, integrated."""
        t2, t3, t4 = t**2, t**3, t**4
        values = y[:-1] * (t - t3 + t4 / 2) + y[1:] * (t3 - t4 / 2)
        bends = d[:-1] * (t2 / 2 - 2 * t3 / 3 + t4 / 4) + d[1:] * (t4 / 4 - t3 / 3)
        return h * (values + h * bends)

    start = np.clip((low - x[:-1]) / h, 0, 1)
    end = np.clip((high - x[:-1]) / h, 0, 1)
    return float((up_to(end) - up_to(start)).sum())
