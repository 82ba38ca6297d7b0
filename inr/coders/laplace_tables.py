"""Integer frequency tables of latents: a Laplace density around a centre, cut into bins.

A latent y is coded as the residual r = y - centre under a density of scale b around frac / 32:

    frac     -16..15, where the mean is centre + frac / 32
    scale    0..160, b = exp((scale - 80) / 16)

A residual falls into a bin h = 0..half + 1, and has a sign: bin 0 is r = 0 alone; h in 1..half the
|r| in (h-1) * 2**n_raw + 1 .. h * 2**n_raw, the place inside follows as n_raw raw bits; half + 1
is the escape for all larger ones. The symbol is 0 for h = 0, 2h - 1 for -h and 2h for +h: the
likely symbols come first, where a search begins, and the escapes last, where one comparison finds
them. Two alphabets:

    narrow   scale <= 80 (b <= 1), half = 7, n_raw = 0
    wide     the others, half = 31, n_raw = max(0, ceil(log2 b) - 2)

Each frequency but that of symbol 0 is the mass of its bin times 2**24, rounded down, at least
LEAST_FREQUENCY; symbol 0 has the rest. Exponentials come from exact/integer_exp2.py.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inr.coders.tensor_model import PRECISION_BITS, TOTAL
from inr.exact.integer_exp2 import EXPONENT_BITS, POWER_BITS, exp2_negative

LATENT_LIMIT = 4095  # largest |latent|, so that sums of the fixed-point decoders stay exact
MEAN_BITS = 5  # fractional bits of a mean
N_FRACTIONS = 1 << MEAN_BITS
LEAST_P = 2.0**-16  # probability that no symbol falls below, as fits count it
SCALE_STEPS = 16  # scales a factor of e
EVEN_SCALE = 80  # the scale of b = 1
N_SCALES = 161
N_NARROW = EVEN_SCALE + 1  # scales of the narrow alphabet
NARROW_HALF, WIDE_HALF = 7, 31
LEAST_FREQUENCY = 1 << 8  # the fit counts on 2**-16

_LOG2_E_BITS = 30
_LOG2_E = 1549082005  # log2(e) * 2**30


@dataclass(frozen=True)
class LaplaceTables:
    """All tables, as the engines want them: each frequency less one, in float64."""

    narrow: NDArray[np.float64]  # [81 * 32, 17], row scale * 32 + frac + 16
    wide: NDArray[np.float64]  # [80 * 32, 65], row (scale - 81) * 32 + frac + 16
    n_raw_bits: NDArray[np.int64]  # [161], of each scale


def laplace_tables() -> LaplaceTables:
    """Build all tables, in a few milliseconds."""
    scales = np.arange(N_SCALES, dtype=np.int64)
    return LaplaceTables(
        _rows(scales[:N_NARROW], NARROW_HALF),
        _rows(scales[N_NARROW:], WIDE_HALF),
        _n_raw_bits(_log2_inverse(scales)),
    )


def frequencies(scale: NDArray[np.int64], half: int) -> NDArray[np.int64]:
    """Return int64[n, 32, 2 * half + 3], each >= LEAST_FREQUENCY, sum 2**24.

    Args:
      scale: int64[n], all of the alphabet with bins up to half.
    """
    log2_inverse = _log2_inverse(scale)
    n_raw = _n_raw_bits(log2_inverse)
    # Distances from the mean to the far edges of the bins 0..half, in 32nds of a latent, when
    # the mean lies 16 - i of them on the side of the edge.
    edges = np.arange(half + 1) << n_raw[:, None]  # [n, half + 1]
    places = np.arange(N_FRACTIONS + 1)[:, None]  # i
    distance = edges[:, None] * N_FRACTIONS + places  # [n, 33, half + 1]
    # log2(e) / b is root * 2**(whole + 1), with root in log2(e)/2..log2(e).
    root = exp2_negative((1 << EXPONENT_BITS) - (log2_inverse & ((1 << EXPONENT_BITS) - 1)))
    root = _LOG2_E * root >> _LOG2_E_BITS
    shift = POWER_BITS - EXPONENT_BITS + MEAN_BITS - 1 - (log2_inverse >> EXPONENT_BITS)
    tail = exp2_negative(distance * root[:, None, None] >> shift[:, None, None])
    mass = tail.copy()  # of the bins 1..half + 1
    mass[..., :-1] -= tail[..., 1:]
    share = mass >> (POWER_BITS + 1 - PRECISION_BITS)  # 1: half of the density lies on each side
    share = np.maximum(share, LEAST_FREQUENCY)
    table = np.empty((scale.size, N_FRACTIONS, 2 * half + 3), np.int64)
    table[..., 1::2] = share[:, :-1]  # -h: the farther the mean to the right, the farther its edge
    table[..., 2::2] = share[:, :0:-1]
    table[..., 0] = TOTAL - table[..., 1:].sum(axis=-1)
    return table


def _rows(scale: NDArray[np.int64], half: int) -> NDArray[np.float64]:
    table = frequencies(scale, half)
    return (table - 1).astype(np.float64).reshape(-1, table.shape[-1])


def _log2_inverse(scale: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return log2(1 / b) with EXPONENT_BITS fractional bits."""
    inverse: NDArray[np.int64] = (EVEN_SCALE - scale) * _LOG2_E
    return inverse >> (_LOG2_E_BITS - EXPONENT_BITS + 4)  # 4: sixteenths, SCALE_STEPS


def _n_raw_bits(log2_inverse: NDArray[np.int64]) -> NDArray[np.int64]:
    n_raw: NDArray[np.int64] = np.maximum(0, -(log2_inverse >> EXPONENT_BITS) - 2)
    return n_raw  # ceil(x) is -floor(-x)
