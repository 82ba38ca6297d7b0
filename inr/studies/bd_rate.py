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
    """Compare two rate-distortion curves.

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
    from scipy.interpolate import PchipInterpolator

    areas = [
        PchipInterpolator(*curve).integrate(low, high) for curve in ((anchor_x, anchor_y), (x, y))
    ]
    difference = float(areas[1] - areas[0])
    percent = 100 * math.expm1(difference / (high - low))
    return BdRate(percent, float(low), float(high))


def ms_ssim_db(similarity: float) -> float:
    """Return -10 log10(1 - x) dB, in which equal steps mean equal shares of what is lost."""
    if not 0 <= similarity <= 1:
        raise UsageError(f"ms_ssim={similarity} is outside 0..1")
    return -10 * math.log10(1 - similarity) if similarity < 1 else math.inf


def _curve(name: str, bpp: Sequence[float], quality: Sequence[float]) -> tuple[Values, Values]:
    """Return quality and log rate, both rising."""
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
