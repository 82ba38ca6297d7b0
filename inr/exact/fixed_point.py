"""Fixed point carried by float64: how numbers are rounded, and the proof that their sums are exact.

float64 holds every integer up to 2**53. So a sum of multiples of 2**-k is exact, in any order and
with or without fused multiply-add, while the magnitudes of what is added stay below 2**(53 - k) in
sum: any BLAS, any number of threads and any GPU give the same bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inr.errors import FormatError

EXACT_BITS = 53  # float64 holds every integer up to 2**53

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def round_to(x: Floats, bits: int) -> Floats:
    """Round to multiples of 2**-bits: floor(x * 2**bits + 0.5) * 2**-bits, halves upwards.

    Args:
      x: f64[...]; what is too large for it becomes infinite.
    """
    with np.errstate(over="ignore"):
        return np.floor(x * 2.0**bits + 0.5) * 2.0**-bits


def round_in_place(x: Floats) -> Floats:
    """Round to whole numbers: floor(x + 0.5), in x itself, which is returned."""
    x += 0.5
    np.floor(x, out=x)
    return x


def fraction_bits(x: Floats) -> Ints:
    """Return the least k >= 0 for which each number is a multiple of 2**-k, int64 of x's shape."""
    mantissa, exponent = np.frexp(x)
    whole = np.ldexp(mantissa, EXACT_BITS).astype(np.int64)
    n_zeros = np.frexp((whole & -whole).astype(np.float64))[1] - 1  # at the end of whole
    return np.where(whole == 0, 0, np.maximum(EXACT_BITS - n_zeros - exponent, 0)).astype(np.int64)


@dataclass(frozen=True)
class Bounds:
    """What is known of some numbers: none is larger than `most`, nor finer than its fraction.

    Bounds of sums are whole numbers, rounded up. They are made in float64 too, and are the same on
    every machine if the sums are exact; if not, they are too large on every machine.
    """

    most: Floats  # [n] largest magnitude of each
    fraction_bits: Ints  # [n] each is a multiple of 2**-fraction_bits

    @classmethod
    def of(cls, most: Floats | Sequence[float], n_fraction_bits: int = 0) -> "Bounds":
        """Make the bounds of numbers that have one fraction in common, whole ones by default."""
        most = np.asarray(most, np.float64)
        return cls(most, np.full(most.shape, n_fraction_bits, np.int64))

    def join(self, other: "Bounds") -> "Bounds":
        """Put the bounds of other numbers behind these."""
        return Bounds(
            np.concatenate([self.most, other.most]),
            np.concatenate([self.fraction_bits, other.fraction_bits]),
        )

    def product(self, weights: Floats, bias: Floats | float = 0.0) -> "Bounds":
        """Bound the sums weights @ x + bias, and 1 more for what rounding may add to them.

        Args:
          weights: f64[m, n].
          bias: f64[m], or one for all.
        """
        bias = np.broadcast_to(bias, len(weights))
        of_products = np.where(weights == 0, 0, fraction_bits(weights) + self.fraction_bits)
        return Bounds(
            np.ceil(np.abs(weights) @ self.most + np.abs(bias)) + 1,
            np.maximum(of_products.max(axis=1, initial=0), fraction_bits(bias)),
        )

    def convolve(self, taps: Floats) -> "Bounds":
        """Bound the sums of neighbours under these taps, as `product` does."""
        return Bounds(
            np.ceil(self.most * np.abs(taps).sum()) + 1,
            self.fraction_bits + fraction_bits(taps).max(initial=0),
        )

    def is_exact(self) -> bool:
        """Tell whether all sums of these bounds are exact; false for NaN."""
        return bool((self.most * 2.0**self.fraction_bits < 2.0**EXACT_BITS).all())

    def check(self, name: str) -> None:
        """Refuse sums that could be inexact.

        Args:
          name: of the tensor of their weights.

        Raises:
          FormatError: a sum could reach 2**53 of its unit.
        """
        if not self.is_exact():
            worst = int(np.argmax(self.most * 2.0**self.fraction_bits))
            raise FormatError(
                f"sums of {name!r} may reach {self.most[worst]:.0f} in steps of "
                f"2**-{self.fraction_bits[worst]}, beyond the {EXACT_BITS} bits of exact "
                "arithmetic; encode with smaller weights or larger steps"
            )
