"""Files without a fit: each level of latents makes good for what the others draw."""

import numpy as np
import pytest
from helpers.paths import ROOT
from PIL import Image

from inr.grid.closed_loop import colours_of, correct_latents
from inr.grid.fit.analysis import predict_latents
from inr.grid.fit.result import round_codes
from inr.grid.latent_coder import latent_bits
from inr.grid.prior import lambda_of, prior_networks, rate_place
from inr.grid.structure import Pyramid, Structure
from inr.grid.synthesis import synthesize


@pytest.fixture(scope="module")
def photograph():
    with Image.open(ROOT / "assets/pictures/kodim23.png") as image:
        crop = np.asarray(image.crop((300, 100, 428, 196)))
    return crop.transpose(2, 0, 1).astype(np.float32) / 255


def pyramid_at(picture, rate, **structure):
    return Pyramid(*picture.shape[1:], len(picture), Structure(prior=2, rate=rate, **structure))


def predicted(picture, pyramid):
    return predict_latents(picture, rate_place(pyramid.structure.rate), pyramid)


def draw(latents, pyramid):
    codes = [round_codes(y) for y in latents]
    drawn = synthesize(codes, prior_networks(pyramid), pyramid, 16)
    return drawn.transpose(2, 0, 1).astype(np.float32) / 65535


def corrected(latents, picture, pyramid):
    colours = colours_of(latents, range(len(latents)), pyramid)
    return correct_latents(latents, picture, colours, pyramid)


def loss(latents, picture, pyramid):
    codes = [round_codes(y) for y in latents]
    bpp = latent_bits(codes, prior_networks(pyramid), pyramid) / picture[0].size
    error = np.mean((draw(latents, pyramid) - picture) ** 2)
    return error + lambda_of(pyramid.structure.rate) * bpp


@pytest.mark.parametrize(("rate", "at_most"), [(0, 0.9), (28, 0.98), (50, 0.98)])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_it_pays(photograph, rate, at_most, n_channels):
    picture = photograph if n_channels == 3 else photograph.mean(axis=0, keepdims=True)
    pyramid = pyramid_at(picture, rate)
    latents = predicted(picture, pyramid)
    found = corrected(latents, picture, pyramid)
    assert loss(found, picture, pyramid) < at_most * loss(latents, picture, pyramid)
    assert [y.dtype for y in found] == [np.float32] * len(latents)


def test_only_levels_whose_colour_is_given_change(photograph):
    pyramid = pyramid_at(photograph, 28)
    latents = predicted(photograph, pyramid)
    colours = colours_of(latents, [3, 5], pyramid)
    found = correct_latents(latents, photograph, colours, pyramid)
    changed = [i for i, y in enumerate(found) if y is not latents[i]]
    assert changed == sorted(colours) != []


@pytest.mark.parametrize("first_level", [0, 1, 2])
def test_where_nothing_is_missing_the_codes_stay(photograph, first_level):
    pyramid = pyramid_at(photograph, 10, first_level=first_level)
    codes = [round_codes(y).astype(np.float32) for y in predicted(photograph, pyramid)]
    # Where what is drawn is beyond black and white it is limited, and so seems to be enough.
    grey = [y if i == len(codes) - 1 else 0 * y for i, y in enumerate(codes)]
    found = corrected(grey, draw(grey, pyramid), pyramid)
    for a, b in zip(found, grey, strict=True):
        assert np.array_equal(round_codes(a), b)


def test_colours_are_what_a_code_adds(photograph):
    """Against drawings of one code more everywhere, in a picture of zeros."""
    pyramid = pyramid_at(photograph, 28)
    zeros = [np.zeros((level.height, level.width), np.float32) for level in pyramid.levels]
    for i in range(len(zeros)):
        ones = [y + (k == i) for k, y in enumerate(zeros)]
        (colour,) = colours_of(ones, [i], pyramid).values()
        added = draw(ones, pyramid) - draw(zeros, pyramid)
        assert colour == pytest.approx(added.mean(axis=(1, 2)), rel=1e-3, abs=1e-4)


def test_zeros_tell_nothing_about_colours(photograph):
    pyramid = pyramid_at(photograph, 10)
    zeros = [np.zeros((level.height, level.width), np.float32) for level in pyramid.levels]
    assert colours_of(zeros, range(len(zeros)), pyramid) == {}
    found = correct_latents(zeros, photograph, {}, pyramid)
    assert all(a is b for a, b in zip(found, zeros, strict=True))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 70), (33, 5)])
def test_any_size(height, width):
    picture = np.random.default_rng(1).random((3, height, width), np.float32)
    pyramid = pyramid_at(picture, 20)
    found = corrected(predicted(picture, pyramid), picture, pyramid)
    assert [y.shape for y in found] == [(level.height, level.width) for level in pyramid.levels]
    assert all(np.isfinite(y).all() for y in found)
