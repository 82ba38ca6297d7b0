"""What kind grid puts into the container: its structure, its networks, its latents.

  stages     the fields of Structure, as `Structure.wire` lists them, then
             u32  CRC-32 (zlib) of the picture as it is drawn at its own size: the samples row by
                  row, channels together, u8, or u16 little-endian
  networks   see network_coding.py
  latents    see latent_coder.py

Ranges are always full, and sides at most MAX_SIDE. The decoder is exact (synthesis.py), hence the
checksum: it promises every pixel.
"""

import struct
from dataclasses import dataclass

import numpy as np

from inr.errors import FormatError, UsageError
from inr.format import container
from inr.format.checksum import check_pixels
from inr.format.container import Header
from inr.format.wire import Reader
from inr.grid.latent_coder import decode_latents, encode_latents
from inr.grid.network_coding import CodedNetworks, read_networks, write_networks
from inr.grid.structure import Pyramid, read_structure, write_structure
from inr.grid.synthesis import synthesize
from inr.image.region import Region, Size
from inr.options import Sections

NUMBER = 1  # of kind grid, in the header
MAX_SIDE = 1 << 14  # pixels; twelve levels, and what the context model was proven for
_ADVICE = "; cut it into parts, make it smaller or use the recipe siren"

Latents = list[np.ndarray]  # int32[h, w] of each level


def check_sides(height: int, width: int) -> None:
    """Refuse sides that a grid file cannot hold, with UsageError."""
    container.check_sides(height, width, MAX_SIDE, UsageError, _ADVICE)


def write_grid(
    pyramid: Pyramid,
    bit_depth: int,
    coded: CodedNetworks,
    latents: Latents,
    crc: int,
    icc_profile: bytes | None,
) -> bytes:
    """Return the whole file; the inverse of `read_content` and `read_grid`.

    Args:
      pyramid: of the picture.
      bit_depth: 8 or 16, of its samples.
      latents: int32[h, w] of each level, |y| <= LATENT_LIMIT.
      crc: `pixels_crc` of what is drawn with coded.values(pyramid) and the latents.

    Raises:
      ValueError: the picture is too large, or latents or networks are not those of the pyramid.
      FormatError: sums of the networks are too large to be exact.
    """
    check_sides(pyramid.height, pyramid.width)
    ranges = ((0, (1 << bit_depth) - 1),) * pyramid.n_channels
    stages = write_structure(pyramid.structure) + struct.pack("<I", crc)
    size = pyramid.height, pyramid.width, pyramid.n_channels
    header = Header(*size, bit_depth, ranges, stages, NUMBER)
    sections = {
        container.SECTION_NETWORKS: write_networks(coded, pyramid),
        container.SECTION_LATENTS: encode_latents(latents, coded.values(pyramid), pyramid),
    }
    if icc_profile is not None:
        sections[container.SECTION_ICC_PROFILE] = container.pack_icc(icc_profile)
    return container.pack(header, sections)


@dataclass(frozen=True)
class GridContent:
    """A file whose structure is read, and whose latents are not yet decoded."""

    header: Header
    pyramid: Pyramid
    crc: int  # of the pixels
    sections: Sections


def read_content(header: Header, sections: Sections) -> GridContent:
    """Read the structure of an unpacked file; raises FormatError."""
    container.check_sides(header.height, header.width, MAX_SIDE, FormatError)
    if header.ranges != header.full_ranges:
        raise FormatError(f"ranges {header.ranges}: a file of kind grid has full ones")
    reader = Reader(header.stages, "the structure")
    structure = read_structure(reader)
    (crc,) = struct.unpack("<I", reader.take(4))
    reader.finish()
    pyramid = Pyramid(header.height, header.width, header.n_channels, structure)
    return GridContent(header, pyramid, crc, sections)


def read_networks_of(content: GridContent) -> CodedNetworks:
    """Return the networks as integer codes; raises FormatError."""
    return read_networks(content.sections[container.SECTION_NETWORKS], content.pyramid)


def read_grid(content: GridContent) -> tuple[CodedNetworks, Latents]:
    """Networks and latents; raises FormatError.

    Takes time and memory of a few bytes for each pixel that the header claims, however short the
    file is: hold its header against a limit first.
    """
    coded = read_networks_of(content)
    payload = content.sections[container.SECTION_LATENTS]
    return coded, decode_latents(payload, coded.values(content.pyramid), content.pyramid)


def synthesize_picture(
    content: GridContent,
    region: Region | None = None,
    *,
    size: Size | None = None,
) -> np.ndarray:
    """Draw the picture, or a region of it.

    At its own size and without a region, what it returns is what the encoder drew. Of a region of
    that size the checksum cannot be verified.

    Args:
      region: the part to draw, within the picture of that size; None for all.
      size: height and width, neither below the picture's own; None for these.
    Returns:
      u8 or u16 [region height, region width, n_channels]
    Raises:
      FormatError: a damaged file, or pixels other than those that the checksum promises.
    """
    coded, latents = read_grid(content)
    params, bit_depth = coded.values(content.pyramid), content.header.bit_depth
    own_region = None if size is not None else region
    pixels = synthesize(latents, params, content.pyramid, bit_depth, own_region)
    if own_region is None:
        check_pixels(pixels, content.crc)
    if size is None:
        return pixels
    return synthesize(latents, params, content.pyramid, bit_depth, region, size=size)
