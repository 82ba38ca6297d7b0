"""The .inr file, byte by byte.

Integers are little-endian. `varint` is LEB128 in its shortest form, below 2**32 (1 to 5 bytes).

  magic        4 bytes   89 49 4E 52 ("\\x89INR"; the high bit shows a transfer that strips it)
  version      u8        1
  kind         u8        0: mlp, the weights of a coordinate network
                         1: grid, a pyramid of latents and the networks that draw them
                         2: cae, the latents of a trained autoencoder
  picture      u8        bits 0-1: n_channels - 1 (1 grey, 2 grey+alpha, 3 RGB, 4 RGBA)
                         bit 2: samples have 16 bits, not 8; bit 3: ranges follow; other bits 0
  height       varint    pixels
  width        varint    pixels
  ranges       only if bit 3: n_channels x (low, high), u8 each, or u16 for 16-bit samples;
               absent: every channel spans 0..255 (0..65535)
  stages       varint n, then n bytes: what the kind writes to name its stages. For mlp in the
               order split, field, quantizer, coder: u8 tag of `tags.py`, then the fields of
               that class as its WIRE lists them; for grid see grid/file.py, for cae cae/file.py
  sections     each: u8 tag, varint n, n bytes; tags rise strictly
                 1  weights       mlp, always; see mlp/file.py
                 2  icc_profile   zlib stream of the ICC colour profile
                 3  bands         mlp, only for a split with bands; see mlp/file.py
                 4  networks      grid, always; see grid/network_coding.py
                 5  latents       grid and cae, always; see latent_coder.py of each
                 6  alpha         cae, of a picture with an alpha channel; see cae/alpha.py
  crc          u32       CRC-32 (zlib) of all bytes before it; the file ends here

The reader trusts nothing: each length is held against a limit before memory is taken, and all
that is wrong with a file raises FormatError.
"""

import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass

from inr.errors import FormatError, InrError, UsageError
from inr.format.wire import Reader, varint

MAGIC = b"\x89INR"
VERSION = 1

MAX_SIDE = 1 << 20  # a longer side is a damaged header: no camera or scanner writes it
# The largest sensor sold for photography; as 16-bit RGBA 0.8 GB. More has to be asked for.
DEFAULT_MAX_PIXELS = 100_000_000
# Multiply-adds of drawing a picture, as work.py counts them: about two minutes on two cores, twice
# that on slow ones. Files of kinds grid and cae stay below it up to DEFAULT_MAX_PIXELS, those of
# the default recipe up to 12 million pixels, since its networks grow with the picture. Without a
# limit 77 bytes can ask for 11 hours.
DEFAULT_MAX_MACS = 10**13
MAX_FILE_BYTES = 1 << 28  # files are read whole; 256 MB is far above any sensible network
MAX_STAGES_BYTES = 256
MAX_ICC_BYTES = 1 << 22  # the largest press profiles have about 3 MB

SECTION_WEIGHTS = 1
SECTION_ICC_PROFILE = 2
SECTION_BANDS = 3
SECTION_NETWORKS = 4
SECTION_LATENTS = 5
SECTION_ALPHA = 6
SECTION_NAMES = {
    SECTION_WEIGHTS: "weights",
    SECTION_ICC_PROFILE: "icc_profile",
    SECTION_BANDS: "bands",
    SECTION_NETWORKS: "networks",
    SECTION_LATENTS: "latents",
    SECTION_ALPHA: "alpha",
}

_N_CHANNELS_MASK = 0b0011
_FLAG_16_BIT = 0b0100
_FLAG_RANGES = 0b1000


@dataclass(frozen=True)
class Header:
    """What the file says of the picture, and the bytes in which the kind names its stages."""

    height: int  # pixels
    width: int  # pixels
    n_channels: int  # 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA
    bit_depth: int  # 8 or 16
    ranges: tuple[tuple[int, int], ...]  # per channel: lowest and highest sample
    stages: bytes
    kind: int = 0  # the number of a kind, see kinds.py

    @property
    def peak(self) -> int:
        return (1 << self.bit_depth) - 1

    @property
    def full_ranges(self) -> tuple[tuple[int, int], ...]:
        return ((0, self.peak),) * self.n_channels


def pack(header: Header, sections: dict[int, bytes]) -> bytes:
    """Write a file. sections: tag -> payload.

    Raises:
      UsageError: a side that `unpack` would refuse.
    """
    check_sides(header.height, header.width, MAX_SIDE, UsageError)
    has_ranges = header.ranges != header.full_ranges
    flags = header.n_channels - 1
    flags |= _FLAG_16_BIT if header.bit_depth == 16 else 0
    flags |= _FLAG_RANGES if has_ranges else 0
    start = bytes([VERSION, header.kind, flags])
    parts = [MAGIC, start, varint(header.height), varint(header.width)]
    if has_ranges:
        n_bytes = header.bit_depth // 8
        parts += [v.to_bytes(n_bytes, "little") for pair in header.ranges for v in pair]
    parts += [varint(len(header.stages)), header.stages]
    for tag, payload in sorted(sections.items()):
        parts += [bytes([tag]), varint(len(payload)), payload]
    body = b"".join(parts)
    return body + struct.pack("<I", zlib.crc32(body))


