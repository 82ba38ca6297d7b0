"""baselines.py, baselines_ffmpeg.py: round trips at any size, settings that matter, anchors."""

import io
import os
import sys
from pathlib import Path

import check_anchors
import numpy as np
import pytest
from check_anchors import FORMS, TOLERANCE_DB, gaps_db, read_published
from helpers.paths import PICTURES
from PIL import Image

from inr.errors import CodecError
from inr.image.metrics import psnr_db
from inr.studies import baselines_ffmpeg
from inr.studies.baselines import CODECS, find_codec

NAMES = ("kodim08", "kodim15", "kodim23")

every_codec = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)


def opened(name):
    with Image.open(PICTURES / f"{name}.png") as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def crop():
    return opened("kodim15")[150:246, 350:446]  # a part of a painted face; 96 x 96


@pytest.fixture
def present(codec):
    if (reason := codec.missing()) is not None:
        pytest.skip(reason)


# ---------------------------------------------------------------- every codec


@every_codec
@pytest.mark.usefixtures("present")
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 5), (17, 33), (70, 1)])
def test_any_size_comes_back(codec, size):
    pixels = np.full((*size, 3), [200, 90, 30], np.uint8)
    decoded = codec.decode(codec.encode(pixels, codec.qualities[-1]))
    assert (decoded.dtype, decoded.shape) == (np.uint8, pixels.shape)
    # One colour, so nearly exact; but a ratio of 10 leaves JPEG 2000 21 bytes for 70x1.
    assert np.abs(decoded.astype(int) - pixels).max() <= 16


@every_codec
@pytest.mark.usefixtures("present")
def test_more_bytes_along_the_qualities_and_a_better_picture(codec, crop):
    qualities = [codec.qualities[i] for i in (0, len(codec.qualities) // 2, -1)]
    files = [codec.encode(crop, quality) for quality in qualities]
    sizes = [len(file) for file in files]
    assert sizes == sorted(set(sizes))
    psnrs = [psnr_db(crop, codec.decode(file)) for file in files]
    assert psnrs == sorted(psnrs)
    assert psnrs[-1] > 33


@every_codec
@pytest.mark.usefixtures("present")
def test_same_picture_same_bytes(codec, crop):
    quality = codec.qualities[len(codec.qualities) // 2]
    assert codec.encode(crop, quality) == codec.encode(crop, quality)


@every_codec
@pytest.mark.usefixtures("present")
def test_the_library_has_name_and_version(codec):
    name, version = codec.library().split()[:2]
    assert name in ("Pillow", "imagecodecs", "ffmpeg")
    assert any(character.isdigit() for character in version)


def test_names_are_unique_and_settings_end_with_what_steers_the_rate():
    assert len({codec.name for codec in CODECS}) == len(CODECS) == 8
    for codec in CODECS:
        steers = codec.settings.rsplit("; ", 1)[1]
        assert steers in ("quality", "compression ratio", "Butteraugli distance", "QP")
        assert len(codec.qualities) >= 8


def test_unknown_codecs_are_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"unknown codec 'jpg'; there are jpeg420, jpeg444, jpeg"):
        find_codec("jpg")


# ---------------------------------------------------------------- settings that matter


@pytest.mark.parametrize(("name", "subsampling"), [("jpeg420", "4:2:0"), ("jpeg444", "4:4:4")])
def test_optimised_jpeg_is_the_same_picture_in_fewer_bytes(name, subsampling, crop):
    codec = find_codec(name)
    plain = io.BytesIO()
    Image.fromarray(crop).save(plain, "JPEG", quality=50, subsampling=subsampling)
    ours = codec.encode(crop, 50)
    assert len(ours) < plain.tell()
    # Tables and the order of coefficients are lossless.
    np.testing.assert_array_equal(codec.decode(ours), codec.decode(plain.getvalue()))


def test_jpeg2000_beats_the_straw_man_of_defaults(crop):
    codec = find_codec("jpeg2000")
    default = io.BytesIO()
    Image.fromarray(crop).save(default, "JPEG2000", quality_mode="rates", quality_layers=[40])
    ours = codec.encode(crop, 40)
    assert len(ours) <= default.tell()
    # 1 to 2 dB on photographs: without the colour transform three planes repeat each other.
    gain = psnr_db(crop, codec.decode(ours)) - psnr_db(crop, codec.decode(default.getvalue()))
    assert gain > 1


def test_webp_at_method_6_beats_the_default(crop):
    codec = find_codec("webp")
    default = io.BytesIO()
    Image.fromarray(crop).save(default, "WEBP", quality=55)
    assert len(codec.encode(crop, 55)) < default.tell()


def test_avif_keeps_the_colour_of_single_pixels():
    pixels = np.full((32, 32, 3), 128, np.uint8)
    pixels[::2, ::2] = [228, 88, 128]
    codec = find_codec("avif")
    chroma_444 = codec.decode(codec.encode(pixels, 86))
    halved = io.BytesIO()
    Image.fromarray(pixels).save(halved, "AVIF", quality=86, subsampling="4:2:0")
    assert psnr_db(pixels, chroma_444) > psnr_db(pixels, codec.decode(halved.getvalue())) + 3


# ---------------------------------------------------------------- HEVC and VVC through ffmpeg


@pytest.mark.parametrize(
    ("size", "padded"),
    [((1, 1), (64, 64)), ((64, 65), (64, 66)), ((512, 768), (512, 768)), ((101, 67), (102, 68))],
)
def test_padded_sizes(size, padded):
    assert baselines_ffmpeg._padded_size(*size) == padded
    pixels = np.arange(size[0] * size[1] * 3).astype(np.uint8).reshape(*size, 3)
    result = baselines_ffmpeg._pad(pixels)
    assert result.shape == (*padded, 3)
    np.testing.assert_array_equal(result[: size[0], : size[1]], pixels)
    np.testing.assert_array_equal(result[-1, -1], pixels[-1, -1])


def test_ycbcr_by_hand():
    pixels = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 0, 255]]], np.uint8)
    y, cb, cr = baselines_ffmpeg._ycbcr(pixels, 255)
    # BT.601: y is 0.299 r + 0.587 g + 0.114 b, cb is (b - y) / 1.772, cr is (r - y) / 1.402.
    np.testing.assert_allclose(y, [[0, 255, 76.245, 29.07]], atol=1e-9)
    np.testing.assert_allclose(cb, [[128, 128, 128 - 76.245 / 1.772, 255.5]], atol=1e-9)
    np.testing.assert_allclose(cr, [[128, 128, 255.5, 128 - 29.07 / 1.402]], atol=1e-9)


