"""colour.py: what a file states of its colours is kept as a profile, or named in a warning."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from helpers.image_files import (
    GREY,
    LAB_PROFILE,
    RGB,
    SRGB_PROFILE,
    chunk,
    encoded,
    in_srgb,
    no_warning,
    noise,
    png,
    tiff_by_hand,
)
from PIL import Image

from inr.image.formats.icc_profile import Curve, Primaries, grey_profile, rgb_profile
from inr.image.picture import Picture
from inr.image.read import from_pil, load_bytes

D65 = (31270, 32900)
SRGB_XY = (*D65, 64000, 33000, 30000, 60000, 15000, 6000)
BT2020_XY = (*D65, 70800, 29200, 17000, 79700, 13100, 4600)
BT2020 = Primaries((0.3127, 0.329), (0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
SRGB = Primaries((0.3127, 0.329), (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))


def gama(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def chrm(*xy: int) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *xy))


def cicp(*numbers: int) -> bytes:
    return chunk(b"cICP", bytes(numbers))


ICCP = chunk(b"iCCP", b"x\0\0" + zlib.compress(SRGB_PROFILE))
SRGB_CHUNK = chunk(b"sRGB", b"\0")


def loaded(data: bytes) -> tuple[Picture, list[str]]:
    notes: list[str] = []
    return load_bytes(data, "x", warn=notes.append), notes


ICCP = chunk(b"iCCP", b"x\0\0" + zlib.compress(SRGB_PROFILE))
SRGB_CHUNK = chunk(b"sRGB", b"\0")


def rgb_png(extra: bytes) -> bytes:
    return png(2, 2, 8, RGB, bytes(range(12)), extra)


@pytest.mark.parametrize(
    "extra",
    [
        b"", SRGB_CHUNK, gama(45455), gama(45455) + chrm(*SRGB_XY), chrm(*SRGB_XY), gama(0),
        SRGB_CHUNK + gama(100000) + chrm(*BT2020_XY), cicp(1, 13, 0, 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("bit_depth", [8, 16])
def test_srgb_in_any_words_needs_neither_profile_nor_warning(extra, bit_depth):
    picture, notes = loaded(png(2, 2, bit_depth, RGB, bytes(12 * bit_depth // 8), extra))
    assert (picture.icc_profile, notes) == (None, [])


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (gama(100000) + chrm(*BT2020_XY), rgb_profile(BT2020, Curve(1.0))),
        (gama(100000), rgb_profile(SRGB, Curve(1.0))),
        (gama(10000), rgb_profile(SRGB, Curve(10.0))),
        (cicp(9, 8, 0, 1), rgb_profile(BT2020, Curve(1.0))),
    ],
)
@pytest.mark.parametrize("bit_depth", [8, 16])
def test_png_chunks_become_a_profile(extra, expected, bit_depth):
    data = png(2, 2, bit_depth, RGB, bytes(12 * bit_depth // 8), extra)
    picture, notes = loaded(data)
    assert (picture.icc_profile, notes) == (expected, [])
    if bit_depth == 8:
        assert from_pil(Image.open(io.BytesIO(data)), warn=no_warning).icc_profile == expected


def test_display_p3_of_a_cicp_chunk_is_kept():
    picture, notes = loaded(rgb_png(cicp(12, 13, 0, 1)))
    assert notes == []
    assert picture.icc_profile is not None
    green = in_srgb(picture.icc_profile, [0, 255, 0])
    assert green.tolist() == [0, 255, 0]  # outside of sRGB: cut off
    assert (
        in_srgb(picture.icc_profile, [200, 100, 100])[0] > 210
    )  # the same red, a smaller triangle


def test_gamma_of_grey_is_kept_as_a_grey_profile():
    picture, notes = loaded(png(2, 1, 8, GREY, bytes(2), gama(100000)))
    assert (picture.icc_profile, notes) == (grey_profile(Curve(1.0)), [])


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (cicp(9, 16, 0, 1), ["cICP", "BT.2020", "PQ", "dropped"]),
        (cicp(9, 18, 0, 1), ["cICP", "BT.2020", "HLG", "dropped"]),
        (cicp(1, 1, 0, 1), ["cICP", "BT.709 curve"]),
        (cicp(77, 88, 0, 1), ["number 77", "number 88"]),
        (cicp(1, 13, 0, 0), ["cICP", "narrow range"]),
        (gama(1), ["gAMA", "outside"]),
        (chrm(*D65, 1, 1, 2, 2, 3, 3), ["cHRM", "line"]),
        (chrm(0, 0, *SRGB_XY[2:]), ["cHRM", "no colour"]),
        (chrm(*[2**32 - 1] * 8), ["cHRM", "no colour"]),
    ],
)
def test_what_a_profile_cannot_say_is_named(extra, words):
    picture, notes = loaded(rgb_png(extra))
    assert picture.icc_profile is None
    assert len(notes) == 1
    assert all(word in notes[0] for word in words)


def test_a_profile_wins_over_gamma_and_a_lost_cicp_is_told():
    picture, notes = loaded(rgb_png(ICCP + gama(100000) + chrm(*BT2020_XY)))
    assert (picture.icc_profile, notes) == (SRGB_PROFILE, [])
    picture, notes = loaded(rgb_png(ICCP + cicp(9, 18, 0, 1)))
    assert picture.icc_profile == SRGB_PROFILE
    assert len(notes) == 1
    assert "cICP (BT.2020 primaries, HLG curve) is dropped: the ICC profile" in notes[0]


def test_pixels_are_never_changed():
    plain, _ = loaded(rgb_png(b""))
    told, _ = loaded(rgb_png(gama(100000) + chrm(*BT2020_XY)))
    np.testing.assert_array_equal(plain.pixels, told.pixels)


def avif(primaries: int, curve: int) -> bytes:
    data = encoded(Image.new("RGB", (8, 8), "red"), "AVIF", speed=10)
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", primaries, curve) + data[at + 4 :]


def test_nclx_of_avif():
    assert loaded(avif(1, 13))[0].icc_profile is None
    assert loaded(avif(1, 13))[1] == loaded(avif(2, 2))[1] == []
    picture, notes = loaded(avif(9, 8))
    assert (picture.icc_profile, notes) == (rgb_profile(BT2020, Curve(1.0)), [])
    picture, notes = loaded(avif(9, 16))
    assert picture.icc_profile is None
    assert len(notes) == 1
    assert "AVIF's nclx (BT.2020 primaries, PQ curve) is dropped" in notes[0]


def jpeg(space: int, interoperability: str | None = None) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = space
    if interoperability is not None:
        exif.get_ifd(0x8769)[0xA005] = {1: interoperability}
    return encoded(Image.new("RGB", (8, 8)), "JPEG", exif=exif)


def test_colour_space_of_exif():
    assert loaded(jpeg(1))[1] == []
    adobe = Primaries((0.3127, 0.329), (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
    for data in (jpeg(2), jpeg(65535, "R03")):
        picture, notes = loaded(data)
        assert (picture.icc_profile, notes) == (rgb_profile(adobe, Curve(563 / 256)), [])
    picture, notes = loaded(jpeg(65535))
    assert picture.icc_profile is None
    assert len(notes) == 1
    assert "uncalibrated" in notes[0]


def test_colour_tags_of_tiff():
    rows, tags = bytes(12), {"t258": (8, 8, 8), "t277": 3, "t262": 2}
    assert loaded(tiff_by_hand(rows, 2, 2, **tags))[1] == []
    _, notes = loaded(tiff_by_hand(rows, 2, 2, **tags, t301=(0, 65535)))
    assert len(notes) == 1
    assert "TransferFunction" in notes[0]
    for xy, n_notes in ((SRGB_XY, 0), (BT2020_XY, 1)):
        data = tiff_by_hand(rows, 2, 2, **tags, t319=tuple(
            number for value in xy[2:] for number in (value, 100000)
        ))  # fmt: skip
        at = data.index(struct.pack("<HHI", 319, 4, 12))
        data = data[:at] + struct.pack("<HHI", 319, 5, 6) + data[at + 8 :]  # rationals
        _, notes = loaded(data)
        assert len(notes) == n_notes


def test_profile_of_jpeg_2000_is_kept():
    data = imagecodecs.jpeg2k_encode(noise(8, 8, 3), level=0, codecformat="jp2")
    at = data.index(b"colr") - 4
    size = struct.unpack_from(">I", data, at)[0]
    box = struct.pack(">I4sBBB", 11 + len(SRGB_PROFILE), b"colr", 2, 0, 0) + SRGB_PROFILE
    header = data.index(b"jp2h") - 4
    longer = struct.unpack_from(">I", data, header)[0] + len(box) - size
    data = data[:at] + box + data[at + size :]
    data = data[:header] + struct.pack(">I", longer) + data[header + 4 :]
    picture, notes = loaded(data)
    assert (picture.icc_profile, notes) == (SRGB_PROFILE, [])


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
