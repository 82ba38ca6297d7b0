"""checksum.py: the same on every machine, row by row."""

import zlib

import numpy as np
import pytest

from inr.errors import FormatError
from inr.format.checksum import check_pixels, pixels_crc

PIXELS = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]])  # [height, width, n_channels]


def test_bytes_of_the_checksum():
    assert pixels_crc(PIXELS.astype(np.uint8)) == zlib.crc32(bytes(range(1, 9)))
    wide = zlib.crc32(bytes.fromhex("0100 0200 0300 0400 0500 0600 0700 0800"))
    assert pixels_crc(PIXELS.astype("<u2")) == pixels_crc(PIXELS.astype(">u2")) == wide
    assert pixels_crc(PIXELS.astype(np.uint8)[:, ::-1]) != pixels_crc(PIXELS.astype(np.uint8))


def test_other_pixels_are_refused():
    pixels = PIXELS.astype(np.uint8)
    check_pixels(pixels, pixels_crc(pixels))
    with pytest.raises(FormatError, match="do not match their checksum"):
        check_pixels(pixels, pixels_crc(pixels) ^ 1)
