"""tiling.py, and step.py on whole pictures: tiles leave no seams."""

import numpy as np
import pytest
from helpers import grid_loops
from helpers.grid_models import moderate, on_grid
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.grid.fit.step import Fitting, Rounding, flatten, rounded, unflatten
from inr.grid.fit.tile import MARGIN, split_params, split_windows, tile_colours
from inr.grid.fit.tile_contexts import HALO
from inr.grid.fit.tiling import SIDE, Tiling
from inr.grid.latent_coder import latent_bits
from inr.grid.structure import Pyramid, Structure
from inr.grid.synthesis import synthesize

# Nearly the identity, in whose gradients there are no steps.
SOFT = Rounding(np.float32(1000), np.float32(0), np.bool_(False))


def inner(one, other):
    """Inner product of lists of arrays, in float64."""
    pairs = zip(one, other, strict=True)
    return sum(float(np.vdot(a.astype(np.float64), b.astype(np.float64))) for a, b in pairs)


def normal(pyramid, rng):
    return [
        rng.standard_normal((level.height, level.width)).astype(np.float32)
        for level in pyramid.levels
    ]


# Cutting


def test_one_window_by_hand():
    pyramid = Pyramid(1, 2 * SIDE, 1, Structure(prior=2))
    tiling = Tiling(pyramid)
    assert (tiling.shape, tiling.n_tiles) == ((1, 2), 2)
    latents = [np.arange(level.width, dtype=np.float32)[None] for level in pyramid.levels]
    first, second = (split_windows(w, tiling.tile_pyramid) for w in tiling.cut(latents))
    # The coarsest has 4 latents a tile, and 4 more on every side, all rows alike.
    assert first[0].tolist() == [[0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7]] * 12
    assert second[0].tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 7]] * 12
    assert second[-1][0, :5].tolist() == [124, 125, 126, 127, 128]
    first, second = (
        split_windows(w, tiling.tile_pyramid) for w in tiling.cut(latents, mode="constant")
    )
    assert second[0][HALO].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0]
    assert not second[0][HALO - 1].any()


def test_a_part_of_a_tile():
    pyramid = Pyramid(5, SIDE + 3, 2, Structure(prior=2))
    picture = np.random.default_rng(0).random((2, 5, SIDE + 3)).astype(np.float32)
    tiling = Tiling(pyramid)
    tiles = tiling.tiles(picture)
    assert [float(each.is_pixel.sum()) for each in tiles] == [5 * SIDE, 5 * 3]
    windows = [split_windows(each.is_latent, tiling.tile_pyramid) for each in tiles]
    sums = [[w[HALO:-HALO, HALO:-HALO].sum() for w in of_tile] for of_tile in windows]
    assert np.array(sums).sum(axis=0).tolist() == [level.size for level in pyramid.levels]
    inside = tiles[1].picture.reshape(2, SIDE, SIDE + 2 * MARGIN)
    assert np.array_equal(inside[:, :5, :3], picture[:, :, SIDE:])
    assert inside.sum() == pytest.approx(picture[:, :, SIDE:].sum(), rel=1e-6)


def test_the_tile_is_the_same_for_all_sizes_and_rates():
    kinds = {
        Tiling(Pyramid(h, w, 3, Structure(prior=2, rate=rate))).tile_pyramid
        for h, w, rate in ((1, 1, 0), (500, 3, 20), (128, 128, 64))
    }
    assert kinds == {Pyramid(SIDE, SIDE, 3, Structure(prior=2))}


STRUCTURES = [
    Structure(prior=2),
    Structure(prior=2, n_hyper=2),
    Structure(prior=2, first_level=1),
]


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    st.integers(1, 3 * SIDE),
    st.integers(1, 3 * SIDE),
    st.sampled_from(STRUCTURES),
    st.integers(0, 99),
)
def test_adding_is_the_adjoint_of_cutting(height, width, structure, seed):
    tiling, rng = Tiling(Pyramid(height, width, 3, structure)), np.random.default_rng(seed)
    latents = normal(tiling.pyramid, rng)
    windows = rng.standard_normal((tiling.n_tiles, tiling.n_window)).astype(np.float32)
    one = inner([tiling.cut(latents)], [windows])
    other = inner(latents, tiling.add(windows))
    scale = np.linalg.norm(windows) * np.sqrt(sum(y.size for y in latents))
    assert abs(one - other) < 1e-5 * scale  # f32 sums of what overlaps


def test_added_ones_count_how_often_a_latent_is_cut():
    tiling = Tiling(Pyramid(SIDE, 2 * SIDE, 1, Structure(prior=2)))
    added = tiling.add(np.ones((2, tiling.n_window), np.float32))
    # Columns 0..7 of the coarsest: 1 + 4 edges, then overlaps of 4 on both sides of the middle.
    by_column = [5, 1, 1, 1, 1, 1, 1, 5]
    by_column = [n + 1 for n in by_column]  # each lies in the halo of the other tile too
    rows = [5, 1, 1, 5]
    assert added[0].tolist() == np.outer(rows, by_column).tolist()


