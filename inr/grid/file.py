"""What kind grid puts into the container: its structure, its networks, its latents.

  stages     the fields of Structure, as its WIRE lists them, then
             u32  CRC-32 (zlib) of the picture as it is drawn at its own size: the samples row by
                  row, channels together, u8, or u16 little-endian
  networks   see network_coding.py
  latents    see latent_coder.py

Ranges are always full, and sides at most MAX_SIDE. The decoder is exact (draw_exact.py), hence the
checksum: it promises every pixel.
"""

import struct
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from inr.errors import FormatError, UsageError
from inr.format import container
from inr.format.checksum import check_pixels
from inr.format.container import Header, Reader
from inr.grid.latent_coder import decode_latents, encode_latents
from inr.grid.network_coding import CodedNetworks, read_networks, write_networks
from inr.grid.structure import Pyramid, Structure
from inr.grid.synthesis import draw
from inr.mlp.decode import Region

MAX_SIDE = 1 << 14  # pixels; twelve levels, and what the context model was proven for

Latents = list[np.ndarray]  # int32[h, w] of each level


def check_sides(height: int, width: int) -> None:
    """Refuses what a grid file cannot hold, with ValueError."""
    if max(height, width) > MAX_SIDE:
        raise UsageError(
            f"a picture of {width}x{height} pixels: a recipe of kind grid takes at most {MAX_SIDE} "
            "a side; cut it into parts, make it smaller or use the recipe siren"
        )


def write_grid(
    pyramid: Pyramid,
    bit_depth: int,
    coded: CodedNetworks,
    latents: Latents,
    crc: int,
    icc_profile: bytes | None,
) -> bytes:
    """The whole file; the inverse of `open_grid` and `read_grid`.

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
    stages = container.write_fields(pyramid.structure) + struct.pack("<I", crc)
    size = pyramid.height, pyramid.width, pyramid.n_channels
    header = Header(*size, bit_depth, ranges, stages, container.KIND_GRID)
    sections = {
        container.SECTION_NETWORKS: write_networks(coded, pyramid),
        container.SECTION_LATENTS: encode_latents(latents, coded.values(pyramid), pyramid),
    }
    if icc_profile is not None:
        sections[container.SECTION_ICC_PROFILE] = container.pack_icc(icc_profile)
    return container.pack(header, sections)


@dataclass(frozen=True)
class OpenedGrid:
    """A file as far as it can be read without decoding its latents."""

    header: Header
    pyramid: Pyramid
    crc: int  # of the pixels
    sections: dict[int, bytes]

    KIND: ClassVar[Literal["grid"]] = "grid"

    def icc_profile(self) -> bytes | None:
        """The colour profile, unpacked; raises FormatError."""
        return container.icc_profile_of(self.sections)


def open_grid(data: bytes) -> OpenedGrid:
    """Reads header and structure; raises FormatError."""
    return open_sections(*container.unpack(data))


def open_sections(header: Header, sections: dict[int, bytes]) -> OpenedGrid:
    """Reads the structure of an unpacked file; raises FormatError."""
    if header.kind != container.KIND_GRID:
        raise FormatError("this is no file of kind grid; it has no latents")
    if max(header.height, header.width) > MAX_SIDE:
        raise FormatError(
            f"a picture of {header.width}x{header.height} pixels: of kind grid each side must be "
            f"1..{MAX_SIDE}"
        )
    if header.ranges != header.full_ranges:
        raise FormatError(f"ranges {header.ranges}: a file of kind grid has full ones")
    reader = Reader(header.stages, "the structure")
    structure = container.read_fields(Structure, Structure.WIRE, reader)
    (crc,) = struct.unpack("<I", reader.take(4))
    reader.finish()
    pyramid = Pyramid(header.height, header.width, header.n_channels, structure)
    return OpenedGrid(header, pyramid, crc, sections)


def read_networks_of(opened: OpenedGrid) -> CodedNetworks:
    """The networks as integer codes; raises FormatError."""
    return read_networks(opened.sections[container.SECTION_NETWORKS], opened.pyramid)


def read_grid(opened: OpenedGrid) -> tuple[CodedNetworks, Latents]:
    """Networks and latents; raises FormatError.

    Takes time and memory of a few bytes for each pixel that the header claims, however short the
    file is: hold opened.header against a limit first.
    """
    coded = read_networks_of(opened)
    payload = opened.sections[container.SECTION_LATENTS]
    return coded, decode_latents(payload, coded.values(opened.pyramid), opened.pyramid)


def draw_grid(
    opened: OpenedGrid,
    region: Region | None = None,
    *,
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Draws the picture, or a region of it.

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
    coded, latents = read_grid(opened)
    params, bit_depth = coded.values(opened.pyramid), opened.header.bit_depth
    own_region = None if size is not None else region
    pixels = draw(latents, params, opened.pyramid, bit_depth, own_region)
    if own_region is None:
        check_pixels(pixels, opened.crc)
    if size is None:
        return pixels
    return draw(latents, params, opened.pyramid, bit_depth, region, size=size)
