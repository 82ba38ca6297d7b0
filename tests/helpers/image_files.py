"""What the tests of inr.image.read share: pictures, and files of them made by hand."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from inr.errors import ImageError
from inr.image.read import load, load_bytes

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


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(bits: int, rows: bytes, width: int, height: int, sample_format: int = 1, **tags: int):
    """A grey, uncompressed little-endian TIFF by hand."""
    entries = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    entries |= {279: len(rows), 339: sample_format} | {int(k[1:]): v for k, v in tags.items()}
    body = b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in sorted(entries.items()))
    offset = 8 + len(rows)
    directory = struct.pack("<H", len(entries)) + body + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", offset) + rows + directory


def tiff_by_hand(rows: bytes, width: int, height: int, order: str = "<", **tags: object) -> bytes:
    """An uncompressed TIFF of one strip; tags as t258=(8, 8), each stored as 32-bit integers."""
    entries: dict[int, tuple[int, ...]] = {
        256: (width,), 257: (height,), 259: (1,), 262: (1,), 273: (8,), 278: (height,),
        279: (len(rows),),
    }  # fmt: skip
    for name, value in tags.items():
        entries[int(name[1:])] = value if isinstance(value, tuple) else (value,)
    body, outside = b"", b""
    at = 8 + len(rows)
    end = at + 2 + 12 * len(entries) + 4
    for tag, values in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            place = end + len(outside)
            outside += packed
            packed = struct.pack(order + "I", place)
        body += struct.pack(order + "HHI", tag, 4, len(values)) + packed
    magic = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", at)
    return magic + rows + struct.pack(order + "H", len(entries)) + body + bytes(4) + outside


def exif_with(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def one_line_error(path: Path, match: str, **options: int) -> None:
    with pytest.raises(ImageError, match=match) as caught:
        load(path, warn=no_warning, **options)
    assert len(str(caught.value).splitlines()) == 1


def warnings_of(data: bytes) -> list[str]:
    notes: list[str] = []
    load_bytes(data, "x", warn=notes.append)
    return notes


def in_srgb(profile: bytes, colour: list[int]) -> np.ndarray:
    """One colour under a profile, as littlecms turns it into sRGB."""
    image = Image.fromarray(np.array([[colour]], np.uint8))
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    target = ImageCms.ImageCmsProfile(io.BytesIO(SRGB_PROFILE))
    converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    assert converted is not None
    return np.asarray(converted)[0, 0]
