"""inr.image: every rule on pictures made here, and every way a file can be broken."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from inr import image_16bit
from inr.image import ImageError, Picture, check_savable, from_array, from_pil, load, save, to_pil

imagecodecs = pytest.importorskip("imagecodecs")

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6  # PNG colour types
SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def no_warning(text: str) -> None:
    raise AssertionError(f"unexpected warning: {text}")


def noise(height: int, width: int, n_channels: int, bit_depth: int = 8) -> np.ndarray:
    rng = np.random.default_rng(height * 1000 + width * 10 + n_channels)
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    return rng.integers(0, 2**bit_depth, (height, width, n_channels), dtype=dtype)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG by hand: rows are packed samples, without the filter bytes."""
    stride = len(rows) // max(height, 1)
    raw = b"".join(b"\0" + rows[y * stride : (y + 1) * stride] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], Picture]:
    def read_bytes(data: bytes, name: str = "in", warn: Callable[[str], None] = no_warning):
        (tmp_path / name).write_bytes(data)
        return load(tmp_path / name, warn=warn)

    return read_bytes


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


# ---------------------------------------------------------------- channels and depth


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


# ---------------------------------------------------------------- TIFF


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


def tiff(bits: int, rows: bytes, width: int, height: int, sample_format: int = 1, **tags: int):
    """A grey, uncompressed little-endian TIFF by hand."""
    entries = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    entries |= {279: len(rows), 339: sample_format} | {int(k[1:]): v for k, v in tags.items()}
    body = b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in sorted(entries.items()))
    offset = 8 + len(rows)
    directory = struct.pack("<H", len(entries)) + body + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", offset) + rows + directory


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


# ---------------------------------------------------------------- orientation


def exif_with(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


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


# ---------------------------------------------------------------- profiles and frames


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_profile_is_kept(read, bit_depth):
    body = b"x\0\0" + zlib.compress(SRGB_PROFILE)
    rows = bytes(3 * bit_depth // 8)
    assert read(png(1, 1, bit_depth, RGB, rows, chunk(b"iCCP", body))).icc_profile == SRGB_PROFILE


@pytest.mark.parametrize(
    ("profile", "mode", "text"),
    [
        (b"rubbish" * 30, "RGB", "damaged"),
        (SRGB_PROFILE, "L", "for RGB, the pixels are GRAY"),
        (LAB_PROFILE, "RGB", "for Lab, the pixels are RGB"),
    ],
)
def test_profile_that_does_not_fit_is_dropped_with_a_warning(read, profile, mode, text):
    notes: list[str] = []
    data = encoded(Image.new(mode, (2, 2)), "PNG", icc_profile=profile)
    assert read(data, warn=notes.append).icc_profile is None
    assert len(notes) == 1
    assert text in notes[0]


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


# ---------------------------------------------------------------- wrong input


def one_line_error(path: Path, match: str, **options: int) -> None:
    with pytest.raises(ImageError, match=match) as caught:
        load(path, warn=no_warning, **options)
    assert len(str(caught.value).splitlines()) == 1


def test_missing_file_and_directory(tmp_path):
    one_line_error(tmp_path / "none.png", "No such file")
    one_line_error(tmp_path, "directory|[Pp]ermission")
    one_line_error(tmp_path / "two\nlines.png", "two lines.png")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"just text, many words of it\n" * 10,
        np.random.default_rng(0).bytes(4096),
        b"II*\0",
        b"MM\0*\0\0\0\x08",
        png(0, 4, 8, GREY, b""),
        png(4, 0, 8, GREY, b""),
        png(4, 4, 8, GREY, bytes(8)),  # too few rows
        tiff(16, b"12345678", 4, 4),  # a quarter of the samples
        tiff(16, b"12345678", 0, 4),
        tiff(16, b"12345678", 4, 400),
    ],
    ids=range(12),
)
def test_what_is_no_picture_is_an_error(tmp_path, data):
    path = tmp_path / "text.png"
    path.write_bytes(data)
    one_line_error(path, "text.png: ")


