"""Samples of any depth become 16 bits; PNG, AVIF, JPEG 2000 and JPEG that have more than 8.

One rule for all formats:
  - n-bit integers, 9 to 16 bits: v * 65535 / (2**n - 1), to the nearest.
  - 32 and 64-bit integers must lie in 0..65535 and keep their value.
  - Floats must lie in 0..1: v * 65535, to the nearest.

Pillow reads the four formats as 8 bits or refuses them; their pixels come from libpng, libavif,
OpenJPEG and libjpeg-turbo, through imagecodecs. What a file says of its samples: PNG 3, 11.2.1
(IHDR); AV1 Codec ISO Media File Format Binding, section 2.3 (av1C); ITU-T T.800, A.5.1 (SIZ) and
I.5.3.3 (colr); ITU-T T.81, B.2.2 (SOF).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from inr.errors import ImageError
from inr.image.formats.decoders import decoder_errors

_BAND_SAMPLES = 1 << 20  # converted at once; whole pictures would need their size again
_PNG_START = b"\x89PNG\r\n\x1a\n"
_J2K_START = b"\xff\x4f\xff\x51"
_JP2_START = b"\0\0\0\x0cjP  \r\n\x87\n"
_SYCC = 18
_MAX_BOXES = 1000  # looked at; a file of millions is no picture
_MAX_SEGMENTS = 10_000
_PNG_CHANNELS = {2: 3, 4: 2, 6: 4}  # by colour type
_PIXEL_CHUNKS = (b"IHDR", b"IDAT", b"IEND")
_FRAME_HEADERS = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}


def scale_to_16_bits(values: np.ndarray, largest: int) -> np.ndarray:
    """Scale unsigned integers 0..largest to uint16 0..65535.

    Args:
      values: unsigned integers of any shape.
      largest: what stands for full brightness, 1..65535.
    Raises:
      ImageError: a value above largest.
    """
    highest = int(values.max(initial=0))
    if highest > largest:
        raise ImageError(f"a sample is {highest}, above the largest value {largest} of the file")
    if largest == 65535:
        return values.astype(np.uint16, copy=False)
    pixels = np.empty(values.shape, np.uint16)
    for band in _bands(values):
        # 65535 * 65535 + 32767 < 2**32
        pixels[band] = (values[band].astype(np.uint32) * 65535 + largest // 2) // largest
    return pixels


def integers_to_16_bits(values: np.ndarray) -> np.ndarray:
    """Take integers of any size that lie in 0..65535 as they are, as uint16."""
    _check_range(values, 65535)
    return values.astype(np.uint16)


def floats_to_16_bits(values: np.ndarray) -> np.ndarray:
    """Scale floats 0..1 to uint16 0..65535."""
    _check_range(values, 1)
    pixels = np.empty(values.shape, np.uint16)
    for band in _bands(values):
        exact = values[band].astype(np.float64)  # in float32 a product could round to a tie
        pixels[band] = np.rint(np.multiply(exact, 65535, out=exact), out=exact)
    return pixels


def _bands(values: np.ndarray) -> list[slice]:
    """Cut the first axis into slices of about _BAND_SAMPLES samples each."""
    n_rows = max(1, _BAND_SAMPLES // max(1, values[:1].size))
    return [slice(top, top + n_rows) for top in range(0, len(values), n_rows)]


def _check_range(values: np.ndarray, largest: int) -> None:
    low, high = values.min(), values.max()
    if low >= 0 and high <= largest:
        return
    if not np.isfinite([low, high]).all():
        n_nan, n_infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
        counts = [f"{n} {name}" for n, name in ((n_nan, "NaN"), (n_infinite, "infinite")) if n]
        raise ImageError(
            f"pixel values hold {' and '.join(counts)} numbers, expected 0..{largest}; "
            "scale or replace them first"
        )
    raise ImageError(
        f"pixel values lie in {low:g}..{high:g}, expected 0..{largest}; scale them first"
    )


@dataclass(frozen=True)
class SampleInfo:
    """How a file stores its samples."""

    bits: int = 8  # of the largest sample; 8 also where a file does not say
    is_signed: bool = False
    is_simple: bool = True  # of JPEG 2000: samples alike, not subsampled, not YCC


def read_sample_info(head: bytes) -> SampleInfo:
    """Read what the first bytes of a file say of its samples."""
    if head.startswith(_PNG_START) and len(head) > 24:
        return SampleInfo(head[24])
    if head.startswith((_J2K_START, _JP2_START)):
        return _jpeg2000_info(head)
    if head[4:8] == b"ftyp":
        for kind, body in boxes_of(head, b"meta", b"iprp", b"ipco"):
            if kind == b"av1C" and len(body) >= 3 and body[2] & 0x40:  # high_bitdepth
                return SampleInfo(12 if body[2] & 0x20 else 10)
    at = _frame_header(head)
    return SampleInfo(head[at]) if at is not None else SampleInfo()


def claim_8_bits(data: bytes) -> bytes:
    """Give a JPEG of 12 bits a header that Pillow opens, so that it tells EXIF and profile."""
    at = _frame_header(data)
    if at is None or data[at] <= 8:
        return data
    return data[:at] + b"\x08" + data[at + 1 :]


def read_deep(
    data: bytes, kind: str | None, mode: str, shape: tuple[int, int]
) -> np.ndarray | None:
    """Read all bits of the first frame, as stored.

    Args:
      data: the file, its checksums right.
      kind: Pillow's name of the format.
      mode: Pillow's mode for it.
      shape: height and width, which decide what memory is taken.
    Returns:
      uint16 [height, width, 1..4], or None if this file has 8 bits or cannot be read so.
    """
    stored, is_jpeg = read_sample_info(data), kind in ("JPEG", "MPO")
    if stored.bits <= 8 or not (is_jpeg or kind in ("PNG", "AVIF", "JPEG2000")):
        return None
    if kind == "PNG":
        return None if mode == "I;16" else _read_png(data, shape)  # grey is left to Pillow
    is_known = stored.is_simple and mode in ("L", "I;16", "LA", "RGB", "RGBA")
    if stored.bits > 16 or (is_jpeg and not is_known):  # claim_8_bits was not the truth
        raise ImageError(
            f"{kind} of {stored.bits} bits a sample ({mode}) is not supported; "
            "convert it to grey or RGB of at most 16"
        )
    if not is_known:
        return None
    import imagecodecs

    with decoder_errors():
        if kind == "AVIF":
            if not imagecodecs.AVIF.available:  # not in every build
                return None
            samples = imagecodecs.avif_decode(data, index=0)
            if samples.dtype == np.uint8:  # another item has more bits, as the alpha
                return None
        elif kind == "JPEG2000":
            samples = imagecodecs.jpeg2k_decode(data)
        else:
            samples = imagecodecs.jpeg8_decode(data)
    if samples.dtype != np.uint16 or samples.shape[:2] != shape or samples.size % np.prod(shape):
        raise ImageError(f"picture decodes to {samples.dtype} {samples.shape}; it is damaged")
    return scale_to_16_bits(samples.reshape(*shape, -1), 2**stored.bits - 1)


def _read_png(data: bytes, shape: tuple[int, int]) -> np.ndarray:
    """Read a PNG of 16-bit RGB, RGBA or grey and alpha, whose checksums have been checked.

    libpng gets the chunks of the pixels alone: of the others it prints its opinion on stderr, and
    it would make alpha of a colour key. Of an interlaced file it prints a line all the same.
    """
    import imagecodecs

    chunks = [data[at : at + 12 + n] for kind, at, n in png_chunks(data) if kind in _PIXEL_CHUNKS]
    # Memory of our own is as large as was checked, whatever another header in the file says.
    pixels = np.zeros((*shape, _PNG_CHANNELS[data[25]]), np.uint16)
    with decoder_errors():
        imagecodecs.png_decode(_PNG_START + b"".join(chunks), out=pixels)
    return pixels


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """List the chunks of a PNG: type, where it stands, bytes of its content, 8 bytes later."""
    at = len(_PNG_START)
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at, size
        at += 12 + size


def boxes_of(data: bytes, *path: bytes) -> Iterator[tuple[bytes, bytes]]:
    """List the boxes (type, content) of an ISO media file in the first box of each type of path."""
    start, end = 0, len(data)
    for wanted in path:
        for kind, at, stop in _boxes(data, start, end):
            if kind == wanted:
                start, end = at + (4 if kind == b"meta" else 0), stop  # meta: version and flags
                break
        else:
            return
    for kind, at, stop in _boxes(data, start, end):
        yield kind, data[at:stop]


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        n_header = 8
        if size == 1 and start + 16 <= end:
            size, n_header = struct.unpack_from(">Q", data, start + 8)[0], 16
        stop = end if size == 0 else min(start + size, end)
        if size != 0 and size < n_header:
            return
        yield kind, start + n_header, stop
        start = stop


def _jpeg2000_info(head: bytes) -> SampleInfo:
    is_ycc = any(
        kind == b"colr" and body[:1] == b"\x01" and body[3:7] == struct.pack(">I", _SYCC)
        for kind, body in boxes_of(head, b"jp2h")
    )
    at = head.find(_J2K_START) + len(_J2K_START)  # of the SIZ segment
    if len(head) < at + 38 or at < len(_J2K_START):
        return SampleInfo()
    n_components = struct.unpack_from(">H", head, at + 36)[0]
    components = head[at + 38 : at + 38 + 3 * min(n_components, 16)]
    depths, steps = components[::3], components[1::3] + components[2::3]
    if not depths:
        return SampleInfo()
    return SampleInfo(
        bits=max((depth & 0x7F) + 1 for depth in depths),
        is_signed=any(depth & 0x80 for depth in depths),
        is_simple=not is_ycc and len(set(depths)) == 1 and set(steps) == {1},
    )


def _frame_header(data: bytes) -> int | None:
    """Find where a JPEG says how many bits a sample has; None if it is no JPEG."""
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    at = 2
    for _ in range(_MAX_SEGMENTS):
        if at + 5 > len(data) or data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # a filling byte
            at += 1
        elif marker in _FRAME_HEADERS:
            return at + 4
        elif marker == 0xDA:  # the pixels begin
            return None
        else:
            at += 2 + max(2, struct.unpack_from(">H", data, at + 2)[0])
    return None
