"""analysis.py: what the latents are before anything is trained, and that tiles leave no seams."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import grid_loops

from inr.grid.fit import analysis
from inr.grid.fit.analysis import (
    as_colours,
    first_weights,
    in_codes,
    predict,
    predict_latents,
    step_of,
)
from inr.grid.fit.init import CUBIC
from inr.grid.prior import LAMBDA_RANGE, rate_place
from inr.grid.structure import Pyramid, Structure

WITH_RATE = Structure(prior=2)
EXPONENTS = (5, 4, 3, 2, 1, 0)


def noise(height, width, n_channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((n_channels, height, width)).astype(np.float32)


def waves(height, width):
    y, x = np.mgrid[:height, :width] / 40
    return (0.5 + 0.3 * np.stack([np.sin(3 * x + y), np.cos(2 * y - x), np.sin(x * y)])).astype(
        np.float32
    )


def some_weights(seed=0):
    """Those of the start, but for heads and gains that do something."""
    rng = np.random.default_rng(seed)
    weights = first_weights(rng)
    for name, w in weights.items():
        if not w.any():
            weights[name] = (0.05 * rng.standard_normal(w.shape)).astype(np.float32)
    return weights


@pytest.fixture
def untrained(monkeypatch):
    """The package's weights are those of the start."""
    weights = first_weights(np.random.default_rng(0))
    monkeypatch.setattr(analysis, "_shipped", lambda number: weights)


@pytest.fixture
def somehow_trained(monkeypatch):
    weights = some_weights()
    monkeypatch.setattr(analysis, "_shipped", lambda number: weights)


def drawn(latents, pyramid, place):
    """f64[height, width]: brightness, of latents that each add their step."""
    params = {f"up{e}": np.array(CUBIC) for e in range(5)}
    features = grid_loops.features(latents, params, pyramid)
    return 0.5 + step_of(place) * features.sum(axis=0)


@pytest.mark.parametrize("place", [-1.0, -0.3, 0.0, 1.0])
@pytest.mark.parametrize("size", [(160, 192), (192, 224)])
def test_without_training_latents_are_a_laplacian_pyramid(size, place):
    picture, pyramid = noise(*size), Pyramid(*size, 3, WITH_RATE)
    latents = predict(picture, np.float32(place), first_weights(np.random.default_rng(0)))
    latents = in_codes(latents, pyramid)
    assert [y.shape for y in latents] == [(size[0] >> e, size[1] >> e) for e in EXPONENTS]
    assert {y.dtype for y in latents} == {np.dtype(np.float32)}
    # Near the edges the pyramid repeats them at each size, where latents that are drawn go on.
    inside = slice(64, -64)
    found = drawn(latents, pyramid, place)[inside, inside]
    assert np.abs(found - picture.mean(axis=0)[inside, inside]).max() < 1e-4  # f32


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("size", [(150, 210), (200, 161)])
def test_the_sum_of_what_is_predicted_is_a_picture_of_any_size(size):
    picture, pyramid = waves(*size), Pyramid(*size, 3, WITH_RATE)
    found = drawn(predict_latents(picture, 0.0, pyramid), pyramid, 0.0)
    error = np.abs(found - picture.mean(axis=0))
    inside = slice(64, -64)
    assert error[inside, inside].max() < 1e-3  # what comes from the edges fades
    assert error.max() < 0.25  # latents beyond the edges are not those of a picture that goes on


def test_the_coarsest_latent_is_the_mean():
    picture = noise(32, 32)
    latents = predict(picture, np.float32(0), first_weights(np.random.default_rng(0)))
    assert latents[0].shape == (1, 1)
    expected = (picture.mean() - 0.5) / step_of(0.0)
    assert latents[0][0, 0] == pytest.approx(expected, abs=1e-3)


def test_a_grey_picture_of_one_colour_has_latents_of_0_but_for_the_coarsest():
    picture = np.full((3, 64, 64), 0.75, np.float32)
    coarsest, *others = predict(picture, np.float32(0), first_weights(np.random.default_rng(0)))
    assert np.allclose(coarsest, 0.25 / step_of(0.0), rtol=1e-5)
    assert max(np.abs(y).max() for y in others) < 1e-4


def test_a_step_goes_with_the_root_of_lambda():
    ratio = step_of(1.0) / step_of(-1.0)
    assert ratio == pytest.approx((LAMBDA_RANGE[1] / LAMBDA_RANGE[0]) ** 0.5)
    assert step_of(rate_place(48)) / step_of(rate_place(32)) == pytest.approx(ratio**0.25)


@pytest.mark.parametrize("place", [-1.0, 0.4])
def test_numpy_and_jax_predict_the_same(place):
    picture, weights = noise(64, 96), some_weights()
    with_numpy = predict(picture, np.float32(place), weights)

    @jax.jit
    def in_jax(picture, place):
        own = {name: jnp.asarray(w) for name, w in weights.items()}
        return predict(picture, place, own, jnp)

    with_jax = in_jax(jnp.asarray(picture), jnp.float32(place))
    for one, other in zip(with_numpy, with_jax, strict=True):
        assert np.abs(one).max() > 0.1
        assert np.allclose(one, other, rtol=1e-3, atol=1e-3 * np.abs(one).max())  # f32 sums


