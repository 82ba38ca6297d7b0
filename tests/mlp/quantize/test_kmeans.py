"""KMeans: hand-worked clusters, a plain Lloyd iteration, the known error of the best quantizer."""

import numpy as np
import pytest

from inr.mlp.quantize.kmeans import KMeans, lloyd


def real(levels):
    return levels[np.isfinite(levels)]


def test_hand_worked_levels():
    weights = np.array([-2, -1, -1, 0, 0, 1, 3, 5], np.float32)
    quantizer = KMeans(bits=2)  # three levels, one on each side of 0
    levels = quantizer.fit_qparams(weights)
    # Above 0 the start is 5; 3 and 5 lie beyond 2.5, their mean is 4; they also lie beyond 2.
    # Below, the start is -2; -1 is half-way and stays with 0.
    assert levels.tolist() == [-2, 0, 4]
    codes = quantizer.quantize(weights, levels)
    assert codes.tolist() == [-1, 0, 0, 0, 0, 0, 1, 1]


def test_hand_worked_clusters_that_begin_empty():
    magnitudes = np.array([1.0, 2, 3, 100])
    # Start 33.3, 66.7, 100: 1, 2, 3 are with 0, which gives up its upper half at 1.5 = (0 + 3) / 2.
    # Now 1.5 takes 1, 2, 3 and becomes 2; 66.7 is still unused and goes to 2.5 = (2 + 3) / 2.
    # 1 is half-way of 0 and 2 and stays with 0; 2, 3 and 100 have levels of their own.
    assert lloyd(magnitudes, 3, 0).tolist() == [100 / 3, 200 / 3, 100]
    assert lloyd(magnitudes, 3, 1) == pytest.approx([1.5, 200 / 3, 100])
    assert lloyd(magnitudes, 3, 2).tolist() == [2, 2.5, 100]
    assert lloyd(magnitudes, 3, 3).tolist() == [2, 3, 100]
    assert lloyd(magnitudes, 3, 1000).tolist() == [2, 3, 100]


def test_a_plain_lloyd_iteration_over_all_weights():
    """Distances of all weights to all levels, both sides at once, 0 held still."""
    weights = np.random.default_rng(0).uniform(-1, 1, 3000).astype(np.float32)
    quantizer = KMeans(bits=4, n_iterations=7)
    w = weights.astype(np.float64)
    steps = np.arange(1, 8) / 7
    levels = np.concatenate([w.min() * steps[::-1], [0], w.max() * steps])
    for _ in range(7):
        nearest = np.abs(w[:, None] - levels).argmin(axis=1)
        levels = np.array([w[nearest == i].mean() for i in range(15)])
        levels[7] = 0
    np.testing.assert_array_equal(quantizer.fit_qparams(weights), levels.astype(np.float16))


def test_the_error_is_near_that_of_the_best_quantizer_for_a_gaussian():
    """Panter and Dite (1951): pi sqrt(3) / 2 * variance / n_levels**2 for many levels."""
    weights = np.random.default_rng(0).normal(0, 0.05, 20_000).astype(np.float32)

    def error(quantizer):
        levels = quantizer.fit_qparams(weights)
        decoded = quantizer.dequantize(quantizer.quantize(weights, levels), levels)
        return np.mean((decoded - weights) ** 2)

    best = np.pi * np.sqrt(3) / 2 * 0.05**2 / 255**2
    assert error(KMeans(n_iterations=0)) > 1.9 * best
    # 20 iterations end within a quarter; 600 are slow to gain the rest from a linear start.
    assert best < error(KMeans(n_iterations=600)) < error(KMeans()) < 1.25 * best


def test_an_outlier_does_not_take_the_levels_from_the_rest():
    weights = np.random.default_rng(0).normal(0, 0.01, 5000).astype(np.float32)
    weights[17] = 10
    quantizer = KMeans()
    levels = quantizer.fit_qparams(weights)
    codes = quantizer.quantize(weights, levels)
    assert codes[17] == 127
    assert np.unique(codes).size == real(levels).size == 255  # all levels are in use
    rest = np.delete(quantizer.dequantize(codes, levels) - weights, 17)
    assert np.sqrt(np.mean(rest**2)) < 0.01 * 0.01


def test_the_sides_are_mirror_images():
    weights = np.random.default_rng(0).normal(0.01, 0.05, 3000).astype(np.float32)
    quantizer = KMeans(bits=6)
    levels, mirrored = real(quantizer.fit_qparams(weights)), real(quantizer.fit_qparams(-weights))
    assert np.array_equal(mirrored, -levels[::-1])
    codes = quantizer.quantize(weights, quantizer.fit_qparams(weights))
    assert np.array_equal(quantizer.quantize(-weights, quantizer.fit_qparams(-weights)), -codes)


def test_iterations_below_0():
    with pytest.raises(ValueError, match=r"quantize\.n_iterations=-1 is below 0"):
        KMeans(n_iterations=-1)
