"""The blocked sums against the plain ones, values and gradients, where blocks are cut and not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inr.grid.fit import blocks
from inr.grid.fit.init import first_networks
from inr.grid.fit.model import bits_of, laplace_parameters, synthesis
from inr.grid.structure import Pyramid, Structure
from inr.image.metrics import mse

STRUCTURE = Structure(n_taps=4, n_features=2, hidden=5)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "_COLUMNS", 16)
    monkeypatch.setattr(blocks, "_PIXELS", 40)


def params_of(pyramid):
    rng = np.random.default_rng(0)
    first = first_networks(pyramid, np.full(pyramid.n_channels, 0.5, np.float32), rng)
    return {name: jnp.asarray(w + 0.1 * rng.standard_normal(w.shape)) for name, w in first.items()}


def check_equal(blocked, plain, *arguments):
    """Value and gradients, under vmap; sums run in another order."""
    once = jax.tree.map(lambda each: each[None], arguments)
    values, grads = jax.jit(jax.vmap(jax.value_and_grad(blocked, (0, 1, 2))))(*once)
    np.testing.assert_allclose(jax.jit(blocked)(*arguments), values[0], rtol=1e-6)
    wanted, wanted_grads = jax.jit(jax.value_and_grad(plain, (0, 1, 2)))(*arguments)
    np.testing.assert_allclose(values[0], wanted, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-3, atol=1e-4), grads, wanted_grads
    )


@pytest.mark.parametrize("n", [7, 16, 45])  # within one block, at its edge, beyond
def test_total_bits(n):
    pyramid = Pyramid(16, 16, 3, STRUCTURE)
    rng = np.random.default_rng(1)
    context = jnp.asarray(rng.standard_normal((6, n)), jnp.float32)
    y = jnp.asarray(rng.integers(-2, 3, n), jnp.float32)

    weights = jnp.asarray(rng.random(n), jnp.float32)

    def plain(params, context, y, weights):
        return weights @ bits_of(y, *laplace_parameters(context, params))

    check_equal(blocks.total_bits, plain, params_of(pyramid), context, y, weights)


@pytest.mark.parametrize(
    ("size", "n_channels"),
    [((1, 1), 3), ((3, 50), 3), ((5, 8), 3), ((11, 13), 3), ((5, 8), 2), ((11, 13), 4)],
)
def test_squared_error(size, n_channels):
    pyramid = Pyramid(16, 16, n_channels, STRUCTURE)
    rng = np.random.default_rng(2)
    features = jnp.asarray(rng.standard_normal((pyramid.n_drawn, *size)), jnp.float32)
    picture = jnp.asarray(rng.random((n_channels, *size)), jnp.float32)

    slopes = jnp.asarray(rng.standard_normal((n_channels, *size)), jnp.float32)

    def seen(samples):
        if n_channels in (1, 3):
            return samples
        return samples.at[:-1].multiply(samples[-1:])

    def plain(params, features, picture, slopes):
        errors = seen(synthesis(features, params)) - seen(picture)
        return jnp.sum(errors * (errors + slopes))

    check_equal(blocks.squared_error, plain, params_of(pyramid), features, picture, slopes)


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_the_error_is_that_of_the_measure(n_channels):
    pyramid = Pyramid(16, 16, n_channels, STRUCTURE)
    rng = np.random.default_rng(3)
    features = jnp.asarray(0.1 * rng.standard_normal((pyramid.n_drawn, 9, 14)), jnp.float32)
    params = {name: 0.3 * w for name, w in params_of(pyramid).items()}
    params["synth_b1"] = jnp.full(n_channels, 0.5)
    drawn = np.asarray(synthesis(features, params))
    assert 0 < drawn.min() < drawn.max() < 1  # neither is clipped
    pixels = rng.integers(0, 65536, (9, 14, n_channels), np.uint16)
    pixels[::2, ::3, -1] = 0
    picture = jnp.asarray(pixels.transpose(2, 0, 1) / 65535, jnp.float32)
    found = blocks.squared_error(params, features, picture, jnp.zeros_like(picture)) / picture.size
    rounded = np.rint(drawn.transpose(1, 2, 0) * 65535).astype(np.uint16)
    expected = mse(pixels, rounded) / 65535**2
    assert float(found) == pytest.approx(expected, rel=1e-3)  # rounded to 16 bits, and f32 sums


def test_a_factor_reaches_the_gradient():
    pyramid = Pyramid(16, 16, 3, STRUCTURE)
    context, y, weights = jnp.ones((6, 20)), jnp.ones(20), jnp.ones(20)
    params = params_of(pyramid)
    one = jax.grad(blocks.total_bits)(params, context, y, weights)["context_out"]
    three = jax.grad(lambda p: 3 * blocks.total_bits(p, context, y, weights))(params)["context_out"]
    np.testing.assert_allclose(three, 3 * one, rtol=1e-6)
