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
               that class as its WIRE lists them; for grid see grid/grid_file.py, for cae
               cae/cae_file.py
  sections     each: u8 tag, varint n, n bytes; tags rise strictly
                 1  weights       mlp, always; see mlp_file.py
                 2  icc_profile   zlib stream of the ICC colour profile
                 3  bands         mlp, only for a split with bands; see mlp_file.py
                 4  networks      grid, always; see grid/network_coding.py
                 5  latents       grid and cae, always; see latent_coder.py of each
                 6  alpha         cae, of a picture with an alpha channel; see cae/alpha.py
  crc          u32       CRC-32 (zlib) of all bytes before it; the file ends here

The reader trusts nothing: each length is held against a limit before memory is taken, and all
that is wrong with a file raises FormatError.
"""

import difflib
import struct
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from inr.errors import FormatError, UsageError

MAGIC = b"\x89INR"
VERSION = 1

MAX_SIDE = 1 << 20  # a longer side is a damaged header: no camera or scanner writes it
# The largest sensor sold for photography; as 16-bit RGBA 0.8 GB. More has to be asked for.
DEFAULT_MAX_PIXELS = 100_000_000
# Multiply-adds of drawing a picture, as work.py counts them: about two minutes on two cores, twice
# that on slow ones. Files of kinds grid and cae stay below it up to DEFAULT_MAX_PIXELS, those of
# the default recipe up to 12 million pixels, since its networks grow with the picture. Without a
# limit 71 bytes can ask for 11 hours.
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


class Reader:
    """Reads one part of a file front to back; raises FormatError where it ends too early."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._pos = 0
        self._what = what

    @property
    def n_left(self) -> int:
        return len(self._data) - self._pos

    def take(self, n_bytes: int) -> bytes:
        if n_bytes > self.n_left:
            raise FormatError(
                f"{self._what} is cut short at byte {self._pos}: {n_bytes} bytes expected, "
                f"{self.n_left} left"
            )
        self._pos += n_bytes
        return self._data[self._pos - n_bytes : self._pos]

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def varint(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if (byte == 0 and shift > 0) or value >= 1 << 32:
                    raise FormatError(f"{self._what} holds a varint that is too long")
                return value
        raise FormatError(f"{self._what} holds a varint of more than 5 bytes")

    def finish(self) -> None:
        if self.n_left:
            raise FormatError(f"{self._what} has {self.n_left} bytes too many")


def varint(value: int) -> bytes:
    """Writes what `Reader.varint` reads. value: 0..2**32 - 1."""
    assert 0 <= value < 1 << 32, value
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@dataclass(frozen=True)
class VarintField:
    """A field of a stage, written as a varint. low, high: what a file may hold, inclusive."""

    low: int
    high: int

    def write(self, value: int, name: str) -> bytes:
        if not self.low <= value <= self.high:
            raise UsageError(f"{name}={value} is outside {self.low}..{self.high}")
        return varint(value)

    def read(self, reader: Reader, name: str) -> int:
        value = reader.varint()
        if not self.low <= value <= self.high:
            raise FormatError(f"{name}={value} is outside {self.low}..{self.high}")
        return value


@dataclass(frozen=True)
class FloatField:
    """A field of a stage, written as a float32. low, high: what a file may hold, inclusive."""

    low: float
    high: float

    def write(self, value: float, name: str) -> bytes:
        if not self.low <= value <= self.high:  # also false for NaN
            raise UsageError(f"{name}={value} is outside {self.low}..{self.high}")
        return struct.pack("<f", value)

    def read(self, reader: Reader, name: str) -> float:
        value: float = struct.unpack("<f", reader.take(4))[0]
        if not self.low <= value <= self.high:  # also false for NaN
            raise FormatError(f"{name}={value} is outside {self.low}..{self.high}")
        return value


@dataclass(frozen=True)
class NameField:
    """A field of a stage, written as varint n, then n bytes of ASCII.

    known: lists the names there are; a function, so that their library is loaded only when asked.
    """

    max_length: int  # characters
    known: Callable[[], Sequence[str]]

    def _names(self) -> list[str]:
        return [name for name in self.known() if len(name) <= self.max_length]

    def write(self, value: str, name: str) -> bytes:
        names = self._names()
        if value not in names:
            near = ", ".join(difflib.get_close_matches(value, names, n=4, cutoff=0.0))
            raise UsageError(f"{name}={value!r} is none of the {len(names)} known, such as {near}")
        return varint(len(value)) + value.encode("ascii")

    def read(self, reader: Reader, name: str) -> str:
        n_bytes = reader.varint()
        if n_bytes > self.max_length:
            raise FormatError(
                f"{name} has {n_bytes} characters, more than the {self.max_length} allowed"
            )
        value = reader.take(n_bytes).decode("ascii", errors="backslashreplace")
        if value not in self._names():
            raise FormatError(f"{name}={value!r} is not known; the file needs a newer version")
        return value


Wire = tuple[tuple[str, VarintField | FloatField | NameField], ...]


class Stage(Protocol):
    """A frozen dataclass whose decoded fields are listed, in file order, in WIRE."""

    WIRE: ClassVar[Wire]


S = TypeVar("S", bound=Stage)


def write_fields(stage: Stage) -> bytes:
    """Writes the fields that `read_fields` reads; ValueError for those it would refuse."""
    values = vars(stage)
    return b"".join(form.write(values[name], name) for name, form in stage.WIRE)


def read_fields(make: Callable[..., S], wire: Wire, reader: Reader) -> S:
    """Reads the fields of one stage and makes it."""
    values: dict[str, Any] = {name: form.read(reader, name) for name, form in wire}
    return make(**values)


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
      ValueError: a side that `unpack` would refuse.
    """
    if not (1 <= header.height <= MAX_SIDE and 1 <= header.width <= MAX_SIDE):
        raise UsageError(
            f"a picture of {header.width}x{header.height} pixels: each side must be 1..{MAX_SIDE}"
        )
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
    """Read a file; the inverse of `pack`. Which sections its kind has, `check_sections` looks at.

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
    """Refuse a file whose sections are not those of its kind.

    Args:
      kind: its name.
      required, allowed: tags that its files must have, and may have besides.
    Raises:
      FormatError: there is one too many or too few.
    """
    for tag in sections:
        if tag not in required and tag not in allowed:
            raise FormatError(f"a file of kind {kind} has no {SECTION_NAMES[tag]}")
    for tag in sorted(required):
        if tag not in sections:
            raise FormatError(f"the file has no section of {SECTION_NAMES[tag]}")


def _read_header(reader: Reader, kind: int) -> Header:
    flags = reader.u8()
    if flags & ~(_N_CHANNELS_MASK | _FLAG_16_BIT | _FLAG_RANGES):
        raise FormatError(f"picture flags {flags:#04x} are not known")
    n_channels = (flags & _N_CHANNELS_MASK) + 1
    bit_depth = 16 if flags & _FLAG_16_BIT else 8
    height, width = reader.varint(), reader.varint()
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise FormatError(f"a picture of {width}x{height} pixels: each side must be 1..{MAX_SIDE}")
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
    """Writes the icc_profile section: profiles shrink by about a third under zlib."""
    if len(profile) > MAX_ICC_BYTES:
        raise UsageError(
            f"the colour profile has {len(profile)} bytes, more than the {MAX_ICC_BYTES} allowed; "
            "convert the picture to sRGB or remove the profile"
        )
    return zlib.compress(profile, 9)


def icc_profile_of(sections: dict[int, bytes]) -> bytes | None:
    """The colour profile among the sections of a file, unpacked; raises FormatError."""
    payload = sections.get(SECTION_ICC_PROFILE)
    return None if payload is None else unpack_icc(payload)


def unpack_icc(payload: bytes) -> bytes:
    """Reads the icc_profile section, at most MAX_ICC_BYTES of it."""
    inflate = zlib.decompressobj()
    try:
        profile = inflate.decompress(payload, MAX_ICC_BYTES)
    except zlib.error as error:
        raise FormatError(f"the colour profile is damaged: {error}") from error
    if not inflate.eof or inflate.unused_data:
        raise FormatError(f"the colour profile is damaged or above {MAX_ICC_BYTES} bytes")
    return profile
