"""Colours under alpha 0, which nobody sees: they are forgotten before a picture is encoded.

Each becomes what is around it, so that it costs next to nothing. Pull-push: Gortler, Grzeszczuk,
Szeliski, Cohen, "The Lumigraph", SIGGRAPH 1996. Where at least one pixel is seen:

pull   a pixel at half the size is the mean of those of its 2x2 that are known; level after level,
       until all are known
push   pixels that are not known are drawn from the level above, bilinearly (9, 3, 3 and 1 of 16)

Differs from the paper: a pixel is known or not, without weights between, and all is integers, so
that every machine fills alike. A picture without any visible pixel becomes black, unless all its
pixels are the same: then it is a picture of one colour, which is kept.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from inr.image.picture import Picture

_FRACTION_BITS = 8  # of levels at less than the full size; 16 + 8 + 4 bits stay below 2**31
_STRIP_PIXELS = 1 << 19  # of the rows that are filled at once, about: a few MB of int32

Plane = NDArray[np.signedinteger | np.unsignedinteger]  # [h, w], one channel of a level
Known = NDArray[np.bool_]  # [h, w]


def fill_hidden_colours(picture: Picture) -> Picture:
    """Replace the colours of pixels of alpha 0 by colours drawn from the pixels that are seen.

    All else stays, and pictures without such pixels are returned as they are. Takes time in
    proportion to the pixels; the result depends on nothing that is hidden, but for one colour.
    """
    if not picture.has_alpha:
        return picture
    is_seen = picture.pixels[..., -1] != 0  # [h, w]
    if is_seen.all():
        return picture
    pixels = picture.pixels.copy()
    if is_seen.any():
        for channel in range(picture.n_channels - 1):
            _fill(pixels[..., channel], is_seen, _FRACTION_BITS)
    elif (pixels != pixels[0, 0]).any():
        pixels[...] = 0
    return dataclasses.replace(picture, pixels=pixels)


def _fill(values: Plane, known: Known, fraction_bits: int) -> None:
    """Fill in place what is not known.

    Args:
      values: some are known.
      fraction_bits: by which levels above are finer than these values.
    """
    if known.all():
        return
    half, half_known = _pull(values, known, fraction_bits)
    _fill(half, half_known, 0)
    _push(half, values, known, fraction_bits)


def _pull(values: Plane, known: Known, fraction_bits: int) -> tuple[Plane, Known]:
    """Make the level of half the size, sides rounded up: int32, and which of it is known."""
    height, width = known.shape
    half = np.zeros((-(-height // 2), -(-width // 2)), np.int32)
    half_known = np.zeros(half.shape, np.bool_)
    for top, bottom in _strips(height, width):
        padding = ((0, (bottom - top) % 2), (0, width % 2))  # with pixels that are not known
        seen = np.pad(known[top:bottom], padding)
        samples = np.pad(values[top:bottom], padding).astype(np.int32) << fraction_bits
        samples[~seen] = 0
        counts = _sums_of_fours(seen.astype(np.int32))
        rows = slice(top // 2, -(-bottom // 2))
        half[rows] = (_sums_of_fours(samples) + counts // 2) // np.maximum(counts, 1)
        half_known[rows] = counts > 0
    return half, half_known


def _push(half: Plane, values: Plane, known: Known, fraction_bits: int) -> None:
    """Draw what is not known from the level above, in place; half: that level, int32."""
    height, width = known.shape
    shift = 4 + fraction_bits
    columns = np.arange(width)
    near, far = _nearest_two(columns, half.shape[1])
    for top, bottom in _strips(height, width):
        seen = known[top:bottom]
        if seen.all():
            continue
        near_rows, far_rows = _nearest_two(np.arange(top, bottom), half.shape[0])
        mixed = 3 * half[near_rows] + half[far_rows]  # [rows, half width]
        drawn = 3 * mixed[:, near] + mixed[:, far]  # [rows, width], 16 times too large
        drawn = (drawn + (1 << (shift - 1))) >> shift
        np.copyto(values[top:bottom], drawn.astype(values.dtype), where=~seen)


def _nearest_two(i: NDArray[np.int64], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find what covers pixels i on an axis of n pixels, half as many, and the next nearest there;
    beyond the ends that is the same pixel."""
    return i // 2, np.clip(i // 2 + np.where(i % 2, 1, -1), 0, n - 1)


def _sums_of_fours(x: Plane) -> Plane:
    """Sum 2x2 of [h, w], both even."""
    total: Plane = x[0::2, 0::2] + x[0::2, 1::2] + x[1::2, 0::2] + x[1::2, 1::2]
    return total


def _strips(height: int, width: int) -> list[tuple[int, int]]:
    """Split the rows into strips (top, bottom), each of an even number of rows but the last."""
    n_rows = 2 * max(1, _STRIP_PIXELS // (2 * width))
    return [(top, min(top + n_rows, height)) for top in range(0, height, n_rows)]
