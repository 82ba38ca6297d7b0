"""Pixel-centre coordinates: the only place that knows where a pixel lies.

The picture spans [-1, 1] along each axis, whatever its size, and a pixel's colour belongs to the
pixel's centre. A function fitted at one size can therefore be drawn at any other.
"""

from typing import Any

import numpy as np


def centre(pixel: Any, n_pixels: Any) -> Any:
    """Compute where the centre of pixel 0..n_pixels-1 lies; arrays of numpy or jax, or numbers."""
    return (2 * pixel + 1) / n_pixels - 1


def axis(n_pixels: int, start: int, stop: int) -> np.ndarray:
    """Compute the centres of pixels start..stop-1 of an axis of n_pixels pixels.

    Pixels beyond the edge are allowed: their coordinates go on outside [-1, 1].

    Returns:
      f32[stop - start]
    """
    centres: np.ndarray = centre(np.arange(start, stop, dtype=np.float64), n_pixels)
    return centres.astype(np.float32)


def grid(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Make all pairs of the given row and column coordinates, row by row.

    Args:
      rows: f32[h].
      cols: f32[w].
    Returns:
      f32[h * w, 2], (row, col).
    """
    out = np.empty((len(rows), len(cols), 2), np.float32)
    out[..., 0] = rows[:, None]
    out[..., 1] = cols
    return out.reshape(-1, 2)