def test_what_is_trained_reaches_every_exponent():
    picture = noise(64, 64)
    plain, changed = (
        predict(picture, np.float32(0.5), weights)
        for weights in (first_weights(np.random.default_rng(0)), some_weights())
    )
    for one, other in zip(plain, changed, strict=True):
        assert not np.allclose(one, other, rtol=1e-3)


@pytest.mark.usefixtures("somehow_trained")
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 70), (33, 64), (50, 7)])
def test_all_sizes_and_channels(size, n_channels):
    for structure in (WITH_RATE, Structure(prior=2, first_level=1, n_hyper=2)):
        pyramid = Pyramid(*size, n_channels, structure)
        latents = predict_latents(noise(*size, n_channels), 0.1, pyramid)
        assert [y.shape for y in latents] == [(y.height, y.width) for y in pyramid.levels]
        for y in latents:
            assert y.dtype == np.float32
            assert np.isfinite(y).all()


@pytest.mark.usefixtures("somehow_trained")
def test_hyper_levels_are_predicted_like_the_levels_of_their_size():
    pyramid = Pyramid(40, 70, 3, Structure(prior=2, n_hyper=2))
    latents = predict_latents(noise(40, 70), 0.1, pyramid)
    assert np.array_equal(latents[0], latents[1])
    assert np.array_equal(latents[2], latents[3])


@pytest.mark.usefixtures("untrained")
def test_what_lies_beyond_a_small_picture_repeats_its_edges():
    picture, pyramid = waves(40, 70), Pyramid(40, 70, 3, WITH_RATE)
    latents = predict_latents(picture, 0.0, pyramid)
    padded = np.pad(picture, ((0, 0), (64, 64 + 24), (64, 64 + 26)), mode="edge")
    whole = predict(padded, np.float32(0), first_weights(np.random.default_rng(0)))
    for level, y, around in zip(pyramid.levels, latents, whole, strict=True):
        n = 64 >> level.exponent
        expected = around[n : n + level.height, n : n + level.width] * 2.0**level.exponent
        assert np.allclose(y, expected, atol=1e-4 * np.abs(expected).max())


def test_tiles_of_a_large_picture_are_those_of_the_whole(monkeypatch, somehow_trained):
    picture, pyramid = waves(200, 330), Pyramid(200, 330, 3, WITH_RATE)
    whole = predict_latents(picture, 0.2, pyramid)
    monkeypatch.setattr(analysis, "_TILE", 64)
    tiles = predict_latents(picture, 0.2, pyramid)
    for one, other in zip(whole, tiles, strict=True):
        # 64 pixels around a tile: the coarsest see a little less than all that they would.
        assert np.abs(one - other).max() < 0.05 * np.abs(one).max()
        assert np.abs(one - other).mean() < 0.005 * np.abs(one).max()


@pytest.mark.usefixtures("untrained")
def test_without_training_only_the_edges_of_tiles_differ(monkeypatch):
    picture, pyramid = noise(200, 330), Pyramid(200, 330, 3, WITH_RATE)
    whole = predict_latents(picture, 0.2, pyramid)
    monkeypatch.setattr(analysis, "_TILE", 64)
    for one, other in zip(whole, predict_latents(picture, 0.2, pyramid), strict=True):
        # A band sees two places of the next coarser size on each side, which 64 pixels hold.
        assert np.allclose(one, other, atol=1e-3)


def test_colours_as_they_are_seen():
    grey, alpha = noise(2, 3, 1), noise(2, 3, 1, seed=1)
    assert np.array_equal(as_colours(grey), np.repeat(grey, 3, axis=0))
    both = np.concatenate([grey, alpha])
    assert np.array_equal(as_colours(both), np.repeat(grey * alpha, 3, axis=0))
    colours = noise(2, 3)
    assert np.array_equal(as_colours(colours), colours)
    rgba = np.concatenate([colours, alpha])
    assert np.array_equal(as_colours(rgba), colours * alpha)


@pytest.mark.parametrize("number", [1, 2])
def test_the_shipped_weights_have_the_shapes_of_the_start(number):
    shipped = analysis._shipped(number)
    first = first_weights(np.random.default_rng(0))
    assert {n: w.shape for n, w in shipped.items()} == {n: w.shape for n, w in first.items()}
    assert all(w.dtype == np.float32 and np.isfinite(w).all() for w in shipped.values())


def test_a_larger_lambda_gives_smaller_latents():
    weights = first_weights(np.random.default_rng(0))
    fine, coarse = (predict(waves(64, 96), np.float32(at), weights) for at in (-0.8, 0.8))
    assert np.abs(coarse[-1]).sum() < np.abs(fine[-1]).sum()


def test_sets_for_photographs_and_for_screens_have_a_network_each():
    picture = np.random.default_rng(0).random((3, 40, 50), np.float32)

    def predicted(prior):
        return predict_latents(picture, 0.0, Pyramid(40, 50, 3, Structure(prior=prior)))

    of_photographs, same, of_screens = (predicted(prior) for prior in (2, 3, 4))
    assert np.array_equal(of_photographs[-1], same[-1])  # at exponent 0 of both, latents count 1
    assert not np.array_equal(same[-1], of_screens[-1])
