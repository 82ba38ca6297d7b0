"""netpbm.py: PGM, PPM and PAM."""

import numpy as np
import pytest
from helpers.image_files import noise

from inr.errors import ImageError


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
