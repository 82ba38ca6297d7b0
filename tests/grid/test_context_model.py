"""context.py: features of a level are the same whether they are kept or made where asked for."""

import tracemalloc

import numpy as np
import pytest

from inr.grid.context_model import ACTIVATION_BITS, exact_networks, features_of
from inr.grid.prior import prior_networks
from inr.grid.structure import Pyramid, Structure


def made(pyramid, seed=0):
    rng = np.random.default_rng(seed)
    networks = exact_networks(prior_networks(pyramid), pyramid)
    latents = [
        rng.integers(-9, 10, (level.height, level.width), np.int32) for level in pyramid.levels
    ]
    return networks, latents


@pytest.mark.parametrize(
    "pyramid",
    [
        Pyramid(50, 37, 3, Structure(prior=1)),
        Pyramid(1, 200, 3, Structure(prior=1, n_hyper=20)),
        Pyramid(90, 3, 1, Structure(prior=1, n_hyper=2, first_level=1, n_feature_levels=2)),
        Pyramid(50, 37, 3, Structure(prior=2)),
        Pyramid(90, 3, 1, Structure(prior=2, rate=64, n_hyper=2, first_level=1)),
    ],
)
def test_features_kept_and_on_demand_are_the_same(pyramid):
    networks, latents = made(pyramid)
    for index, level in enumerate(pyramid.levels):
        y, x = (each.ravel() for each in np.indices((level.height, level.width)))
        kept = features_of(networks[index], pyramid, index, latents).at(y, x)
        on_demand = features_of(networks[index], pyramid, index, latents, most_values=0).at(y, x)
        np.testing.assert_array_equal(kept, on_demand)
        assert (kept[-1] == 1).all()


def test_hand_worked_features():
    pyramid = Pyramid(24, 24, 3, Structure(prior=1))  # levels of 12 and 24
    networks, latents = made(pyramid)
    weights = prior_networks(pyramid)["feature0"]  # [n_features, 1]
    found = features_of(networks[1], pyramid, 1, latents).at(np.array([5, 23]), np.array([2, 23]))
    seen = np.array([latents[0][2, 1], latents[0][11, 11]])
    expected = np.floor(weights * seen * 2**ACTIVATION_BITS + 0.5)
    np.testing.assert_array_equal(found[:-1], expected)


def test_hand_worked_features_of_levels_with_octaves():
    pyramid = Pyramid(40, 24, 3, Structure(prior=2))  # the last but four of 3 x 2, after 2 x 1
    networks, latents = made(pyramid)
    weights = prior_networks(pyramid)["feature4"]  # [n_features, 1]
    found = features_of(networks[1], pyramid, 1, latents).at(np.array([0, 2]), np.array([1, 0]))
    seen = np.array([latents[0][0, 0], latents[0][1, 0]]) / 32  # of exponent 5
    np.testing.assert_array_equal(found[:-1], np.floor(weights * seen * 2**ACTIVATION_BITS + 0.5))
    assert (found[-1] == 1).all()


def test_levels_count_by_octaves():
    pyramid = Pyramid(40, 24, 3, Structure(prior=2))
    networks, _ = made(pyramid)
    assert [each.tap_unit for each in networks] == [32, 64, 128, 256, 512, 1024]
    assert networks[0].features is None
    # The first three share a network, which is put together for each of them.
    assert all(np.array_equal(networks[0].second, each.second) for each in networks[:3])
    assert not np.array_equal(networks[2].second, networks[3].second)
    plain, _ = made(Pyramid(40, 24, 3, Structure(prior=1)))
    assert {each.tap_unit for each in plain} == {1024}


def test_large_levels_keep_no_features():
    """32 features of 4 million latents would be 1 GB."""
    pyramid = Pyramid(2048, 2048, 1, Structure(n_hyper=20, n_features=32))
    networks = exact_networks(prior_networks(pyramid), pyramid)
    latents = [np.zeros((level.height, level.width), np.int32) for level in pyramid.levels]
    tracemalloc.start()
    features = features_of(networks[-1], pyramid, len(latents) - 1, latents)
    features.at(np.arange(2048), np.arange(2048))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 10e6
