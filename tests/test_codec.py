"""codec.py: every kind of picture comes back, targets are met, bad arguments are refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import inr
from inr.codec import decode_picture, encode_picture
from inr.errors import FitError
from inr.image.picture import Picture
from inr.image.read import from_array
from inr.kinds import open_file
from inr.mlp.fields.siren import Siren
from inr.mlp.recipe import RECIPES
from inr.mlp.tags import Stages, write_stages
from inr.options import EncodeOptions, Target
from inr.settings import with_settings

SMALL = {"fit.steps": "0", "field.hidden": "4", "field.n_layers": "1"}
KODIM23 = Path(__file__).parents[1] / "assets/pictures/kodim23.png"
MLP = list(RECIPES)
SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(height, width, n_channels, bit_depth=8):
    rng = np.random.default_rng(height * 1000 + width * 10 + n_channels)
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    return rng.integers(0, 2**bit_depth, (height, width, n_channels), dtype=dtype)


def recipe(name="siren", **changes):
    """A recipe of that name with a tiny fixed network that is not fitted, unless keywords say so;
    they have _ for the dot of a path."""
    changed = {path.replace("_", ".", 1): str(value) for path, value in changes.items()}
    return with_settings(inr.recipes.named(name), SMALL | changed)


# ---------------------------------------------------------------- round trips


@pytest.mark.slow  # a compilation each
@pytest.mark.parametrize("name", MLP)
def test_every_recipe_makes_a_file_that_opens(name):
    picture = noise(16, 16, 3)
    data = inr.encode(picture, recipe(name, fit_steps=5))
    decoded = inr.decode(data)
    assert (decoded.shape, decoded.dtype) == ((16, 16, 3), np.uint8)
    np.testing.assert_array_equal(decoded, inr.decode(data))
    stages = open_file(data).content.stages
    asked = recipe(name)
    expected = Stages(asked.split, asked.field, asked.quantize, asked.coder)
    assert write_stages(stages) == write_stages(expected)


@pytest.mark.slow  # a compilation: 16 bits and alpha in the real loss
def test_sixteen_bits_and_alpha_are_fitted():
    picture = noise(8, 8, 4, bit_depth=16) // 16 + 30000  # far from both ends of the range
    data = inr.encode(picture, recipe(fit_steps=5))
    decoded = inr.decode(data)
    assert (decoded.shape, decoded.dtype) == ((8, 8, 4), np.uint16)
    assert decoded.min() >= picture.min()  # each channel keeps to its own range
    assert decoded.max() <= picture.max()


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (7, 1), (2, 2), (3, 5)])
def test_pictures_of_every_kind_and_size_come_back(height, width, n_channels, bit_depth):
    picture = noise(height, width, n_channels, bit_depth)
    decoded = inr.decode(inr.encode(picture, recipe()))
    expected_shape = (height, width) if n_channels == 1 else (height, width, n_channels)
    assert (decoded.shape, decoded.dtype) == (expected_shape, picture.dtype)
    low, high = picture.min((0, 1)), picture.max((0, 1))
    samples = decoded.reshape(height, width, n_channels)
    assert np.all((samples >= low) & (samples <= high))


def test_without_a_target_pictures_of_a_few_pixels_work():
    for height, width in ((1, 2), (2, 2), (5, 3), (16, 16)):
        default = with_settings(inr.recipes.siren(), {"fit.steps": "0"})
        assert inr.decode(inr.encode(noise(height, width, 4), default)).shape == (height, width, 4)


def test_grey_may_have_a_channel_axis_or_not():
    flat = np.full((3, 5), 7, np.uint8)
    assert inr.encode(flat) == inr.encode(flat[..., None])
    assert inr.decode(inr.encode(flat)).shape == (3, 5)


@pytest.mark.parametrize("name", inr.recipes.all_recipes())
@pytest.mark.parametrize("colour", [[0], [255], [3, 0], [9, 8, 7], [255, 0, 255, 0]])
def test_one_colour_is_exact_and_needs_no_fit(name, colour):
    picture = np.full((31, 17, len(colour)), colour, np.uint8)
    encoded = encode_picture(from_array(picture), inr.recipes.named(name), EncodeOptions())
    np.testing.assert_array_equal(decode_picture(encoded.data).pixels, picture)
    assert encoded.psnr_db == np.inf
    assert encoded.n_steps == 0
    assert len(encoded.data) < 100


def test_one_colour_in_16_bits_is_exact_at_any_size():
    picture = np.full((2, 3, 3), [0, 12345, 65535], np.uint16)
    drawn = inr.decode(inr.encode(picture), size=(50, 40))
    np.testing.assert_array_equal(drawn, np.broadcast_to(picture[0, 0], (40, 50, 3)))


def test_one_colour_keeps_to_the_target_as_well():
    with pytest.raises(ValueError, match="target of 10 bytes is too small"):
        inr.encode(np.full((8, 8), 3, np.uint8), target_bytes=10)


def test_alpha_zero_everywhere_comes_back_exactly():
    picture = noise(9, 7, 4)
    picture[..., 3] = 0
    assert not inr.decode(inr.encode(picture, recipe()))[..., 3].any()


def test_a_constant_channel_comes_back_exactly():
    picture = noise(9, 7, 3)
    picture[..., 1] = 99
    assert np.all(inr.decode(inr.encode(picture, recipe()))[..., 1] == 99)


def test_the_colour_profile_comes_back():
    image = Image.fromarray(noise(4, 6, 3))
    without = inr.encode(image, recipe())
    image.info["icc_profile"] = SRGB_PROFILE
    data = inr.encode(image, recipe())
    assert decode_picture(data).icc_profile == SRGB_PROFILE
    assert decode_picture(without).icc_profile is None
    np.testing.assert_array_equal(inr.decode(data), inr.decode(without))


def test_pillow_pictures_and_arrays_give_the_same_file():
    pixels = noise(5, 6, 3)
    assert inr.encode(Image.fromarray(pixels), recipe()) == inr.encode(pixels, recipe())


def test_pictures_given_are_left_as_they_were():
    pixels = np.full((2, 2, 3), 9, np.uint8)
    pixels.flags.writeable = False
    inr.encode(pixels)
    image = Image.fromarray(pixels)
    inr.encode(image)
    assert (image.mode, image.size) == ("RGB", (2, 2))


def test_the_psnr_told_is_that_of_the_decoded_file():
    picture = from_array(noise(8, 9, 3))
    encoded = encode_picture(picture, recipe(), EncodeOptions())
    from inr.image.metrics import psnr_db

    assert encoded.psnr_db == psnr_db(picture.pixels, decode_picture(encoded.data).pixels)
    assert encoded.n_steps == 0
    assert encoded.seconds > 0


@pytest.mark.parametrize("wrong", ["photo.png", b"\x89PNG", 5, None, [[1, 2], [3, 4]]])
def test_what_is_no_picture_is_refused_with_what_was_expected(wrong):
    with pytest.raises((TypeError, ValueError), match=r"(?i)pillow|array"):
        inr.encode(wrong)


@pytest.mark.parametrize("dtype", [float, bool, np.int32, np.uint32])
def test_arrays_of_other_types_are_refused(dtype):
    with pytest.raises(ValueError, match="expected uint8 or uint16"):
        inr.encode(np.zeros((4, 4), dtype))


@pytest.mark.parametrize("shape", [(4,), (0, 4), (4, 4, 5), (4, 4, 0), (1, 4, 4, 3)])
def test_arrays_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="expected \\[height, width\\]"):
        inr.encode(np.zeros(shape, np.uint8))


# ---------------------------------------------------------------- targets


@pytest.mark.parametrize("name", MLP)
@pytest.mark.parametrize("target_bytes", [250, 600, 1500, 5000])
def test_the_file_ends_within_three_percent_below_its_target(name, target_bytes):
    chosen = with_settings(inr.recipes.named(name), {"fit.steps": "0"})
    if name == "fourier" and target_bytes < 1500:
        chosen = with_settings(chosen, {"field.n_frequencies": "16"})  # they alone cost 500 bytes
    n_bytes = len(inr.encode(noise(64, 64, 3), chosen, target_bytes=target_bytes))
    assert 0.975 * target_bytes <= n_bytes <= target_bytes


@pytest.mark.slow  # each size of network is a compilation
@pytest.mark.parametrize(
    ("name", "target_bytes"), [("siren", 700), ("siren_zstd", 1100), ("fourier", 1700)]
)
def test_real_fits_meet_their_targets(name, target_bytes):
    picture = Image.open(KODIM23).crop((200, 200, 264, 264))
    chosen = with_settings(inr.recipes.named(name), {"fit.steps": "30"})
    n_bytes = len(inr.encode(picture, chosen, target_bytes=target_bytes))
    assert 0.975 * target_bytes <= n_bytes <= target_bytes


def test_a_target_in_bits_a_pixel_is_the_same_in_bytes():
    picture = noise(64, 48, 3)  # 3072 pixels: 1.5 bpp are 576 bytes
    assert inr.encode(picture, _few(), target_bpp=1.5) == inr.encode(
        picture, _few(), target_bytes=576
    )


def _few(name="siren", **changes):
    return with_settings(inr.recipes.named(name), {"fit.steps": "0"} | changes)


@pytest.mark.parametrize("name", ["siren", "fourier"])
@pytest.mark.parametrize("n_bytes", [500, 20_000])
def test_without_a_target_the_colour_profile_comes_on_top(name, n_bytes):
    # Of random bytes, which do not shrink: it must not take the place of the picture.
    profile = np.random.default_rng(0).bytes(n_bytes)
    pixels = noise(64, 64, 3)
    recipe = _few(name, target_bpp="1.0")
    plain = encode_picture(Picture(pixels), recipe, EncodeOptions())
    profiled = encode_picture(Picture(pixels, profile), recipe, EncodeOptions())
    assert profiled.psnr_db == plain.psnr_db
    assert n_bytes <= len(profiled.data) - len(plain.data) <= n_bytes + 40


def test_a_file_that_decoders_will_refuse_is_told_before_the_fit():
    class Told(Exception):
        pass

    def stop(text):
        raise Told(text)

    huge = _few(**{"field.hidden": "1200", "field.n_layers": "8"})
    with pytest.raises(Told, match=r"multiply-adds, more than the 1e\+13 that decoders do"):
        encode_picture(Picture(noise(1500, 1500, 3)), huge, EncodeOptions(), warn=stop)
    encode_picture(Picture(np.full((1500, 1500, 3), 7, np.uint8)), huge, EncodeOptions(), warn=stop)


def test_the_target_counts_the_colour_profile():
    picture = Picture(noise(64, 64, 3), SRGB_PROFILE)
    encoded = encode_picture(picture, _few(), EncodeOptions(target=Target(n_bytes=1500)))
    assert 0.975 * 1500 <= len(encoded.data) <= 1500


def test_without_a_target_the_recipe_sets_one():
    n_bytes = len(inr.encode(noise(96, 96, 3), _few(target_bpp="1.0")))
    assert 0.975 * 1152 <= n_bytes <= 1152


@pytest.mark.parametrize("name", MLP)
def test_an_impossible_target_names_the_sizes(name):
    with pytest.raises(ValueError, match=r"target of 40 bytes is too small .* takes \d+;"):
        inr.encode(noise(64, 64, 3), _few(name), target_bytes=40)
    profiled = Picture(noise(64, 64, 3), SRGB_PROFILE)
    with pytest.raises(ValueError, match=r"target of 300 bytes is too small .* takes \d\d\d;"):
        encode_picture(profiled, _few(name), EncodeOptions(target=Target(n_bytes=300)))


def test_every_target_either_works_or_is_too_small():
    """Around the smallest file that is possible, there is no third outcome."""
    picture, outcomes = noise(16, 16, 3), []
    for target_bytes in range(60, 120, 8):
        try:
            n_bytes = len(inr.encode(picture, _few(), target_bytes=target_bytes))
        except (ValueError, FitError) as error:
            assert f"{target_bytes} bytes" in str(error)  # noqa: PT017
            outcomes.append(False)
        else:
            assert n_bytes <= target_bytes
            outcomes.append(True)
    assert outcomes == sorted(outcomes)  # once a target works, all larger ones do
    assert True in outcomes


def test_a_named_width_is_kept_with_and_without_a_target():
    picture = noise(64, 64, 3)
    for options in ({}, {"target_bytes": 700}):
        data = inr.encode(picture, recipe(field_hidden=13, field_n_layers=3), **options)
        assert open_file(data).content.stages.field == Siren(hidden=13, n_layers=3)
    assert 0.975 * 700 <= len(data) <= 700


def test_a_named_width_too_wide_for_the_target_is_refused():
    with pytest.raises(ValueError, match=r"target of 700 bytes is too small.*smaller field.hidden"):
        inr.encode(noise(64, 64, 3), recipe(field_hidden=200, field_n_layers=3), target_bytes=700)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"target_bpp": 1.0, "target_bytes": 500}, "exclude each other"),
        ({"target_bpp": 0.0}, "target_bpp=0.0"),
        ({"target_bpp": -1.0}, "target_bpp=-1.0"),
        ({"target_bpp": float("nan")}, "target_bpp=nan"),
        ({"target_bytes": 0}, "target_bytes=0"),
        ({"time_budget": 0.0}, "time_budget=0.0"),
        ({"time_budget": float("nan")}, "time_budget=nan"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 1 << 32}, "seed=4294967296"),
    ],
)
def test_bad_wishes_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        inr.encode(noise(8, 8, 1), recipe(), **options)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"field_hidden": 0}, "hidden=0 is outside"),
        ({"field_hidden": 5000}, "hidden=5000 is outside"),
        ({"field_hidden": 4096, "field_n_layers": 5}, "weights is above the limit"),
        ({"field_n_layers": 0}, "n_layers=0 is outside"),
        ({"field_first_omega_0": "nan"}, "first_omega_0=nan is outside"),
        ({"quantize_bits": 1}, "quantize.bits=1.0 is outside 2..16"),
        ({"target_bpp": "nan"}, "target_bpp="),
        ({"target_bpp": "-1"}, "target_bpp="),
    ],
)
def test_bad_settings_are_refused_before_the_fit(changes, text):
    changed = {
        ("target_bpp" if path == "target_bpp" else path.replace("_", ".", 1)): str(value)
        for path, value in changes.items()
    }
    with pytest.raises(ValueError, match=text):
        inr.encode(noise(8, 8, 1), with_settings(inr.recipes.siren(), changed))
