"""inr.image: TIFF in every layout, floats and 32-bit integers, PGM of 16 bits."""

import imagecodecs
import numpy as np
import pytest
from image_files import encoded, noise, tiff
from PIL import Image

from inr.errors import ImageError


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "layout",
    [{}, {"compression": "lzw", "predictor": True}, {"tile": (16, 16)}, {"planar": True}],
    ids=str,
)
def test_tiff_keeps_16_bits_in_every_layout(read, n_channels, layout):
    pixels = noise(20, 18, n_channels, 16)
    options = dict(layout)
    stored = pixels
    if options.pop("planar", False) and n_channels > 1:
        options["planarconfig"] = "separate"
        stored = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    data = imagecodecs.tiff_encode(
        stored[..., 0] if n_channels == 1 else stored,
        photometric="rgb" if n_channels > 2 else "minisblack",
        extrasample="unassalpha" if n_channels in (2, 4) else None,
        **options,
    )
    np.testing.assert_array_equal(read(data).pixels, pixels)


def test_tiff_big_endian_16_bits(read):
    pixels = noise(4, 3, 3, 16)
    # A copy: for a foreign byte order tiff_encode swaps its argument in place.
    data = imagecodecs.tiff_encode(pixels.copy(), photometric="rgb", byteorder=">")
    assert data[:2] == b"MM"
    np.testing.assert_array_equal(read(data).pixels, pixels)


def test_tiff_white_is_zero_is_inverted(read):
    pixels = noise(4, 3, 1, 16)
    data = imagecodecs.tiff_encode(pixels[..., 0], photometric="miniswhite")
    np.testing.assert_array_equal(read(data).pixels, 65535 - pixels)


def test_tiff_premultiplied_alpha_is_divided_out(read):
    stored = np.array([[[100, 200, 300, 32768], [0, 0, 0, 0]]], np.uint16)
    data = imagecodecs.tiff_encode(stored, photometric="rgb", extrasample="assocalpha")
    # 100 * 65535 / 32768 = 199.997
    assert read(data).pixels.tolist() == [[[200, 400, 600, 32768], [0, 0, 0, 0]]]


def test_tiff_sample_of_unknown_meaning_is_dropped(read):
    stored = noise(3, 3, 4, 16)
    data = imagecodecs.tiff_encode(stored, photometric="rgb", extrasample="unspecified")
    np.testing.assert_array_equal(read(data).pixels, stored[..., :3])


def test_12_bit_tiff_is_scaled_to_16_bits(read):
    picture = read(tiff(12, bytes([0x00, 0x0F, 0xFF]), 2, 1))  # 0x000, 0xFFF
    assert picture.pixels.tolist() == [[[0], [65535]]]


def test_float_tiff_becomes_16_bit_grey_exactly(read):
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    image = Image.fromarray((levels / 65535).astype(np.float32))
    np.testing.assert_array_equal(read(encoded(image, "TIFF")).pixels[..., 0], levels)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.01, 1.5])
def test_float_outside_0_to_1_is_refused(read, value):
    image = Image.fromarray(np.array([[0.5, value]], np.float32))
    with pytest.raises(ImageError, match=r"expected 0\.\.1; scale"):
        read(encoded(image, "TIFF"))


def test_32_bit_integers_within_16_bits_are_kept(read):
    image = Image.fromarray(np.array([[0, 65535]], np.int32))
    assert read(encoded(image, "TIFF")).pixels.tolist() == [[[0], [65535]]]


@pytest.mark.parametrize("value", [-1, 65536])
def test_32_bit_integers_beyond_16_bits_are_refused(read, value):
    image = Image.fromarray(np.array([[0, value]], np.int32))
    with pytest.raises(ImageError, match=r"expected 0\.\.65535"):
        read(encoded(image, "TIFF"))


def test_16_bit_pgm(read):
    picture = read(b"P5 2 1 65535\n" + bytes([0x12, 0x34, 0xFF, 0xFF]))
    assert picture.pixels.tolist() == [[[0x1234], [0xFFFF]]]
