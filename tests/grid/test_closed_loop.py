"""Files without a fit: the finest latents make good for what the coarser ones draw."""

import numpy as np
import pytest
from helpers.paths import ROOT
from PIL import Image

from inr.grid.closed_loop import correct_finest
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


def loss(latents, picture, pyramid):
    codes, networks = [round_codes(y) for y in latents], prior_networks(pyramid)
    drawn = synthesize(codes, networks, pyramid, 16).transpose(2, 0, 1) / 65535
    bpp = latent_bits(codes, networks, pyramid) / picture[0].size
    return np.mean((drawn - picture) ** 2) + lambda_of(pyramid.structure.rate) * bpp


@pytest.mark.parametrize(("rate", "at_most"), [(0, 0.9), (28, 1.0)])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_it_pays(photograph, rate, at_most, n_channels):
    picture = photograph if n_channels == 3 else photograph.mean(axis=0, keepdims=True)
    pyramid = pyramid_at(picture, rate)
    latents = predicted(picture, pyramid)
    corrected = correct_finest(latents, picture, pyramid)
    ratio = loss(corrected, picture, pyramid) / loss(latents, picture, pyramid)
    assert ratio < at_most
    assert corrected[-1].dtype == np.float32
    assert all(a is b for a, b in zip(corrected[:-1], latents[:-1], strict=True))


def test_where_nothing_is_missing_the_codes_stay(photograph):
    pyramid = pyramid_at(photograph, 10)
    latents = predicted(photograph, pyramid)
    codes = [round_codes(y) for y in latents]
    drawn = synthesize(codes, prior_networks(pyramid), pyramid, 16)
    drawn = drawn.transpose(2, 0, 1).astype(np.float32) / 65535
    corrected = correct_finest(latents, drawn, pyramid)
    # Where what is drawn is beyond black and white it is limited, and so seems to be enough.
    inside = ((drawn > 0) & (drawn < 1)).all(axis=0)
    assert np.array_equal(round_codes(corrected[-1])[inside], codes[-1][inside])


def test_latents_of_more_than_a_pixel_stay(photograph):
    pyramid = pyramid_at(photograph, 10, first_level=1)
    latents = predicted(photograph, pyramid)
    assert correct_finest(latents, photograph, pyramid) is latents


def test_zeros_tell_nothing_about_colours(photograph):
    pyramid = pyramid_at(photograph, 10)
    zeros = [np.zeros((level.height, level.width), np.float32) for level in pyramid.levels]
    assert correct_finest(zeros, photograph, pyramid) is zeros
