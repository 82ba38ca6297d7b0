"""gdn.py against its closed form, float64, and the rule of its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.cae_models import gdn64
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.cae.training.gdn import (
    BETA_LEAST,
    GAMMA_AT_START,
    PEDESTAL,
    bound_below,
    from_trainable,
    gdn,
    to_trainable,
)

ROUNDING = {"rtol": 3e-6, "atol": 1e-30}  # a few float32 operations


def test_two_channels_worked_by_hand():
    x = jnp.array([[3.0, 4.0]])
    beta = jnp.array([7.0, 9.0])
    gamma = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(gdn(x, beta, gamma), [[3 / 4, 4 / 5]], **ROUNDING)  # 16 and 25
    crossed = jnp.array([[0.0, 1.0], [3.0, 0.0]])  # row i divides channel i: 7 + 16 and 9 + 27
    np.testing.assert_allclose(gdn(x, beta, crossed), [[3 / 23**0.5, 4 / 6]], **ROUNDING)
    np.testing.assert_allclose(gdn(x, beta, gamma, is_inverse=True), [[12.0, 20.0]], **ROUNDING)


def at_start(n):
    """beta and gamma as a network begins with them."""
    beta = from_trainable(to_trainable(jnp.ones(n)), BETA_LEAST)
    return beta, from_trainable(to_trainable(GAMMA_AT_START * jnp.eye(n)), 0.0)


def test_closed_form_at_the_start():
    x = jnp.linspace(-30.0, 30.0, 60).reshape(12, 5)
    root = np.sqrt(1 + 0.1 * np.asarray(x, np.float64) ** 2)
    np.testing.assert_allclose(gdn(x, *at_start(5)), x / root, **ROUNDING)
    np.testing.assert_allclose(gdn(x, *at_start(5), is_inverse=True), x * root, **ROUNDING)


def test_slope_at_the_start():
    """d/dx x / sqrt(1 + x^2 / 10) = (1 + x^2 / 10)^(-3/2)."""
    x = jnp.linspace(-8.0, 8.0, 17)

    def first(x):
        return gdn(x[None], *at_start(1))[0]

    slope = jax.vmap(jax.grad(first))(x)
    expected = (1 + 0.1 * np.asarray(x, np.float64) ** 2) ** -1.5
    np.testing.assert_allclose(slope, expected, rtol=1e-5)


@pytest.mark.parametrize("is_inverse", [False, True])
def test_float64(is_inverse):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 7)) * 4
    beta, gamma = rng.uniform(0.1, 2, 7), rng.uniform(0, 0.5, (7, 7))
    found = gdn(*(jnp.asarray(a, jnp.float32) for a in (x, beta, gamma)), is_inverse=is_inverse)
    assert found.shape == x.shape
    np.testing.assert_allclose(found, gdn64(x, beta, gamma, is_inverse=is_inverse), **ROUNDING)


def test_inverse_gives_back_what_its_own_norm_divided():
    """With one gamma for both, IGDN(x) is x times the very root that GDN divides x by."""
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.normal(size=(9, 4)), jnp.float32)
    gamma = jnp.asarray(rng.uniform(0, 0.5, (4, 4)), jnp.float32)
    product = gdn(x, jnp.ones(4), gamma) * gdn(x, jnp.ones(4), gamma, is_inverse=True)
    np.testing.assert_allclose(product, jnp.square(x), rtol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 1e4, width=32))
def test_value_is_the_inverse_of_kept(v):
    # v + 2**-36 in float32 is off by 2**-24 of itself, twice.
    back = float(from_trainable(to_trainable(jnp.float32(v)), 0.0))
    assert back == pytest.approx(v, rel=4e-7, abs=PEDESTAL)
    assert back >= 0


def test_values_never_fall_below_the_least():
    p = jnp.array([-3.0, 0.0, 1e-4, 1e-3, 1.0])
    found = np.asarray(from_trainable(p, BETA_LEAST))
    np.testing.assert_allclose(found, [1e-6, 1e-6, 1e-6, 1e-6, 1.0], rtol=1e-4)
    assert (np.asarray(from_trainable(p, 0.0)) >= 0).all()
    assert float(to_trainable(jnp.float32(-1.0))) == pytest.approx(PEDESTAL**0.5)


def test_gradients_pass_above_the_bound_and_where_they_lead_back_to_it():
    x = jnp.array([2.0, 1.0, 0.5, 0.5])  # above, at, below, below the bound of 1
    g = jnp.array([3.0, -3.0, 3.0, -3.0])  # steps go against it: -3 raises x
    y, pull = jax.vjp(lambda x: bound_below(x, 1.0), x)
    assert y.tolist() == [2.0, 1.0, 1.0, 1.0]
    assert pull(g)[0].tolist() == [3.0, -3.0, 0.0, -3.0]
