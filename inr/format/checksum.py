"""The checksum of drawn pixels, where the decoder is exact and a file can promise every one."""

import zlib

import numpy as np

from inr.errors import FormatError


def pixels_crc(pixels: np.ndarray) -> int:
    """Return the CRC-32 (zlib) of u8 or u16 [height, width, n_channels] in little-endian order."""
    return zlib.crc32(np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).data)


def check_pixels(pixels: np.ndarray, crc: int) -> None:
    """Refuse, with FormatError, pixels that are not those of the checksum."""
    if pixels_crc(pixels) != crc:
        raise FormatError(
            "the pixels do not match their checksum: the file was damaged before it was sealed, or "
            "this machine computes wrongly"
        )
