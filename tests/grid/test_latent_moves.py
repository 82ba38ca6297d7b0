"""Moves of the finest latents that are kept where they pay."""

import numpy as np
import pytest
from helpers.paths import ROOT
from PIL import Image

from inr.coders.laplace_tables import LATENT_LIMIT
from inr.grid.fit.analysis import predict_latents
from inr.grid.fit.result import round_codes
from inr.grid.latent_coder import latent_bits
from inr.grid.latent_moves import move_finest
from inr.grid.prior import lambda_of, prior_networks, rate_place
from inr.grid.structure import Pyramid, Structure
from inr.grid.synthesis import synthesize

RATE = 28
LAMBDA = lambda_of(RATE)
HEIGHT, WIDTH = 44, 60


def picture_of(n_channels):
    with Image.open(ROOT / "assets/pictures/kodim23.png") as image:
        crop = np.asarray(image.crop((420, 90, 420 + WIDTH, 90 + HEIGHT)))
    samples = crop.transpose(2, 0, 1).astype(np.float32) / 255
    alpha = np.full((1, HEIGHT, WIDTH), 0.5, np.float32)
    return {1: samples[1:2], 3: samples, 4: np.concatenate([samples, alpha])}[n_channels]


def start(n_channels=3, **structure):
    """Return a pyramid, a picture, predicted latents, and the networks of the prior."""
    pyramid = Pyramid(HEIGHT, WIDTH, n_channels, Structure(prior=2, rate=RATE, **structure))
    picture = picture_of(n_channels)
    latents = predict_latents(picture, rate_place(RATE), pyramid)
    return pyramid, picture, latents, prior_networks(pyramid)


def measure(latents, picture, networks, pyramid):
    """MSE and bits per pixel of the decoder's own."""
    codes = [round_codes(y) for y in latents]
    drawn = synthesize(codes, networks, pyramid, 16).transpose(2, 0, 1) / 65535
    bits = latent_bits(codes, networks, pyramid)
    return np.mean((drawn - picture) ** 2), bits / (HEIGHT * WIDTH)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_the_cost_falls_from_round_to_round(n_channels):
    pyramid, picture, latents, networks = start(n_channels)
    costs = []
    for n_rounds in (0, 1, 4, 30):
        moved = move_finest(latents, picture, networks, LAMBDA, pyramid, n_rounds)
        assert all(a is b for a, b in zip(moved[:-1], latents[:-1], strict=True))
        mse, bpp = measure(moved, picture, networks, pyramid)
        costs.append(mse + LAMBDA * bpp)
    assert costs == sorted(costs, reverse=True)
    assert costs[1] < 0.999 * costs[0]
    assert costs[3] < 0.98 * costs[0]


def test_what_is_not_moved_keeps_its_place_between_codes():
    pyramid, picture, latents, networks = start()
    moved = move_finest(latents, picture, networks, LAMBDA, pyramid, 4)[-1]
    change = round_codes(moved) - round_codes(latents[-1])
    assert set(np.unique(change)) >= {-1, 0, 1}
    assert np.array_equal(moved[change == 0], latents[-1][change == 0])
    assert np.array_equal(moved[change != 0], np.rint(moved[change != 0]))


def test_where_bits_cost_nothing_the_error_falls():
    pyramid, picture, latents, networks = start()
    moved = move_finest(latents, picture, networks, 0.0, pyramid, 8)
    before, after = (measure(y, picture, networks, pyramid)[0] for y in (latents, moved))
    assert after < 0.95 * before


def test_no_single_move_of_many_was_missed():
    """After many rounds, to try all moves of some latents one by one finds next to nothing."""
    pyramid, picture, latents, networks = start()
    moved = move_finest(latents, picture, networks, LAMBDA, pyramid, 300)
    found = {}
    for name, given in (("before", latents), ("after", moved)):
        codes = [round_codes(y).astype(np.float32) for y in given]
        mse, bpp = measure(codes, picture, networks, pyramid)
        gains = []
        for y, x in np.random.default_rng(0).integers(0, (HEIGHT, WIDTH), (120, 2)):
            costs = []
            for move in (-1, 1):
                codes[-1][y, x] += move
                one_mse, one_bpp = measure(codes, picture, networks, pyramid)
                costs.append(one_mse + LAMBDA * one_bpp)
                codes[-1][y, x] -= move
            gains.append(max(0.0, mse + LAMBDA * bpp - min(costs)))
        found[name] = sum(gains)
    assert found["after"] < 0.35 * found["before"]


def test_codes_stay_within_their_limits():
    pyramid, picture, latents, networks = start()
    latents[-1][:] = LATENT_LIMIT
    moved = move_finest(latents, 1 - picture, networks, 0.0, pyramid, 3)
    assert np.abs(round_codes(moved[-1])).max() <= LATENT_LIMIT


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ({"n_channels": 4}, {}),
        ({"first_level": 1}, {}),
        ({}, {"n_rounds": 0}),
        ({}, {"deadline": 0.0}),
    ],
    ids=["alpha", "no level of full size", "no rounds", "no time"],
)
def test_nothing_moves(given, limits):
    pyramid, picture, latents, networks = start(**given)
    limits = {"n_rounds": 2} | limits
    moved = move_finest(latents, picture, networks, LAMBDA, pyramid, **limits)
    assert all(a is b for a, b in zip(moved, latents, strict=True))
