"""decode.py and describe.py: parts, sizes, damage of every sort, and what a file says of itself."""

import dataclasses
import tracemalloc
import zlib

import numpy as np
import pytest
from helpers.cae_coding_models import TINY, decode, models_folder, picture, recipe
from helpers.fuzz import repaired
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import inr
from inr.cae.codec import CaeCodec
from inr.cae.decode import latents_of
from inr.cae.entropy_models import Latents
from inr.cae.file import pack_cae, read_content
from inr.codec import DESCRIBE_OPTIONS, describe
from inr.errors import FormatError
from inr.format.container import SECTION_ALPHA, SECTION_LATENTS, pack, unpack
from inr.image.region import Region
from inr.image.resample import resample

OPTIONS = dataclasses.replace(DESCRIBE_OPTIONS, models=models_folder())


def made(height=40, width=70, n_channels=3, **changes):
    return inr.encode(picture(height, width, n_channels), recipe(**changes))


def recoded(data, latents=None, **changes):
    """The same sections under other words on the model."""
    opened = read_content(*unpack(data))
    coded = dataclasses.replace(opened.coded, **changes)
    header, sections = opened.header, opened.sections
    size = header.height, header.width, header.n_channels
    latents = sections[SECTION_LATENTS] if latents is None else latents
    return pack_cae(size, coded, latents, sections.get(SECTION_ALPHA), None)


# ---------------------------------------------------------------- parts and sizes


@pytest.mark.parametrize("n_channels", [1, 4])
def test_a_region_is_that_crop_of_the_whole(n_channels):
    data = made(75, 90, n_channels)
    whole = decode(data)
    for x, y, width, height in ((0, 0, 90, 75), (17, 30, 40, 9), (89, 74, 1, 1), (0, 3, 90, 2)):
        part = decode(data, region=(x, y, width, height))
        np.testing.assert_array_equal(part, whole[y : y + height, x : x + width])
    twice = decode(data, scale=2)
    part = decode(data, scale=2, region=(31, 60, 50, 70))
    np.testing.assert_array_equal(part, twice[60:130, 31:81])


def test_other_sizes_are_the_picture_resampled():
    data = made(n_channels=4)
    native = decode(data).astype(np.float32)
    for view, (height, width) in (
        ({"scale": 2}, (80, 140)),
        ({"scale": 0.5}, (20, 35)),
        ({"size": (33, 50)}, (50, 33)),
    ):
        expected = resample(native, height, width, Region(0, 0, width, height))
        drawn = decode(data, **view)
        assert drawn.dtype == np.uint8
        np.testing.assert_array_equal(drawn, np.clip(np.rint(expected), 0, 255))
    assert decode(data, size=(1, 1)).shape == (1, 1, 4)
    np.testing.assert_array_equal(decode(data, size=(70, 40)), decode(data))


def test_the_larger_picture_of_grey_is_grey():
    assert decode(made(20, 30, 1), scale=1.5).shape == (30, 45)


# ---------------------------------------------------------------- damage


def test_a_patched_latent_under_a_right_container_checksum_is_noticed():
    data = made()
    codec = CaeCodec(TINY["tiny"])
    opened = read_content(*unpack(data))
    y, z = (each.copy() for each in vars(latents_of(opened, codec)).values())
    y[1, 2, 3] += 20  # by 1 it may be less than a level
    patched = recoded(data, codec.write(Latents(y, z), opened.coded.rate))
    with pytest.raises(FormatError, match="damaged before it was sealed, or this machine computes"):
        decode(patched)


def test_patched_bytes_of_latents_under_a_right_container_checksum_are_noticed():
    data = made()
    latents = unpack(data)[1][SECTION_LATENTS]
    for at in range(0, len(latents), 2):
        patched = bytearray(latents)
        patched[at] ^= 0x10
        with pytest.raises(FormatError):
            decode(recoded(data, bytes(patched)))


def test_the_checksum_is_verified_at_other_sizes_and_not_for_parts():
    data = recoded(made(), crc=0)
    for view in ({"scale": 2}, {"size": (9, 9)}, {"scale": 2, "region": (0, 0, 5, 5)}):
        with pytest.raises(FormatError, match="do not match their checksum"):
            decode(data, **view)
    assert decode(data, region=(0, 0, 5, 5)).shape == (5, 5, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": 7}, "model 7 is not known; the file needs a newer version"),
        ({"model": 1}, "made with other weights of the model hyperprior than are here"),
        ({"sha256": bytes(16)}, "SHA-256 0000000000000000.*set INR_MODELS to it"),
        ({"width_index": 1}, "width number 1 of a model that has 1: damaged file"),
        ({"rate": 255}, None),
    ],
)
def test_words_on_the_model_that_are_wrong(changes, message):
    data = recoded(made(), **changes)
    with pytest.raises(FormatError, match=message):
        decode(data)
    if message is not None:
        with pytest.raises(FormatError, match=message):
            describe(data, OPTIONS)


