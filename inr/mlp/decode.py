"""Draws the picture of a file of kind mlp at any size, with numpy alone.

Fields are evaluated tile by tile. Bands have no meaning between their own positions, so pictures
of a split with bands come at other sizes from the picture of native size by cubic interpolation
(image/resample.py).

Tiles lie on the grid of the whole output and are always evaluated whole, so that a region holds
exactly the pixels of the full picture: BLAS may sum in another order for another matrix shape.
Small tiles with one BLAS thread each stay in cache and take half the time of whole-picture
products. Nothing but the output grows with its size.
"""

from collections.abc import Callable

import numpy as np

from inr.exact.threads import tile_pool
from inr.image import coords
from inr.image.region import Region, Size
from inr.image.resample import resample
from inr.mlp.fields.protocol import Field, NumpyParams, hidden_of
from inr.mlp.file import MlpContent, PictureInfo, read_weights
from inr.mlp.tags import Stages

_TILE_ROWS, _TILE_COLS = 64, 128  # at most
_TILE_VALUES = 1 << 18  # activations of one layer over one tile, 1 MB


def render_content(content: MlpContent, size: Size, region: Region) -> np.ndarray:
    """Draw a part of the picture of a file: `render_weights` of its weights.

    Raises:
      FormatError: the file is damaged.
    """
    return render_weights(content.stages, read_weights(content), content.info(), size, region)


def render_weights(
    stages: Stages, weights: NumpyParams, info: PictureInfo, size: Size, region: Region
) -> np.ndarray:
    """Draw a part of a picture from the weights of its fields.

    Args:
      weights: f32 tensors by name, of all fields.
      size: of the whole drawing.
      region: the part of it to draw, inside.
    Returns:
      u8 or u16 [region.height, region.width, n_channels]
    """
    if stages.split.HAS_BANDS:
        return _render_bands(stages, weights, info, size, region)
    return render(
        stages.field_set(info.height, info.width, info.n_channels).parts[0].field,
        weights,
        info.ranges,
        info.bit_depth,
        height=size.height,
        width=size.width,
        region=region,
    )


def _render_bands(
    stages: Stages, weights: NumpyParams, info: PictureInfo, size: Size, region: Region
) -> np.ndarray:
    field_set = stages.field_set(info.height, info.width, info.n_channels)
    grids = stages.split.grids(info.height, info.width, info.n_channels)
    bands = []
    for i, (grid, part) in enumerate(zip(grids, field_set.parts, strict=True)):
        signal = draw_signal(
            part.field,
            field_set.params_of(weights, i),
            part.n_channels,
            height=grid.height,
            width=grid.width,
        )
        with np.errstate(all="ignore"):  # a damaged network may overflow
            bands.append(np.nan_to_num(signal.astype(np.float64) * np.array(info.band_peaks[i])))
    peak = (1 << info.bit_depth) - 1
    with np.errstate(all="ignore"):
        samples = stages.split.inverse(bands, info.height, info.width) * peak
        samples = np.nan_to_num(samples)
        if size != (info.height, info.width) or region != Region.whole(size):
            samples = resample(samples, size.height, size.width, region)
    low, high = np.array(info.ranges, np.float64).T
    dtype = np.uint8 if info.bit_depth == 8 else np.uint16
    pixels: np.ndarray = np.clip(np.rint(samples), low, high).astype(dtype)
    return pixels


def render(
    net: Field,
    params: NumpyParams,
    ranges: tuple[tuple[int, int], ...],
    bit_depth: int,
    *,
    height: int,
    width: int,
    region: Region | None = None,
    n_threads: int | None = None,
) -> np.ndarray:
    """Evaluate the field at the pixel centres of a height x width picture.

    Args:
      ranges: per channel the samples that -1 and 1 of the signal stand for; others are clipped.
      region: the part to draw; None for all.
      n_threads: tiles drawn at once; None for one a core.
    Returns:
      u8 or u16 [region height, region width, n_channels]
    """
    region = region if region is not None else Region(0, 0, width, height)
    low, high = np.array(ranges, np.float32).T
    half = (high - low) / 2

    def samples_of(signal: np.ndarray) -> np.ndarray:
        samples = np.rint((signal + 1) * half + low)
        np.nan_to_num(samples, copy=False)
        clipped: np.ndarray = np.clip(samples, low, high)
        return clipped

    dtype = np.uint8 if bit_depth == 8 else np.uint16
    out = np.empty((region.height, region.width, len(ranges)), dtype)
    _draw(net, params, samples_of, out, height, width, region, n_threads)
    return out


def draw_signal(
    net: Field, params: NumpyParams, n_channels: int, *, height: int, width: int
) -> np.ndarray:
    """Return the field's own values, f32 [height, width, n_channels]."""
    out = np.empty((height, width, n_channels), np.float32)
    _draw(net, params, lambda signal: signal, out, height, width, Region(0, 0, width, height), None)
    return out


def tile_size(net: Field, height: int, width: int) -> tuple[int, int]:
    """Rows and columns that are evaluated at once; they depend on the output's size, not on the
    region."""
    n_cols = min(_TILE_COLS, width)
    return max(1, min(_TILE_ROWS, height, _TILE_VALUES // (hidden_of(net) * n_cols))), n_cols


def _draw(
    net: Field,
    params: NumpyParams,
    finish: Callable[[np.ndarray], np.ndarray],
    out: np.ndarray,
    height: int,
    width: int,
    region: Region,
    n_threads: int | None,
) -> None:
    """Fill out, [region height, region width, n_channels], with finish(signal)."""
    tile_rows, tile_cols = tile_size(net, height, width)

    def draw(tile: tuple[int, int]) -> None:
        top, left = tile
        points = coords.grid(
            coords.axis(height, top, top + tile_rows), coords.axis(width, left, left + tile_cols)
        )
        # A damaged network may overflow. Here, because threads begin with numpy's own errstate.
        with np.errstate(all="ignore"):
            pixels = finish(net.evaluate(params, points)).reshape(tile_rows, tile_cols, -1)
        y0, y1 = max(top, region.y), min(top + tile_rows, region.y + region.height)
        x0, x1 = max(left, region.x), min(left + tile_cols, region.x + region.width)
        out[y0 - region.y : y1 - region.y, x0 - region.x : x1 - region.x] = pixels[
            y0 - top : y1 - top, x0 - left : x1 - left
        ]

    tops = range(region.y // tile_rows * tile_rows, region.y + region.height, tile_rows)
    lefts = range(region.x // tile_cols * tile_cols, region.x + region.width, tile_cols)
    with tile_pool(n_threads) as pool:
        for top in tops:  # row by row, so that the queue stays short
            for _ in pool.map(draw, [(top, left) for left in lefts]):
                pass
