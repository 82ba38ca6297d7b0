"""model.py against slow loops, closed forms and numbers worked by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers.grid_loops import laplace_bits
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.grid.fit import model

pytestmark = pytest.mark.usefixtures("strict_jax")


# Soft rounding


@settings(deadline=None)  # the first example compiles
@given(st.floats(-100, 100), st.sampled_from([0.05, 0.1, 0.35, 1.0]))
def test_soft_round_keeps_integers_and_halves(x, temperature):
    whole = float(np.floor(x))
    points = jnp.array([whole, whole + 0.5], jnp.float32)
    assert np.allclose(model.soft_round(points, jnp.float32(temperature)), points, atol=1e-5)
    rounded = float(model.soft_round(jnp.float32(x), jnp.float32(temperature)))
    # Between the number itself and the integer next to it.
    low, high = sorted([x, whole + (x - whole > 0.5)])
    assert low - 1e-4 <= rounded <= high + 1e-4


def test_soft_round_hand_worked():
    # x = 1.25 at 1/4: 1.5 + tanh(-1) / tanh(2) / 2
    expected = 1.5 - 0.7615942 / 0.9640276 / 2
    assert model.soft_round(jnp.float32(1.25), jnp.float32(0.25)) == pytest.approx(expected)


def test_limits_of_soft_round():
    x = jnp.linspace(-3.04, 2.96, 61)  # 0.1 apart, none a half
    hot = model.soft_round(x, jnp.float32(1000.0))
    assert np.allclose(hot, x, atol=1e-4)  # tanh of a thousandth in f32
    cold = model.soft_round(x, jnp.float32(0.005))
    assert np.allclose(cold, np.round(x), atol=1e-5)


# Bits


def test_bits_of_a_closed_form():
    rng = np.random.default_rng(0)
    mean, log_scale = rng.uniform(-3, 3, 500), rng.uniform(-1, 5, 500)
    y = np.rint(mean + np.exp(log_scale) * rng.laplace(size=500) * 0.5)
    expected = laplace_bits(y, mean, np.exp(log_scale))
    arrays = (jnp.asarray(each, jnp.float32) for each in (y, mean, log_scale))
    inside = expected < 15.9
    assert inside.sum() > 400
    # f32 differences of exponentials near 1: e**-5 of mass, of which 2**-24 is lost
    assert np.allclose(model.bits_of(*arrays)[inside], expected[inside], atol=1e-3)


def test_bits_hand_worked():
    ln2 = float(np.log(2))
    # b = 1 / (2 ln 2): e**(-d / b) is 4**-d, so 0 has 1 - 4**-0.5 and 1 has (4**-0.5 - 4**-1.5) / 2
    log_scale = jnp.full(3, -np.log(2 * ln2), jnp.float32)
    bits = model.bits_of(jnp.array([0.0, 1.0, -2.0]), jnp.zeros(3), log_scale)
    assert np.allclose(bits, [1, -np.log2(3 / 16), -np.log2(3 / 64)], atol=1e-5)


@pytest.mark.parametrize("mean", [0.0, 0.3, 0.5, -17.75])
@pytest.mark.parametrize("log_scale", [-5.0, -2.0, -1.0, 0.0, 1.0, 2.0])
def test_probabilities_sum_to_one(mean, log_scale):
    y = jnp.arange(-200, 201, dtype=jnp.float32)
    bits = model.bits_of(y, jnp.full_like(y, mean), jnp.full_like(y, log_scale))
    p = np.exp2(-np.asarray(bits, np.float64))
    assert p[p > 1.01 * model.LEAST_P].sum() == pytest.approx(1, abs=1e-3)  # the tails are cut


def test_no_latent_costs_more_than_16_bits():
    y = jnp.array([0.0, 1.0, 4095.0, -4095.0])
    sharp = jnp.full(4, -model.LOG_SCALE_RANGE)
    assert model.bits_of(y, jnp.zeros(4), sharp).tolist() == [0, 16, 16, 16]


@settings(deadline=None)
@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(-5, 5))
def test_bits_are_the_same_on_both_sides(y, mean, log_scale):
    def bits(sign):
        given = (jnp.float32(sign * y), jnp.float32(sign * mean), jnp.float32(log_scale))
        return float(model.bits_of(*given))

    assert bits(1) == bits(-1)
    assert 0 <= bits(1) <= 16


# Densities


def network(width=5, seed=4):
    """f32 tensors w0, w1, out, linear, b0, b1, b2."""
    rng = np.random.default_rng(seed)
    shapes = {"w0": (width, width), "w1": (width, width), "out": (2, width), "linear": (2, width)}
    shapes |= {"b0": (width,), "b1": (width,), "b2": (2,)}
    return {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("octaves", [0, 3, "of each"])
def test_laplace_parameters_by_a_slow_loop(octaves):
    params, rng = network(), np.random.default_rng(5)
    context = rng.normal(0, 3, (5, 40)).astype(np.float32)
    octaves = rng.integers(0, 6, 40) if octaves == "of each" else octaves
    given_params = {name: jnp.asarray(w) for name, w in params.items()}
    own = octaves if isinstance(octaves, int) else jnp.asarray(octaves, jnp.float32)
    mean, log_scale = model.laplace_parameters(jnp.asarray(context), given_params, own)
    for i in range(40):
        x = context[:, i].astype(np.float64)
        for layer in range(2):
            x = x + np.maximum(0, params[f"w{layer}"] @ x + params[f"b{layer}"])
        out = params["out"] @ x + params["linear"] @ context[:, i] + params["b2"]
        n = int(np.broadcast_to(octaves, 40)[i])
        # f32, values of about 10
        assert mean[i] == pytest.approx(out[0] * 2**n, abs=1e-4 * 2**n)
        assert log_scale[i] == pytest.approx(np.clip(out[1] + n * 11 / 16, -5, 5), abs=1e-4)


def test_hand_worked_parameters():
    params = {name: jnp.zeros_like(w) for name, w in network(width=2).items()}
    params["w0"] = jnp.array([[0.0, 0.0], [1.0, 0.0]])  # the second number grows by the first
    params["out"] = jnp.array([[0.0, 1.0], [0.0, 0.0]])
    params["linear"] = jnp.array([[0.0, 0.0], [0.0, 1.0]])
    params["b2"] = jnp.array([0.5, -1.0])
    context = jnp.array([[3.0, -3.0], [1.0, 2.0]])
    mean, log_scale = model.laplace_parameters(context, params, 2)
    assert mean.tolist() == [4 * (1 + 3 + 0.5), 4 * (2 + 0.5)]
    assert log_scale.tolist() == [0 + 2 * 11 / 16, 1 + 2 * 11 / 16]


def test_an_octave_of_scale_is_about_ln_2():
    assert model.OCTAVE_OF_SCALE == pytest.approx(np.log(2), abs=0.006)


# Colours before the convolutions


def test_mixed_features_hand_worked():
    params = {
        "synth_w0": jnp.array([[1.0], [-1.0]]),
        "synth_b0": jnp.array([-1.0, -1.0]),
        "synth_w1": jnp.array([[0.5, 0.125]]),  # max(0, y - 1) / 2 + max(0, -y - 1) / 8
        "synth_linear": jnp.array([[1.0]]),
        "synth_b1": jnp.array([0.25]),
    }
    x = jnp.array([[-3.0, 0.0, 1.0, 2.0]])
    assert model.mix_features(x, params).tolist() == [[-2.5, 0.25, 1.25, 2.75]]
