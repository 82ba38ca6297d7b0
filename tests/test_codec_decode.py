"""codec.decode: other sizes, regions, bad arguments, damaged files."""

import dataclasses
import io

import numpy as np
import pytest
from helpers.built_files import built_file, stages_of

import inr
from inr.errors import FormatError
from inr.format.container import DEFAULT_MAX_PIXELS, SECTION_WEIGHTS, pack, unpack
from inr.kinds import open_file
from inr.mlp.fields.siren import Siren
from inr.mlp.file import read_weights


@pytest.fixture(scope="module")
def data():
    """A file of 37 x 23 pixels with a network that was never trained."""
    return built_file(stages_of(field=Siren(hidden=9, n_layers=2)), height=23, width=37)


@pytest.mark.parametrize(
    ("scale", "shape"),
    [(1, (23, 37)), (2, (46, 74)), (0.5, (12, 18)), (1e-3, (1, 1)), (7.3, (168, 270))],
)
def test_scale_multiplies_both_sides(data, scale, shape):
    assert inr.decode(data, scale=scale).shape == (*shape, 3)


def test_size_is_width_then_height(data):
    assert inr.decode(data, size=(10, 20)).shape == (20, 10, 3)


def test_scale_and_size_agree(data):
    np.testing.assert_array_equal(inr.decode(data, scale=2), inr.decode(data, size=(74, 46)))
    np.testing.assert_array_equal(inr.decode(data), inr.decode(data, size=(37, 23)))


@pytest.mark.parametrize(
    ("region", "how"),
    [
        ((0, 0, 37, 23), {}),
        ((36, 22, 1, 1), {}),
        ((5, 3, 11, 7), {}),
        ((100, 150, 60, 3), {"scale": 7}),
        ((120, 60, 20, 20), {"size": (200, 90)}),  # across the edges of tiles
    ],
)
def test_a_region_holds_the_pixels_of_a_crop(data, region, how):
    x, y, width, height = region
    whole = inr.decode(data, **how)
    np.testing.assert_array_equal(
        inr.decode(data, region=region, **how), whole[y : y + height, x : x + width]
    )


def test_a_picture_drawn_larger_looks_the_same(data):
    # Means of 4 x 4 fine pixels; the untrained field is smooth at this scale.
    fine = inr.decode(data, scale=4).astype(float).reshape(23, 4, 37, 4, 3).mean((1, 3))
    assert np.abs(fine - inr.decode(data)).mean() < 8  # of 255; half a pixel off makes it 20


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"scale": 2, "size": (4, 4)}, "exclude each other"),
        ({"scale": 0}, "scale=0"),
        ({"scale": -2}, "scale=-2"),
        ({"scale": float("nan")}, "scale=nan"),
        ({"scale": float("inf")}, "scale=inf"),
        ({"size": (0, 5)}, "size 0x5"),
        ({"size": (5, -5)}, "size 5x-5"),
        ({"size": (10**6, 10**6)}, "more than the limit"),
        ({"scale": 1e5}, "more than the limit"),
        ({"region": (0, 0, 0, 5)}, "does not lie inside"),
        ({"region": (-1, 0, 5, 5)}, "does not lie inside"),
        ({"region": (30, 0, 8, 5)}, "does not lie inside .* 37x23"),
        ({"max_pixels": 100}, "more than the limit of 100"),
    ],
)
def test_bad_decode_arguments_are_refused(data, arguments, text):
    with pytest.raises((ValueError, FormatError), match=text):
        inr.decode(data, **arguments)


def test_arguments_raise_value_error_and_files_format_error(data):
    with pytest.raises(ValueError, match="limit"):
        inr.decode(data, scale=100, max_pixels=23 * 37)
    with pytest.raises(FormatError, match="claims 37x23 pixels"):
        inr.decode(data, max_pixels=23 * 37 - 1)


def test_a_small_region_of_a_huge_drawing_is_allowed(data):
    drawn = inr.decode(data, size=(10**6, 10**6), region=(10**6 - 3, 0, 3, 2))
    assert drawn.shape == (2, 3, 3)


def test_a_huge_header_is_refused_before_memory_is_taken(data):
    header, sections = unpack(data)
    huge = pack(dataclasses.replace(header, height=1 << 20, width=1 << 20), sections)
    with pytest.raises(FormatError, match=f"more than the limit of {DEFAULT_MAX_PIXELS}"):
        inr.decode(huge)


# ---------------------------------------------------------------- damaged files


def test_damaged_files_raise_format_error_only(data):
    for n_bytes in range(len(data)):
        with pytest.raises(FormatError):
            inr.decode(data[:n_bytes])
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 0x10
        with pytest.raises(FormatError):
            inr.decode(bytes(flipped))


@pytest.mark.parametrize("length", [0, 1, 5, 20])
def test_a_short_weights_section_with_a_good_checksum_is_refused(data, length):
    header, sections = unpack(data)
    cut = pack(header, sections | {SECTION_WEIGHTS: sections[SECTION_WEIGHTS][:length]})
    with pytest.raises(FormatError):
        inr.decode(cut)


@pytest.mark.parametrize("wrong", ["photo.inr", io.BytesIO(b""), None])
def test_what_is_no_bytes_is_refused_with_what_was_expected(wrong):
    with pytest.raises(TypeError, match="bytes"):
        inr.decode(wrong)


def test_bytes_like_data_is_read_too(data):
    np.testing.assert_array_equal(inr.decode(bytearray(data)), inr.decode(data))
    np.testing.assert_array_equal(inr.decode(memoryview(data)), inr.decode(data))


def test_codes_times_steps_are_the_weights(data):
    weights = read_weights(open_file(data).content)
    assert list(weights) == list(Siren(hidden=9, n_layers=2).shapes(3))
    assert all(w.dtype == np.float32 for w in weights.values())
