"""inr.image.read: channels and depth of what is read, every rule on pictures made here."""

import struct

import numpy as np
import pytest
from helpers.image_files import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, chunk, encoded, noise, png
from PIL import Image


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


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_png_keeps_16_bits(read, n_channels):
    pixels = noise(5, 4, n_channels, 16)
    colour = {1: GREY, 2: GREY_ALPHA, 3: RGB, 4: RGBA}[n_channels]
    picture = read(png(4, 5, 16, colour, pixels.astype(">u2").tobytes()))
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.pixels.dtype == np.uint16


def test_gamma_changes_nothing_at_16_bits(read):
    pixels = noise(3, 3, 3, 16)
    gamma = chunk(b"gAMA", struct.pack(">I", 10000))
    picture = read(png(3, 3, 16, RGB, pixels.astype(">u2").tobytes(), gamma))
    np.testing.assert_array_equal(picture.pixels, pixels)


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
