"""hidden_colours.py: against plain loops, and files that know nothing of colours under alpha 0."""

import numpy as np
import pytest
from helpers.tiny_fits import smooth, tiny

from inr import recipes
from inr.codec import decode_picture, encode_batch, encode_picture
from inr.image.hidden_colours import fill_hidden_colours
from inr.image.metrics import psnr_db
from inr.image.picture import Picture
from inr.options import EncodeOptions, Job
from inr.settings import with_settings


def filled(pixels):
    return fill_hidden_colours(Picture(pixels)).pixels


def spotted(height, width, n_channels=4, bit_depth=8, share=0.3, seed=0):
    """Noise of which about that share is seen."""
    rng = np.random.default_rng([seed, height, width])
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    pixels = rng.integers(0, 1 << bit_depth, (height, width, n_channels), dtype)
    pixels[rng.random((height, width)) >= share, -1] = 0
    return pixels


def with_other_hidden_colours(pixels):
    """The same picture to the eye."""
    other = pixels.copy()
    is_hidden = pixels[..., -1] == 0
    other[is_hidden, :-1] = other[is_hidden, :-1] * 7 + 99
    assert (other != pixels).any()
    return other


def by_loops(values, known, fraction_bits=8):
    """Pull-push a pixel at a time; levels above are finer than the values by those bits."""
    if known.all():
        return values
    height, width = known.shape
    half = np.zeros((-(-height // 2), -(-width // 2)), int)
    half_known = np.zeros(half.shape, bool)
    for i, j in np.ndindex(half.shape):
        square = slice(2 * i, 2 * i + 2), slice(2 * j, 2 * j + 2)
        seen = [int(value) << fraction_bits for value in values[square][known[square]]]
        if seen:
            half[i, j] = (sum(seen) + len(seen) // 2) // len(seen)
            half_known[i, j] = True
    half = np.pad(by_loops(half, half_known, 0), 1, mode="edge")
    made = values.copy()
    for y, x in zip(*np.nonzero(~known), strict=True):
        i, j = y // 2 + 1, x // 2 + 1
        other_i, other_j = i + (1 if y % 2 else -1), j + (1 if x % 2 else -1)
        near, far = 9 * half[i, j], half[other_i, other_j]
        total = near + 3 * half[i, other_j] + 3 * half[other_i, j] + far
        made[y, x] = int(total / (16 << fraction_bits) + 0.5)
    return made


# ---------------------------------------------------------------- what is filled with what


def test_a_row_worked_by_hand():
    row = np.array([[[0, 9], [77, 0], [78, 0], [40, 1]]], np.uint8)
    # Half the size: 0, 40. Pixel 1 is 3/4 of the one above it and 1/4 of the other; pixel 2 alike.
    assert filled(row).tolist() == [[[0, 9], [10, 0], [30, 0], [40, 1]]]


def test_one_visible_pixel_colours_all():
    pixels = spotted(5, 9, share=0)
    pixels[3, 2] = 9, 200, 255, 1
    made = filled(pixels)
    assert (made[..., :3] == [9, 200, 255]).all()
    np.testing.assert_array_equal(made[..., 3], pixels[..., 3])


@pytest.mark.parametrize(("height", "width"), [(1, 2), (2, 1), (3, 5), (8, 8), (13, 6), (1, 33)])
def test_plain_loops_fill_alike(height, width):
    pixels = spotted(height, width, n_channels=2)
    pixels[0, 0, 1] = 255
    expected = by_loops(pixels[..., 0], pixels[..., 1] != 0)
    np.testing.assert_array_equal(filled(pixels)[..., 0], expected)


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("n_channels", [2, 4])
@pytest.mark.parametrize(("height", "width"), [(2, 2), (7, 1), (31, 18)])
def test_laws(height, width, n_channels, bit_depth):
    pixels = spotted(height, width, n_channels, bit_depth)
    pixels[0, 0, -1], pixels[-1, -1, -1] = 1, 0
    before = pixels.copy()
    made = filled(pixels)
    np.testing.assert_array_equal(pixels, before)  # the argument is left alone
    assert made.dtype == pixels.dtype
    is_seen = pixels[..., -1] != 0
    np.testing.assert_array_equal(made[is_seen], pixels[is_seen])
    np.testing.assert_array_equal(made[..., -1], pixels[..., -1])
    np.testing.assert_array_equal(made, filled(with_other_hidden_colours(pixels)))
    np.testing.assert_array_equal(made, filled(made))
    seen, hidden = pixels[is_seen][:, :-1], made[~is_seen][:, :-1]
    assert (hidden >= seen.min(0)).all()
    assert (hidden <= seen.max(0)).all()
    assert psnr_db(pixels, made) == np.inf  # nor is anything lost to the measure


def test_strips_of_rows_leave_no_trace():
    # 200,000 columns are filled two rows at a time, as many rows in other strips.
    pixels = spotted(6, 200_000, n_channels=2)
    turned = np.ascontiguousarray(pixels.transpose(1, 0, 2))
    np.testing.assert_array_equal(filled(pixels), filled(turned).transpose(1, 0, 2))


def test_the_largest_samples_stay_what_they_are():
    pixels = spotted(40, 40, bit_depth=16)
    pixels[..., :3] = 65535
    assert (filled(pixels)[..., :3] == 65535).all()


# ---------------------------------------------------------------- where nothing is filled


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_pictures_of_which_all_is_seen_are_returned_as_they_are(n_channels):
    pixels = np.zeros((3, 3, n_channels), np.uint8)
    if n_channels in (2, 4):
        pixels[..., -1] = 1
    picture = Picture(pixels, b"a profile")
    assert fill_hidden_colours(picture) is picture


def test_a_picture_of_which_nothing_is_seen_is_black():
    picture = fill_hidden_colours(Picture(spotted(4, 5, share=0), b"a profile"))
    assert not picture.pixels.any()
    assert picture.icc_profile == b"a profile"


def test_one_colour_is_kept_even_if_it_is_hidden():
    pixels = np.full((3, 4, 2), [9, 0], np.uint8)
    np.testing.assert_array_equal(filled(pixels), pixels)


# ---------------------------------------------------------------- files


def islands(n_channels):
    """A smooth picture of which a part is seen."""
    pixels = smooth(24, 32, 4)[..., 4 - n_channels :]
    pixels[..., -1] = 0
    pixels[4:15, 5:20, -1] = 255
    pixels[15:18, 5:20, -1] = 60
    return pixels


GRID = {
    "structure.hidden": "4",
    "structure.n_taps": "3",
    "structure.n_features": "2",
    "fit.steps": "2",
}


@pytest.mark.parametrize(
    ("recipe", "n_channels"),
    [
        (recipes.cae(), 2),
        (recipes.cae(), 4),
        (tiny({"fit.steps": "0"}), 2),
        (tiny({"fit.steps": "0", "split": "wavelet"}), 4),
        pytest.param(with_settings(recipes.grid_fast(), GRID), 4, marks=pytest.mark.slow),
    ],
    ids=["cae_2", "cae_4", "siren", "siren_wavelet", "grid_fast"],
)
def test_hidden_colours_change_no_byte(recipe, n_channels):
    pixels = islands(n_channels)
    first, second = (
        encode_picture(Picture(each), recipe, EncodeOptions())
        for each in (pixels, with_other_hidden_colours(pixels))
    )
    assert first.data == second.data
    decoded = decode_picture(first.data).pixels
    assert first.psnr_db == second.psnr_db == psnr_db(pixels, decoded)


@pytest.mark.parametrize("name", ["siren", "grid_fast", "cae"])
def test_a_picture_of_which_nothing_is_seen_takes_a_few_bytes(name):
    pixels = spotted(20, 30, share=0)
    encoded = encode_picture(Picture(pixels), recipes.named(name), EncodeOptions())
    assert len(encoded.data) < 100
    assert encoded.psnr_db == np.inf
    assert not decode_picture(encoded.data).pixels.any()


def test_batches_know_no_hidden_colours_either():
    pixels = islands(4)
    both = [
        Job(Picture(each), tiny({"fit.steps": "0"}), EncodeOptions(seed=seed))
        for seed, each in enumerate((pixels, with_other_hidden_colours(pixels)))
    ]
    alone = [
        encode_picture(Picture(pixels), tiny({"fit.steps": "0"}), EncodeOptions(seed=seed)).data
        for seed in (0, 1)
    ]
    assert [encoded.data for encoded in encode_batch(both)] == alone
