"""rdoq.py: what the chosen networks cost, counted once more."""

import jax
import numpy as np
import pytest
from helpers import grid_loops

from inr.coders.model_choice import choose_model, cost_bits
from inr.grid.fit.program import FitProblem, fit
from inr.grid.fit.settings import GridFit
from inr.grid.fit.step import Fitting, flatten, unflatten
from inr.grid.network_coding import (
    MAX_OCTAVES,
    CodedNetworks,
    quantize_networks,
    read_networks,
    write_networks,
)
from inr.grid.prior import prior_networks, rate_of
from inr.grid.rdoq import compile_search, optimize_networks
from inr.grid.rdoq_cost import RdoProblem
from inr.grid.structure import Pyramid, Structure

pytestmark = pytest.mark.usefixtures("small_tiles")

# Of few tiles, so that the search looks at all of them, not at a sample; a structure of which the
# prior knows little.
STRUCTURE = Structure(prior=2, first_level=3, n_taps=2, n_features=1, hidden=2)
SMALL = Pyramid(8, 12, 1, STRUCTURE)
PYRAMID = Pyramid(32, 48, 3, Structure(prior=2))
LAMBDA = 1e-3
MODEL_BITS = 20  # of a group besides its codes
TINY = 1e-5  # of a cost: f32 sums in another order


def measured(params, latents, picture, pyramid):
    """MSE and bits of the latents, by slow loops."""
    errors, bits = grid_loops.errors_and_bits(latents, params, picture, pyramid)
    return errors / picture.size, bits


def network_bits(coded, pyramid):
    """Bits of all codes, each group under the distribution that suits it best; none where there are
    none."""
    bits = 0.0
    for codes in coded.by_group(pyramid).values():
        if codes.any():
            bits += MODEL_BITS + cost_bits(np.bincount(np.abs(codes)), choose_model(codes))
    return bits


def cost(coded, model, lambda_, pyramid):
    """MSE + lambda * bpp of latents and networks."""
    _, latents, picture = model
    mse, bits = measured(coded.values(pyramid), latents, picture, pyramid)
    bits += network_bits(coded, pyramid)
    return mse + lambda_ * bits / (pyramid.height * pyramid.width)


def a_model(pyramid, seed=0):
    """f32 tensors, latents and what they draw: nothing fitted, nothing to be gained but bits."""
    rng = np.random.default_rng(seed)
    params = grid_loops.random_networks(pyramid, seed, scale=0.1)
    for name, w in prior_networks(pyramid).items():
        if not name.startswith("up"):
            params[name] += w.astype(np.float32)
    latents = [
        np.rint(rng.laplace(0, 2.0**octaves, (level.height, level.width))).astype(np.int32)
        for level, octaves in zip(pyramid.levels, pyramid.octaves, strict=True)
    ]
    drawn = grid_loops.colours(latents, params, pyramid)
    return params, latents, drawn.astype(np.float32)


def optimized(model, lambda_, pyramid, seed=0, **how):
    params, latents, picture = model
    flat = flatten(prior_networks(pyramid), pyramid)
    fitting = Fitting.of(picture, pyramid, lambda_, flat)
    return optimize_networks(params, latents, fitting, pyramid, seed, **how)


def same_steps(pyramid, octaves):
    return dict.fromkeys(pyramid.groups, octaves)


def assert_good(coded, model, lambda_, pyramid):
    """Nothing simple is cheaper."""
    params = model[0]
    chosen = cost(coded, model, lambda_, pyramid) * (1 - TINY)
    assert list(coded.codes) == list(pyramid.shapes)
    # The moves have not made it worse than the nearest codes.
    nearest = quantize_networks(params, coded.octaves, pyramid)
    assert chosen <= cost(nearest, model, lambda_, pyramid)
    for octaves in range(MAX_OCTAVES + 1):
        all_same = quantize_networks(params, same_steps(pyramid, octaves), pyramid)
        assert chosen <= cost(all_same, model, lambda_, pyramid), octaves
    for group, octaves in coded.octaves.items():
        for other in {max(0, octaves - 1), min(MAX_OCTAVES, octaves + 1)} - {octaves}:
            changed = quantize_networks(params, coded.octaves | {group: other}, pyramid)
            assert chosen <= cost(changed, model, lambda_, pyramid), (group, other)
    # Nor is it cheaper without one of its groups.
    for group, shapes in pyramid.groups.items():
        codes = coded.codes | {name: 0 * coded.codes[name] for name in shapes}
        without = CodedNetworks(coded.octaves, codes)
        assert chosen <= cost(without, model, lambda_, pyramid), group


