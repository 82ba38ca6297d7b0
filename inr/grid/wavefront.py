"""The order of latents inside a level, and the memory in which a decoder keeps the last fronts.

Front t holds the latents with x + FRONT_SLOPE * y = t, rows top to bottom. All taps of a front lie
in fronts before it. In skewed memory row t holds front t, the latent of row y in column y + REACH:
so the tap (dy, dx) of a whole front is one run of the row t + dx + FRONT_SLOPE * dy.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inr.grid.structure import FRONT_SLOPE, REACH, TAPS, Level

Ints = NDArray[np.int64]

_BAND_SIZE = 1 << 13  # latents treated at once, about: their contexts stay in cache


@dataclass(frozen=True)
class Band:
    """Some fronts one after the other, n latents in all."""

    top: list[int]  # row of the first latent of each front
    starts: list[int]  # where each front begins among the n, and n
    y: Ints  # [n] row of each latent
    x: Ints  # [n]

    @property
    def size(self) -> int:
        return self.starts[-1]


def bands(level: Level) -> Iterator[Band]:
    """All fronts of a level in order, in bands of fronts_per_band(level)."""
    n_fronts = level.width + FRONT_SLOPE * (level.height - 1)
    step = fronts_per_band(level)
    for first in range(0, n_fronts, step):
        t = np.arange(first, min(first + step, n_fronts))
        top = np.maximum(0, -((level.width - 1 - t) // FRONT_SLOPE))  # least y with x < width
        counts = np.minimum(level.height - 1, t // FRONT_SLOPE) - top + 1  # 0 in some narrow levels
        starts = np.concatenate([[0], np.cumsum(counts)])
        y = np.arange(starts[-1]) + np.repeat(top - starts[:-1], counts)
        yield Band(top.tolist(), starts.tolist(), y, np.repeat(t, counts) - FRONT_SLOPE * y)


def fronts_per_band(level: Level) -> int:
    """At least as many as a tap reaches back."""
    longest = min(level.height, -(-level.width // FRONT_SLOPE))
    return max(-(-_BAND_SIZE // longest), _reach_in_fronts(len(TAPS)))


class SkewedBand:
    """Values of one band of fronts and of the fronts just before it; zero outside of the level."""

    def __init__(self, level: Level, n_taps: int) -> None:
        self._stride = level.height + REACH
        self._n_before = _reach_in_fronts(n_taps)
        n_rows = self._n_before + fronts_per_band(level)
        self._values = np.zeros(n_rows * self._stride)
        offsets = [
            (self._n_before + dx + FRONT_SLOPE * dy) * self._stride + dy + REACH
            for dy, dx in TAPS[:n_taps]
        ]
        self._tap_offsets = np.array(offsets, np.int64)[:, None]

    def tap_places(self, n: int) -> Ints:
        """Find where the taps of a front of n latents lie, i64[n_taps, n], for `taps`."""
        return self._tap_offsets + np.arange(n)

    def taps(self, front: int, top: int, places: Ints, out: NDArray[np.float64]) -> None:
        """Copy the taps of the band's front of that index into out, f64[n_taps, n]."""
        # "clip" goes without numpy's buffer for out; all places are inside.
        self._values[front * self._stride + top :].take(places, out=out, mode="clip")

    def row(self, front: int, top: int, n: int) -> NDArray[np.float64]:
        """Return the values of a front, to be filled."""
        start = (self._n_before + front) * self._stride + top + REACH
        return self._values[start : start + n]

    def next_band(self) -> None:
        """Keep the last fronts as those before the next band."""
        kept = self._n_before * self._stride
        self._values[:kept] = self._values[-kept:]
        self._values[kept:] = 0.0


def _reach_in_fronts(n_taps: int) -> int:
    return max(-dx - FRONT_SLOPE * dy for dy, dx in TAPS[:n_taps])