# Sums and gradients


def problem(size, n_channels, structure, seed=0):
    """A fit of random latents and networks whose pictures are about as large as pictures."""
    pyramid = Pyramid(*size, n_channels, structure)
    rng = np.random.default_rng(seed)
    params = grid_loops.random_networks(pyramid, seed, scale=0.1)
    latents = [
        (y + rng.uniform(-0.4, 0.4, y.shape)).astype(np.float32)
        for y in grid_loops.random_latents(pyramid, seed, scale=0.5)
    ]
    picture = rng.random((n_channels, *size)).astype(np.float32)
    flat = flatten(params, pyramid)
    return Fitting.of(picture, pyramid, 1e-3, flat), params, latents, picture


PROBLEMS = [
    ((1, 1), 1, Structure(prior=2, hidden=6)),
    ((131, 40), 3, Structure(prior=2, hidden=6)),
    ((140, 150), 4, Structure(prior=2, hidden=6, n_hyper=1, n_taps=20, n_features=3)),
    ((20, 260), 2, Structure(prior=2, hidden=6, first_level=1, n_feature_levels=1)),
]


@pytest.mark.parametrize(("size", "n_channels", "structure"), PROBLEMS)
def test_sums_of_all_tiles_are_those_of_the_picture(size, n_channels, structure):
    fitting, params, latents, picture = problem(size, n_channels, structure)
    flat = flatten(params, fitting.tiling.pyramid)
    for rounding, seen in ((SOFT, latents), (rounded(), [np.round(y) for y in latents])):
        found = fitting.gradients(flat, latents, rounding, 0)
        assert found.networks is None
        errors, bits = grid_loops.errors_and_bits(seen, params, picture, fitting.tiling.pyramid)
        assert found.measured.mse == pytest.approx(errors / picture.size, rel=1e-3)  # f32
        assert found.measured.bits == pytest.approx(bits, rel=1e-3)


@pytest.mark.parametrize(("size", "n_channels", "structure"), PROBLEMS)
def test_gradients_of_all_tiles_are_numerical_differences(size, n_channels, structure):
    fitting, params, latents, picture = problem(size, n_channels, structure)
    pyramid, rng = fitting.tiling.pyramid, np.random.default_rng(1)
    flat = flatten(params, pyramid)
    found = fitting.gradients(flat, latents, SOFT, 0, networks_by=slice(None))
    assert [g.shape for g in found.latents] == [y.shape for y in latents]
    assert found.networks.shape == flat.shape
    of_params = unflatten(found.networks, pyramid)
    in_context = {name for shapes in pyramid.context_groups.values() for name in shapes}
    latents = [y.astype(np.float64) for y in latents]
    params = {name: w.astype(np.float64) for name, w in params.items()}

    def difference(total, moved, along, step=1e-6):
        """Of total(arrays), where some of the arrays move."""
        ends = [
            {name: w + sign * step * along.get(name, 0) for name, w in moved.items()}
            for sign in (1, -1)
        ]
        return (total(ends[0]) - total(ends[1])) / (2 * step)

    def bits(params, latents=latents):
        levels = grid_loops.bits_of_levels(latents, params, pyramid)
        return sum(each.sum() for each in levels)

    def errors(params, latents=latents):
        drawn = grid_loops.as_seen(grid_loops.colours(latents, params, pyramid))
        squares = (drawn - grid_loops.as_seen(picture.astype(np.float64))) ** 2
        return squares.mean() / fitting.lambda_per_bit

    def both(levels):
        return bits(params, list(levels.values())) + errors(params, list(levels.values()))

    # Along the gradient, of each level and each group: what is missing anywhere is seen.
    for shapes in pyramid.groups.values():
        along = {name: of_params[name] for name in shapes}
        size = np.sqrt(inner(along.values(), along.values()))
        total = bits if shapes.keys() <= in_context else errors
        along = {name: g / size for name, g in along.items()}
        # f32 sums of thousands of latents or pixels
        assert difference(total, params, along) == pytest.approx(size, rel=5e-3), list(shapes)
    levels = dict(enumerate(latents))
    for i, g in enumerate(found.latents):
        size = np.sqrt(inner([g], [g]))
        assert difference(both, levels, {i: g / size}) == pytest.approx(size, rel=5e-3)
    # And in a direction that owes nothing to it.
    other = [rng.standard_normal(y.shape) for y in latents]
    expected = inner(found.latents, other)
    tolerance = 1e-3 * np.sqrt(inner(found.latents, found.latents) * inner(other, other))
    found_along = difference(both, levels, dict(enumerate(other)))
    assert found_along == pytest.approx(expected, abs=tolerance)