def assert_same(one, other):
    assert one.octaves == other.octaves
    assert list(one.codes) == list(other.codes)
    for name, codes in one.codes.items():
        assert np.array_equal(other.codes[name], codes), name


def as_read(coded, pyramid):
    """The same with the steps of absent groups as a file gives them back."""
    flat = coded.by_group(pyramid)
    octaves = {group: k if flat[group].any() else 0 for group, k in coded.octaves.items()}
    return CodedNetworks(octaves, coded.codes)


@pytest.fixture(scope="module")
def searched(small_tiles):
    """A small model and its chosen networks."""
    model = a_model(SMALL)
    return model, optimized(model, LAMBDA, SMALL)


def test_a_search_that_is_compiled_beforehand_compiles_none_of_its_programs(caplog):
    structure = Structure(prior=2, first_level=3, n_taps=3, n_features=1, hidden=2)
    pyramid = Pyramid(8, 16, 1, structure)  # of no other test
    model = a_model(pyramid)
    flat = flatten(prior_networks(pyramid), pyramid)
    with jax.log_compiles():
        compile_search(Fitting.of(model[2], pyramid, LAMBDA, flat), pyramid)
        first = caplog.text
        caplog.clear()
        optimized(model, LAMBDA, pyramid)
    for program in ("jit(_cost_of_tile)", "jit(_tile_gradients)"):
        assert f"Finished XLA compilation of {program}" in first
        assert f"Finished XLA compilation of {program}" not in caplog.text


def test_nothing_simple_is_cheaper(searched):
    model, coded = searched
    assert_good(coded, model, LAMBDA, SMALL)


def test_chosen_networks_are_what_a_file_may_hold(searched):
    _, coded = searched
    found = read_networks(write_networks(coded, SMALL), SMALL)
    assert_same(found, as_read(coded, SMALL))


def test_the_same_seed_gives_the_same_networks(searched):
    model, coded = searched
    assert_same(optimized(model, LAMBDA, SMALL), coded)


def test_dear_bits_give_small_networks(searched):
    model, coded = searched
    dear = optimized(model, 0.3, SMALL)
    assert network_bits(dear, SMALL) < network_bits(coded, SMALL)
    # Each is the better one for its own lambda.
    for lambda_, own, other in ((0.3, dear, coded), (LAMBDA, coded, dear)):
        costs = [cost(each, model, lambda_, SMALL) for each in (own, other)]
        assert costs[0] < costs[1]


def test_bits_dearer_than_the_picture_leave_the_prior(searched):
    model, _ = searched
    coded = optimized(model, 1e4, SMALL)
    # Of what draws the picture nothing is worth a bit; what saves bits of latents may be.
    synthesis = [name for group in SMALL.synthesis_groups.values() for name in group]
    assert not any(coded.codes[name].any() for name in synthesis)


def test_useless_weights_go_back_to_the_prior():
    params, latents, _ = a_model(SMALL)
    latents = [np.zeros_like(y) for y in latents]
    picture = grid_loops.colours(latents, params, SMALL).astype(np.float32)
    coded = optimized((params, latents, picture), LAMBDA, SMALL)
    # All latents are 0, and so is all that is multiplied by them.
    for name in ("context3_linear", "feature0", *(f"up{e}" for e in range(5))):
        assert not coded.codes[name].any(), name
    assert coded.codes["synth_b1"].any()  # which the picture shows


def test_no_time_leaves_the_nearest_codes_without_useless_groups(searched):
    model, coded = searched
    quick = optimized(model, LAMBDA, SMALL, deadline=0.0)
    nearest = quantize_networks(model[0], quick.octaves, SMALL)
    for shapes in SMALL.groups.values():
        is_dropped = not any(quick.codes[name].any() for name in shapes)
        for name in shapes:
            expected = 0 * nearest.codes[name] if is_dropped else nearest.codes[name]
            assert np.array_equal(quick.codes[name], expected)
    assert cost(coded, model, LAMBDA, SMALL) <= cost(quick, model, LAMBDA, SMALL) * (1 + TINY)


