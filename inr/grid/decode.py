"""Draws the picture of a grid file at any size.

At its own size the picture is what the checksum promises. A larger one is drawn of interpolated
features (draw.py), one that is smaller in either direction comes from the picture of native size by
cubic convolution (resample.py).
"""

import numpy as np

from inr.grid.file import OpenedGrid, draw_grid
from inr.image.resample import resampled_pixels
from inr.mlp.decode import Region


def render_grid(opened: OpenedGrid, *, height: int, width: int, region: Region) -> np.ndarray:
    """u8 or u16 [region height, region width, n_channels].

    Args:
      height, width: of the whole output, of which region is a part.
    Raises:
      FormatError: a damaged file. Where a part is asked for at the native size only that is drawn,
        and the checksum of the pixels is not verified.
    """
    header = opened.header
    is_whole = region == Region(0, 0, width, height)
    if (height, width) == (header.height, header.width):
        return draw_grid(opened, None if is_whole else region)
    if height >= header.height and width >= header.width:
        return draw_grid(opened, region, size=(height, width))
    native = draw_grid(opened)
    return resampled_pixels(native, height, width, region)
