"""Samples of any depth become 16 bits: one rule for all formats.

- n-bit integers, 9 to 16 bits: v * 65535 / (2**n - 1), to the nearest.
- 32 and 64-bit integers must lie in 0..65535 and keep their value.
- Floats must lie in 0..1: v * 65535, to the nearest.
"""

from __future__ import annotations

import numpy as np

from inr.errors import ImageError

_BAND_SAMPLES = 1 << 20  # converted at once; whole pictures would need their size again


def scaled_to_16_bits(values: np.ndarray, largest: int) -> np.ndarray:
    """Scale unsigned integers 0..largest to uint16 0..65535.

    Args:
      values: unsigned integers of any shape.
      largest: what stands for full brightness, 1..65535.
    Raises:
      ImageError: a value above largest.
    """
    highest = int(values.max(initial=0))
    if highest > largest:
        raise ImageError(f"a sample is {highest}, above the largest value {largest} of the file")
    if largest == 65535:
        return values.astype(np.uint16, copy=False)
    pixels = np.empty(values.shape, np.uint16)
    for band in _bands(values):
        # 65535 * 65535 + 32767 < 2**32
        pixels[band] = (values[band].astype(np.uint32) * 65535 + largest // 2) // largest
    return pixels


def integers_to_16_bits(values: np.ndarray) -> np.ndarray:
    """Take integers of any size that lie in 0..65535 as they are, as uint16."""
    _check_range(values, 65535)
    return values.astype(np.uint16)


def floats_to_16_bits(values: np.ndarray) -> np.ndarray:
    """Scale floats 0..1 to uint16 0..65535."""
    _check_range(values, 1)
    pixels = np.empty(values.shape, np.uint16)
    for band in _bands(values):
        exact = values[band].astype(np.float64)  # in float32 a product could round to a tie
        pixels[band] = np.rint(np.multiply(exact, 65535, out=exact), out=exact)
    return pixels


def _bands(values: np.ndarray) -> list[slice]:
    """Slices of the first axis, of about _BAND_SAMPLES samples each."""
    n_rows = max(1, _BAND_SAMPLES // max(1, values[:1].size))
    return [slice(top, top + n_rows) for top in range(0, len(values), n_rows)]


def _check_range(values: np.ndarray, largest: int) -> None:
    low, high = values.min(), values.max()
    if low >= 0 and high <= largest:
        return
    if not np.isfinite([low, high]).all():
        n_nan, n_infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
        counts = [f"{n} {name}" for n, name in ((n_nan, "NaN"), (n_infinite, "infinite")) if n]
        raise ImageError(
            f"pixel values hold {' and '.join(counts)} numbers, expected 0..{largest}; "
            "scale or replace them first"
        )
    raise ImageError(
        f"pixel values lie in {low:g}..{high:g}, expected 0..{largest}; scale them first"
    )