@pytest.mark.slow
def test_weights_at_the_limit_stay_inside():
    params, latents, picture = a_model(SMALL)
    params["context3_b2"] = np.array([0.0, -300.0], np.float32)  # as low as log scales may be
    params["synth_b1"][:] = 1e6
    coded = optimized((params, latents, picture), LAMBDA, SMALL)
    assert_same(read_networks(write_networks(coded, SMALL), SMALL), as_read(coded, SMALL))


@pytest.mark.slow
def test_a_fitted_picture():
    y, x = np.mgrid[0:1:32j, 0:1:48j]
    waves = [np.sin(5 * x + 3 * y), np.cos(4 * y - x), np.sin(6 * x * y)]
    picture = (0.5 + 0.4 * np.stack(waves)).astype(np.float32)
    pyramid = PYRAMID.at_rate(rate_of(LAMBDA))
    problem = FitProblem(picture, LAMBDA, 0, pyramid.structure.rate)
    (fitted,) = fit([problem], PYRAMID, GridFit(steps=100))
    model = fitted.params, fitted.latents(), picture
    coded = optimized(model, LAMBDA, pyramid)
    assert_good(coded, model, LAMBDA, pyramid)
    fine = quantize_networks(fitted.params, same_steps(pyramid, 12), pyramid)
    assert len(write_networks(coded, pyramid)) < 0.7 * len(write_networks(fine, pyramid))
    assert isinstance(coded, CodedNetworks)


# What a change costs


def test_losses_and_gradients_by_slow_loops(searched):
    (params, latents, picture), _ = searched
    flat = flatten(params, SMALL)
    given = RdoProblem.of(Fitting.of(picture + 0.1, SMALL, LAMBDA, flat), latents)
    trials = [flat, flat + np.float32(0.01)]
    for trial, loss in zip(trials, given.losses(trials), strict=True):
        tensors = unflatten(trial, SMALL)
        mse, bits = measured(tensors, latents, picture + 0.1, SMALL)
        expected = mse + LAMBDA * bits / (SMALL.height * SMALL.width)
        assert loss == pytest.approx(expected, rel=1e-5)  # f32
    slope = given.gradient(flat)
    along, step = slope / np.linalg.norm(slope), 1e-3
    ends = given.losses([flat + s * (step * along).astype(np.float32) for s in (1, -1)])
    found = (ends[0] - ends[1]) / (2 * step)
    assert found == pytest.approx(np.linalg.norm(slope), rel=0.02)  # of a step of some length


def test_curvature_of_what_is_linear():
    """A bias of the last convolution moves every pixel alike: MSE has the second derivative 2."""
    params, latents, picture = a_model(SMALL)
    flat = flatten(params, SMALL)
    given = RdoProblem.of(Fitting.of(picture, SMALL, LAMBDA, flat), latents)
    seeds = [unflatten(given.curvature(flat, seed), SMALL)["conv_b1"][0] for seed in range(20)]
    # Squares of sums of 96 random signs, 160 of them in all, are known to about a ninth.
    assert np.mean(seeds) == pytest.approx(2, rel=0.35)


def test_some_tiles_stand_for_all():
    """Of a picture of many tiles eight are measured, evenly spread."""
    pyramid = Pyramid(32, 32 * 40, 1, STRUCTURE)
    latents = [np.zeros((level.height, level.width), np.int32) for level in pyramid.levels]
    flat = flatten(grid_loops.random_networks(pyramid, scale=0.1), pyramid)
    picture = np.full((1, 32, 32 * 40), 0.25, np.float32)
    given = RdoProblem.of(Fitting.of(picture, pyramid, LAMBDA, flat), latents)
    assert list(given.which) == list(range(0, 40, 5))
    mse, bits = measured(unflatten(flat, pyramid), latents, picture, pyramid)
    (loss,) = given.losses([flat])
    # All tiles are alike, but for the two at the ends.
    assert loss == pytest.approx(mse + LAMBDA * bits / picture.size, rel=0.05)
