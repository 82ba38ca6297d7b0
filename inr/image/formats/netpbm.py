"""PGM, PPM and PAM of more than 8 bits, and PAM of 8: what Pillow reads as 8 bits or not at all.

https://netpbm.sourceforge.net/doc/ppm.html, pgm.html and pam.html.
"""

from __future__ import annotations

import re

import numpy as np

from inr.errors import ImageError
from inr.image.formats.decoders import check_size
from inr.image.formats.sixteen_bit import scale_to_16_bits

_SPACE = rb"(?:[ \t-\r]|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(
    rb"P([2356])" + _SPACE + rb"(\d{1,10})" + _SPACE + rb"(\d{1,10})" + _SPACE + rb"(\d{1,5})\s"
)
_PAM_HEADER = re.compile(rb"P7\n((?:[^\n]{0,256}\n){1,64}?)ENDHDR\n")
_PAM_CHANNELS = {
    b"BLACKANDWHITE": 1, b"GRAYSCALE": 1, b"RGB": 3,
    b"BLACKANDWHITE_ALPHA": 2, b"GRAYSCALE_ALPHA": 2, b"RGB_ALPHA": 4,
}  # fmt: skip
_MAX_HEADER_BYTES = 1 << 16  # with comments
MAX_VALUE = 65535  # of a sample, by the format


def read_netpbm(data: bytes, max_pixels: int) -> np.ndarray | None:
    """Read what Pillow would not read whole, None for any other file.

    Returns:
      [height, width, 1..4]; uint16 if the file says that samples may be over 255, else uint8.
    Raises:
      ImageError: damaged, too large, or a PAM of a kind that is no picture.
    """
    if data.startswith(b"P7\n"):
        return _read_pam(data, max_pixels)
    match = _HEADER.match(data[:_MAX_HEADER_BYTES])
    if match is None or int(match[4]) <= 255:
        return None
    kind, width, height, largest = (int(number) for number in match.groups())
    n_channels = 3 if kind in (3, 6) else 1
    check_size(height, width, max_pixels)
    _check_largest(largest)
    shape = (height, width, n_channels)
    if kind in (2, 3):
        return scale_to_16_bits(_plain(data[match.end() :], shape), largest)
    return scale_to_16_bits(_raster(data, match.end(), shape, ">u2"), largest)


def _read_pam(data: bytes, max_pixels: int) -> np.ndarray:
    match = _PAM_HEADER.match(data)
    if match is None:
        raise ImageError("PAM is damaged: its header does not end")
    fields: dict[bytes, bytes] = {}
    for line in match[1].splitlines():
        name, _, value = line.strip().partition(b" ")
        fields[name] = value.strip()
    height, width, depth, largest = (
        int(fields[name]) if re.fullmatch(rb"\d{1,10}", fields.get(name, b"")) else 0
        for name in (b"HEIGHT", b"WIDTH", b"DEPTH", b"MAXVAL")
    )
    kind = fields.get(b"TUPLTYPE", b"")
    if _PAM_CHANNELS.get(kind) != depth:
        name = kind.decode("ascii", "backslashreplace") or "no type"
        raise ImageError(
            f"PAM of {depth} channels and {name} is not supported; make it GRAYSCALE, RGB, "
            "GRAYSCALE_ALPHA or RGB_ALPHA"
        )
    check_size(height, width, max_pixels)
    _check_largest(largest)
    values = _raster(data, match.end(), (height, width, depth), ">u2" if largest > 255 else "u1")
    if largest == 255:
        return values
    if largest > 255:
        return scale_to_16_bits(values, largest)
    if int(values.max()) > largest:
        raise ImageError(
            f"a sample is {values.max()}, above the largest value {largest} of the file"
        )
    return ((values.astype(np.uint16) * 255 + largest // 2) // largest).astype(np.uint8)


def _check_largest(largest: int) -> None:
    if not 1 <= largest <= MAX_VALUE:
        raise ImageError(f"the largest value of a sample is {largest}, expected 1..{MAX_VALUE}")


def _raster(data: bytes, start: int, shape: tuple[int, int, int], dtype: str) -> np.ndarray:
    n_values = shape[0] * shape[1] * shape[2]
    want, have = n_values * np.dtype(dtype).itemsize, len(data) - start
    if have < want:
        raise ImageError(f"truncated: {have} bytes of pixels, the picture needs {want}")
    return np.frombuffer(data, dtype, n_values, start).reshape(shape)


def _plain(text: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Read samples written as decimal numbers, uint16."""
    text = re.sub(rb"#[^\r\n]*", b"", text)
    n_values = shape[0] * shape[1] * shape[2]
    if text.translate(None, b"0123456789 \t\n\v\f\r"):
        raise ImageError("picture is damaged: its samples are not all written as numbers")
    # Not its argument `count`: where the text is shorter, numpy gives memory as it finds it.
    values = np.fromstring(text.decode("ascii").strip(), np.int64, sep=" ")[:n_values]
    if values.size < n_values:
        raise ImageError(f"truncated: {values.size} samples, the picture needs {n_values}")
    highest = int(values.max(initial=0))
    if highest > MAX_VALUE:
        raise ImageError(f"a sample is {highest}, above {MAX_VALUE}")
    return values.reshape(shape).astype(np.uint16)
