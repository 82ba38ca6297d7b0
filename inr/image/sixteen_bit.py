"""PNG with 16 bits per channel in and out, and TIFF out, which Pillow alone takes for 8 bits.

PNG: https://www.w3.org/TR/png-3/ (11.2.1 IHDR, 11.3.2.3 iCCP). TIFF: revision 6.0, section 8.
TIFF is read in image_tiff.py.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from PIL.ImageFile import ImageFile

from inr.image.decoders import open_picture, pillow_calls

# Speed: on a 768x512 photo level 3 takes a third of the time of level 6 for 5 % more bytes.
DEFLATE_LEVEL = 3


def png_needs_two_passes(image: ImageFile) -> bool:
    """True for a 16-bit RGB, RGBA or grey+alpha PNG that was opened but not loaded yet."""
    return image.format == "PNG" and any(
        tile.args in ("RGB;16B", "RGBA;16B", "LA;16B") for tile in image.tile
    )


def read_png(first: ImageFile, data: bytes, max_pixels: int) -> np.ndarray:
    """Read all 16 bits of a PNG by having Pillow unpack its bytes in another way.

    Pillow inflates, unfilters and checks the file as always and then keeps one byte of
    each big-endian pair. Unpacked as little-endian, the byte it keeps is the low one.

    Args:
      first: the file opened by Pillow, not loaded; png_needs_two_passes(first) holds.
      data: the same file, to be opened once more.
    Returns:
      uint16 [height, width, 2..4].
    """
    raw_mode = first.tile[0].args
    if raw_mode == "LA;16B":
        _unpack_as(first, "RGBA")  # four bytes a pixel: grey high, low, alpha high, low
        return np.asarray(first).view(">u2").astype(np.uint16)
    width, height = first.size
    pixels = np.empty((height, width, len(first.mode)), np.uint16)
    with open_picture(data, max_pixels) as second:
        _unpack_as(second, "RGB;16L" if raw_mode == "RGB;16B" else "RGBA;16L")
        with pillow_calls():
            first.load()
        for top in range(0, height, 64):  # in bands: whole arrays would double the memory
            box = (0, top, width, min(top + 64, height))
            high = np.asarray(first.crop(box)).astype(np.uint16)
            pixels[top : box[3]] = high << 8 | np.asarray(second.crop(box))
    return pixels


def _unpack_as(image: ImageFile, raw_mode: str) -> None:
    with pillow_calls():
        image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
        image.load()


def encode_png(pixels: np.ndarray, icc_profile: bytes | None) -> bytes:
    """A PNG file of uint8 or uint16 [height, width, 1..4], with its colour profile."""
    import imagecodecs

    data = bytes(imagecodecs.png_encode(_without_single_channel(pixels), level=DEFLATE_LEVEL))
    if icc_profile is None:
        return data
    end_of_ihdr = 33  # 8 signature + 4 length + 4 type + 13 header + 4 CRC; iCCP precedes IDAT
    body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(icc_profile)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:end_of_ihdr] + chunk + data[end_of_ihdr:]


def encode_tiff(pixels: np.ndarray, icc_profile: bytes | None) -> bytes:
    """A TIFF file of uint16 [height, width, 1..4] (deflate), with its colour profile."""
    import imagecodecs

    n_channels = pixels.shape[2]
    return bytes(
        imagecodecs.tiff_encode(
            _without_single_channel(pixels),
            level=DEFLATE_LEVEL,
            compression="deflate",
            predictor=True,
            planarconfig="contig",  # else [3, w, 3] could be read as three planes
            photometric="rgb" if n_channels >= 3 else "minisblack",
            extrasample="unassalpha" if n_channels in (2, 4) else None,
            iccprofile=icc_profile,
        )
    )


def _without_single_channel(pixels: np.ndarray) -> np.ndarray:
    pixels = np.ascontiguousarray(pixels)
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels
