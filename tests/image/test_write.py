"""write.py: what is saved is loaded, and what a format cannot hold is refused."""

import io
import os
import sys
import threading

import imagecodecs
import numpy as np
import pytest
from helpers.image_files import (
    SRGB_PROFILE,
    no_warning,
    noise,
)
from PIL import Image

from inr.image.picture import Picture
from inr.image.read import load
from inr.image.write import check_savable, encode_png, save, to_pil

LOSSLESS = [
    *[(suffix, 8, n) for suffix in (".png", ".tif", ".TIFF", ".jp2", ".tga") for n in (1, 2, 3, 4)],
    *[(suffix, 16, n) for suffix in (".png", ".tiff") for n in (1, 2, 3, 4)],
    *[(suffix, 8, n) for suffix in (".bmp", ".ppm", ".pnm") for n in (1, 3)],
    *[(".webp", 8, 3), (".webp", 8, 4), (".pgm", 8, 1)],
]


@pytest.mark.parametrize(("suffix", "bit_depth", "n_channels"), LOSSLESS)
def test_what_is_saved_is_loaded(tmp_path, suffix, bit_depth, n_channels):
    picture = Picture(noise(6, 11, n_channels, bit_depth))
    path = tmp_path / f"picture{suffix}"
    save(picture, path)
    back = load(path, warn=no_warning)
    np.testing.assert_array_equal(back.pixels, picture.pixels)
    assert back.bit_depth == bit_depth


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 3), (4, 3), (3, 4)])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_small_16_bit_pictures_keep_their_shape(tmp_path, suffix, n_channels, shape):
    picture = Picture(noise(*shape, n_channels, 16) // 2)  # no alpha of 65535
    save(picture, tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(
        load(tmp_path / f"a{suffix}", warn=no_warning).pixels, picture.pixels
    )


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".avif"])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_lossy_formats_stay_close(tmp_path, suffix, n_channels):
    ramp = np.linspace(0, 255, 32 * 32 * n_channels).astype(np.uint8)
    picture = Picture(ramp.reshape(32, 32, n_channels))
    save(picture, tmp_path / f"a{suffix}")
    back = load(tmp_path / f"a{suffix}", warn=no_warning).pixels.astype(int)
    assert abs(back - picture.pixels).mean() < 2  # quality 95


@pytest.mark.parametrize(
    ("suffix", "bit_depth"),
    [(".png", 8), (".png", 16), (".tiff", 8), (".tiff", 16), (".webp", 8), (".jpg", 8),
     (".avif", 8)],
)  # fmt: skip
def test_profile_is_embedded(tmp_path, suffix, bit_depth):
    save(Picture(noise(8, 8, 3, bit_depth), SRGB_PROFILE), tmp_path / f"a{suffix}")
    assert load(tmp_path / f"a{suffix}", warn=no_warning).icc_profile == SRGB_PROFILE


def test_16_bit_png_is_one_that_others_read():
    data = encode_png(noise(5, 4, 3, 16), SRGB_PROFILE)
    np.testing.assert_array_equal(imagecodecs.png_decode(data), noise(5, 4, 3, 16))
    image = Image.open(io.BytesIO(data))
    image.verify()
    assert image.info["icc_profile"] == SRGB_PROFILE


@pytest.mark.parametrize(
    ("suffix", "n_channels", "bit_depth", "match"),
    [
        (".xyz", 3, 8, r"cannot write '\.xyz' files; choose one of \.png"),
        ("", 3, 8, "cannot write '' files"),
        (".jpg", 3, 16, r"\.jpg holds 8 bits, the picture has 16; choose \.png or \.tiff"),
        (".webp", 1, 16, "holds 8 bits"),
        (".jpg", 4, 8, r"\.jpg holds no alpha"),
        (".bmp", 2, 8, "holds no alpha"),
        (".ppm", 4, 8, "holds no alpha"),
        (".pgm", 3, 8, "holds grey only"),
    ],
)
def test_save_refuses_what_the_format_cannot_hold(tmp_path, suffix, n_channels, bit_depth, match):
    picture = Picture(noise(2, 2, n_channels, bit_depth))
    path = tmp_path / f"a{suffix}"
    with pytest.raises(ValueError, match=match):
        save(picture, path)
    with pytest.raises(ValueError, match=match):
        check_savable(picture, suffix)
    assert not path.exists()


def test_side_limit_of_webp():
    with pytest.raises(ValueError, match="at most 16383 pixels a side, the picture is 16384x1"):
        check_savable(Picture(np.zeros((1, 16384, 3), np.uint8)), ".webp")


def test_save_to_a_file_object_and_under_another_name(tmp_path):
    picture = Picture(noise(3, 3, 3))
    buffer = io.BytesIO()
    save(picture, buffer, suffix=".png")
    save(picture, tmp_path / "a.part", suffix=".png")
    assert (tmp_path / "a.part").read_bytes() == buffer.getvalue()
    with pytest.raises(ValueError, match="pass suffix="):
        save(picture, buffer)


def test_a_file_that_is_replaced_keeps_its_mode_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    path.chmod(0o600)
    save(Picture(noise(3, 3, 3)), path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs")
def test_a_pipe_is_written_into(tmp_path):
    path = tmp_path / "a.png"
    os.mkfifo(path)
    writer = threading.Thread(target=save, args=(Picture(noise(3, 3, 3)), path))
    writer.start()
    assert path.read_bytes().startswith(b"\x89PNG")
    writer.join()
    assert path.is_fifo()


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
