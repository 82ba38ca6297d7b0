"""Rounding of the finest latents by what they cost."""

import numpy as np
import pytest
from helpers.paths import ROOT
from PIL import Image

from inr.grid.closed_loop import colours_of
from inr.grid.fit.analysis import predict_latents
from inr.grid.fit.result import round_codes
from inr.grid.latent_coder import densities_of_level, latent_bits
from inr.grid.latent_rdoq import lower_finest
from inr.grid.prior import lambda_of, prior_networks, rate_place
from inr.grid.structure import Pyramid, Structure

RATE = 28
LAMBDA = lambda_of(RATE)


@pytest.fixture(scope="module")
def pyramid():
    return Pyramid(48, 64, 3, Structure(prior=2, rate=RATE))


@pytest.fixture(scope="module")
def latents(pyramid):
    with Image.open(ROOT / "assets/pictures/kodim23.png") as image:
        crop = np.asarray(image.crop((420, 90, 484, 138)))
    picture = crop.transpose(2, 0, 1).astype(np.float32) / 255
    return predict_latents(picture, rate_place(RATE), pyramid)


def laplace_bits(y, mean, scale):
    """-log2 of the mass of a Laplace density over y -+ 0.5, by its distribution function."""

    def below(x):
        half = 0.5 * np.exp(-np.abs(x - mean) / scale)
        return np.where(x < mean, half, 1 - half)

    return -np.log2(np.maximum(below(y + 0.5) - below(y - 0.5), 2.0**-16))


def test_each_is_what_costs_least(pyramid, latents):
    """Against float densities, where the choice is clear."""
    (colour,) = colours_of(latents, [5], pyramid).values()
    found = lower_finest(latents, colour, LAMBDA, pyramid)
    assert all(a is b for a, b in zip(found[:-1], latents[:-1], strict=True))
    codes = [round_codes(y) for y in latents]
    index, scale = densities_of_level(5, codes, prior_networks(pyramid), pyramid)
    mean, scale = (index - 16) / 32, np.exp((scale - 80) / 16)
    nearest = codes[-1]
    options = np.stack([nearest, nearest - np.sign(nearest), 0 * nearest])
    costs = np.mean(colour**2) * (options - latents[-1]) ** 2
    costs += LAMBDA * laplace_bits(options, mean, scale)
    chosen = round_codes(found[-1])
    own = np.where(options == chosen, costs, np.inf).min(axis=0)
    assert (own <= costs.min(axis=0) + 1e-3 * LAMBDA).all()
    assert (chosen != nearest).any()


def test_it_saves_bits_and_keeps_the_place_between_codes(pyramid, latents):
    # Disturbed, so that how much is to be saved does not hang on how well they are predicted.
    noise = np.random.default_rng(0).normal(0, 0.2, latents[-1].shape)
    latents = [*latents[:-1], (latents[-1] + noise).astype(np.float32)]
    (colour,) = colours_of(latents, [5], pyramid).values()
    found = lower_finest(latents, colour, LAMBDA, pyramid)
    stays = round_codes(found[-1]) == round_codes(latents[-1])
    assert np.array_equal(found[-1][stays], latents[-1][stays])

    def bits(latents):
        return latent_bits([round_codes(y) for y in latents], prior_networks(pyramid), pyramid)

    assert bits(found) < 0.95 * bits(latents)


def test_where_bits_cost_nothing_the_nearest_codes_stay(pyramid, latents):
    (colour,) = colours_of(latents, [5], pyramid).values()
    found = lower_finest(latents, colour, 0.0, pyramid)
    assert np.array_equal(found[-1], latents[-1])
