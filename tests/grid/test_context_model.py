"""context.py: features of a level are the same whether they are kept or made where asked for."""

import tracemalloc

import numpy as np
import pytest

from inr.grid.context_model import ACTIVATION_BITS, exact_network, features_of
from inr.grid.prior import prior_networks
from inr.grid.structure import Pyramid, Structure


def made(pyramid, seed=0):
    rng = np.random.default_rng(seed)
    network = exact_network(prior_networks(pyramid), pyramid)
    latents = [
        rng.integers(-9, 10, (level.height, level.width), np.int32) for level in pyramid.levels
    ]
    return network, latents


@pytest.mark.parametrize(
    "pyramid",
    [
        Pyramid(50, 37, 3, Structure(prior=1)),
        Pyramid(1, 200, 3, Structure(prior=1, n_hyper=20)),
        Pyramid(90, 3, 1, Structure(prior=1, n_hyper=2, first_level=1, n_feature_levels=2)),
    ],
)
def test_features_kept_and_on_demand_are_the_same(pyramid):
    network, latents = made(pyramid)
    for index, level in enumerate(pyramid.levels):
        y, x = (each.ravel() for each in np.indices((level.height, level.width)))
        kept = features_of(network, pyramid, index, latents).at(y, x)
        on_demand = features_of(network, pyramid, index, latents, most_values=0).at(y, x)
        np.testing.assert_array_equal(kept, on_demand)
        assert (kept[-1] == 1).all()


def test_hand_worked_features():
    pyramid = Pyramid(24, 24, 3, Structure(prior=1))  # levels of 12 and 24
    network, latents = made(pyramid)
    weights = prior_networks(pyramid)["feature0"]  # [n_features, 1]
    found = features_of(network, pyramid, 1, latents).at(np.array([5, 23]), np.array([2, 23]))
    seen = np.array([latents[0][2, 1], latents[0][11, 11]])
    expected = np.floor(weights * seen * 2**ACTIVATION_BITS + 0.5)
    np.testing.assert_array_equal(found[:-1], expected)


def test_large_levels_keep_no_features():
    """32 features of 4 million latents would be 1 GB."""
    pyramid = Pyramid(2048, 2048, 1, Structure(n_hyper=20, n_features=32))
    network = exact_network(prior_networks(pyramid), pyramid)
    latents = [np.zeros((level.height, level.width), np.int32) for level in pyramid.levels]
    tracemalloc.start()
    features = features_of(network, pyramid, len(latents) - 1, latents)
    features.at(np.arange(2048), np.arange(2048))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 10e6
