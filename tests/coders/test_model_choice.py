"""model_choice.py: the search finds the best model or nearly so, and its costs are what is sent."""

import itertools

import numpy as np
import pytest

from inr.coders.model_choice import choose_model, cost_bits
from inr.coders.range_coder import RangeCoder
from inr.coders.tensor_model import N_SCALES, N_SHAPES, TensorModel


def draw_codes(family, sigma, n=3000):
    return np.rint(getattr(np.random.default_rng(0), family)(0, sigma, n)).astype(np.int32)


CODES = [("normal", 0.4), ("normal", 30), ("laplace", 5), ("laplace", 900)]


@pytest.mark.parametrize(("family", "sigma"), CODES)
def test_no_other_shape_and_scale_is_much_better(family, sigma):
    codes = draw_codes(family, sigma)
    magnitudes, chosen = np.bincount(np.abs(codes)), choose_model(codes)
    others = itertools.product(range(N_SHAPES), range(0, N_SCALES, 3))
    best = min(
        cost_bits(magnitudes, TensorModel(shape, scale, chosen.zero_odds))
        for shape, scale in others
    )
    assert cost_bits(magnitudes, chosen) <= best * 1.0005


@pytest.mark.parametrize(("family", "sigma"), CODES)
def test_costs_are_what_the_coder_takes(family, sigma):
    codes = draw_codes(family, sigma)
    codes[7] = 30_000  # an escape, or raw bits
    n_bits = cost_bits(np.bincount(np.abs(codes)), choose_model(codes))
    # Two bytes of the model, and the stream ends with a whole word, less its zeros.
    assert n_bits / 8 + 2 - 4 <= len(RangeCoder().encode([codes])) <= n_bits / 8 + 2 + 4
