"""Fourier features: hand-worked values, frequencies on their grid, no dice in the decoder."""

import jax.numpy as jnp
import numpy as np
import pytest

from inr.mlp.fields.fourier import FREQUENCY_STEP, Fourier

pytestmark = pytest.mark.usefixtures("strict_jax")


def test_hand_worked_network_of_one_frequency():
    net = Fourier(hidden=1, n_layers=1, n_frequencies=1)
    params = {
        "frequencies": np.array([[0.25], [0]], np.float32),  # a quarter of a cycle per unit row
        "w0": np.array([[0], [1]], np.float32),  # of [cos, sin] take the sine
        "b0": np.array([0], np.float32),
        "w1": np.array([[2]], np.float32),
        "b1": np.array([-1], np.float32),
    }
    coords = np.array([[1, 9], [1 / 3, 9], [0, 9], [-1, 9]], np.float32)
    # Sines 1, 1/2, 0, -1; ReLU turns the last into 0; then 2 h - 1.
    expected = np.array([[1], [0], [-1], [-1]])
    atol = 1e-6  # 2 pi / 4 and one sine in float32
    assert np.allclose(net.evaluate(params, coords), expected, atol=atol)
    assert np.allclose(
        net.apply({k: jnp.asarray(w) for k, w in params.items()}, jnp.asarray(coords)),
        expected,
        atol=atol,
    )


def test_cosines_come_before_sines():
    net = Fourier(hidden=4, n_layers=1, n_frequencies=2)
    params = {
        "frequencies": np.array([[0.25, 0], [0, 0.5]], np.float32),
        "w0": np.eye(4, dtype=np.float32),
        "b0": np.full(4, 1, np.float32),  # keeps ReLU open
        "w1": np.eye(4, 3, dtype=np.float32),
        "b1": np.full(3, -1, np.float32),
    }
    drawn = net.evaluate(params, np.array([[1 / 3, 1 / 3]], np.float32))  # pi / 6 and pi / 3
    expected = [np.sqrt(3) / 2, 1 / 2, 1 / 2]  # cos, cos, sin
    assert np.allclose(drawn, [expected], atol=1e-6)  # one sine in float32


def test_shapes():
    assert dict(Fourier(hidden=5, n_layers=1, n_frequencies=7).shapes(3)) == {
        "frequencies": (2, 7),
        "w0": (14, 5),
        "b0": (5,),
        "w1": (5, 3),
        "b1": (3,),
    }


def test_frequencies_are_multiples_of_the_step_with_the_spread_asked_for():
    net = Fourier(8, n_frequencies=4096, sigma=12.0)
    frequencies = net.init(np.random.default_rng(0), 3)["frequencies"]
    assert net.fixed_steps() == {"frequencies": FREQUENCY_STEP}
    assert np.array_equal(frequencies % FREQUENCY_STEP, np.zeros_like(frequencies))
    assert frequencies.std() == pytest.approx(12.0, rel=0.05)  # 5 deviations of 8192 draws
    assert abs(frequencies.mean()) < 0.6  # the same


def test_weights_follow_he():
    params = Fourier(hidden=100, n_layers=2, n_frequencies=50).init(np.random.default_rng(0), 3)
    for i in range(3):
        bound = np.sqrt(6 / 100)
        assert 0.95 * bound < np.abs(params[f"w{i}"]).max() <= bound * (1 + 1e-6)  # float32
        assert not params[f"b{i}"].any()


def test_the_decoder_draws_no_random_number(monkeypatch):
    net = Fourier(hidden=4, n_layers=1, n_frequencies=3)
    params = net.init(np.random.default_rng(0), 3)

    def forbidden(*args, **kwargs):
        raise AssertionError("a random number was asked for")

    monkeypatch.setattr(np.random, "default_rng", forbidden)
    monkeypatch.setattr(np.random, "Generator", forbidden)
    for name in ("rand", "randn", "normal", "uniform", "random", "seed"):
        monkeypatch.setattr(np.random, name, forbidden)
    coords = np.zeros((2, 2), np.float32)
    assert np.array_equal(net.evaluate(params, coords), net.evaluate(params, coords))
    assert net.shapes(3)["frequencies"] == (2, 3)
