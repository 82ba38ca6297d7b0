"""Draws the picture of a cae file at any size.

At its own size the picture is what the checksum promises; at others that picture is resampled by
cubic convolution (resample.py).
"""

from pathlib import Path

import numpy as np

from inr.cae.codec import CaeCodec
from inr.cae.entropy_models import Latents
from inr.cae.file import CaeContent, pixels_of
from inr.cae.weight_store import weights_of
from inr.errors import FormatError
from inr.format.checksum import check_pixels
from inr.format.container import SECTION_LATENTS
from inr.image.region import Region, Size
from inr.image.resample import resample_pixels


def render_content(content: CaeContent, size: Size, region: Region, codec: CaeCodec) -> np.ndarray:
    """Draw a part of the picture; see `kinds.KindFile.render`.

    Args:
      codec: that of the file, see `codec_of`.
    Raises:
      FormatError: a damaged file. Where a part is asked for at
        the native size only that is drawn, and the checksum of the colours is not verified.
    """
    own_size = Size(content.header.height, content.header.width)
    whole = Region.whole(own_size)
    if size == own_size:
        return _synthesize(content, codec, region, is_whole=region == whole)
    native = _synthesize(content, codec, whole, is_whole=True)
    return resample_pixels(native, size.height, size.width, region)


def codec_of(content: CaeContent, models: Path | None) -> CaeCodec:
    """Find the codec that the file was made with.

    Args:
      models: see `DecodeOptions`.
    Raises:
      FormatError: it is not at hand.
    """
    coded = content.coded
    weights = weights_of(coded.model, coded.sha256, models)
    widths = weights.model.widths or (0,)
    if coded.width_index >= len(widths):
        raise FormatError(
            f"width number {coded.width_index} of a model that has {len(widths)}: damaged file"
        )
    codec = CaeCodec(weights.at_width(widths[coded.width_index]))
    if coded.rate >= codec.n_rates:
        raise FormatError(f"rate {coded.rate} of a model that has {codec.n_rates}: damaged file")
    return codec


def latents_of(content: CaeContent, codec: CaeCodec) -> Latents:
    """Read the latents; takes memory for each pixel that the header claims. Raises FormatError."""
    header = content.header
    payload = content.sections[SECTION_LATENTS]
    return codec.read(payload, header.height, header.width, content.coded.rate)


def _synthesize(
    content: CaeContent, codec: CaeCodec, region: Region, *, is_whole: bool
) -> np.ndarray:
    header = content.header
    latents = latents_of(content, codec)
    colours = codec.synthesize(latents, header.height, header.width, content.coded.rate, region)
    if is_whole:
        check_pixels(colours, content.coded.crc)
    alpha = content.alpha()
    if alpha is not None:
        rows = slice(region.y, region.y + region.height)
        alpha = alpha[rows, region.x : region.x + region.width]
    return pixels_of(colours, alpha, header.n_channels)
