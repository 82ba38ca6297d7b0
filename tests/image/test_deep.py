"""inr.image.read: more than 8 bits a sample in netpbm, AVIF, JPEG 2000, JPEG and others."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from helpers.image_files import RGB, encoded, exif_with, no_warning, noise, png
from PIL import Image

from inr.errors import ImageError
from inr.image.read import from_pil, load_bytes


def scaled(stored: np.ndarray, bits: int) -> np.ndarray:
    """The rule of the module, in floating point."""
    return np.rint(stored * (65535 / (2**bits - 1)))


# ---------------------------------------------------------------- PGM, PPM, PAM


@pytest.mark.parametrize("largest", [256, 1000, 1023, 4095, 65535])
@pytest.mark.parametrize("kind", [b"P2", b"P3", b"P5", b"P6"])
def test_netpbm_above_8_bits_is_scaled_to_16(read, kind, largest):
    n_channels = 1 if kind in (b"P2", b"P5") else 3
    stored = noise(4, 3, n_channels, 16).astype(int) % (largest + 1)
    stored[0, 0, 0] = largest
    header = b"%s # a comment\n3\n# another\n4 %d\n" % (kind, largest)
    if kind in (b"P2", b"P3"):
        body = " ".join(map(str, stored.ravel())).encode() + b"\n"
    else:
        body = stored.astype(">u2").tobytes()
    pixels = read(header + body).pixels
    assert pixels.dtype == np.uint16
    np.testing.assert_allclose(pixels, stored * (65535 / largest), atol=0.5)
    assert pixels[0, 0, 0] == 65535


@pytest.mark.parametrize("largest", [1, 100, 255, 256, 65535])
@pytest.mark.parametrize(
    ("kind", "n_channels"),
    [("GRAYSCALE", 1), ("GRAYSCALE_ALPHA", 2), ("RGB", 3), ("RGB_ALPHA", 4)],
)
def test_pam(read, kind, n_channels, largest):
    stored = noise(4, 3, n_channels, 16).astype(int) % (largest + 1)
    stored[0, 0] = 0
    header = f"P7\n# by hand\nWIDTH 3\nHEIGHT 4\nDEPTH {n_channels}\nMAXVAL {largest}\n"
    header += f"TUPLTYPE {kind}\nENDHDR\n"
    data = header.encode() + stored.astype("u1" if largest < 256 else ">u2").tobytes()
    pixels = read(data).pixels
    top = 255 if largest < 256 else 65535
    assert pixels.dtype == (np.uint8 if largest < 256 else np.uint16)
    np.testing.assert_allclose(pixels, stored * (top / largest), atol=0.5)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"P6 1 1 65535\n" + bytes(5), "truncated: 5 bytes of pixels, the picture needs 6"),
        (b"P6 1 1 1023\n" + b"\xff" * 6, "a sample is 65535, above the largest value 1023"),
        (b"P6 1 1 70000\n" + bytes(6), r"largest value of a sample is 70000, expected 1\.\.65535"),
        (b"P5 0 1 1023\n", "at least 1"),
        (b"P5 99999 99999 1023\n", "over the limit"),
        (b"P2 2 1 1023 5", "truncated: 1 samples, the picture needs 2"),
        (b"P2 2 1 1023 ", "truncated: 0 samples"),
        (b"P2 1 1 1023 -5", "not all written as numbers"),
        (b"P2 1 1 1023 99999999999999999999999", "above"),
        (b"P7\nWIDTH 1\n", "header does not end"),
        (b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 5\nMAXVAL 9\nENDHDR\n12345", "5 channels and no type"),
        (b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 0\nTUPLTYPE GRAYSCALE\nENDHDR\n1", "value"),
        (b"P7\nWIDTH 1\nHEIGHT x\nDEPTH 1\nMAXVAL 9\nTUPLTYPE GRAYSCALE\nENDHDR\n1", "at least 1"),
        (
            b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 9\nTUPLTYPE GRAYSCALE\nENDHDR\n1",
            "sample is 49",
        ),
    ],
)
def test_netpbm_that_is_wrong(read, data, match):
    with pytest.raises(ImageError, match=match):
        read(data)


# ---------------------------------------------------------------- AVIF, JPEG 2000, JPEG


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_avif_keeps_its_bits(read, bits, n_channels):
    ramp = np.linspace(0, 2**bits - 2, 32 * 32 * n_channels)
    stored = ramp.astype(np.uint16).reshape(32, 32, n_channels)
    data = imagecodecs.avif_encode(
        stored[..., 0] if n_channels == 1 else stored, level=100, bitspersample=bits, speed=10
    )
    pixels = read(data).pixels
    assert pixels.dtype == np.uint16
    assert pixels.shape == stored.shape
    assert abs(pixels - scaled(stored, bits)).mean() < 200  # of 65535: AVIF is lossy


def test_avif_of_8_bits_stays_so(read):
    assert read(encoded(Image.new("RGB", (4, 4), "red"), "AVIF", speed=10)).bit_depth == 8


@pytest.mark.parametrize("codecformat", ["jp2", "j2k"])
@pytest.mark.parametrize("bits", [9, 12, 16])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_jpeg_2000_keeps_its_bits(read, codecformat, bits, n_channels):
    stored = noise(9, 7, n_channels, 16) >> (16 - bits)
    data = imagecodecs.jpeg2k_encode(
        stored[..., 0] if n_channels == 1 else stored,
        level=0, reversible=True, bitspersample=bits, codecformat=codecformat,
    )  # fmt: skip
    np.testing.assert_array_equal(read(data).pixels, scaled(stored, bits))


def test_jpeg_2000_of_signed_samples_is_refused(read):
    data = imagecodecs.jpeg2k_encode(np.full((8, 8), -5, np.int16), level=0, reversible=True)
    with pytest.raises(ImageError, match="signed samples"):
        read(data)
    with pytest.raises(ImageError, match="signed samples"):
        from_pil(Image.open(io.BytesIO(data)), warn=no_warning)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_jpeg_of_12_bits_is_read(read, n_channels):
    ramp = np.linspace(0, 4095, 32 * 32 * n_channels)
    stored = ramp.astype(np.uint16).reshape(32, 32, n_channels)
    data = imagecodecs.jpeg8_encode(
        stored[..., 0] if n_channels == 1 else stored, level=98, bitspersample=12
    )
    pixels = read(data).pixels
    assert pixels.shape == stored.shape
    assert abs(pixels - scaled(stored, 12)).mean() < 200  # of 65535: JPEG is lossy


def test_jpeg_of_12_bits_is_turned_upright(read):
    stored = np.zeros((8, 16), np.uint16)
    data = imagecodecs.jpeg8_encode(stored, level=98, bitspersample=12)
    body = b"Exif\0\0" + exif_with(6).tobytes().removeprefix(b"Exif\0\0")
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    assert read(data).pixels.shape == (16, 8, 1)


# ---------------------------------------------------------------- what only a warning can say


def sgi(n_bytes: int) -> bytes:
    header = struct.pack(">hBBHHHH", 474, 0, n_bytes, 3, 2, 1, 3).ljust(512, b"\0")
    return header + bytes(2 * 3 * n_bytes)


def warnings_of(data: bytes) -> list[str]:
    notes: list[str] = []
    load_bytes(data, "x", warn=notes.append)
    return notes


def warnings_of_pil(data: bytes) -> list[str]:
    notes: list[str] = []
    from_pil(Image.open(io.BytesIO(data)), warn=notes.append)
    return notes


def test_lost_bits_are_told():
    assert not warnings_of(sgi(1))
    for notes in (warnings_of(sgi(2)), warnings_of_pil(sgi(2))):
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
    notes = warnings_of_pil(data)
    assert len(notes) == 1
    assert f"{bits} bits" in notes[0]
    assert not warnings_of(data)


# ---------------------------------------------------------------- channels


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