def test_postscript_is_not_run(tmp_path):
    path = tmp_path / "a.eps"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    one_line_error(path, "PostScript")


def test_wrong_checksum_of_png_pixels(tmp_path):
    data = bytearray(png(4, 4, 8, GREY, bytes(16)))
    data[-13] ^= 1  # last byte of the CRC of IDAT; IEND has 12 bytes
    path = tmp_path / "crc.png"
    path.write_bytes(data)
    one_line_error(path, "checksum")


def small_files() -> dict[str, bytes]:
    rgb, rgba = Image.fromarray(noise(9, 7, 3)), Image.fromarray(noise(9, 7, 4))
    deep = noise(9, 7, 3, 16)
    return {
        "png": encoded(rgb, "PNG", icc_profile=SRGB_PROFILE, exif=exif_with(6)),
        "png16": image_16bit.encode_png(deep, SRGB_PROFILE),
        "tiff": encoded(rgb, "TIFF", compression="tiff_lzw"),
        "tiff16": image_16bit.encode_tiff(deep, None),
        "jpeg": encoded(rgb, "JPEG", exif=exif_with(6)),
        "webp": encoded(rgba, "WEBP"),
        "avif": encoded(rgba, "AVIF", speed=10),
        "gif": encoded(rgb.convert("P"), "GIF"),
        "bmp": encoded(rgb, "BMP"),
        "ppm": encoded(rgb, "PPM"),
        "ico": encoded(rgba, "ICO", sizes=[(7, 9)]),
    }


SMALL_FILES = small_files()


@pytest.mark.parametrize(("kind", "data"), SMALL_FILES.items(), ids=list(SMALL_FILES))
def test_truncated_and_damaged_files_raise_image_error_only(tmp_path, kind, data):
    path = tmp_path / "damaged"
    rng = np.random.default_rng(1)
    whole = load_bytes(path, data)
    assert whole is not None
    for length in np.linspace(0, len(data) - 1, 30).astype(int):
        picture = load_bytes(path, data[:length])
        if length < len(data) // 2:
            assert picture is None, f"{kind} cut to {length} of {len(data)} bytes was accepted"
    for _ in range(60):
        damaged = bytearray(data)
        for at in rng.integers(0, min(len(data), 400), 3):
            damaged[at] = rng.integers(256)
        load_bytes(path, bytes(damaged))


def load_bytes(path: Path, data: bytes) -> Picture | None:
    path.unlink(missing_ok=True)  # truncating a file in place can make the disk wait
    path.write_bytes(data)
    try:
        return load(path, max_pixels=10_000, warn=lambda text: None)
    except ImageError:
        return None


# ---------------------------------------------------------------- the size limit


def test_size_limit_is_checked_before_decoding_and_leaves_pillow_as_it_was(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    path = tmp_path / "bomb.png"
    path.write_bytes(_bomb_header())
    one_line_error(path, r"3600000000 pixels, over the limit of 100000000 .*--max-pixels")
    assert before == Image.MAX_IMAGE_PIXELS


def _bomb_header() -> bytes:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, RGB, 0, 0, 0)
    idat = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + idat + chunk(b"IEND", b"")


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_size_limit_is_exact(tmp_path, suffix, bit_depth):
    path = tmp_path / f"a{suffix}"
    save(Picture(noise(7, 5, 3, bit_depth)), path)
    assert load(path, max_pixels=35, warn=no_warning).height == 7
    one_line_error(path, "35 pixels, over the limit of 34 pixels", max_pixels=34)
    with pytest.raises(ValueError, match="max_pixels=0 is below 1"):
        load(path, max_pixels=0, warn=no_warning)


def test_pillow_limit_does_not_bind_when_ours_is_larger(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)  # Pillow alone would refuse above 8
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.new("L", (6, 6)), "PNG"))
    assert load(path, warn=no_warning).width == 6
    assert Image.MAX_IMAGE_PIXELS == 4


# ---------------------------------------------------------------- from_array, from_pil, to_pil


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


# ---------------------------------------------------------------- save


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
    data = image_16bit.encode_png(noise(5, 4, 3, 16), SRGB_PROFILE)
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
