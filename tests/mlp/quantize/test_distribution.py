"""Distribution: hand-worked bins, quantiles of a known distribution, even use of the codes."""

import numpy as np
import pytest

from inr.mlp.quantize.distribution import Distribution, bin_means


def test_hand_worked_levels():
    weights = np.array([*range(-6, 7), 0, 0, 0], np.float32)
    quantizer = Distribution(bits=3)  # seven levels, three on each side of 0
    levels = quantizer.fit_qparams(weights)
    # The bins above 0 are {1, 2}, {3, 4} and {5, 6}.
    assert levels.tolist() == [-5.5, -3.5, -1.5, 0, 1.5, 3.5, 5.5]
    codes = quantizer.quantize(weights, levels)
    assert codes.tolist() == [-3, -3, -2, -2, -1, -1, 0, 1, 1, 2, 2, 3, 3, 0, 0, 0]


def test_hand_worked_bins_of_unequal_size():
    # Five into three bins: they end at 5 // 3 = 1, 10 // 3 = 3 and 5.
    assert bin_means(np.array([1.0, 2, 4, 5, 9]), 3).tolist() == [1, 3, 7]
    assert bin_means(np.array([1.0, 2, 4]), 3).tolist() == [1, 2, 4]


def test_bins_against_array_split():
    magnitudes = np.sort(np.random.default_rng(0).exponential(1, 1000))
    expected = [part.mean() for part in np.array_split(magnitudes, 8)]  # 125 each
    np.testing.assert_allclose(bin_means(magnitudes, 8), expected, rtol=1e-12)  # order of sums


def test_levels_of_an_exponential_distribution():
    """The mean of the bin between two quantiles of Exp(1), by its integral."""
    n = 400_000
    quantiles = -np.log1p(-(np.arange(n) + 0.5) / n)  # of even spaced probabilities
    edges = -np.log(1 - np.arange(8) / 8)
    # The integral of x exp(-x) is -(x + 1) exp(-x), which goes to 0.
    integral = np.append((edges + 1) * np.exp(-edges), 0)
    expected = 8 * (integral[:-1] - integral[1:])
    np.testing.assert_allclose(bin_means(quantiles, 8), expected, rtol=1e-4)  # the tail's sum


@pytest.mark.parametrize("bits", [4, 8])
def test_codes_are_about_as_frequent(bits):
    weights = np.random.default_rng(0).normal(0, 0.05, 20_000).astype(np.float32)
    quantizer = Distribution(bits=bits)
    codes = quantizer.quantize(weights, quantizer.fit_qparams(weights))
    share = np.unique(codes, return_counts=True)[1] / weights.size
    assert share.size == 2**bits - 1
    # Code 0 has half as many, the outermost bins lose some to the nearest-level rule.
    assert -(share @ np.log2(share)) > 0.97 * np.log2(2**bits - 1)


def test_pruned_weights_do_not_move_the_levels():
    weights = np.random.default_rng(0).normal(0, 0.05, 2000).astype(np.float32)
    padded = np.concatenate([weights, np.zeros(3000, np.float32)])
    assert np.array_equal(Distribution().fit_qparams(padded), Distribution().fit_qparams(weights))
