"""Draws the picture of a grid file at any size.

At its own size the picture is what the checksum promises. A larger one is drawn of interpolated
features (draw.py), one that is smaller in either direction comes from the picture of native size by
cubic convolution (resample.py).
"""

import numpy as np

from inr.grid.draw import draw
from inr.grid.grid_file import OpenedGrid, draw_grid, read_grid
from inr.render import Region
from inr.resample import resample


def render_grid(
    opened: OpenedGrid, *, height: int, width: int, region: Region, use_jax: bool = False
) -> np.ndarray:
    """u8 or u16 [region height, region width, n_channels].

    Args:
      height, width: of the whole output, of which region is a part.
      use_jax: draw the native size with jax; the same pixels.
    Raises:
      FormatError: a damaged file. The checksum of the pixels is verified where all of the native
        picture is drawn: not for a part of it, nor for a larger one.
    """
    header = opened.header
    is_whole = region == Region(0, 0, width, height)
    if (height, width) == (header.height, header.width):
        return draw_grid(opened, None if is_whole else region, use_jax=use_jax)
    if height >= header.height and width >= header.width:
        coded, latents = read_grid(opened)
        params = coded.values(opened.pyramid)
        return draw(latents, params, opened.pyramid, header.bit_depth, region, size=(height, width))
    native = draw_grid(opened, use_jax=use_jax)
    samples = resample(native.astype(np.float32), height, width, region)
    pixels: np.ndarray = np.clip(np.rint(samples), 0, header.peak).astype(native.dtype)
    return pixels
