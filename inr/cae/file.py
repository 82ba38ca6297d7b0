"""What kind cae puts into the container.

  stages     u16      number of the shipped model, as assets/manifest.json has it; 0 for others
             16 bytes the first ones of the SHA-256 of its weights file
             u8       rate: which lambda, see codec.py
             u8       index of the width in a slimmable model, else 0
             u32      CRC-32 (zlib) of the colours as they are drawn at their own size: RGB, u8, row
                      by row, before they are turned to grey
  latents    see codec.py
  alpha      of a picture with an alpha channel, see alpha.py

Samples have 8 bits, ranges are always full, and sides at most MAX_SIDE. A picture of grey is coded
as three equal colours; what is drawn is their mean, rounded. The decoder is exact (exact/chain.py),
hence the checksum: it promises every pixel.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inr.cae.alpha import decode_alpha
from inr.errors import FormatError
from inr.format import container
from inr.format.container import Header
from inr.format.wire import Reader
from inr.options import Sections

NUMBER = 2  # of kind cae, in the header
MAX_SIDE = 1 << 14  # pixels; as of kind grid
HASH_BYTES = 16  # of a SHA-256: nobody finds other weights that begin so
_STAGES = struct.Struct(f"<H{HASH_BYTES}sBBI")

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Coded:
    """Which model coded a picture, how, and what it must draw."""

    model: int  # number of the shipped model, 0 for others
    sha256: bytes  # the first HASH_BYTES
    rate: int
    width_index: int
    crc: int


@dataclass(frozen=True)
class CaeContent:
    """A file as far as it can be read without its model."""

    header: Header
    coded: Coded
    sections: Sections

    def alpha(self) -> Pixels | None:
        """u8[height, width] of a picture with an alpha channel; raises FormatError."""
        if self.header.n_channels in (1, 3):
            return None
        payload = self.sections[container.SECTION_ALPHA]
        return decode_alpha(payload, self.header.height, self.header.width)


def pack_cae(
    size: tuple[int, int, int],
    coded: Coded,
    latents: bytes,
    alpha: bytes | None,
    icc_profile: bytes | None,
) -> bytes:
    """Return the whole file; the inverse of `open_sections`. size: height, width, n_channels."""
    stages = _STAGES.pack(coded.model, coded.sha256, coded.rate, coded.width_index, coded.crc)
    header = Header(*size, 8, ((0, 255),) * size[2], stages, NUMBER)
    sections = {container.SECTION_LATENTS: latents}
    if alpha is not None:
        sections[container.SECTION_ALPHA] = alpha
    if icc_profile is not None:
        sections[container.SECTION_ICC_PROFILE] = container.pack_icc(icc_profile)
    return container.pack(header, sections)


def read_content(header: Header, sections: Sections) -> CaeContent:
    """Read what an unpacked file says of its model; raises FormatError."""
    container.check_sides(header.height, header.width, MAX_SIDE, FormatError)
    if header.bit_depth != 8 or header.ranges != header.full_ranges:
        raise FormatError("a file of kind cae has samples of 8 bits and full ranges")
    has_alpha = header.n_channels in (2, 4)
    if has_alpha != (container.SECTION_ALPHA in sections):
        raise FormatError("channels and alpha of the file contradict each other")
    reader = Reader(header.stages, "the model")
    coded = Coded(*_STAGES.unpack(reader.take(_STAGES.size)))
    reader.finish()
    return CaeContent(header, coded, sections)


def colours_of(pixels: Pixels) -> Pixels:
    """u8[height, width, 3] of a picture of 1 to 4 channels, without its alpha."""
    n_channels = pixels.shape[2]
    return pixels[..., :3] if n_channels >= 3 else np.repeat(pixels[..., :1], 3, axis=2)


def pixels_of(colours: Pixels, alpha: Pixels | None, n_channels: int) -> Pixels:
    """Return the inverse: u8[height, width, n_channels]."""
    if n_channels < 3:
        total = colours.astype(np.uint16).sum(axis=2, keepdims=True, dtype=np.uint16)
        colours = ((total + 1) // 3).astype(np.uint8)
    return colours if alpha is None else np.concatenate([colours, alpha[..., None]], axis=2)