def unpack(data: bytes) -> tuple[Header, dict[int, bytes]]:
    """Read header and sections of a file of any kind; the inverse of `pack`.

    Whether these are the sections of its kind is for `check_sections`.

    Raises:
      FormatError: the bytes are not such a file, are damaged, or break a limit.
      TypeError: data is something else than bytes.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(
            f"cannot decode a {type(data).__name__}: expected the bytes of a file, as from "
            "pathlib.Path('photo.inr').read_bytes()"
        )
    data = bytes(data)
    if data[: len(MAGIC)] != MAGIC:
        raise FormatError("this is not an .inr file: it does not begin with \\x89INR")
    if len(data) > MAX_FILE_BYTES:
        raise FormatError(f"the file has {len(data)} bytes, more than the {MAX_FILE_BYTES} allowed")
    reader = Reader(data[len(MAGIC) : -4], "the file")
    version = reader.u8()
    if version != VERSION:
        raise FormatError(f"version {version} of the format is not known; this reads {VERSION}")
    if struct.pack("<I", zlib.crc32(data[:-4])) != data[-4:]:
        raise FormatError("the checksum does not match: the file is damaged or cut short")
    header = _read_header(reader, kind=reader.u8())
    sections: dict[int, bytes] = {}
    while reader.n_left:
        tag = reader.u8()
        if tag not in SECTION_NAMES:
            raise FormatError(f"section tag {tag} is not known; the file needs a newer version")
        if sections and tag <= max(sections):
            raise FormatError(f"section {SECTION_NAMES[tag]} stands out of order")
        sections[tag] = reader.take(reader.varint())
    return header, sections


def check_sections(
    sections: dict[int, bytes], kind: str, required: Collection[int], allowed: Collection[int]
) -> None:
    """Refuse a file that lacks a section of its kind, or has one that its kind does not know.

    Args:
      sections: tag -> payload, as `unpack` returns them.
      kind: name of the kind, for messages.
      required, allowed: tags that files of the kind must have, and may have besides.

    Raises:
      FormatError: a section is missing, or is one too many.
    """
    for tag in sections:
        if tag not in required and tag not in allowed:
            raise FormatError(f"a file of kind {kind} has no {SECTION_NAMES[tag]}")
    for tag in sorted(required):
        if tag not in sections:
            raise FormatError(f"the file has no section of {SECTION_NAMES[tag]}")


def check_sides(
    height: int, width: int, max_side: int, error: type[InrError], advice: str = ""
) -> None:
    """Refuse a picture with a side outside 1..max_side.

    Args:
      height, width: pixels.
      max_side: the longest side allowed, pixels.
      error: what is raised: FormatError for a file, UsageError for a picture to be encoded.
      advice: what to do about it, in words that follow the limit.
    """
    if not (1 <= height <= max_side and 1 <= width <= max_side):
        raise error(
            f"a picture of {width}x{height} pixels: each side must be 1..{max_side}{advice}"
        )


def _read_header(reader: Reader, kind: int) -> Header:
    flags = reader.u8()
    if flags & ~(_N_CHANNELS_MASK | _FLAG_16_BIT | _FLAG_RANGES):
        raise FormatError(f"picture flags {flags:#04x} are not known")
    n_channels = (flags & _N_CHANNELS_MASK) + 1
    bit_depth = 16 if flags & _FLAG_16_BIT else 8
    height, width = reader.varint(), reader.varint()
    check_sides(height, width, MAX_SIDE, FormatError)
    peak = (1 << bit_depth) - 1
    ranges = ((0, peak),) * n_channels
    if flags & _FLAG_RANGES:
        sample = reader.u16 if bit_depth == 16 else reader.u8
        ranges = tuple((sample(), sample()) for _ in range(n_channels))
        if any(low > high for low, high in ranges):
            raise FormatError(f"channel ranges {ranges} have low above high")
    n_stages = reader.varint()
    if n_stages > MAX_STAGES_BYTES:
        raise FormatError(f"{n_stages} bytes of stages, more than the {MAX_STAGES_BYTES} allowed")
    return Header(height, width, n_channels, bit_depth, ranges, reader.take(n_stages), kind)


def pack_icc(profile: bytes) -> bytes:
    """Write the icc_profile section: profiles shrink by about a third under zlib."""
    if len(profile) > MAX_ICC_BYTES:
        raise UsageError(
            f"the colour profile has {len(profile)} bytes, more than the {MAX_ICC_BYTES} allowed; "
            "convert the picture to sRGB or remove the profile"
        )
    return zlib.compress(profile, 9)


def icc_profile_of(sections: dict[int, bytes]) -> bytes | None:
    """Unpack the colour profile among the sections of a file, if any; raises FormatError."""
    payload = sections.get(SECTION_ICC_PROFILE)
    return None if payload is None else unpack_icc(payload)


def unpack_icc(payload: bytes) -> bytes:
    """Read the icc_profile section, at most MAX_ICC_BYTES of it."""
    inflate = zlib.decompressobj()
    try:
        profile = inflate.decompress(payload, MAX_ICC_BYTES)
    except zlib.error as error:
        raise FormatError(f"the colour profile is damaged: {error}") from error
    if not inflate.eof or inflate.unused_data:
        raise FormatError(f"the colour profile is damaged or above {MAX_ICC_BYTES} bytes")
    return profile
