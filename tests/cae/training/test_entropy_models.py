"""entropy_models.py: densities that sum to one, and the same in float64 after the papers."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.cae.training.entropy_models import (
    FactorizedDensity,
    bits_of,
    factorized_bits,
    laplace_bits,
)

N = 3
LEAST = 2.0**-16
compiled_factorized = jax.jit(factorized_bits)
compiled_laplace = jax.jit(laplace_bits)


@pytest.fixture(scope="module")
def params():
    """Far from the start: densities that are skewed and of two humps."""
    start = FactorizedDensity(N).init(jax.random.key(0), jnp.zeros((1, N)))["params"]
    rng = np.random.default_rng(1)
    return {
        name: w + jnp.asarray(rng.normal(size=w.shape) * 0.6, jnp.float32)
        for name, w in start.items()
    }


def softplus(x):
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)


def logits64(params, channel, x):
    """Balle et al. 2018, equations 27 to 30, for one number and one channel."""
    x = np.array([x])
    for i in range(4):
        matrix = softplus(np.asarray(params[f"matrix{i}"], np.float64)[channel])
        x = x @ matrix + np.asarray(params[f"offset{i}"], np.float64)[channel]
        if i < 3:
            x = x + np.tanh(np.asarray(params[f"factor{i}"], np.float64)[channel]) * np.tanh(x)
    return x[0]


def mass64(params, channel, y, scale=1.0):
    low, high = (logits64(params, channel, (y + half) / scale) for half in (-0.5, 0.5))
    return (np.tanh(high / 2) - np.tanh(low / 2)) / 2


def bits64(mass):
    return -np.log2(mass * (1 - LEAST) + LEAST)


def test_published_count(params):
    """46 a channel there, of which 3 are quantiles that ours has none of."""
    assert sum(w.size for w in params.values()) == 43 * N


def test_cumulative_functions_rise(params):
    x = jnp.linspace(-200.0, 200.0, 801)[:, None] * jnp.ones((1, N))
    logits = np.asarray(jax.jit(FactorizedDensity(N).apply)({"params": params}, x))
    assert (np.diff(logits, axis=0) > 0).all()
    for channel in range(N):
        assert logits[300, channel] == pytest.approx(logits64(params, channel, -50.0), rel=1e-5)


def test_densities_begin_ten_latents_wide():
    """Ten times the unit's logistic: its slope in the middle is about a tenth."""
    params = FactorizedDensity(64).init(jax.random.key(2), jnp.zeros((1, 64)))["params"]
    assert all(not params[f"factor{i}"].any() for i in range(3))
    module = FactorizedDensity(64)
    x = jnp.array([[-5.0], [5.0]]) * jnp.ones((1, 64))
    low, high = np.asarray(module.apply({"params": params}, x))
    np.testing.assert_allclose(high - low, 1.0, rtol=1e-5)  # linear, without the factors


def test_factorized_bits_sum_to_one_density(params):
    y = np.arange(-400, 401)
    grid = jnp.asarray(y, jnp.float32)[None, :, None, None] * jnp.ones((1, 1, 1, N))
    probability = 2.0 ** -np.asarray(compiled_factorized(params, grid, None), np.float64)
    total = (probability - LEAST).sum((0, 1, 2)) / (1 - LEAST)
    np.testing.assert_allclose(total, 1, atol=1e-4)  # of 801 differences of f32 sigmoids


def test_factorized_bits_in_float64(params):
    rng = np.random.default_rng(3)
    y = rng.normal(size=(2, 3, 4, N)) * 12
    scales = np.array([[0.5, 1.0, 2.0], [3.0, 1.0, 0.25]])
    arguments = jnp.asarray(y, jnp.float32), jnp.asarray(scales, jnp.float32)
    found = np.asarray(compiled_factorized(params, *arguments))
    for at in np.ndindex(*y.shape):
        mass = mass64(params, at[3], y[at], scales[at[0], at[3]])
        assert found[at] == pytest.approx(bits64(mass), abs=1e-3)  # f32 sigmoids subtracted


def test_a_scale_of_one_is_none(params):
    y = jnp.asarray(np.random.default_rng(4).normal(size=(1, 5, 4, N)) * 5, jnp.float32)
    ones = compiled_factorized(params, y, jnp.ones((1, N)))
    np.testing.assert_array_equal(ones, compiled_factorized(params, y, None))


def laplace64(y, mean, b):
    """Mass of y -+ 1/2, by the cumulative function."""

    def cumulative(x):
        return 0.5 * math.exp(x / b) if x < 0 else 1 - 0.5 * math.exp(-x / b)

    d = abs(y - mean)  # the side where nothing cancels
    return cumulative(0.5 - d) - cumulative(-0.5 - d)


def test_laplace_bits_worked_by_hand():
    # b = 1 / ln 4: e^(-1/2b) = 1/2. At 0 the mass is 1 - 1/2, at 1 (1/2)(1/2 - 1/8), at 2 a fourth.
    log_scale = jnp.full(3, -math.log(math.log(4)))
    probability = 2.0 ** -compiled_laplace(jnp.array([0.0, 1.0, -2.0]), 0.0, log_scale)
    expected = np.array([1 / 2, 3 / 16, 3 / 64]) * (1 - LEAST) + LEAST
    np.testing.assert_allclose(probability, expected, rtol=1e-5)


@settings(deadline=None, max_examples=50)
@given(st.floats(-300, 300, width=32), st.floats(-20, 20, width=32), st.floats(-5, 5, width=32))
def test_laplace_bits_in_float64(y, mean, log_scale):
    found = compiled_laplace(jnp.float32(y), jnp.float32(mean), jnp.float32(log_scale))
    expected = bits64(laplace64(y, mean, math.exp(log_scale)))
    assert float(found) == pytest.approx(expected, abs=2e-3)  # y - mean in f32, times 148


@pytest.mark.parametrize("log_scale", [-5.0, -1.0, 0.0, 2.0, 4.0])
def test_laplace_bits_sum_to_one_density(log_scale):
    y = jnp.arange(-1500.0, 1501.0)
    bits = compiled_laplace(y, jnp.float32(0.3), jnp.float32(log_scale))
    probability = 2.0 ** -np.asarray(bits, np.float64)
    assert (probability - LEAST).sum() / (1 - LEAST) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("y", [0.0, 0.5, -0.5, 1.5, 100.0, -1e4, 1e4])
def test_gradients_are_finite_anywhere(params, y):
    latents = jnp.full((1, 1, 1, N), y)

    @jax.jit
    def gradients(y):
        bits = jax.grad(lambda p, y, s: factorized_bits(p, y, s).sum(), argnums=(0, 1, 2))
        told = jax.vmap(jax.grad(laplace_bits, argnums=(0, 1, 2)), (None, None, 0))
        return bits(params, y, jnp.full((1, N), 0.1)), told(y[0, 0, 0, 0], 0.0, LOG_SCALES)

    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients(latents)))
    assert np.isfinite(compiled_factorized(params, latents, None)).all()


LOG_SCALES = jnp.array([-5.0, 0.0, 5.0])


def test_no_symbol_costs_more_than_tables_grant():
    assert float(bits_of(jnp.float32(0))) == 16
    assert float(bits_of(jnp.float32(1))) == pytest.approx(0, abs=1e-6)
    assert float(compiled_laplace(jnp.float32(1e4), jnp.float32(0), jnp.float32(-5))) == 16