@pytest.mark.parametrize("peak", [255, 1023])
def test_rgb_inverts_ycbcr(peak):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    planes = baselines_ffmpeg._ycbcr(pixels, peak)
    np.testing.assert_array_equal(baselines_ffmpeg._rgb(*planes, peak), pixels)


def test_chroma_is_halved_and_doubled_by_hand():
    np.testing.assert_array_equal(baselines_ffmpeg._halve(np.array([[1.0, 3], [5, 7]])), [[4.0]])
    # Centres at 0.5 and 2.5: the pixels in between at 1 and 2 get 3/4 and 1/4.
    doubled = baselines_ffmpeg._double(np.array([[0.0, 4.0]]))
    np.testing.assert_array_equal(doubled, [[0.0, 1, 3, 4], [0, 1, 3, 4]])


def test_doubling_a_slope_and_halving_it_is_the_slope_inside():
    slope = np.add.outer(3.0 * np.arange(6), np.arange(5))
    back = baselines_ffmpeg._halve(baselines_ffmpeg._double(slope))
    np.testing.assert_allclose(back[1:-1, 1:-1], slope[1:-1, 1:-1])


@pytest.mark.parametrize("name", ["hevc", "vvc"])
def test_the_size_stands_in_front_of_the_stream(name):
    codec = find_codec(name)
    if (reason := codec.missing()) is not None:
        pytest.skip(reason)
    data = codec.encode(np.zeros((3, 258, 3), np.uint8), 47)
    assert data[:4] == bytes([3, 0, 2, 1])  # 258 = 1 * 256 + 2
    assert data[4:8] == bytes([0, 0, 0, 1])  # start code of the first unit
    assert b"x265" not in data  # no text of the encoder about itself


