"""Draws the picture of a grid file at any size.

At its own size the picture is what the checksum promises. A larger one is drawn of interpolated
features (synthesis.py), one that is smaller in either direction comes from the picture of native
size by cubic convolution (image/resample.py).
"""

import numpy as np

from inr.grid.file import GridContent, synthesize_picture
from inr.image.region import Region, Size
from inr.image.resample import resample_pixels


def render_content(content: GridContent, size: Size, region: Region) -> np.ndarray:
    """Draw a part of the picture; see `kinds.KindFile.render`.

    Raises:
      FormatError: a damaged file. Where a part is asked for at the native size only that is drawn,
        and the checksum of the pixels is not verified.
    """
    header = content.header
    if size == (header.height, header.width):
        return synthesize_picture(content, None if region == Region.whole(size) else region)
    if size.height >= header.height and size.width >= header.width:
        return synthesize_picture(content, region, size=size)
    return resample_pixels(synthesize_picture(content), size.height, size.width, region)