def test_rates_and_widths_of_a_slimmable_model():
    data = made(model="slimmable", lambda_=5e-3)
    with pytest.raises(FormatError, match="rate 1 of a model that has 1: damaged file"):
        decode(recoded(data, rate=1))
    with pytest.raises(FormatError, match="width number 2 of a model that has 2"):
        decode(recoded(data, width_index=2))


def test_every_truncation_and_every_flipped_byte_of_a_file():
    data = made(20, 30, 4)
    for n in range(len(data)):
        with pytest.raises(FormatError):
            decode(data[:n])
        flipped = bytearray(data)
        flipped[n] ^= 0xFF
        with pytest.raises(FormatError):
            decode(bytes(flipped))


def test_every_truncation_and_flipped_bits_of_a_file_that_was_sealed_again():
    data = made(20, 30, 1)
    pixels = decode(data)
    for n in range(4, len(data) - 4):
        with pytest.raises(FormatError):
            decode(repaired(data[:n] + bytes(4)), max_pixels=1 << 14)
        for bit in range(8) if n < 32 else (n % 8,):  # 28 bytes are header and what opens latents
            flipped = bytearray(data)
            flipped[n] ^= 1 << bit
            try:
                drawn = decode(repaired(bytes(flipped)), max_pixels=1 << 14)
            except FormatError:
                continue
            # Only a claim of three channels passes: grey is the mean of what is drawn.
            np.testing.assert_array_equal(np.rint(drawn.mean(2)), pixels)


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=60), st.integers(1, 70), st.integers(1, 70))
def test_any_latents_are_refused(latents, height, width):
    opened = read_content(*unpack(made(16, 16)))
    with pytest.raises(FormatError):
        decode(pack_cae((height, width, 3), opened.coded, latents, None, None))


def claiming(data, **changes):
    header, sections = unpack(data)
    return pack(dataclasses.replace(header, **changes), sections)


@pytest.mark.parametrize(
    ("height", "width", "message"),
    [
        (16384, 16384, "16384x16384 pixels, more than the limit of 100000000"),
        (16385, 1, "1x16385 pixels: each side must be"),
        (1 << 20, 1 << 20, "1048576x1048576 pixels"),
    ],
)
def test_a_huge_claim_is_refused_before_memory_is_taken(height, width, message):
    data = claiming(made(), height=height, width=width)
    tracemalloc.start()
    with pytest.raises(FormatError, match=message):
        decode(data)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2e6


def test_a_huge_claim_is_described_without_memory():
    data = claiming(made(), height=16384, width=16384)
    tracemalloc.start()
    assert describe(data, OPTIONS)["width"] == 16384
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2e6


# ---------------------------------------------------------------- what a file says


def test_description():
    data = made(40, 70, 4, lambda_=1e-3)
    facts = describe(data, OPTIONS)
    sections = unpack(data)[1]
    assert facts["kind"] == "cae"
    assert (facts["height"], facts["width"], facts["n_channels"]) == (40, 70, 4)
    assert (facts["n_bytes"], facts["bpp"]) == (len(data), 8 * len(data) / 2800)
    assert (facts["model"], facts["model_id"]) == ("tiny", 0)
    assert (facts["model_sha256"], facts["n_latents"]) == (TINY["tiny"].sha256, 6)
    assert facts["rate"] == 99
    assert facts["lambda"] == pytest.approx(1e-3, rel=0.01)  # of 256 steps over a factor of 64
    assert facts["sections"] == {
        "latents": len(sections[SECTION_LATENTS]),
        "alpha": len(sections[SECTION_ALPHA]),
    }
    assert facts["overhead_bytes"] == len(data) - sum(facts["sections"].values())
    colours = decode(data)[..., :3]
    assert facts["colours_crc32"] == f"{zlib.crc32(np.ascontiguousarray(colours).data):08x}"
    assert "sparsity" not in describe(data, OPTIONS)
