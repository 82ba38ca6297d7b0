"""read.py: the rules of reading, each on pictures made here; and where the bytes may come from."""

import io
import os
import struct
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from helpers.image_files import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    SRGB_PROFILE,
    chunk,
    encoded,
    exif_with,
    no_warning,
    noise,
    png,
    tiff,
)
from PIL import Image, ImageOps

from inr.errors import ImageError
from inr.image.read import from_array, from_pil, load, load_bytes
from inr.image.write import encode_png, encode_tiff

FILES = {
    "png": encoded(Image.fromarray(noise(5, 4, 3)), "PNG", icc_profile=SRGB_PROFILE),
    "png16": encode_png(noise(5, 4, 3, 16), SRGB_PROFILE),
    "tiff": encoded(Image.fromarray(noise(5, 4, 3)), "TIFF"),
    "tiff16": encode_tiff(noise(5, 4, 3, 16), None),
    "jpeg": encoded(Image.fromarray(noise(5, 4, 3)), "JPEG", exif=exif_with(6)),
    "webp": encoded(Image.fromarray(noise(5, 4, 3)), "WEBP"),
    "gif": encoded(Image.fromarray(noise(5, 4, 1)[..., 0]), "GIF"),
    "ppm16": b"P6 1 1 65535\n" + bytes(6),
    "jp2": encoded(Image.fromarray(noise(5, 4, 3)), "JPEG2000"),
}


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_low_depth_grey_is_one_channel_over_the_whole_range(read, depth):
    picture = read(png(2, 1, depth, GREY, bytes([0b01 << (8 - 2 * depth)])))  # samples 0, 1
    assert picture.pixels.tolist() == [[[0], [255 // (2**depth - 1)]]]
    assert (picture.bit_depth, picture.has_alpha) == (8, False)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_grey_colour_key_becomes_alpha_at_every_depth(read, depth):
    rows = {
        1: bytes([0b0100_0000]),
        2: bytes([0b0001_0000]),
        4: bytes([0x01]),
        8: bytes([0, 1]),
        16: bytes([0, 0, 0, 1]),
    }[depth]  # samples 0, 1
    picture = read(png(2, 1, depth, GREY, rows, chunk(b"tRNS", struct.pack(">H", 1))))
    top = 65535 if depth == 16 else 255
    one = 1 if depth >= 8 else 255 // (2**depth - 1)
    assert picture.pixels.tolist() == [[[0, top], [one, 0]]]


@pytest.mark.parametrize(("depth", "code"), [(8, "B"), (16, "H")])
def test_rgb_colour_key_needs_all_bits_to_match(read, depth, code):
    rows = struct.pack(f">6{code}", 1, 2, 3, 1, 2, 4)  # only the last bit differs
    picture = read(png(2, 1, depth, RGB, rows, chunk(b"tRNS", struct.pack(">3H", 1, 2, 3))))
    top = 2**depth - 1
    assert picture.pixels.tolist() == [[[1, 2, 3, 0], [1, 2, 4, top]]]


def test_colour_key_that_no_pixel_has_leaves_the_picture_opaque(read):
    key = chunk(b"tRNS", struct.pack(">3H", 9, 9, 9))
    assert read(png(1, 1, 8, RGB, bytes([1, 2, 3]), key)).pixels.tolist() == [[[1, 2, 3]]]


def test_opaque_alpha_is_dropped_and_other_alpha_kept(read):
    pixels = noise(3, 3, 4)
    pixels[..., 3] = 255
    assert read(encoded(Image.fromarray(pixels), "PNG")).n_channels == 3
    assert read(encoded(Image.fromarray(pixels[..., 2:]), "PNG")).n_channels == 1
    pixels[1, 1, 3] = 254
    np.testing.assert_array_equal(read(encoded(Image.fromarray(pixels), "PNG")).pixels, pixels)
    deep = np.full((2, 2, 2), 65535, ">u2")
    assert read(png(2, 2, 16, GREY_ALPHA, deep.tobytes())).n_channels == 1


def test_colours_below_zero_alpha_are_kept(read):
    pixels = np.array([[[10, 20, 30, 0]]], np.uint8)
    assert read(encoded(Image.fromarray(pixels), "PNG")).pixels.tolist() == pixels.tolist()


def test_palette_becomes_rgb_even_if_all_its_colours_are_grey(read):
    palette = chunk(b"PLTE", bytes([7, 7, 7, 9, 9, 9]))
    assert read(png(2, 1, 8, PALETTE, bytes([0, 1]), palette)).pixels.tolist() == [
        [[7, 7, 7], [9, 9, 9]]
    ]


def test_palette_alpha(read):
    palette = chunk(b"PLTE", bytes([7, 8, 9, 1, 2, 3])) + chunk(b"tRNS", bytes([100]))
    assert read(png(2, 1, 8, PALETTE, bytes([0, 1]), palette)).pixels.tolist() == [
        [[7, 8, 9, 100], [1, 2, 3, 255]]
    ]


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB"])
def test_other_colour_models_become_rgb_by_pillow(read, mode):
    image = Image.fromarray(noise(4, 4, 3)).convert(mode)
    notes: list[str] = []
    picture = read(encoded(image, "TIFF"), warn=notes.append)
    np.testing.assert_array_equal(picture.pixels, np.asarray(image.convert("RGB")))
    assert picture.icc_profile is None
    assert len(notes) == (mode == "LAB")  # Pillow writes a Lab profile with it


def test_cmyk_jpeg(read):
    data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95)
    assert abs(read(data).pixels.astype(int) - [255, 0, 0]).max() <= 3  # JPEG error


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bit_depth", [8, 16])
def test_exif_orientation_is_applied_as_pillow_does(read, orientation, bit_depth):
    pixels = noise(3, 5, 3)
    exif = exif_with(orientation)
    image = Image.open(io.BytesIO(encoded(Image.fromarray(pixels), "PNG", exif=exif)))
    upright = np.asarray(ImageOps.exif_transpose(image))
    if bit_depth == 8:
        data = encoded(Image.fromarray(pixels), "PNG", exif=exif)
    else:
        extra = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        data = png(5, 3, 16, RGB, (pixels.astype(">u2") * 257).tobytes(), extra)
        upright = upright.astype(np.uint16) * 257
    np.testing.assert_array_equal(read(data).pixels, upright)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_tiff_orientation_is_applied_once(read, orientation):
    rows = bytes(range(6))  # 3 wide, 2 high
    shallow = read(tiff(8, rows, 3, 2, t274=orientation)).pixels[..., 0]
    deep = read(tiff(16, b"".join(bytes([v, 0]) for v in rows), 3, 2, t274=orientation))
    expected = {1: [[0, 1, 2], [3, 4, 5]], 3: [[5, 4, 3], [2, 1, 0]], 6: [[3, 0], [4, 1], [5, 2]]}
    assert shallow.tolist() == deep.pixels[..., 0].tolist() == expected[orientation]


def test_damaged_exif_is_a_warning(read):
    notes: list[str] = []
    data = png(1, 1, 8, GREY, b"\x05", chunk(b"eXIf", b"rubbish"))
    assert read(data, warn=notes.append).pixels.tolist() == [[[5]]]
    assert len(notes) == 1
    assert "EXIF" in notes[0]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_several_with_a_warning(read, kind):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    notes: list[str] = []
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (read(data, warn=notes.append).pixels == [255, 0, 0]).all()
    assert len(notes) == 1
    assert "several frames" in notes[0]


def test_python_warnings_of_the_caller_work_inside_warn(read):
    data = encoded(Image.new("RGB", (2, 2)), "PNG", icc_profile=b"rubbish" * 30)
    with pytest.warns(UserWarning, match="profile"):
        read(data, warn=lambda text: warnings.warn(text, stacklevel=1))


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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs")
@pytest.mark.parametrize("kind", FILES)
def test_a_pipe_is_read_like_a_file(tmp_path, kind):
    (tmp_path / "file").write_bytes(FILES[kind])
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(FILES[kind],))
    writer.start()
    through_pipe = load(tmp_path / "pipe", warn=no_warning)
    writer.join()
    from_file = load(tmp_path / "file", warn=no_warning)
    from_memory = load_bytes(FILES[kind], "picture", warn=no_warning)
    for picture in (through_pipe, from_memory):
        np.testing.assert_array_equal(picture.pixels, from_file.pixels)
        assert picture.icc_profile == from_file.icc_profile


@pytest.mark.skipif(not os.path.exists("/dev/stdin"), reason="needs /dev/stdin")
def test_standard_input_is_read_by_its_name():
    code = "from inr.image.read import load; print(load('/dev/stdin', warn=print).pixels.shape)"
    done = subprocess.run([sys.executable, "-c", code], input=FILES["png"], capture_output=True)
    assert (done.stdout, done.stderr) == (b"(5, 4, 3)\n", b"")


def test_errors_and_warnings_name_what_the_caller_names():
    with pytest.raises(ImageError, match=r"^standard input: not a picture"):
        load_bytes(b"text", "standard input", warn=no_warning)
    notes: list[str] = []
    damaged = encoded(Image.new("RGB", (2, 2)), "PNG", icc_profile=b"rubbish" * 30)
    load_bytes(damaged, "standard input", warn=notes.append)
    assert notes[0].startswith("standard input: colour profile")
