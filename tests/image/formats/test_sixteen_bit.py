"""sixteen_bit.py: PNG, AVIF, JPEG 2000 and JPEG of more than 8 bits a sample."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from helpers.image_files import (
    GREY,
    GREY_ALPHA,
    RGB,
    RGBA,
    chunk,
    encoded,
    exif_with,
    no_warning,
    noise,
    png,
)
from PIL import Image

from inr.errors import ImageError
from inr.image.read import from_pil


def scaled(stored: np.ndarray, bits: int) -> np.ndarray:
    """The rule of the module, in floating point."""
    return np.rint(stored * (65535 / (2**bits - 1)))


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_png_keeps_16_bits(read, n_channels):
    pixels = noise(5, 4, n_channels, 16)
    colour = {1: GREY, 2: GREY_ALPHA, 3: RGB, 4: RGBA}[n_channels]
    picture = read(png(4, 5, 16, colour, pixels.astype(">u2").tobytes()))
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.pixels.dtype == np.uint16


def interlaced(pixels: np.ndarray, colour: int) -> bytes:
    """A PNG of 16 bits in the seven passes of Adam7 (PNG 3, 8.2), its rows without a filter."""
    height, width = pixels.shape[:2]
    raw = b""
    for top, left, down, right in (
        *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)),
        *((2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
    ):
        rows = pixels[top::down, left::right].astype(">u2")
        raw += b"".join(b"\0" + row.tobytes() for row in rows if row.size)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 1)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    ("n_channels", "colour"), [(1, GREY), (2, GREY_ALPHA), (3, RGB), (4, RGBA)]
)
def test_interlaced_png_keeps_16_bits(read, n_channels, colour):
    pixels = noise(9, 11, n_channels, 16)
    np.testing.assert_array_equal(read(interlaced(pixels, colour)).pixels, pixels)


def test_a_second_header_of_a_png_takes_no_memory(read):
    large = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 16, RGB, 0, 0, 0))
    with pytest.raises(ImageError):
        read(png(2, 2, 16, RGB, bytes(24), large))


def test_gamma_changes_nothing_at_16_bits(read):
    pixels = noise(3, 3, 3, 16)
    gamma = chunk(b"gAMA", struct.pack(">I", 10000))
    picture = read(png(3, 3, 16, RGB, pixels.astype(">u2").tobytes(), gamma))
    np.testing.assert_array_equal(picture.pixels, pixels)


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_avif_keeps_its_bits(read, bits, n_channels):
    ramp = np.linspace(0, 2**bits - 2, 32 * 32 * n_channels)
    stored = ramp.astype(np.uint16).reshape(32, 32, n_channels)
    data = imagecodecs.avif_encode(
        stored[..., 0] if n_channels == 1 else stored, level=100, bitspersample=bits, speed=10
    )
    pixels = read(data).pixels
    assert pixels.dtype == np.uint16
    assert pixels.shape == stored.shape
    assert abs(pixels - scaled(stored, bits)).mean() < 200  # of 65535: AVIF is lossy


def test_avif_of_8_bits_stays_so(read):
    assert read(encoded(Image.new("RGB", (4, 4), "red"), "AVIF", speed=10)).bit_depth == 8


@pytest.mark.parametrize("codecformat", ["jp2", "j2k"])
@pytest.mark.parametrize("bits", [9, 12, 16])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_jpeg_2000_keeps_its_bits(read, codecformat, bits, n_channels):
    stored = noise(9, 7, n_channels, 16) >> (16 - bits)
    data = imagecodecs.jpeg2k_encode(
        stored[..., 0] if n_channels == 1 else stored,
        level=0, reversible=True, bitspersample=bits, codecformat=codecformat,
    )  # fmt: skip
    np.testing.assert_array_equal(read(data).pixels, scaled(stored, bits))


def test_jpeg_2000_of_signed_samples_is_refused(read):
    data = imagecodecs.jpeg2k_encode(np.full((8, 8), -5, np.int16), level=0, reversible=True)
    with pytest.raises(ImageError, match="signed samples"):
        read(data)
    with pytest.raises(ImageError, match="signed samples"):
        from_pil(Image.open(io.BytesIO(data)), warn=no_warning)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_jpeg_of_12_bits_is_read(read, n_channels):
    ramp = np.linspace(0, 4095, 32 * 32 * n_channels)
    stored = ramp.astype(np.uint16).reshape(32, 32, n_channels)
    data = imagecodecs.jpeg8_encode(
        stored[..., 0] if n_channels == 1 else stored, level=98, bitspersample=12
    )
    pixels = read(data).pixels
    assert pixels.shape == stored.shape
    assert abs(pixels - scaled(stored, 12)).mean() < 200  # of 65535: JPEG is lossy


def test_jpeg_of_12_bits_is_turned_upright(read):
    stored = np.zeros((8, 16), np.uint16)
    data = imagecodecs.jpeg8_encode(stored, level=98, bitspersample=12)
    body = b"Exif\0\0" + exif_with(6).tobytes().removeprefix(b"Exif\0\0")
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    assert read(data).pixels.shape == (16, 8, 1)
