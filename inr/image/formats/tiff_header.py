"""The first directory of a TIFF file, and which kinds of samples can become a picture.

TIFF revision 6.0, sections 2 and 8; BigTIFF: https://www.awaresystems.be/imaging/tiff/bigtiff.html.
Written by hand because a hostile file must not cost more memory than it has bytes: of each tag the
first is taken, as a view of the file, after its count was checked against the file's length. Pillow
cannot read a big-endian BigTIFF. tifffile 2026.3.3 copies the value of every tag of a directory:
a file of 1 MB, with 4000 tags that share one value of 1 MB, took 3.8 GB to open. It also takes
missing strips for zeros, and decodes a PNG or JPEG inside a strip at the size which that claims.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from inr.errors import ImageError

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
FILL_ORDER, DESCRIPTION, STRIP_OFFSETS, ORIENTATION, N_SAMPLES = 266, 270, 273, 274, 277
ROWS_PER_STRIP, STRIP_BYTES, PLANAR = 278, 279, 284
TRANSFER_FUNCTION, PREDICTOR, WHITE_POINT, PRIMARIES = 301, 317, 318, 319
TILE_WIDTH, TILE_HEIGHT, TILE_BYTES = 322, 323, 325
EXTRA, SAMPLE_FORMAT, DEPTH, ICC = 338, 339, 32997, 34675
_WANTED = frozenset(
    {WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, DESCRIPTION, STRIP_OFFSETS,
     ORIENTATION, N_SAMPLES, ROWS_PER_STRIP, STRIP_BYTES, PLANAR, TRANSFER_FUNCTION, PREDICTOR,
     WHITE_POINT, PRIMARIES, TILE_WIDTH, TILE_HEIGHT, TILE_BYTES, EXTRA, SAMPLE_FORMAT, DEPTH, ICC}
)  # fmt: skip

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = 0, 1, 2, 3
_PHOTOMETRICS = {  # name, samples of a colour
    WHITE_IS_ZERO: ("grey, white is zero", 1),
    BLACK_IS_ZERO: ("grey, black is zero", 1),
    RGB: ("RGB", 3),
    PALETTE: ("palette", 1),
    5: ("CMYK", 4),
    6: ("YCbCr", 3),
    8: ("Lab", 3),
}
PREMULTIPLIED, STRAIGHT = 1, 2  # alpha among the ExtraSamples
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
_SAMPLE_FORMATS = {UNSIGNED: "unsigned", SIGNED: "signed", FLOAT: "float", 4: "undefined",
                   5: "complex integer", 6: "complex float"}  # fmt: skip
_MAGICS = {  # byte order, whether it is a BigTIFF
    b"II*\0": ("<", False),
    b"MM\0*": (">", False),
    b"II+\0": ("<", True),
    b"MM\0+": (">", True),
}
MAX_TAGS = 4096  # of a directory; cameras write about a hundred
_MAX_SAMPLES_SHOWN = 8

# TIFF types as numpy's: integers, characters and bytes; and rationals, two integers each.
_TYPES = {1: "u1", 2: "u1", 3: "u2", 4: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 13: "u4",
          16: "u8", 17: "i8", 18: "u8"}  # fmt: skip
_RATIONAL, _RATIONAL_TAGS = 5, (WHITE_POINT, PRIMARIES)


@dataclass(frozen=True)
class TiffKind:
    """What the samples of a pixel are."""

    photometric: int
    n_samples: int
    bits: tuple[int, ...]  # of a sample; one number if all have the same
    formats: tuple[int, ...]  # SampleFormat; one number if all have the same
    extra: tuple[int, ...]  # ExtraSamples

    @property
    def n_colours(self) -> int:
        if self.photometric == 6 and self.n_samples == 1:
            return 1  # written for the grey of a YCbCr picture
        return _PHOTOMETRICS[self.photometric][1]

    @property
    def has_alpha(self) -> bool:
        n_extra = self.n_samples - self.n_colours
        return n_extra > 0 and self.extra[:1] in ((PREMULTIPLIED,), (STRAIGHT,))

    def __str__(self) -> str:
        bits = "/".join(map(str, self.bits[:_MAX_SAMPLES_SHOWN]))
        formats = "/".join(
            _SAMPLE_FORMATS.get(number, f"SampleFormat {number}")
            for number in self.formats[:_MAX_SAMPLES_SHOWN]
        )
        number = self.photometric
        colours = _PHOTOMETRICS.get(number, (f"photometric {number}", 0))[0]
        text = f"TIFF of {self.n_samples} x {bits}-bit {formats} ({colours}"
        if (self.n_samples > 1 and colours != "RGB") or self.extra:
            shown = ", ".join(map(str, self.extra[:_MAX_SAMPLES_SHOWN])) or "none"
            text += f"; ExtraSamples {shown}"
        return text + ")"

    def refuse_what_would_be_lost(self) -> None:
        """Raise ImageError for samples that are neither colour nor alpha, or have no scale.

        A sample that ExtraSamples calls alpha (1 or 2) is alpha. Others that follow the colours
        mean something that a picture cannot hold, whether ExtraSamples is 0 or missing.
        """
        if self.photometric not in _PHOTOMETRICS:
            raise ImageError(f"{self} is not supported; convert it to grey or RGB")
        n_extra = self.n_samples - self.n_colours
        if n_extra < 0:
            raise ImageError(f"{self} has too few samples for its colours; the file is damaged")
        if self.has_alpha and self.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE):
            n_extra -= 1
        if n_extra > 0:
            raise ImageError(
                f"{self}: {n_extra} of the {self.n_samples} samples of a pixel would be lost, "
                "being neither colour nor declared alpha; save each channel as a grey picture, or "
                "three as RGB"
            )
        if len(self.bits) > 1 or len(self.formats) > 1:
            raise ImageError(f"{self} is not supported; give all samples the same type")
        if self.formats == (SIGNED,) and self.bits[0] < 32:
            raise ImageError(
                f"{self} is not supported: signed values have no place between black and white; "
                "convert it to unsigned samples"
            )
        if self.formats[0] not in (UNSIGNED, SIGNED, FLOAT):
            raise ImageError(f"{self} is not supported; convert it to unsigned samples")


def kind_of(get: Callable[[int], object]) -> TiffKind:
    """Find the kind of samples by tags.

    Args:
      get: the value of a tag: a number, a sequence of them, or None if the file lacks it.
    """

    def numbers(tag: int) -> tuple[int, ...]:
        value = get(tag)
        values = () if value is None else np.atleast_1d(np.asarray(value)).ravel()
        return tuple(int(number) for number in values[:256])

    bits = numbers(BITS) or (1,)
    n_samples = (numbers(N_SAMPLES) or (len(bits),))[0]
    photometric = (numbers(PHOTOMETRIC) or (WHITE_IS_ZERO,))[0]
    if numbers(COMPRESSION)[:1] == (6,):  # old JPEG: YCbCr, whatever the tags say
        photometric, n_samples = 6, n_samples if numbers(N_SAMPLES) else 3
    formats = numbers(SAMPLE_FORMAT) or (UNSIGNED,)
    return TiffKind(
        photometric,
        n_samples,
        _one_if_same(bits[: max(1, n_samples)]),
        _one_if_same(formats[: max(1, n_samples)]),
        numbers(EXTRA),
    )


def _one_if_same(values: tuple[int, ...]) -> tuple[int, ...]:
    return values[:1] if len(set(values)) == 1 else values


@dataclass(frozen=True)
class TiffHeader:
    """What the first directory says."""

    kind: TiffKind
    height: int
    width: int
    compression: int
    tile_shape: tuple[int, int] | None  # height, width; None in a file of strips
    planar: bool  # one plane per sample instead of interleaved pixels
    orientation: int  # as in EXIF, 1..8
    icc_profile: bytes | None
    has_more_frames: bool
    is_big_endian_big_tiff: bool
    tags: Mapping[int, np.ndarray]  # values as stored; rationals as two integers each


def read_header(data: bytes) -> TiffHeader | None:
    """Read the first directory of a TIFF file, None for any other file.

    Raises:
      ImageError: the directory is damaged.
    """
    if data[:4] not in _MAGICS:
        return None
    order, is_big = _MAGICS[data[:4]]
    tags, next_directory = _read_tags(data, order, is_big)

    def number(tag: int, default: int) -> int:
        values = tags.get(tag)
        return int(values[0]) if values is not None and len(values) else default

    height, width = number(HEIGHT, 0), number(WIDTH, 0)
    kind = kind_of(tags.get)
    if number(DEPTH, 1) > 1:
        raise ImageError(f"{kind} has {number(DEPTH, 1)} planes in depth; save one of them")
    is_tiled = TILE_WIDTH in tags or TILE_HEIGHT in tags
    return TiffHeader(
        kind=kind,
        height=height,
        width=width,
        compression=number(COMPRESSION, 1),
        tile_shape=(number(TILE_HEIGHT, 0), number(TILE_WIDTH, 0)) if is_tiled else None,
        planar=number(PLANAR, 1) == 2 and kind.n_samples > 1,
        orientation=number(ORIENTATION, 1),
        icc_profile=tags[ICC].tobytes() or None if ICC in tags else None,
        has_more_frames=next_directory != 0 or _n_imagej_images(tags) > 1,
        is_big_endian_big_tiff=is_big and order == ">",
        tags=tags,
    )


def _read_tags(data: bytes, order: str, is_big: bool) -> tuple[dict[int, np.ndarray], int]:
    """Read the values of the tags wanted, and where the next directory stands (0: nowhere)."""
    count_code, offset_code = ("Q", "Q") if is_big else ("H", "I")
    n_inline = struct.calcsize(offset_code)
    at = _number(data, order + offset_code, 8 if is_big else 4)
    n_tags = _number(data, order + count_code, at)
    at += struct.calcsize(count_code)
    if n_tags > MAX_TAGS:
        raise ImageError(f"TIFF is damaged: {n_tags} tags, at most {MAX_TAGS} are expected")
    tags: dict[int, np.ndarray] = {}
    for _ in range(n_tags):
        tag, kind = _number(data, order + "H", at), _number(data, order + "H", at + 2)
        count = _number(data, order + offset_code, at + 4)
        value_at = at + 4 + n_inline
        at = value_at + n_inline
        if tag not in _WANTED or tag in tags:
            continue
        if kind == _RATIONAL and tag in _RATIONAL_TAGS:
            numbers, count = np.dtype(order + "u4"), 2 * count
        elif kind in _TYPES and tag not in _RATIONAL_TAGS:
            numbers = np.dtype(order + _TYPES[kind])
        else:
            continue
        if count * numbers.itemsize > n_inline:
            value_at = _number(data, order + offset_code, value_at)
        if value_at + count * numbers.itemsize <= len(data):
            tags[tag] = np.frombuffer(data, numbers, count, value_at)
        elif tag == ICC:
            tags[tag] = np.frombuffer(b"cut short", np.uint8)  # will be reported and dropped
    # A file may end behind its last tag.
    ends_here = at + n_inline > len(data)
    return tags, 0 if ends_here else _number(data, order + offset_code, at)


def _number(data: bytes, code: str, at: int) -> int:
    if at + struct.calcsize(code) > len(data):
        raise ImageError(f"TIFF is damaged or cut short: it should go on at byte {at}")
    return int(struct.unpack_from(code, data, at)[0])


def _n_imagej_images(tags: Mapping[int, np.ndarray]) -> int:
    """Count the images of ImageJ, which stores a stack behind one directory."""
    text = tags[DESCRIPTION][:4096].tobytes() if DESCRIPTION in tags else b""
    match = re.search(rb"\bimages=(\d{1,9})\b", text) if text.startswith(b"ImageJ=") else None
    return int(match[1]) if match else 1
