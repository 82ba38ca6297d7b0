"""rdoq.py: what the chosen networks cost, counted once more."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inr.coders.model_choice import choose_model, cost_bits
from inr.grid.fit.init import first_networks
from inr.grid.fit.model import rate_bits, synthesize
from inr.grid.fit.program import FitProblem, fit
from inr.grid.fit.settings import GridFit
from inr.grid.network_coding import (
    MAX_OCTAVES,
    CodedNetworks,
    quantize_networks,
    read_networks,
    write_networks,
)
from inr.grid.rdoq import compile_search, optimize_networks
from inr.grid.structure import Pyramid, Structure

# Pictures and levels so small that the search looks at all of them, not at a sample.
PYRAMID = Pyramid(32, 48, 3, Structure(first_level=1, n_taps=4, n_features=2, hidden=8))
ONE_LEVEL = Pyramid(8, 12, 1, Structure(n_taps=2, n_features=1, hidden=2))
LAMBDA = 1e-3
TINY = 1e-6  # of a cost: f32 sums in another order


@functools.partial(jax.jit, static_argnums=0)
def measured(pyramid, latents, params, picture):
    """MSE and bits of the latents."""
    mse = jnp.mean((synthesize(latents, params, pyramid) - picture) ** 2)
    return mse, rate_bits(latents, params, pyramid)


def network_bits(coded, pyramid):
    """Bits of all codes, each group under the distribution that suits it best."""
    bits = 0.0
    for shapes in pyramid.groups.values():
        codes = np.concatenate([coded.codes[name].ravel() for name in shapes])
        bits += cost_bits(np.bincount(np.abs(codes)), choose_model(codes))
    return bits


def cost(coded, latents, picture, lambda_, pyramid):
    """MSE + lambda * bpp of latents and networks."""
    params = {name: w.astype(np.float32) for name, w in coded.values(pyramid).items()}
    floats = [y.astype(np.float32) for y in latents]
    mse, bits = measured(pyramid, floats, params, picture)
    bits = float(bits) + network_bits(coded, pyramid)
    return float(mse) + lambda_ * bits / (pyramid.height * pyramid.width)


def a_model(pyramid, seed=0):
    """f32 tensors, latents and what they draw: nothing fitted, nothing to be gained but bits."""
    rng = np.random.default_rng(seed)
    params = first_networks(pyramid, np.full(pyramid.n_channels, 0.5), rng)
    for name in ("conv_w0", "conv_w1", "context_b0"):
        params[name] = rng.normal(0, 0.02, params[name].shape).astype(np.float32)
    latents = [
        np.rint(rng.laplace(0, 1, (level.height, level.width))).astype(np.int32)
        for level in pyramid.levels
    ]
    floats = [jnp.asarray(y, jnp.float32) for y in latents]
    picture = synthesize(floats, {name: jnp.asarray(w) for name, w in params.items()}, pyramid)
    return params, latents, np.asarray(picture)


def same_steps(pyramid, octaves):
    return dict.fromkeys(pyramid.groups, octaves)


def assert_good(coded, params, latents, picture, lambda_, pyramid):
    """Nothing simple is cheaper."""
    chosen = cost(coded, latents, picture, lambda_, pyramid) * (1 - TINY)
    assert list(coded.codes) == list(pyramid.shapes)
    # The moves have not made it worse than the nearest codes.
    assert chosen <= cost(
        quantize_networks(params, coded.octaves, pyramid), latents, picture, lambda_, pyramid
    )
    for octaves in range(MAX_OCTAVES + 1):
        all_same = quantize_networks(params, same_steps(pyramid, octaves), pyramid)
        assert chosen <= cost(all_same, latents, picture, lambda_, pyramid), octaves
    for group, octaves in coded.octaves.items():
        for other in {max(0, octaves - 1), min(MAX_OCTAVES, octaves + 1)} - {octaves}:
            steps = coded.octaves | {group: other}
            changed = quantize_networks(params, steps, pyramid)
            assert chosen <= cost(changed, latents, picture, lambda_, pyramid), (group, other)


def assert_same(one, other):
    assert one.octaves == other.octaves
    assert list(one.codes) == list(other.codes)
    for name, codes in one.codes.items():
        assert np.array_equal(other.codes[name], codes), name


@pytest.fixture(scope="module")
def searched():
    """A model of one level and its chosen networks."""
    model = a_model(ONE_LEVEL)
    return model, optimize_networks(*model, LAMBDA, ONE_LEVEL, seed=0)


def test_a_search_that_is_compiled_beforehand_compiles_none_of_its_programs(caplog):
    pyramid = Pyramid(8, 16, 1, ONE_LEVEL.structure)  # of no other test
    model = a_model(pyramid)
    with jax.log_compiles():
        compile_search(pyramid)
        first = caplog.text
        caplog.clear()
        optimize_networks(*model, LAMBDA, pyramid, seed=0)
    for program in ("jit(losses)", "jit(_gradient)"):
        assert f"Finished XLA compilation of {program}" in first
        assert f"Finished XLA compilation of {program}" not in caplog.text


def test_nothing_simple_is_cheaper(searched):
    (params, latents, picture), coded = searched
    assert_good(coded, params, latents, picture, LAMBDA, ONE_LEVEL)


def test_chosen_networks_are_what_a_file_may_hold(searched):
    _, coded = searched
    assert_same(read_networks(write_networks(coded, ONE_LEVEL), ONE_LEVEL), coded)


def test_the_same_seed_gives_the_same_networks(searched):
    model, coded = searched
    assert_same(optimize_networks(*model, LAMBDA, ONE_LEVEL, seed=0), coded)


def test_dear_bits_give_small_networks(searched):
    model, coded = searched
    _, latents, picture = model
    dear = optimize_networks(*model, 0.3, ONE_LEVEL, seed=0)
    assert network_bits(dear, ONE_LEVEL) < network_bits(coded, ONE_LEVEL)
    # Each is the better one for its own lambda.
    for lambda_, own, other in ((0.3, dear, coded), (LAMBDA, coded, dear)):
        costs = [cost(each, latents, picture, lambda_, ONE_LEVEL) for each in (own, other)]
        assert costs[0] < costs[1]


def test_useless_weights_become_zero():
    params, latents, picture = a_model(ONE_LEVEL)
    latents = [np.zeros_like(y) for y in latents]
    picture = np.full_like(picture, 0.5)
    params["conv_w0"][:] = params["conv_w1"][:] = 0
    coded = optimize_networks(params, latents, picture, LAMBDA, ONE_LEVEL, seed=0)
    # All latents are 0, and so is all that is multiplied by them.
    for name in ("synth_linear", "synth_w0", "synth_w1", "context_linear", "context_w0"):
        assert not coded.codes[name].any(), name
    values = coded.values(ONE_LEVEL)
    assert values["synth_b1"] + values["conv_b0"] + values["conv_b1"] == 0.5


@pytest.mark.slow
def test_weights_at_the_limit_stay_inside():
    params, latents, picture = a_model(ONE_LEVEL)
    params["context_b2"] = np.array([0.0, -300.0], np.float32)  # as low as log scales may be
    params["synth_b1"][:] = 1e6
    coded = optimize_networks(params, latents, picture, LAMBDA, ONE_LEVEL, seed=0)
    assert_same(read_networks(write_networks(coded, ONE_LEVEL), ONE_LEVEL), coded)


@pytest.mark.slow
def test_a_fitted_picture():
    y, x = np.mgrid[0:1:32j, 0:1:48j]
    waves = [np.sin(5 * x + 3 * y), np.cos(4 * y - x), np.sin(6 * x * y)]
    picture = (0.5 + 0.4 * np.stack(waves)).astype(np.float32)
    settings = GridFit(steps=200, n_starts=1)
    (fitted,) = fit([FitProblem(picture, LAMBDA, 0)], PYRAMID, settings)
    coded = optimize_networks(fitted.params, fitted.latents(), picture, LAMBDA, PYRAMID, seed=0)
    assert_good(coded, fitted.params, fitted.latents(), picture, LAMBDA, PYRAMID)
    fine = quantize_networks(fitted.params, same_steps(PYRAMID, 12), PYRAMID)
    assert len(write_networks(coded, PYRAMID)) < 0.7 * len(write_networks(fine, PYRAMID))
    assert isinstance(coded, CodedNetworks)
