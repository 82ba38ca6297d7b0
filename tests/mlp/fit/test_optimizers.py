"""optimizers.py: the first update of each optimizer, worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inr.mlp.fit.optimizers import Adam, Muon


def first_update(settings, params, grads):
    optimizer = settings.make(params)
    return jax.jit(optimizer.update)(grads, optimizer.init(params), params)[0]


def tensors(seed):
    """A square and an oblong matrix, a thin one, and a bias."""
    rng = np.random.default_rng(seed)
    shapes = {"w0": (2, 16), "w1": (16, 16), "w2": (16, 8), "b1": (16,)}
    return {name: jnp.asarray(rng.normal(size=s).astype(np.float32)) for name, s in shapes.items()}


def test_adam_first_moves_every_weight_by_its_rate():
    # m / (1 - b1) = g and v / (1 - b2) = g**2, so the step is rate * g / |g|.
    params, grads = tensors(0), tensors(1)
    for name, update in first_update(Adam(learning_rate=0.25), params, grads).items():
        np.testing.assert_allclose(update, -0.25 * np.sign(grads[name]), rtol=1e-4)  # eps 1e-8


def test_muon_leaves_thin_matrices_and_biases_to_adam():
    params, grads = tensors(0), tensors(1)
    updates = first_update(Muon(learning_rate=0.5, adam_learning_rate=0.25), params, grads)
    for name in ("w0", "b1"):
        # optax uses Nesterov's Adam here: the first step is longer than the rate, not the signs.
        np.testing.assert_array_equal(np.sign(updates[name]), -np.sign(grads[name]))
        sizes = np.abs(updates[name])
        np.testing.assert_allclose(sizes, sizes.mean(), rtol=1e-3)
        assert 0.24 < sizes.mean() < 0.5


@pytest.mark.parametrize("name", ["w1", "w2"])
def test_muon_makes_all_singular_values_about_one(name):
    params, grads = tensors(0), tensors(1)
    updates = first_update(Muon(learning_rate=0.5, adam_learning_rate=0.25), params, grads)
    values = np.linalg.svd(np.asarray(updates[name]), compute_uv=False) / 0.5
    # Five Newton-Schulz steps bring values into about 0.7..1.2; small ones may stay a bit below.
    # Without them, those of a Gaussian 16x16 matrix differ by a factor of a hundred.
    assert values.max() < 1.7
    assert values.max() / values.min() < 4
    assert np.sum(np.asarray(updates[name]) * np.asarray(grads[name])) < 0  # downhill


def test_muon_ignores_the_size_of_the_gradient():
    params, grads = tensors(0), tensors(1)
    weak = {name: g * np.float32(1e-3) for name, g in grads.items()}
    strong_updates, weak_updates = (first_update(Muon(), params, g) for g in (grads, weak))
    for name, update in strong_updates.items():
        np.testing.assert_allclose(update, weak_updates[name], atol=1e-5)  # of 3e-3; eps, f32


@pytest.mark.parametrize("settings", [Adam(), Muon()])
def test_no_gradient_no_update(settings):
    params = tensors(0)
    zeros = {name: jnp.zeros_like(w) for name, w in params.items()}
    for update in first_update(settings, params, zeros).values():
        assert not np.asarray(update).any()  # and no NaN from a norm of zero


@pytest.mark.parametrize("settings", [Adam(), Muon()])
def test_rates_scale_the_update(settings):
    params, grads = tensors(0), tensors(1)
    rates = {name: 2 * rate for name, rate in vars(settings).items()}
    once = first_update(settings, params, grads)
    twice = first_update(type(settings)(**rates), params, grads)
    for name, update in once.items():
        np.testing.assert_allclose(2 * update, twice[name], rtol=1e-5)  # f32


@pytest.mark.parametrize(
    ("shape", "density", "share"),
    [
        ((64, 64), 1.0, 1.0),
        ((128, 128), 1.0, 0.5),  # wide matrices move more slowly
        ((128, 256), 1.0, 0.5),  # by their shorter side
        ((128, 128), 0.25, 1.0),  # as wide as 64: of four inputs one is left
        ((256, 256), 0.25, 0.5),
        ((16, 16), 1.0, 1.0),  # narrow ones not faster
        ((7, 4096), 1.0, 1.0),  # Adam moves it
        ((4096,), 1.0, 1.0),
    ],
)
def test_hand_worked_shares_of_the_rate(shape, density, share):
    assert float(Muon().share_of_rate(shape, density)) == share
    assert float(Adam().share_of_rate(shape, density)) == 1
