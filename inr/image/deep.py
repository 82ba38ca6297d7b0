"""AVIF, JPEG 2000 and JPEG with more than 8 bits a sample, which Pillow reads as 8 or refuses.

What the file says of its samples: AV1 Codec ISO Media File Format Binding, section 2.3 (av1C);
ITU-T T.800, A.5.1 (SIZ) and I.5.3.3 (colr); ITU-T T.81, B.2.2 (SOF). The pixels come from
libavif, OpenJPEG and libjpeg-turbo, through imagecodecs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from inr.errors import ImageError
from inr.image.decoders import decoder_errors
from inr.image.samples import scaled_to_16_bits

_J2K_START = b"\xff\x4f\xff\x51"
_JP2_START = b"\0\0\0\x0cjP  \r\n\x87\n"
_SYCC = 18
_MAX_BOXES = 1000  # looked at; a file of millions is no picture
_MAX_SEGMENTS = 10_000
_FRAME_HEADERS = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}


@dataclass(frozen=True)
class Stored:
    """How a file stores its samples."""

    bits: int = 8  # of the largest sample; 8 also where a file does not say
    is_signed: bool = False
    is_simple: bool = True  # of JPEG 2000: samples alike, not subsampled, not YCC


def stored_samples(head: bytes) -> Stored:
    """What the first bytes of a file say of its samples."""
    if head.startswith((_J2K_START, _JP2_START)):
        return _stored_in_jpeg2000(head)
    if head[4:8] == b"ftyp":
        for kind, body in boxes_of(head, b"meta", b"iprp", b"ipco"):
            if kind == b"av1C" and len(body) >= 3 and body[2] & 0x40:  # high_bitdepth
                return Stored(12 if body[2] & 0x20 else 10)
    at = _frame_header(head)
    return Stored(head[at]) if at is not None else Stored()


def with_8_bits_claimed(data: bytes) -> bytes:
    """A JPEG of 12 bits with a header that Pillow opens, so that it tells EXIF and profile."""
    at = _frame_header(data)
    if at is None or data[at] <= 8:
        return data
    return data[:at] + b"\x08" + data[at + 1 :]


def read_deep(
    data: bytes, kind: str | None, mode: str, shape: tuple[int, int]
) -> np.ndarray | None:
    """Read all bits of the first frame, as stored.

    Args:
      kind: Pillow's name of the format.
      mode: Pillow's mode for it.
      shape: height and width, which decide what memory is taken.
    Returns:
      uint16 [height, width, 1..4], or None if this file has 8 bits or cannot be read so.
    """
    stored, is_jpeg = stored_samples(data), kind in ("JPEG", "MPO")
    if stored.bits <= 8 or not (is_jpeg or kind in ("AVIF", "JPEG2000")):
        return None
    is_known = stored.is_simple and mode in ("L", "I;16", "LA", "RGB", "RGBA")
    if stored.bits > 16 or (is_jpeg and not is_known):  # with_8_bits_claimed was not the truth
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
    return scaled_to_16_bits(samples.reshape(*shape, -1), 2**stored.bits - 1)


def boxes_of(data: bytes, *path: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes (type, content) of an ISO media file, in the first box of each type of path."""
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


def _stored_in_jpeg2000(head: bytes) -> Stored:
    is_ycc = any(
        kind == b"colr" and body[:1] == b"\x01" and body[3:7] == struct.pack(">I", _SYCC)
        for kind, body in boxes_of(head, b"jp2h")
    )
    at = head.find(_J2K_START) + len(_J2K_START)  # of the SIZ segment
    if len(head) < at + 38 or at < len(_J2K_START):
        return Stored()
    n_components = struct.unpack_from(">H", head, at + 36)[0]
    components = head[at + 38 : at + 38 + 3 * min(n_components, 16)]
    depths, steps = components[::3], components[1::3] + components[2::3]
    if not depths:
        return Stored()
    return Stored(
        bits=max((depth & 0x7F) + 1 for depth in depths),
        is_signed=any(depth & 0x80 for depth in depths),
        is_simple=not is_ycc and len(set(depths)) == 1 and set(steps) == {1},
    )


def _frame_header(data: bytes) -> int | None:
    """Where a JPEG says how many bits a sample has; None if it is no JPEG."""
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
