"""pillow.py: what Pillow would lose is refused, or told."""

import io
import struct

import imagecodecs
import pytest
from helpers.image_files import (
    RGB,
    no_warning,
    noise,
    png,
    warnings_of,
)
from PIL import Image

from inr.errors import ImageError
from inr.image.read import from_pil


def sgi(n_bytes: int) -> bytes:
    header = struct.pack(">hBBHHHH", 474, 0, n_bytes, 3, 2, 1, 3).ljust(512, b"\0")
    return header + bytes(2 * 3 * n_bytes)


def pil_warnings(data: bytes) -> list[str]:
    notes: list[str] = []
    from_pil(Image.open(io.BytesIO(data)), warn=notes.append)
    return notes


def test_lost_bits_are_told():
    assert not warnings_of(sgi(1))
    for notes in (warnings_of(sgi(2)), pil_warnings(sgi(2))):
        assert len(notes) == 1
        assert "16 bits a sample, of which Pillow keeps 8" in notes[0]


@pytest.mark.parametrize(
    ("bits", "data"),
    [
        (16, png(2, 2, 16, RGB, bytes(24))),
        (16, b"P6 1 1 1023\n" + bytes(6)),
        (16, b"P3 1 1 1023 1 2 3\n"),
        (16, imagecodecs.tiff_encode(noise(3, 3, 3, 16), photometric="rgb")),
        (10, imagecodecs.avif_encode(noise(8, 8, 3, 16) >> 6, bitspersample=10, speed=10)),
        (12, imagecodecs.jpeg2k_encode(noise(8, 8, 3, 16) >> 4, bitspersample=12)),
    ],
    ids=["png", "ppm", "plain", "tiff", "avif", "jpeg2000"],
)
def test_from_pil_says_that_pillow_loses_bits(bits, data):
    notes = pil_warnings(data)
    assert len(notes) == 1
    assert f"{bits} bits" in notes[0]
    assert not warnings_of(data)


def psd(n_channels: int, mode: int, bits: int = 8) -> bytes:
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, n_channels, 2, 3, bits, mode)
    return header + bytes(12) + bytes(2) + bytes(6 * n_channels * bits // 8)


def fits(bits: int, *sides: int) -> bytes:
    values = {"BITPIX": bits, "NAXIS": len(sides)}
    values |= {f"NAXIS{i}": side for i, side in enumerate(sides, 1)}
    cards = ["SIMPLE  =                    T"]
    cards += [f"{name:8s}= {value:20d}" for name, value in values.items()]
    text = "".join(card.ljust(80) for card in [*cards, "END"])
    return text.ljust(2880).encode() + bytes(2880)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (psd(5, 3), "5 channels, of which 3 would be kept"),
        (psd(2, 1), "2 channels, of which 1 would be kept"),
        (psd(5, 4), "5 channels, of which 4 would be kept"),
        (psd(3, 7), "3 channels, of which 1 would be kept"),
        (psd(3, 3, 16), "Photoshop file that is damaged or of a kind that is not supported"),
        (fits(8, 3, 2, 5), "FITS of several planes"),
        (fits(16, 3, 2), "FITS of signed samples"),
    ],
)
def test_channels_that_would_be_lost_are_refused(read, data, match):
    with pytest.raises(ImageError, match=match):
        read(data)


@pytest.mark.parametrize("data", [psd(3, 3), psd(4, 3), psd(1, 1), fits(8, 3, 2), fits(8, 3, 2, 1)])
def test_other_files_of_these_kinds_are_read(read, data):
    assert read(data).pixels.shape[:2] == (2, 3)


def test_from_pil_refuses_channels_that_pillow_drops():
    data = imagecodecs.tiff_encode(
        noise(3, 3, 2), photometric="minisblack", extrasample="unspecified"
    )
    with pytest.raises(ImageError, match="image: TIFF of 2 x 8-bit unsigned"):
        from_pil(Image.open(io.BytesIO(data)), warn=no_warning)
