"""read.py: every way a file can be broken, too large, or without an end."""

import io
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from helpers.image_files import (
    GREY,
    RGB,
    SRGB_PROFILE,
    chunk,
    encoded,
    exif_with,
    no_warning,
    noise,
    one_line_error,
    png,
    tiff,
    tiff_by_hand,
)
from PIL import Image

from inr.errors import ImageError, UsageError
from inr.image.picture import Picture
from inr.image.read import from_pil, load, load_bytes, max_file_bytes, read_stream
from inr.image.write import encode_png, encode_tiff, save


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
    gamma = chunk(b"gAMA", struct.pack(">I", 100_000)) + chunk(b"cICP", bytes([12, 13, 0, 1]))
    packed = imagecodecs.packints_encode(np.ascontiguousarray(deep.reshape(9, 21)), 12, runlen=21)
    pam = b"P7\nWIDTH 7\nHEIGHT 9\nDEPTH 3\nMAXVAL 65535\nTUPLTYPE RGB\nENDHDR\n"
    return {
        "png": encoded(rgb, "PNG", icc_profile=SRGB_PROFILE, exif=exif_with(6)),
        "png16": encode_png(deep, SRGB_PROFILE),
        "tiff": encoded(rgb, "TIFF", compression="tiff_lzw"),
        "tiff16": encode_tiff(deep, None),
        "tiff12": tiff_by_hand(packed, 7, 9, t258=(12, 12, 12), t277=3, t262=2),
        "big_tiff": imagecodecs.tiff_encode(
            noise(9, 7, 3), photometric="rgb", bigtiff=True, byteorder=">", tile=(16, 16)
        ),
        "float_tiff": imagecodecs.tiff_encode(noise(9, 7, 3) / np.float32(255), photometric="rgb"),
        "colour": png(7, 9, 8, RGB, noise(9, 7, 3).tobytes(), gamma),
        "jpeg": encoded(rgb, "JPEG", exif=exif_with(6)),
        "jpeg12": imagecodecs.jpeg8_encode(deep >> 4, level=90, bitspersample=12),
        "jpeg2000": imagecodecs.jpeg2k_encode(deep, level=0, codecformat="jp2"),
        "webp": encoded(rgba, "WEBP"),
        "avif": encoded(rgba, "AVIF", speed=10),
        "avif10": imagecodecs.avif_encode(deep >> 6, bitspersample=10, speed=10),
        "gif": encoded(rgb.convert("P"), "GIF"),
        "bmp": encoded(rgb, "BMP"),
        "ppm": encoded(rgb, "PPM"),
        "ppm16": b"P6 7 9 65535\n" + deep.astype(">u2").tobytes(),
        "pam": pam + deep.astype(">u2").tobytes(),
        "ico": encoded(rgba, "ICO", sizes=[(7, 9)]),
    }


SMALL_FILES = small_files()


SMALL_FILES = small_files()


@pytest.mark.parametrize(("kind", "data"), SMALL_FILES.items(), ids=list(SMALL_FILES))
def test_truncated_and_damaged_files_raise_image_error_only(tmp_path, kind, data):
    path = tmp_path / "damaged"
    rng = np.random.default_rng(1)
    whole = load_or_none(path, data)
    assert whole is not None
    for length in np.linspace(0, len(data) - 1, 30).astype(int):
        picture = load_or_none(path, data[:length])
        if length < len(data) // 2:
            assert picture is None, f"{kind} cut to {length} of {len(data)} bytes was accepted"
    for _ in range(60):
        damaged = bytearray(data)
        for at in rng.integers(0, min(len(data), 400), 3):
            damaged[at] = rng.integers(256)
        load_or_none(path, bytes(damaged))


def load_or_none(path: Path, data: bytes) -> Picture | None:
    path.unlink(missing_ok=True)  # truncating a file in place can make the disk wait
    path.write_bytes(data)
    try:
        return load(path, max_pixels=10_000, warn=lambda text: None)
    except ImageError:
        return None


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


def test_a_file_longer_than_its_limit_is_refused_unread(tmp_path):
    path = tmp_path / "long.tif"
    with path.open("wb") as file:
        file.truncate(max_file_bytes(10) + 1)  # takes no room on the disk
    one_line_error(path, rf"more than {max_file_bytes(10)} bytes.*--max-pixels", max_pixels=10)


class Endless(io.RawIOBase):
    """Gives one value for ever."""

    def __init__(self, value: int) -> None:
        self.value, self.n_given = value, 0

    def read(self, n: int = -1) -> bytes:
        assert n > 0
        self.n_given += n
        return bytes([self.value]) * n


def test_a_stream_without_end_is_refused():
    stream = Endless(1)
    with pytest.raises(ImageError, match=r"^ones: more than \d+ bytes, the limit of a file"):
        read_stream(stream, "ones", max_pixels=1)
    assert stream.n_given <= max_file_bytes(1) + (1 << 20)
    stream = Endless(0)
    with pytest.raises(ImageError, match="zeros"):
        read_stream(stream, "nothing", max_pixels=10**12)
    assert stream.n_given == 1 << 20
    with pytest.raises(UsageError, match="max_pixels=0 is below 1"):
        read_stream(stream, "x", max_pixels=0)


def test_own_mistakes_are_not_told_as_damaged_pictures():
    class Mistake(Exception):
        pass

    def warn(text: str) -> None:
        raise Mistake(text)

    damaged = encoded(Image.new("RGB", (2, 2)), "PNG", icc_profile=b"rubbish" * 30)
    with pytest.raises(Mistake):
        load_bytes(damaged, "x", warn=warn)
    with pytest.raises(AttributeError):
        from_pil("picture.png", warn=warn)
    with pytest.raises(TypeError):
        load_bytes("picture.png", "x", warn=warn)