def test_some_tiles_count_for_all():
    fitting, params, latents, _ = problem((20, 2 * SIDE), 3, Structure(prior=2, hidden=6))
    flat = flatten(params, fitting.tiling.pyramid)
    halves = [
        fitting.gradients(flat, latents, SOFT, 0, networks_by=slice(None), some=slice(i, None, 2))
        for i in range(2)
    ]
    whole = fitting.gradients(flat, latents, SOFT, 0, networks_by=slice(None))
    for name in ("mse", "bits"):
        means = np.mean([getattr(each.measured, name) for each in halves])
        assert means == pytest.approx(getattr(whole.measured, name), rel=1e-6)
    networks = np.mean([each.networks for each in halves], axis=0)
    np.testing.assert_allclose(networks, whole.networks, rtol=1e-4, atol=1e-3)


def test_the_gradient_of_the_networks_may_be_measured_on_some_tiles():
    fitting, params, latents, _ = problem((20, 2 * SIDE), 3, Structure(prior=2, hidden=6))
    flat = flatten(params, fitting.tiling.pyramid)
    whole = fitting.gradients(flat, latents, SOFT, 0, networks_by=slice(None))
    halves = [
        fitting.gradients(flat, latents, SOFT, 0, networks_by=slice(i, None, 2)) for i in range(2)
    ]
    for half in halves:  # all tiles count for the latents
        assert half.measured == pytest.approx(whole.measured, rel=1e-6)
        for found, expected in zip(half.latents, whole.latents, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    assert not np.allclose(halves[0].networks, halves[1].networks, rtol=0.1)
    networks = np.mean([each.networks for each in halves], axis=0)
    np.testing.assert_allclose(networks, whole.networks, rtol=1e-4, atol=1e-3)
    assert fitting.gradients(flat, latents, SOFT, 0).networks is None


def test_noise_is_another_at_each_step_and_for_each_seed():
    fitting, params, latents, picture = problem((20, 30), 1, Structure(prior=2, hidden=6))
    flat = flatten(params, fitting.tiling.pyramid)
    noisy = Rounding(np.float32(0.3), np.float32(0.2), np.bool_(False))
    other = Fitting.of(picture, fitting.tiling.pyramid, 1e-3, flat, seed=(1,))

    def seen(fitting, step):
        return fitting.gradients(flat, latents, noisy, step).measured

    assert seen(fitting, 3) == seen(fitting, 3)
    assert len({seen(fitting, 3), seen(fitting, 4), seen(other, 3)}) == 3


# The decoder


@pytest.mark.parametrize(
    ("size", "n_channels"), [((150, 270), 3), ((31, 200), 1), ((1, 1), 4), ((128, 256), 2)]
)
def test_the_fit_sees_what_the_decoder_draws(size, n_channels):
    structure = Structure(prior=2, rate=20, hidden=8)
    latents, params, pyramid = moderate(*size, n_channels, structure=structure)
    latents = [np.rint(y / 3).astype(np.int32) for y in latents]
    rng, tiling = np.random.default_rng(0), Tiling(pyramid)
    networks = grid_loops.random_networks(pyramid, scale=0.015)
    for group in pyramid.context_groups.values():
        for name in group:
            params[name] = on_grid(networks[name].astype(np.float64), 16)
            if name.endswith("_b2"):
                params[name][1] += 0.25  # about the scale of the latents
    params = {name: params[name] for name in pyramid.shapes}
    flat, floats = flatten(params, pyramid), [y.astype(np.float32) for y in latents]
    drawn = synthesize(latents, params, pyramid, 16).transpose(2, 0, 1) / 65535
    assert drawn.std() > 0.01
    own = tiling.tile_pyramid
    for (i, j), w in zip(np.ndindex(*tiling.shape), tiling.cut(floats), strict=True):
        found = np.asarray(tile_colours(split_params(flat, own), split_windows(w, own), own))
        expected = drawn[:, i * SIDE : (i + 1) * SIDE, j * SIDE : (j + 1) * SIDE]
        rows = found.reshape(n_channels, SIDE, SIDE + 2 * MARGIN)
        inside = rows[:, : expected.shape[1], : expected.shape[2]]
        # Features rounded to 2**-10 in each of five octaves.
        assert np.abs(np.clip(inside, 0, 1) - expected).max() < 1e-3
    picture = rng.random((n_channels, *size)).astype(np.float32)
    fitting = Fitting.of(picture, pyramid, 1e-3, flat)
    seen = fitting.gradients(flat, floats, rounded(), 0).measured
    # Rounding of means and scales, and bits of large latents that are coded as they are.
    assert seen.bits == pytest.approx(latent_bits(latents, params, pyramid), rel=2e-3, abs=8)
