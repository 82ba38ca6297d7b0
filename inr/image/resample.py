"""Draw a picture of samples at another size: cubic convolution, widened where it shrinks.

Keys, "Cubic Convolution Interpolation for Digital Image Processing" (1981), a = -0.5. Shrinking
stretches the kernel by the factor, against aliasing; taps beyond the edge are left out and the
others scaled up to a sum of 1. These are also the rules of Pillow's BICUBIC. Pixels lie where
coords.py puts them.

A region has bit for bit the pixels of the whole: weights follow from the output's index alone, and
taps are added one after the other, elementwise, where BLAS may sum in another order for another
shape.
"""

import math
from dataclasses import dataclass

import numpy as np

from inr.exact.work import ACTIVATION_MACS
from inr.image.region import Region, Size

_BLOCK_VALUES = 1 << 16  # samples of the rows drawn at once, which stay in cache


@dataclass(frozen=True)
class Taps:
    """Along one axis: out[i] = sum over t of weights[i, t] * samples[index[i, t]]."""

    index: np.ndarray  # int64 [n_out, n_taps]
    weights: np.ndarray  # f64 [n_out, n_taps]


def resample(
    image: np.ndarray, height: int, width: int, region: Region | None = None
) -> np.ndarray:
    """Resample to height x width pixels; at the image's own size nothing changes.

    Args:
      image: f32 or f64 [h, w, n_channels], finite.
      region: the part of the output to draw; None for all.
    Returns:
      [region height, region width, n_channels], of the image's dtype, not clipped.
    Raises:
      ValueError: an image of another form, an empty size, or a region that is empty or outside.
    """
    if image.ndim != 3 or 0 in image.shape or image.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"image of {image.dtype} {list(image.shape)}: expected float32 or float64 "
            "[height, width, n_channels], not empty"
        )
    size = Size(height, width)
    region = Region.whole(size) if region is None else region
    region.check_inside(size)
    rows = taps_between(image.shape[0], height, region.y, region.y + region.height)
    cols = taps_between(image.shape[1], width, region.x, region.x + region.width)
    out = np.empty((region.height, region.width, image.shape[2]), image.dtype)
    left = cols.index.min()
    strip = image[:, left : cols.index.max() + 1]  # the columns that the region needs
    cols = Taps(cols.index - left, cols.weights)
    n_rows = max(1, _BLOCK_VALUES // max(strip[0].size, out[0].size))
    for top in range(0, region.height, n_rows):
        block = slice(top, top + n_rows)
        lines = apply_taps(strip, Taps(rows.index[block], rows.weights[block]), axis=0)
        out[block] = apply_taps(lines, cols, axis=1)
    return out


def resample_pixels(pixels: np.ndarray, height: int, width: int, region: Region) -> np.ndarray:
    """`resample` for u8 or u16 pixels [h, w, n_channels], rounded to their kind again."""
    samples = resample(pixels.astype(np.float32), height, width, region)
    found: np.ndarray = np.clip(np.rint(samples), 0, np.iinfo(pixels.dtype).max)
    return found.astype(pixels.dtype)


def _keys(x: np.ndarray) -> np.ndarray:
    """Evaluate Keys' kernel with a = -0.5; 0 from a distance of 2 on."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def taps_between(n_in: int, n_out: int, start: int, stop: int) -> Taps:
    """Compute the taps of pixels start..stop-1 of an axis of n_out pixels, from n_in samples."""
    pixels = np.arange(start, stop)
    if n_in == n_out:
        return Taps(pixels[:, None], np.ones((len(pixels), 1)))
    # coords.centre of both sizes set equal, in whole numbers and one division.
    centres = ((2 * pixels + 1) * n_in - n_out) / (2 * n_out)
    stretch = max(1.0, n_in / n_out)
    n_taps = n_taps_between(n_in, n_out)
    first = np.floor(centres - 2 * stretch).astype(np.int64) + 1
    index = first[:, None] + np.arange(n_taps)
    weights = _keys((index - centres[:, None]) / stretch)
    weights[(index < 0) | (index >= n_in)] = 0.0
    weights /= np.cumsum(weights, axis=1)[:, -1:]  # added in order, unlike np.sum
    return Taps(np.clip(index, 0, n_in - 1), weights)


def n_taps_between(n_in: int, n_out: int) -> int:
    """Count the samples that each pixel is made of along an axis; the kernel spans 4 * stretch."""
    return 1 if n_in == n_out else max(4, -(-4 * n_in // n_out))


def apply_taps(samples: np.ndarray, taps: Taps, axis: int) -> np.ndarray:
    """Apply taps along an axis, one after the other."""
    shape = [1] * samples.ndim
    shape[axis] = -1
    weights = taps.weights.astype(samples.dtype)
    total: np.ndarray = samples.take(taps.index[:, 0], axis) * weights[:, 0].reshape(shape)
    for t in range(1, taps.index.shape[1]):
        total += samples.take(taps.index[:, t], axis) * weights[:, t].reshape(shape)
    return total


def resampling_macs(own_size: Size, n_channels: int, size: Size, region: Region) -> int:
    """Count the multiply-adds (exact/work.py) of resampling; 0 at the picture's own size."""
    if size == own_size:
        return 0
    rows = n_taps_between(own_size.height, size.height)
    cols = n_taps_between(own_size.width, size.width)
    reached = math.ceil(region.width * own_size.width / size.width) + cols
    strip = min(own_size.width, reached)
    n_values = region.height * (strip * rows + region.width * cols)
    return ACTIVATION_MACS * n_channels * n_values
