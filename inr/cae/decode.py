"""Draws the picture of a cae file at any size.

At its own size the picture is what the checksum promises; at others that picture is resampled by
cubic convolution (resample.py).
"""

import numpy as np

from inr.cae.codec import CaeCodec, Latents
from inr.cae.file import OpenedCae, pixels_of
from inr.cae.weight_store import weights_of
from inr.errors import FormatError
from inr.format.checksum import check_pixels
from inr.format.container import SECTION_LATENTS
from inr.image.resample import resampled_pixels
from inr.mlp.decode import Region


def render_cae(
    opened: OpenedCae, *, height: int, width: int, region: Region, codec: CaeCodec | None = None
) -> np.ndarray:
    """u8[region height, region width, n_channels].

    Args:
      height, width: of the whole output, of which region is a part.
      codec: that of the file, where it is at hand already.
    Raises:
      FormatError: a damaged file, or one whose model is not at hand. Where a part is asked for at
        the native size only that is drawn, and the checksum of the colours is not verified.
    """
    header, codec = opened.header, codec or codec_of(opened)
    whole = Region(0, 0, header.width, header.height)
    if (height, width) == (header.height, header.width):
        return _drawn(opened, codec, region, is_whole=region == whole)
    native = _drawn(opened, codec, whole, is_whole=True)
    return resampled_pixels(native, height, width, region)


def codec_of(opened: OpenedCae) -> CaeCodec:
    """The codec that the file was made with; FormatError where it is not at hand."""
    coded = opened.coded
    weights = weights_of(coded.model, coded.sha256)
    widths = weights.model.widths or (0,)
    if coded.width_index >= len(widths):
        raise FormatError(
            f"width number {coded.width_index} of a model that has {len(widths)}: damaged file"
        )
    codec = CaeCodec(weights.at_width(widths[coded.width_index]))
    if coded.rate >= codec.n_rates:
        raise FormatError(f"rate {coded.rate} of a model that has {codec.n_rates}: damaged file")
    return codec


def latents_of(opened: OpenedCae, codec: CaeCodec) -> Latents:
    """The latents; takes memory for each pixel that the header claims. Raises FormatError."""
    header = opened.header
    payload = opened.sections[SECTION_LATENTS]
    return codec.read(payload, header.height, header.width, opened.coded.rate)


def _drawn(opened: OpenedCae, codec: CaeCodec, region: Region, *, is_whole: bool) -> np.ndarray:
    header = opened.header
    latents = latents_of(opened, codec)
    colours = codec.draw(latents, header.height, header.width, opened.coded.rate, region)
    if is_whole:
        check_pixels(colours, opened.coded.crc)
    alpha = opened.alpha()
    if alpha is not None:
        rows = slice(region.y, region.y + region.height)
        alpha = alpha[rows, region.x : region.x + region.width]
    return pixels_of(colours, alpha, header.n_channels)