def test_ffmpeg_that_fails_is_told_in_one_line():
    if (reason := find_codec("hevc").missing()) is not None:
        pytest.skip(reason)
    with pytest.raises(CodecError, match=r"^ffmpeg -f hevc .*: [^\n]+$"):
        baselines_ffmpeg.decode_hevc(bytes([1, 0, 1, 0]) + b"not a stream")


def test_sides_that_two_bytes_cannot_hold():
    with pytest.raises(ValueError, match="65536x1 pixels: sides above 65535"):
        baselines_ffmpeg.encode_hevc(np.zeros((1, 65536, 3), np.uint8), 30)


def test_without_imageio_ffmpeg_the_way_to_get_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert "pip install 'inr[bench]'" in baselines_ffmpeg.missing("libx265", "hevc")


def test_an_ffmpeg_without_the_encoder_is_told(monkeypatch, tmp_path):
    old = tmp_path / "ffmpeg"
    old.write_text("#!/bin/sh\necho ' V....D libx265  H.265 / HEVC'\necho ' V....D hevc  HEVC'\n")
    old.chmod(0o755)
    monkeypatch.setattr(baselines_ffmpeg, "_ffmpeg", lambda: str(old))
    assert baselines_ffmpeg.missing("libx265", "hevc") is None
    reason = baselines_ffmpeg.missing("libvvenc", "vvc")
    assert reason == f"{old} has no libvvenc; pip install 'imageio-ffmpeg>=0.8.0'"


# ---------------------------------------------------------------- anchors


def test_gaps_by_hand():
    # A curve of 10 dB an octave, one dB above the anchor; between its points linear in log rate.
    gaps = gaps_db([1.0, 2.0, 4.0], [29.0, 39.0, 49.0], [0.5, 8.0], [20.0, 60.0])
    np.testing.assert_allclose(gaps, [1.0, 1.0, 1.0])


def test_gaps_are_not_extrapolated():
    with pytest.raises(
        ValueError, match=r"the curve spans 1\.0000\.\.2\.0000 bpp, the anchor 0\.5"
    ):
        gaps_db([0.5], [20.0], [1.0, 2.0], [30.0, 40.0])


@pytest.mark.parametrize("form", FORMS)
def test_all_24_pictures_measured_once_lie_on_the_published_curve(form):
    curve, measured = read_published()["curves"][form], read_published()["mean_of_24"][form]
    at = [curve["quality"].index(quality) for quality in measured["quality"]]
    anchor = [[curve[name][i] for i in at] for name in ("bpp", "psnr")]
    assert max(map(abs, gaps_db(*anchor, measured["bpp"], measured["psnr"]))) <= TOLERANCE_DB


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_three_pictures_code_as_they_did(form, name):
    """Stands in for the 24 pictures, which are not shipped: other libraries, same figures."""
    stored = read_published()["per_picture"][form][name]
    pixels = opened(name)
    points = [check_anchors.encode_point(pixels, form, quality) for quality in (5, 20, 50, 80, 95)]
    rates, psnrs = zip(*points, strict=True)
    gaps = gaps_db(rates, psnrs, stored["bpp"], stored["psnr"])
    assert max(map(abs, gaps)) <= TOLERANCE_DB


@pytest.mark.slow
@pytest.mark.skipif("INR_KODAK" not in os.environ, reason="INR_KODAK names no folder of all 24")
def test_the_24_pictures_lie_on_the_published_curves():
    gaps = check_anchors.largest_gaps(Path(os.environ["INR_KODAK"]))
    assert max(map(abs, gaps.values())) <= TOLERANCE_DB, gaps


def test_a_folder_without_all_pictures_is_refused():
    with pytest.raises(ValueError, match=r"lacks kodim01\.png, .*; all 24 are needed"):
        check_anchors.kodak(PICTURES)


def test_every_published_curve_names_its_source():
    for name, curve in read_published()["curves"].items():
        assert len(curve["commit"]) == 40, name
        assert "/" in curve["source"].split(":")[0]
        assert curve["bpp"] == sorted(curve["bpp"])
        assert len(curve["bpp"]) == len(curve["psnr"])
