"""SIREN: hand-worked values, the bounds of its initialisation, the statistics of the paper."""

import jax.numpy as jnp
import numpy as np
import pytest

from inr.mlp.fields.siren import Siren

pytestmark = pytest.mark.usefixtures("strict_jax")


def test_hand_worked_network_of_one_sine():
    net = Siren(hidden=1, n_layers=1, first_omega_0=30.0)
    params = {
        "w0": np.array([[np.pi / 60], [0]], np.float32),
        "b0": np.array([0], np.float32),
        "w1": np.array([[0.5]], np.float32),
        "b1": np.array([0.25], np.float32),
    }
    coords = np.array([[1, 9], [1 / 3, 9], [0, 9], [-1, 9]], np.float32)
    # 30 * pi / 60 = pi / 2 per unit of row: sines 1, 1/2, 0, -1; then 0.5 h + 0.25.
    expected = np.array([[0.75], [0.5], [0.25], [-0.25]])
    atol = 1e-6  # pi / 60 and one sine in float32
    assert np.allclose(net.evaluate(params, coords), expected, atol=atol)
    assert np.allclose(
        net.apply({k: jnp.asarray(w) for k, w in params.items()}, jnp.asarray(coords)),
        expected,
        atol=atol,
    )


def test_first_and_later_layers_have_their_own_omega():
    net = Siren(hidden=1, n_layers=2, first_omega_0=2.0, hidden_omega_0=3.0)
    one, zero = np.ones((1, 1), np.float32), np.zeros(1, np.float32)
    params = {"w0": np.array([[0], [1]], np.float32), "b0": zero, "w1": one, "b1": zero}
    params |= {"w2": one, "b2": zero}
    drawn = net.evaluate(params, np.array([[9, 0.7]], np.float32))
    assert drawn.item() == pytest.approx(np.sin(3 * np.sin(2 * 0.7)), abs=1e-6)  # two sines in f32


def test_shapes():
    assert dict(Siren(hidden=5, n_layers=2).shapes(3)) == {
        "w0": (2, 5),
        "b0": (5,),
        "w1": (5, 5),
        "b1": (5,),
        "w2": (5, 3),
        "b2": (3,),
    }


@pytest.mark.parametrize("omega_0", [30.0, 10.0])
def test_bounds_of_the_first_weights(omega_0):
    hidden = 150
    net = Siren(hidden=hidden, n_layers=3, first_omega_0=77.0, hidden_omega_0=omega_0)
    params = net.init(np.random.default_rng(0), 3)
    bounds = {"w0": 1 / 2, "b0": 1 / np.sqrt(2)}
    for i in (1, 2, 3):  # the last, linear layer too
        bounds |= {f"w{i}": np.sqrt(6 / hidden) / omega_0, f"b{i}": 1 / np.sqrt(hidden)}
    for name, bound in bounds.items():
        largest = np.abs(params[name]).max()
        assert largest <= bound * (1 + 1e-6)  # rounding to float32
        n = params[name].size
        assert largest > bound * 0.01 ** (1 / n)  # a maximum of n below it has a chance of 1 %
        assert abs(params[name].mean()) < 4 * bound / np.sqrt(3 * n)  # 4 standard deviations


def test_activations_keep_their_variance_through_a_deep_network():
    """Section 3.2 of the paper: the weighted sums in front of the sines have variance 1, the
    sines 1/2, at every depth."""
    net = Siren(hidden=512, n_layers=10)
    params = net.init(np.random.default_rng(0), 3)
    h = np.random.default_rng(1).uniform(-1, 1, (300, 2)).astype(np.float32)
    for i in range(net.n_layers):
        product = 30 * (h @ params[f"w{i}"])
        h = np.sin(product + 30 * params[f"b{i}"])
        # sin of N(0, s**2) has a mean square of (1 - exp(-2 s**2)) / 2: 0.43 for s = 1 without a
        # bias, up to 0.5 with it.
        assert 0.42 < np.mean(h**2) < 0.52
        if i > 0:
            # 2 E[h**2] = 0.86..1, give or take 4 deviations of 512 columns, 4 sqrt(2 / 512) = 1/4.
            assert 0.86 * 0.75 < np.mean(product**2) < 1.25
