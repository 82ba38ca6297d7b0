"""rate.py: what codes cost under the range coder's model, as the loss sees it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.tiny_fits import fitted, smooth

from inr import recipes
from inr.codec import encode_picture
from inr.coders.model_choice import choose_model, cost_bits
from inr.coders.range_coder import RangeCoder
from inr.errors import UsageError
from inr.image.read import from_array
from inr.mlp.fit.rate import coder_curve, coder_curves, estimated_bits, paid_steps
from inr.mlp.fit.settings import RATE_LAMBDA
from inr.options import EncodeOptions
from inr.settings import with_settings

strict = pytest.mark.usefixtures("strict_jax")
N = 2000  # codes of a tensor


def some_codes():
    """Tensors as fits make them, and some that they should not."""
    rng = np.random.default_rng(0)
    kept_tenth = rng.random(N) < 0.1
    drawn = {
        "normal, nearly all zero": rng.normal(0, 0.3, N),
        "normal, one step": rng.normal(0, 1, N),
        "normal, int6": rng.normal(0, 10, N),
        "normal, raw bits": rng.normal(0, 500, N),
        "normal, 16 bits": rng.normal(0, 5000, N),
        "laplace, one step": rng.laplace(0, 0.5, N),
        "laplace, int8": rng.laplace(0, 30, N),
        "uniform": rng.uniform(-20, 20, N),
        "uniform, 16 bits": rng.uniform(-32767, 32767, N),
        "sparse": rng.normal(0, 8, N) * kept_tenth,
        "zeros": np.zeros(N),
        "one value": np.full(N, 7),
        "a bias": rng.normal(0, 10, 12),
        "one code": np.full(1, 5),
    }
    return {name: np.clip(np.rint(x), -32767, 32767).astype(np.int32) for name, x in drawn.items()}


def on_device(arrays):
    return {name: jnp.asarray(array, jnp.float32) for name, array in arrays.items()}


def coded_bits(codes):
    """What the codes take under the model that the range coder chooses for them."""
    return cost_bits(np.bincount(np.abs(codes)), choose_model(codes))


def gaussians(spreads, seed=0):
    """Weights of tensors with so many codes of spread at step 1, and their curves."""
    rng = np.random.default_rng(seed)
    weights = {
        name: rng.normal(0, spread, N).astype(np.float32) for name, spread in spreads.items()
    }
    codes = {name: np.rint(w).astype(np.int32) for name, w in weights.items()}
    return on_device(weights), on_device(coder_curves(codes))


# ---------------------------------------------------------------- the estimate


@strict
@pytest.mark.parametrize("name", some_codes())
def test_codes_without_noise_cost_what_the_coder_takes(name):
    codes = some_codes()[name]
    q_step = np.float32(3 / 128)
    bits, curve = coded_bits(codes), coder_curve(codes)
    estimated = estimated_bits(
        on_device({"w": codes * q_step}), on_device({"w": q_step}), on_device({"w": curve})
    )
    # The density at a code against its mean over the code, most at scales of one code; the last
    # table entries are never below one part in 2**24.
    assert float(estimated) == pytest.approx(bits, abs=0.03 * codes.size)


@pytest.mark.parametrize("name", some_codes())
def test_those_bits_are_what_the_coder_takes(name):
    codes = some_codes()[name]
    bits = coded_bits(codes)
    n_bytes = len(RangeCoder().encode([codes]))
    # Two bytes of model, and what the coder needs to end, up to a word.
    assert bits / 8 <= n_bytes <= bits / 8 + 8


def test_curves_of_several_tensors():
    codes = {"a": some_codes()["sparse"].reshape(50, 40), "b": some_codes()["a bias"]}
    curves = coder_curves(codes)
    assert list(curves) == ["a", "b"]
    for name, curve in curves.items():
        np.testing.assert_array_equal(curve, coder_curve(codes[name].ravel()))


@strict
def test_hand_worked_bits_of_a_laplacian():
    """Code 0 costs 1 bit, code 1 costs 3.5, and half a bit more for each step."""
    w = np.array([0.0, 1.0, -2.0, 4.0, 0.5])
    rms = np.sqrt((1 + 4 + 16 + 0.25) / 5)
    curve = [1.0, 3.0, 2.0, 1.0, 0.0, 0.0, rms]
    for q_step in (1.0, 0.25):
        estimated = estimated_bits(
            on_device({"w": w * q_step}), on_device({"w": q_step}), on_device({"w": curve})
        )
        # 1 + 3.5 + 4 + 5, and half-way from 1 to 3.5
        assert float(estimated) == pytest.approx(13.5 + 2.25, rel=1e-5)  # sums in f32


@strict
@pytest.mark.parametrize(("power", "bits_at_four"), [(0, 3 + 2), (1, 3 + 4), (2, 3 + 16)])
def test_hand_worked_exponents(power, bits_at_four):
    powers = [0.0, 0.0, 0.0]
    powers[power] = 1.0
    curve = [1.0, 3.0, 2.0, *powers, 4.0]  # t = 4 / 2
    estimated = estimated_bits(
        on_device({"w": [4.0, -4.0]}), on_device({"w": 1.0}), on_device({"w": curve})
    )
    assert float(estimated) == pytest.approx(2 * bits_at_four, rel=1e-5)


@strict
def test_no_code_costs_more_than_the_table_can_say():
    far = [1e4] + [0.0] * 99
    curve = [0.1, 3.0, 1.0, 0.0, 0.0, 1.0, 1e4 / 10]
    bits = estimated_bits(on_device({"w": far}), on_device({"w": 1.0}), on_device({"w": curve}))
    assert float(bits) == pytest.approx(99 * 0.1 + 3 + 24, rel=1e-5)


@strict
def test_the_scale_of_the_model_follows_the_codes():
    # No code is below 1, so twice as large codes cost one bit more each, exactly.
    w = np.random.default_rng(0).uniform(1, 30, 1000).astype(np.float32)
    curve = on_device({"w": coder_curve(np.rint(w).astype(np.int32))})
    bits = [
        float(estimated_bits(on_device({"w": w}), on_device({"w": q_step}), curve))
        for q_step in (1.0, 0.5, 0.25)
    ]
    assert np.diff(bits) == pytest.approx([1000, 1000], rel=1e-3)  # the difference of sums in f32


# ---------------------------------------------------------------- gradients


@strict
@pytest.mark.parametrize("spread", [0.4, 1.0, 6.0, 200.0])
def test_smaller_weights_and_coarser_steps_are_cheaper(spread):
    params, curves = gaussians({"w": spread})
    q_steps = on_device({"w": 1.0})
    by_weight, by_step = jax.grad(estimated_bits, argnums=(0, 1))(params, q_steps, curves)
    w, slope = np.asarray(params["w"]), np.asarray(by_weight["w"])
    assert np.isfinite(slope).all()
    beyond = np.abs(w) > 1  # below, zeros can be too rare for the model to reward another
    assert (np.sign(slope) == np.sign(w))[beyond].all()
    assert (slope * w).sum() > 0.3 * N  # bits, if all weights grew by a factor of e
    assert float(by_step["w"]) < 0


@strict
def test_gradients_are_those_of_finite_differences():
    params, curves = gaussians({"w": 5.0, "b": 0.7})
    q_steps = on_device({"w": 1.0, "b": 1.0})
    rng = np.random.default_rng(1)
    direction = {name: rng.normal(0, 1, N).astype(np.float32) for name in params}
    grads = jax.grad(estimated_bits)(params, q_steps, curves)
    expected = sum(float(jnp.sum(grads[name] * direction[name])) for name in params)

    def bits_at(distance):
        moved = {name: params[name] + np.float32(distance) * direction[name] for name in params}
        return float(estimated_bits(moved, q_steps, curves))

    # 0.02 codes: far above the rounding of a sum of 15,000 bits, below the curvature.
    assert (bits_at(0.01) - bits_at(-0.01)) / 0.02 == pytest.approx(expected, rel=0.05, abs=5)


@strict
def test_tensors_of_zeros_have_finite_gradients():
    params = on_device({"w": np.zeros(100)})
    curves = on_device({"w": coder_curve(np.zeros(100, np.int32))})
    grads = jax.grad(estimated_bits, argnums=(0, 1))(params, on_device({"w": 1.0}), curves)
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(grads))
    assert float(estimated_bits(params, on_device({"w": 1.0}), curves)) < 1


# ---------------------------------------------------------------- steps that meet a budget


def bits_with(params, log2_steps, curves):
    return estimated_bits(params, {k: jnp.exp2(v) for k, v in log2_steps.items()}, curves)


def settled(params, log2_steps, curves, budget_bits, n=12):
    for _ in range(n):
        log2_steps = paid_steps(params, log2_steps, curves, jnp.float32(budget_bits))
    return log2_steps


@strict
@pytest.mark.parametrize("bits_a_code", [2.0, 4.0, 8.0])
@pytest.mark.parametrize("first", [(0.0, 0.0), (2.0, -1.0), (-3.0, -3.0)])
def test_a_few_iterations_meet_the_budget(bits_a_code, first):
    params, curves = gaussians({"w": 5.0, "b": 40.0})
    budget_bits = bits_a_code * 2 * N
    log2_steps = settled(
        params, on_device(dict(zip("wb", first, strict=True))), curves, budget_bits
    )
    assert float(bits_with(params, log2_steps, curves)) == pytest.approx(budget_bits, rel=2e-3)
    moved = [float(log2_steps[name]) - was for name, was in zip("wb", first, strict=True)]
    assert moved[0] == pytest.approx(moved[1], abs=1e-5)  # all by as much


@strict
def test_one_step_moves_an_octave_at_most():
    params, curves = gaussians({"w": 5.0})
    for budget_bits, shift in ((1.0, 1), (1e6, -1)):
        moved = paid_steps(params, on_device({"w": 0.0}), curves, jnp.float32(budget_bits))
        assert float(moved["w"]) == shift


@strict
def test_the_bits_of_paid_steps_do_not_depend_on_the_weights():
    """The implicit function theorem: the budget holds, whatever moves to first order."""
    params, curves = gaussians({"w": 5.0, "b": 40.0})
    budget = jnp.float32(5 * 2 * N)
    log2_steps = settled(params, on_device({"w": 0.3, "b": -0.2}), curves, budget)

    def paid_bits(params, log2_steps):
        return bits_with(params, paid_steps(params, log2_steps, curves, budget), curves)

    paid = jax.grad(paid_bits, argnums=(0, 1))(params, log2_steps)
    free = jax.grad(bits_with, argnums=(0, 1))(params, log2_steps, curves)
    for name in params:
        left = np.abs(np.asarray(paid[0][name])).max()
        assert left < 0.01 * np.abs(np.asarray(free[0][name])).max()  # Newton's rest, and f32
        assert abs(float(paid[1][name])) < 0.01 * abs(float(free[1][name]))


@strict
def test_the_gradient_through_the_level_is_that_of_a_lambda():
    """Of f(paid steps) in the steps: f's own, less what each step's bits are worth."""
    params, curves = gaussians({"w": 5.0, "b": 40.0})
    budget = jnp.float32(5 * 2 * N)
    log2_steps = settled(params, on_device({"w": 0.0, "b": 0.0}), curves, budget)

    def damage(log2_steps):  # noise of a step in w hurts three times as much as in b
        return 3 * jnp.exp2(2 * log2_steps["w"]) + jnp.exp2(2 * log2_steps["b"])

    found = jax.grad(lambda steps: damage(paid_steps(params, steps, curves, budget)))(log2_steps)
    own = jax.grad(damage)(log2_steps)
    by_bits = jax.grad(bits_with, argnums=1)(params, log2_steps, curves)
    price = sum(own.values()) / sum(by_bits.values())  # the lambda, negative as bits fall
    for name in log2_steps:
        expected = float(own[name] - price * by_bits[name])
        assert float(found[name]) == pytest.approx(expected, rel=0.02)
    assert float(sum(found.values())) == pytest.approx(0, abs=0.01 * float(own["w"]))


# ---------------------------------------------------------------- in the fit


@pytest.mark.slow  # a loss with a rate term is a compilation of its own
def test_a_larger_lambda_makes_smaller_and_worse_files():
    many = {"fit.steps": "240", "fit.rounding": "0.05"}  # blocks of 3, compiled once
    cheap, dear = (fitted(settings=many | {"fit.rate_lambda": value}) for value in ("1e-2", "1e-5"))
    assert len(cheap.data) < 0.9 * len(dear.data)
    assert cheap.psnr_db < dear.psnr_db
    assert cheap.psnr_db > 30  # it pays, but it learns


@pytest.mark.slow  # as above
def test_without_a_target_a_term_alone_weighs_as_much_as_the_default():
    term, named = ({"fit.rate_term": "true"}, {"fit.rate_lambda": str(RATE_LAMBDA)})
    assert fitted(settings=term).data == fitted(settings=named).data


@pytest.mark.slow  # as above: with a target another one
@pytest.mark.parametrize("target_bytes", [170, 250])
def test_with_a_target_the_term_needs_no_lambda(target_bytes):
    encoded = fitted(settings={"fit.rate_term": "true"}, target_bytes=target_bytes)
    assert 0.975 * target_bytes <= len(encoded.data) <= target_bytes


@pytest.mark.parametrize("target", [{"target_bytes": 200}, {"target_bpp": 1.5}])
def test_a_lambda_beside_a_target_is_refused(target):
    with pytest.raises(UsageError, match=r"fit\.rate_lambda=0\.01 is for files without a target.*"):
        fitted(settings={"fit.rate_lambda": "1e-2"}, **target)


def test_the_recipes_own_size_is_a_target_too():
    recipe = with_settings(recipes.siren(), {"fit.rate_lambda": "1e-3"})
    with pytest.raises(UsageError, match=r"give fit\.rate_term=true instead, or fix the network"):
        encode_picture(from_array(smooth()), recipe, EncodeOptions())


@pytest.mark.parametrize("rate", [{"fit.rate_term": "true"}, {"fit.rate_lambda": "1e-3"}])
@pytest.mark.parametrize("quantizer", ["kmeans", "distribution", "float16"])
def test_a_term_for_steps_that_are_not_learned_is_refused(quantizer, rate):
    with pytest.raises(UsageError, match=f"needs the quantizer uniform, .* not {quantizer}"):
        fitted(settings={"quantize": quantizer} | rate)
