"""ste.py: training sees the very rounding of the file, at steps that meet the budget."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inr.coders.entropy import entropy_bound_bits
from inr.quantize.ste import add_noise, budgeted_steps, round_straight_through
from inr.quantize.uniform import Uniform, wire_step

pytestmark = pytest.mark.usefixtures("strict_jax")


def gaussians(seed=0):
    """Tensors of different sizes and spreads, file order unlike the order of their names."""
    rng = np.random.default_rng(seed)
    shapes = {"w0": ((2, 300), 0.3), "b0": ((300,), 2.0), "a": ((300, 300), 0.01)}
    return {
        name: jnp.asarray(rng.normal(0, spread, shape).astype(np.float32))
        for name, (shape, spread) in shapes.items()
    }


def log2_steps(values):
    return {name: jnp.float32(value) for name, value in zip(("w0", "b0", "a"), values, strict=True)}


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("q_step", [0.5, 0.037, 1e-4])
def test_rounding_is_that_of_the_file(q_step, jit):
    q_step = wire_step(q_step)
    rng = np.random.default_rng(0)
    weights = np.concatenate(
        [
            rng.normal(0, 30 * q_step, 20_000),
            np.arange(-50, 50) * q_step / 2,  # multiples and ties
            [0.0],
        ]
    ).astype(np.float32)
    round_ = jax.jit(round_straight_through) if jit else round_straight_through
    rounded = round_({"w": jnp.asarray(weights)}, {"w": jnp.float32(q_step)})["w"]
    quantizer = Uniform()
    expected = quantizer.dequantize(quantizer.codes(weights, q_step), q_step)
    differs = np.asarray(rounded) != expected
    # XLA may divide by multiplying with the reciprocal, whose last bit can move a tie.
    is_tie = np.abs(np.abs(weights / np.float64(q_step)) % 1 - 0.5) < 1e-5
    assert not differs[~is_tie].any()
    assert q_step != 0.5 or not differs.any()  # powers of two divide exactly


def test_rounding_clips_like_the_file():
    weights = np.array([1e5, -1e5, 32767.4, 32768.0], np.float32)
    rounded = round_straight_through({"w": jnp.asarray(weights)}, {"w": jnp.float32(1)})["w"]
    assert np.asarray(rounded).tolist() == [32767, -32767, 32767, 32767]


def test_the_gradient_passes_unchanged():
    params = gaussians()
    steps = {name: jnp.float32(0.1) for name in params}

    def loss(p):
        rounded = round_straight_through(p, steps)
        return sum(jnp.sum(w) for w in rounded.values())

    grads = jax.grad(loss)(params)
    assert all(np.array_equal(grad, np.ones(grad.shape)) for grad in grads.values())


@pytest.mark.parametrize("relative", [(0, 0, 0), (1.5, -0.7, 0.2)])
@pytest.mark.parametrize("bits", [3.0, 6.5])
def test_steps_meet_the_budget(relative, bits):
    params = gaussians()
    n_weights = sum(w.size for w in params.values())
    steps = budgeted_steps(params, log2_steps(relative), bits * n_weights)
    cost_bits = 0.0
    for name, w in params.items():
        rms = np.sqrt(np.mean(np.asarray(w, np.float64) ** 2))
        # Differential entropy of N(0, rms**2) less log2 of the step, Cover and Thomas (8.3).
        cost_bits += w.size * (
            0.5 * np.log2(2 * np.pi * np.e * rms**2) - np.log2(float(steps[name]))
        )
    # The floor under rms, 1e-4 of 1e-2, adds 7e-5 bits a weight; float32 as much again.
    assert cost_bits / n_weights == pytest.approx(bits, abs=3e-4)


def test_only_differences_of_relative_steps_count():
    params = gaussians()
    steps = budgeted_steps(params, log2_steps((1, -1, 0)), 4e5)
    shifted = budgeted_steps(params, log2_steps((4, 2, 3)), 4e5)
    for name in params:
        assert float(steps[name]) == pytest.approx(float(shifted[name]), rel=1e-5)  # exp2 in f32


def test_a_coarser_tensor_is_paid_for_by_the_others():
    params = gaussians()
    even = budgeted_steps(params, log2_steps((0, 0, 0)), 4e5)
    uneven = budgeted_steps(params, log2_steps((1, 0, 0)), 4e5)
    assert uneven["w0"] > even["w0"]
    assert uneven["b0"] < even["b0"]
    assert uneven["a"] < even["a"]


@pytest.mark.parametrize("bits", [3.0, 5.0, 7.0])
def test_the_codes_of_gaussian_weights_cost_what_was_asked(bits):
    rng = np.random.default_rng(0)
    params = {
        "w": jnp.asarray(rng.normal(0, 0.05, (400, 400)).astype(np.float32)),
        "v": jnp.asarray(rng.normal(0, 3.0, 160_000).astype(np.float32)),
    }
    n_weights = sum(w.size for w in params.values())
    zeros = {name: jnp.float32(0) for name in params}
    steps = budgeted_steps(params, zeros, bits * n_weights)
    codes = [Uniform().codes(np.asarray(w), float(steps[name])) for name, w in params.items()]
    # The formula is that of high rate; the histogram of 160,000 samples adds 0.1 %.
    assert entropy_bound_bits(codes) == pytest.approx(bits * n_weights, rel=0.02)


def test_steps_of_tensors_that_are_zero_are_finite():
    params = {"w": jnp.zeros((4, 4), jnp.float32), "b": jnp.ones(4, jnp.float32)}
    zeros = {name: jnp.float32(0) for name in params}
    steps = budgeted_steps(params, zeros, 100.0)
    assert all(np.isfinite(float(q_step)) and q_step > 0 for q_step in steps.values())
    slopes = jax.grad(lambda p: sum(budgeted_steps(p, zeros, 100.0).values()))(params)
    assert all(np.isfinite(np.asarray(slope)).all() for slope in slopes.values())


def test_noise_is_uniform_over_one_step():
    params, key = gaussians(), jax.random.key(0)
    steps = {"w0": jnp.float32(0.5), "b0": jnp.float32(0.01), "a": jnp.float32(0.125)}
    noisy = add_noise(params, steps, key)
    assert list(noisy) == list(params)
    for name, w in params.items():
        noise = (np.asarray(noisy[name], np.float64) - np.asarray(w)) / float(steps[name])
        assert noise.shape == w.shape
        assert np.abs(noise).max() <= 0.5 + 1e-4  # w itself, up to 10 steps of 0.01, in float32
        # 4 deviations: U(-1/2, 1/2) has variance 1/12 and its square a deviation of 0.0745.
        assert abs(noise.mean()) < 4 * np.sqrt(1 / 12 / noise.size)
        assert abs(noise.var() - 1 / 12) < 4 * 0.0745 / np.sqrt(noise.size)


def test_noise_differs_from_key_to_key_and_from_tensor_to_tensor():
    params = {name: jnp.zeros(100, jnp.float32) for name in ("a", "b")}
    steps = {name: jnp.float32(1) for name in params}
    first = add_noise(params, steps, jax.random.key(0))
    again = add_noise(params, steps, jax.random.key(0))
    other = add_noise(params, steps, jax.random.key(1))
    assert np.array_equal(first["a"], again["a"])
    assert not np.array_equal(first["a"], other["a"])
    assert not np.array_equal(first["a"], first["b"])
