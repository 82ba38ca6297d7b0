"""choose_prior.py: which set of networks a picture is fitted from."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.options import encode_options
from PIL import Image, ImageDraw, ImageFont

import inr
from inr.codec import decode_picture, encode_picture
from inr.errors import UsageError
from inr.format.shipped import SHIPPED
from inr.grid.choose_prior import choose_prior
from inr.grid.prior import SCREENS
from inr.grid.structure import N_PRIORS
from inr.image.picture import Picture
from inr.kinds import open_file
from inr.options import EncodeOptions, Job
from inr.settings import with_settings


def page(height=256, width=320):
    """Dark text on white."""
    image = Image.new("RGB", (width, height), (255, 255, 255))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    for row in range(0, height, 20):
        draw.text((8, row), "Nothing particular to interest me on shore", (20, 20, 20), font)
    return np.asarray(image)


def photograph():
    with Image.open(SHIPPED.folder / "pictures" / "kodim23.png") as image:
        return np.asarray(image.convert("RGB"))[100:356, 200:520]


def as_mode(pixels, n_channels, bit_depth):
    colours = pixels[..., 1:2] if n_channels < 3 else pixels
    dtype, factor = (np.uint8, 1) if bit_depth == 8 else (np.uint16, 257)
    planes = colours.astype(dtype) * dtype(factor)
    if n_channels in (2, 4):
        alpha = np.full((*planes.shape[:2], 1), 255 * factor, dtype)
        planes = np.concatenate([planes, alpha], axis=2)
    return Picture(np.ascontiguousarray(planes))


def chosen(picture, name="grid_fast", options=None, **settings):
    recipe = with_settings(inr.recipes.named(name), settings)
    return choose_prior(Job(picture, recipe, options or EncodeOptions())).recipe


@pytest.mark.parametrize("name", ["grid_instant", "grid_fast", "grid", "grid_best"])
def test_text_has_the_set_for_screens_and_a_photograph_that_of_the_recipe(name):
    recipe = inr.recipes.named(name)
    of_text = chosen(Picture(page()), name)
    assert of_text.structure == replace(recipe.structure, prior=SCREENS)
    assert (of_text.fit == recipe.fit) == (name != "grid_fast")
    assert chosen(Picture(photograph()), name) == replace(recipe, screen_prior=0)


def test_a_short_fit_of_text_is_longer_but_what_is_given_stays():
    usual = inr.recipes.named("grid_fast").fit
    assert chosen(Picture(page())).fit.steps > usual.steps
    given = {"fit.steps": "20", "fit.tail": "0.2"}
    of_text = chosen(Picture(page()), **given)
    assert (of_text.fit.steps, of_text.fit.tail) == (20, 0.2)
    assert of_text.fit.learning_rate > usual.learning_rate


@pytest.mark.parametrize("lambda_", ["0.01", "0.0003"])
@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_of_all_kinds_of_samples(n_channels, bit_depth, lambda_):
    of_text = as_mode(page(), n_channels, bit_depth)
    of_photograph = as_mode(photograph(), n_channels, bit_depth)
    assert chosen(of_text, **{"lambda": lambda_}).structure.prior == SCREENS
    assert chosen(of_photograph, **{"lambda": lambda_}).structure.prior != SCREENS


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (160, 161), (33, 20)])
def test_of_all_sizes(size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert chosen(Picture(pixels)).structure.prior in (2, SCREENS)


def test_it_can_be_switched_off_and_another_set_be_named():
    picture = Picture(page())
    assert chosen(picture, screen_prior="0").structure.prior == 2
    assert chosen(picture, screen_prior="3").structure.prior in (2, 3)
    assert chosen(picture, **{"structure.prior": "4"}).structure.prior == 4


def test_a_short_time_budget_leaves_no_time_for_it():
    for seconds, prior in ((3, 2), (1000, SCREENS)):
        recipe = chosen(Picture(page()), options=EncodeOptions(time_budget=seconds))
        assert recipe.structure.prior == prior


@pytest.mark.parametrize("prior", ["1", str(N_PRIORS + 1)])
def test_other_sets_are_refused(prior):
    with pytest.raises(UsageError, match=r"prior"):
        with_settings(inr.recipes.named("grid"), {"screen_prior": prior})


def test_the_file_names_the_chosen_set():
    picture = Picture(page(64, 96))
    made = encode_picture(picture, inr.recipes.named("grid_instant"), encode_options())
    assert open_file(made.data).content.pyramid.structure.prior == SCREENS
    assert decode_picture(made.data).pixels.shape == picture.pixels.shape
