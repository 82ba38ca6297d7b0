"""tiff.py, tiff_header.py: every layout, depth and kind of sample."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from helpers.image_files import encoded, no_warning, noise, tiff, tiff_by_hand
from PIL import Image

from inr.errors import ImageError
from inr.image.read import from_pil


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


def test_tiff_white_is_zero_is_inverted(read):
    pixels = noise(4, 3, 1, 16)
    data = imagecodecs.tiff_encode(pixels[..., 0], photometric="miniswhite")
    np.testing.assert_array_equal(read(data).pixels, 65535 - pixels)


def test_tiff_premultiplied_alpha_is_divided_out(read):
    stored = np.array([[[100, 200, 300, 32768], [0, 0, 0, 0]]], np.uint16)
    data = imagecodecs.tiff_encode(stored, photometric="rgb", extrasample="assocalpha")
    # 100 * 65535 / 32768 = 199.997
    assert read(data).pixels.tolist() == [[[200, 400, 600, 32768], [0, 0, 0, 0]]]


def test_tiff_premultiplied_alpha_is_divided_out_at_8_bits(read):
    stored = np.array([[[50, 100, 128], [0, 0, 0]]], np.uint8)
    data = tiff_by_hand(stored.tobytes(), 3, 1, t258=(8, 8), t277=2, t338=1)
    # pairs (50, 100), (128, 0), (0, 0): 50 * 255 / 100 = 127.5; colour over alpha 0 is cut off
    assert read(data).pixels.tolist() == [[[128, 100], [255, 0], [0, 0]]]


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize(
    ("photometric", "n_samples", "tags", "lost"),
    [
        (1, 2, {"t338": 0}, "1 of the 2 samples"),
        (1, 2, {}, "1 of the 2 samples"),
        (1, 3, {"t338": (0, 0)}, "2 of the 3 samples"),
        (1, 3, {}, "2 of the 3 samples"),
        (1, 5, {}, "4 of the 5 samples"),
        (1, 3, {"t338": (2, 0)}, "1 of the 3 samples"),
        (0, 2, {"t338": 0, "t284": 2}, "1 of the 2 samples"),
        (2, 4, {"t338": 0}, "1 of the 4 samples"),
        (2, 4, {}, "1 of the 4 samples"),
        (2, 5, {"t338": (2, 0)}, "1 of the 5 samples"),
        (5, 5, {"t338": 2}, "1 of the 5 samples"),
        (5, 5, {"t338": 0}, "1 of the 5 samples"),
        (2, 2, {}, "too few samples"),
        (1, 300, {}, "299 of the 300 samples"),
    ],
)
def test_tiff_of_channels_that_a_picture_cannot_hold_is_refused(
    read, photometric, n_samples, tags, lost, bit_depth
):
    rows = noise(3, 4, n_samples, bit_depth).tobytes()
    bits = (bit_depth,) * n_samples
    data = tiff_by_hand(rows, 4, 3, t258=bits, t277=n_samples, t262=photometric, **tags)
    with pytest.raises(ImageError, match=lost) as caught:
        read(data)
    text = str(caught.value)
    assert f"TIFF of {n_samples} x {bit_depth}-bit unsigned" in text
    assert "\n" not in text


@pytest.mark.parametrize("extra", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_sample_declared_alpha_is_alpha(read, extra, order):
    rows = np.array([[40, 80], [80, 80]], np.uint16).astype(order + "u2").tobytes()
    data = tiff_by_hand(rows, 2, 1, order, t258=(16, 16), t277=2, t338=extra)
    grey = 40 if extra == 2 else 32768  # 40 / 80 of 65535, to the nearest
    assert read(data).pixels.tolist() == [[[grey, 80], [80 if extra == 2 else 65535, 80]]]


@pytest.mark.parametrize(
    ("bits", "sample_format", "match"),
    [
        (8, 2, "1 x 8-bit signed .* is not supported.* unsigned"),
        (16, 2, "1 x 16-bit signed .* is not supported"),
        (8, 4, "1 x 8-bit undefined .* is not supported"),
        (64, 6, "1 x 64-bit complex float .* is not supported"),
        (32, 5, "1 x 32-bit complex integer .* is not supported"),
        (32, 9, "1 x 32-bit SampleFormat 9 .* is not supported"),
        (24, 3, "1 x 24-bit float .* is not supported"),
        (24, 1, "1 x 24-bit unsigned .* is not supported"),
        (5, 1, "1 x 5-bit unsigned .* is not supported"),
    ],
)
def test_tiff_of_samples_without_a_scale_is_refused(read, bits, sample_format, match):
    with pytest.raises(ImageError, match=match):
        read(tiff(bits, bytes(64), 4, 2, sample_format))


@pytest.mark.parametrize(
    ("tags", "match"),
    [
        ({"t258": (5, 6, 5), "t277": 3, "t262": 2}, "3 x 5/6/5-bit .* same type"),
        ({"t258": 16, "t262": 32803}, "photometric 32803.* not supported"),
        ({"t258": 16, "t32997": 4}, "4 planes in depth"),
        ({"t258": 16, "t259": 60000}, "compression 60000"),
        ({"t258": (4, 4, 4), "t277": 3, "t262": 2}, "3 x 4-bit unsigned .* is not supported"),
    ],
)
def test_tiff_of_other_kinds_is_refused_by_name(read, tags, match):
    with pytest.raises(ImageError, match=match):
        read(tiff_by_hand(bytes(400), 4, 3, **tags))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}, {"compression": "deflate"}], ids=str)
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "f2", "f4", "f8"])
def test_tiff_of_every_magic_depth_and_layout(read, byteorder, bigtiff, layout, dtype):
    levels = np.linspace(0, 1, 20 * 18 * 3).reshape(20, 18, 3)
    top = {"u1": 255, "u2": 65535, "u4": 65535}.get(dtype, 1)
    stored = (levels * top).astype(dtype)
    # A copy: for a foreign byte order tiff_encode swaps its argument in place.
    data = imagecodecs.tiff_encode(
        stored.copy(), photometric="rgb", byteorder=byteorder, bigtiff=bigtiff, **layout
    )
    expected = stored if top > 1 else np.rint(stored.astype(np.float64) * 65535)
    np.testing.assert_array_equal(read(data).pixels, expected)


@pytest.mark.parametrize(
    ("compression", "planar"),
    [(None, False), (None, True), ("lzw", False), ("packbits", False), ("deflate", False)],
)
@pytest.mark.parametrize("bits", [9, 12, 15])
def test_tiff_of_packed_rgb_samples_is_scaled_to_16_bits(read, compression, planar, bits):
    stored = noise(3, 5, 3, 16) >> (16 - bits)
    planes = np.moveaxis(stored, -1, 0) if planar else stored.reshape(1, 3, 15)
    rows = b"".join(
        imagecodecs.packints_encode(np.ascontiguousarray(plane), bits, runlen=plane.shape[-1])
        for plane in planes
    )
    packed = {
        None: rows,
        "lzw": imagecodecs.lzw_encode(rows),
        "packbits": imagecodecs.packbits_encode(rows),
        "deflate": zlib.compress(rows),
    }[compression]
    number = {None: 1, "lzw": 5, "packbits": 32773, "deflate": 8}[compression]
    tags = {"t258": (bits,) * 3, "t277": 3, "t262": 2, "t259": number}
    if planar:
        n_bytes = len(rows) // 3
        offsets = tuple(8 + i * n_bytes for i in range(3))
        tags |= {"t284": 2, "t273": offsets, "t279": (n_bytes,) * 3}
    top = 2**bits - 1
    expected = np.rint(stored * (65535 / top))
    np.testing.assert_array_equal(read(tiff_by_hand(packed, 5, 3, **tags)).pixels, expected)


def test_packed_tiff_that_is_cut_short_is_an_error(read):
    tags = {"t258": (12, 12, 12), "t277": 3, "t262": 2}
    with pytest.raises(ImageError, match="truncated: a strip holds 8 bytes, it needs 9"):
        read(tiff_by_hand(bytes(8), 2, 1, **tags))


def test_imagej_stack_behind_one_directory_is_told(read):
    text = b"ImageJ=1.53\nimages=3\nchannels=3\n"
    data = imagecodecs.tiff_encode(noise(3, 4, 1, 16)[..., 0], description=text.decode())
    notes: list[str] = []
    read(data, warn=notes.append)
    assert len(notes) == 1
    assert "several frames" in notes[0]


def test_tiff_of_a_damaged_directory_is_an_error(read):
    for data in (
        b"II*\0\xff\xff\xff\x7f",
        b"II+\0\x08\0\0\0" + b"\xff" * 8,
        b"MM\0+\0\x08\0\0" + bytes(7) + b"\x10" + b"\xff" * 40,  # 2**64 - 1 tags
        b"II*\0\x08\0\0\0\xff\xff" + bytes(100_000),  # 65535 tags, of zeros
    ):
        with pytest.raises(ImageError, match="damaged"):
            read(data)


def test_tiff_profile_outside_of_the_file_is_told(read):
    data = bytearray(tiff(16, bytes(8), 2, 2, t34675=10**9))
    at = data.index(struct.pack("<HHI", 34675, 4, 1))
    data[at : at + 8] = struct.pack("<HHI", 34675, 7, 500)
    notes: list[str] = []
    assert read(bytes(data), warn=notes.append).icc_profile is None
    assert len(notes) == 1
    assert "profile is damaged" in notes[0]


def test_12_bit_tiff_is_scaled_to_16_bits(read):
    picture = read(tiff(12, bytes([0x00, 0x0F, 0xFF]), 2, 1))  # 0x000, 0xFFF
    assert picture.pixels.tolist() == [[[0], [65535]]]


def test_float_tiff_becomes_16_bit_grey_exactly(read):
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    image = Image.fromarray((levels / 65535).astype(np.float32))
    np.testing.assert_array_equal(read(encoded(image, "TIFF")).pixels[..., 0], levels)


@pytest.mark.parametrize("value", [-0.01, 1.5])
def test_float_outside_0_to_1_is_refused(read, value):
    image = Image.fromarray(np.array([[0.5, value]], np.float32))
    with pytest.raises(ImageError, match=r"lie in .*, expected 0\.\.1; scale"):
        read(encoded(image, "TIFF"))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([np.nan, 0.5, np.nan], "hold 2 NaN numbers, expected"),
        ([np.inf, -np.inf, 0.5], "hold 2 infinite numbers, expected"),
        ([np.nan, np.inf, 7.0], "hold 1 NaN and 1 infinite numbers, expected"),
    ],
)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_float_that_is_no_number_is_named(read, values, text, dtype):
    data = imagecodecs.tiff_encode(np.array([values, [0, 0, 0]], dtype))
    with pytest.raises(ImageError, match=text):
        read(data)
    if dtype == "f4":
        with pytest.raises(ImageError, match=text):
            from_pil(Image.fromarray(np.array([values], dtype)), warn=no_warning)


def test_32_bit_integers_within_16_bits_are_kept(read):
    image = Image.fromarray(np.array([[0, 65535]], np.int32))
    assert read(encoded(image, "TIFF")).pixels.tolist() == [[[0], [65535]]]


@pytest.mark.parametrize("value", [-1, 65536])
def test_32_bit_integers_beyond_16_bits_are_refused(read, value):
    image = Image.fromarray(np.array([[0, value]], np.int32))
    with pytest.raises(ImageError, match=r"expected 0\.\.65535"):
        read(encoded(image, "TIFF"))
