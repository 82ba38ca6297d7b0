"""2**-x from integers alone: where every frequency table of the coders comes from.

A float's exp2 differs in its last bit from machine to machine, and one bit of a frequency decides
how all that follows is read. Here the powers are fixed-point numbers, made of square roots of one
half (math.isqrt).
"""

import math

import numpy as np
from numpy.typing import NDArray

EXPONENT_BITS = 16  # fractional bits of an exponent
POWER_BITS = 30  # fractional bits of a power of two


def exp2_negative(exponent: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 2**-exponent, rounded down, at most three units of 2**-POWER_BITS too small.

    Args:
      exponent: int64[...], >= 0, with EXPONENT_BITS fractional bits.
    Returns:
      int64 of the same shape, 0..2**POWER_BITS, with POWER_BITS fractional bits.
    """
    fraction = _COARSE_ROOTS[exponent >> 8 & 255] * _FINE_ROOTS[exponent & 255] >> POWER_BITS
    power: NDArray[np.int64] = fraction >> np.minimum(exponent >> EXPONENT_BITS, 63)
    return power


def _roots_of_half() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return 2**-(i/256) and 2**-(i/65536) for i in 0..255, with POWER_BITS fractional bits."""
    fine_bits = 2 * POWER_BITS
    root = 1 << (fine_bits - 1)  # 2**-1
    roots = []
    for _ in range(EXPONENT_BITS):
        root = math.isqrt(root << fine_bits)
        roots.append(root)  # 2**-(1/2), 2**-(1/4), ...
    tables = []
    for octet in (roots[:8], roots[8:]):
        powers = [1 << fine_bits]
        for root in reversed(octet):  # the lowest bit of i first
            powers += [power * root >> fine_bits for power in powers]
        tables.append(np.array([power >> POWER_BITS for power in powers], np.int64))
    return tables[0], tables[1]


_COARSE_ROOTS, _FINE_ROOTS = _roots_of_half()
