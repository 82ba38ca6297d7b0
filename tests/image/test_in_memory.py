"""inr.image.read: from_array, from_pil and to_pil."""

import io

import numpy as np
import pytest
from helpers.image_files import RGB, SRGB_PROFILE, encoded, exif_with, no_warning, noise, png, tiff
from PIL import Image

from inr.errors import ImageError
from inr.image.read import Picture, from_array, from_pil, to_pil


def test_from_array():
    assert from_array(np.zeros((2, 3), np.uint8)).pixels.shape == (2, 3, 1)
    pixels = noise(2, 3, 4, 16)
    picture = from_array(pixels.astype(">u2"))
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.pixels.dtype == np.dtype("=u2")
    pixels[:] = 0
    assert picture.pixels.any()  # a copy


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.zeros((2, 2)), "dtype float64, expected uint8 or uint16; for floats"),
        (np.zeros((2, 2), np.int16), "dtype int16"),
        (np.zeros((2, 2, 5), np.uint8), r"shape \(2, 2, 5\)"),
        (np.zeros((2, 2, 0), np.uint8), "shape"),
        (np.zeros((0, 2), np.uint8), "no empty side"),
        (np.zeros(3, np.uint8), "shape"),
    ],
)
def test_from_array_refuses(array, match):
    with pytest.raises(ValueError, match=match):
        from_array(array)


def test_from_pil_follows_the_rules_of_files():
    data = encoded(Image.new("RGB", (2, 3)), "PNG", exif=exif_with(6), icc_profile=SRGB_PROFILE)
    picture = from_pil(Image.open(io.BytesIO(data)), warn=no_warning)
    assert (picture.height, picture.width) == (2, 3)
    assert picture.icc_profile == SRGB_PROFILE
    assert from_pil(Image.new("RGBA", (1, 1), "red"), warn=no_warning).n_channels == 3
    assert from_pil(Image.new("1", (1, 1)), warn=no_warning).n_channels == 1
    with pytest.raises(ImageError, match="at least 1"):
        from_pil(Image.new("RGB", (0, 3)), warn=no_warning)


def test_from_pil_turns_an_uncompressed_tiff_that_has_a_name(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(8, bytes(range(6)), 3, 2, t274=6))
    with Image.open(tmp_path / "a.tif") as image:
        picture = from_pil(image, warn=no_warning)
        assert image.filename == str(tmp_path / "a.tif")
    assert picture.pixels[..., 0].tolist() == [[3, 0], [4, 1], [5, 2]]


def test_from_pil_says_that_pillow_loses_bits():
    notes: list[str] = []
    from_pil(Image.open(io.BytesIO(png(1, 1, 16, RGB, bytes(6)))), warn=notes.append)
    assert "16" in notes[0]


@pytest.mark.parametrize(("n_channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_to_pil_8_bits(n_channels, mode):
    pixels = noise(3, 2, n_channels)
    image = to_pil(Picture(pixels, SRGB_PROFILE))
    assert (image.mode, image.size) == (mode, (2, 3))
    np.testing.assert_array_equal(np.asarray(image).reshape(3, 2, -1), pixels)
    assert image.info["icc_profile"] == SRGB_PROFILE


def test_to_pil_16_bits():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    grey = to_pil(Picture(levels))
    assert grey.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(grey), levels[..., 0])
    colour = np.asarray(to_pil(Picture(np.repeat(levels, 3, axis=2))))
    np.testing.assert_array_equal(colour[..., 0], np.rint(levels[..., 0] * 255.0 / 65535))
