"""tile.py against slow loops over the whole picture (helpers/grid_loops.py) and numbers worked by
hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import grid_loops

from inr.grid.fit.init import CUBIC, first_networks
from inr.grid.fit.tile import (
    MARGIN,
    Weights,
    n_pixels,
    split_params,
    split_windows,
    tile_colours,
    tile_errors,
    tile_features,
    tile_sums,
    window_size,
)
from inr.grid.fit.tile_contexts import (
    HALO,
    cut_strips,
    level_features,
    own_latents,
    strip_contexts,
    tile_bits,
)
from inr.grid.fit.tiling import SIDE, Tiling
from inr.grid.structure import Pyramid, Structure
from inr.image.metrics import mse

pytestmark = pytest.mark.usefixtures("strict_jax")

STRUCTURES = [
    Structure(prior=2),
    Structure(prior=2, rate=64, n_hyper=1, n_taps=20, n_features=3),
    Structure(prior=2, first_level=1, n_hyper=2, n_taps=1, n_feature_levels=1),
    Structure(prior=3, n_feature_levels=0, rate=12),
]
SIZES = [(1, 1), (1, 9), (130, 37), (130, 200)]  # of one, one, two and four tiles


@functools.partial(jax.jit, static_argnums=(0, 3))
def compiled(fn, params, windows, pyramid):
    return fn(params, windows, pyramid)


@functools.partial(jax.jit, static_argnums=4)
def compiled_sums(params, windows, tile, weights, pyramid):
    return tile_sums(params, split_windows(windows, pyramid), tile, weights, pyramid)


def of_tiles(fn, latents, params, pyramid, mode="edge"):
    """What fn(params, windows, pyramid of a tile) makes of each tile."""
    tiling = Tiling(pyramid)
    params = {name: jnp.asarray(w, jnp.float32) for name, w in params.items()}
    windows = tiling.cut([y.astype(np.float32) for y in latents], mode)
    own = tiling.tile_pyramid
    return [compiled(fn, params, split_windows(jnp.asarray(w), own), own) for w in windows]


def put_together(tiles, height, width, shape):
    """[c, height, width] of [c, side, side] of each tile, row by row."""
    rows = [
        np.concatenate(tiles[i * shape[1] : (i + 1) * shape[1]], axis=2) for i in range(shape[0])
    ]
    return np.concatenate(rows, axis=1)[:, :height, :width]


def levels_put_together(tiles, pyramid):
    """[c, h, w] of each level, of [c, latents] of each level and each tile."""
    whole = []
    for level, of_level in zip(pyramid.levels, zip(*tiles, strict=True), strict=True):
        side = SIDE >> level.exponent
        squares = [np.asarray(each).reshape(-1, side, side) for each in of_level]
        whole.append(put_together(squares, level.height, level.width, Tiling(pyramid).shape))
    return whole


# Contexts


def tile_contexts(params, windows, pyramid):
    """Taps and features of all latents, [c, latents] of each level, of strips put together."""
    features, columns = level_features(params, windows, pyramid), []
    for i, (level, window) in enumerate(zip(pyramid.levels, windows, strict=True)):
        strips = cut_strips(window, features[i], level)
        _, found = jax.vmap(lambda strip, i=i: strip_contexts(strip, i, pyramid))(strips)
        columns.append(jnp.stack([own_latents(found[:, c], level) for c in range(found.shape[1])]))
    return columns


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("size", SIZES)
def test_contexts_by_a_slow_loop(size, structure):
    pyramid = Pyramid(*size, 3, structure)
    latents = grid_loops.random_latents(pyramid)
    params = grid_loops.random_networks(pyramid)
    tiles = of_tiles(tile_contexts, latents, params, pyramid, mode="constant")
    found = levels_put_together(tiles, pyramid)
    expected = grid_loops.contexts(latents, params, pyramid)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert np.allclose(one, other, atol=1e-4)  # f32 sums of a few products


def test_hand_worked_context():
    structure = Structure(prior=2, first_level=2, n_taps=2, n_features=1)
    pyramid = Pyramid(4, 20, 1, structure)  # of exponents 5, 4, 3 and 2
    assert [level.width for level in pyramid.levels] == [1, 2, 3, 5]
    latents = [np.zeros((1, level.width)) for level in pyramid.levels]
    latents[2][0] = [8, 16, 24]  # 1, 2 and 3 for the networks
    latents[3][0] = [4, 8, 12, 16, 20]
    params = {f"feature{i}": np.zeros((1, 3 - i)) for i in range(3)}
    params["feature0"][0, 2] = 100.0  # hundred times the latent above
    tiles = of_tiles(tile_contexts, latents, params, pyramid, mode="constant")
    context = levels_put_together(tiles, pyramid)[3]
    left, above = [0, 1, 2, 3, 4], [0] * 5  # a single row
    assert context[:, 0].tolist() == [left, above, [100, 100, 200, 200, 300]]


def test_no_latent_sees_itself_or_one_after_it():
    pyramid = Pyramid(SIDE, SIDE, 3, Structure(prior=2, n_hyper=1, n_taps=20))
    latents = grid_loops.random_latents(pyramid)
    params = grid_loops.random_networks(pyramid)

    def context(latents):
        (tile,) = of_tiles(tile_contexts, latents, params, pyramid, mode="constant")
        return np.concatenate(tile, axis=1)

    before = context(latents)
    starts = np.cumsum([0] + [level.size for level in pyramid.levels])
    for i, y, x in [(0, 3, 2), (1, 0, 0), (2, 6, 6), (6, 12, 13)]:
        changed = [each.copy() for each in latents]
        changed[i][y, x] += 100_000
        own = starts[i] + y * pyramid.levels[i].width + x
        after = context(changed)
        assert np.array_equal(after[:, : own + 1], before[:, : own + 1])
        assert not np.array_equal(after, before)


# Bits


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("size", SIZES)
def test_bits_by_a_slow_loop(size, structure):
    pyramid = Pyramid(*size, 3, structure)
    latents = grid_loops.random_latents(pyramid, scale=1.0)
    params = grid_loops.random_networks(pyramid, scale=0.15)
    ends = np.cumsum([level.size for level in Tiling(pyramid).tile_pyramid.levels])[:-1]
    tiles = of_tiles(tile_bits, latents, params, pyramid, mode="constant")
    found = levels_put_together([np.split(bits, ends) for bits in tiles], pyramid)
    expected = grid_loops.bits_of_levels(latents, params, pyramid)
    for one, other in zip(found, expected, strict=True):
        assert other.min() < 15 < 100 * other.max()  # not all at the floor
        # f32 exponentials, which near 2**-16 differ by a hundredth of a bit.
        assert np.allclose(one[0], other, rtol=1e-3, atol=0.02)
        assert one.sum() == pytest.approx(other.sum(), rel=1e-4)


def test_first_networks_give_the_same_density_to_all_zeros():
    pyramid = Pyramid(SIDE, SIDE, 3, Structure(prior=2))
    params = first_networks(pyramid, np.full(3, 0.5), np.random.default_rng(0))
    for name, w in params.items():
        if name.startswith("context") and name[8:] == "_b2":
            w[:] = [0, -1]
        elif name.startswith("context") and name[8:10] == "_b":
            w[:] = 0
    latents = [np.zeros((level.height, level.width)) for level in pyramid.levels]
    (bits,) = of_tiles(tile_bits, latents, params, pyramid)
    # F(1/2) - F(-1/2) is 1 - e**(-1 / (2 b)), with b = e**(11/16 - 1) an octave
    b = np.exp(11 / 16 * np.array(pyramid.octaves) - 1)
    expected = np.repeat(-np.log2(1 - np.exp(-0.5 / b)), [level.size for level in pyramid.levels])
    assert np.allclose(bits, expected, rtol=1e-4)  # f32, differences from 1


# Upsampling


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("size", SIZES)
def test_features_by_a_slow_loop(size, structure):
    pyramid = Pyramid(*size, 3, structure)
    latents = grid_loops.random_latents(pyramid)
    params = grid_loops.random_networks(pyramid)
    tiles = of_tiles(tile_features, latents, params, pyramid)
    around = grid_loops.features(latents, params, pyramid, margin=HALO)
    for (i, j), found in zip(np.ndindex(*Tiling(pyramid).shape), tiles, strict=True):
        expected = around[:, i * SIDE :, j * SIDE :][:, : SIDE + 2 * HALO, : SIDE + 2 * HALO]
        assert found.shape == (pyramid.n_drawn, SIDE + 2 * HALO, SIDE + 2 * HALO)
        inside = found[:, : expected.shape[1], : expected.shape[2]]
        assert np.allclose(inside, expected, atol=1e-4)  # f32, values of about 10


def test_hand_worked_upsampling():
    pyramid = Pyramid(1, 13, 1, Structure(prior=2, first_level=1))
    params = {f"up{e}": np.array([0.0, 1.0, 0.0, 0.0]) for e in range(5)}
    params["up0"] = np.array([8.0, 4.0, 2.0, 1.0])
    latents = [np.zeros((1, level.width)) for level in pyramid.levels]
    latents[-1][0, 3] = 2  # a single one: the kernel itself, and as 2 it counts 1
    (tile,) = of_tiles(tile_features, latents, params, pyramid)
    row = np.asarray(tile[-1, HALO, HALO : HALO + 13])
    # Rows repeat at the edges: down the single row all taps add up, to 15.
    even, odd = [0, 0, 8, 4, 2, 1, 0], [0, 1, 2, 4, 8, 0]
    assert row[0::2].tolist() == [15 * each for each in even]
    assert row[1::2].tolist() == [15 * each for each in odd]


def test_a_constant_stays_constant():
    assert sum(CUBIC) == 1
    pyramid = Pyramid(27, 150, 3, Structure(prior=2))
    params = {f"up{e}": np.array(CUBIC) for e in range(5)}
    latents = [np.full((y.height, y.width), 7.0 * 2**y.exponent) for y in pyramid.levels]
    for features in of_tiles(tile_features, latents, params, pyramid):
        assert np.allclose(features, 7, atol=1e-5)  # beyond the picture too


def test_the_cubic_kernel_draws_straight_lines():
    assert np.allclose(CUBIC, [keys(-1.25), keys(-0.25), keys(0.75), keys(1.75)])
    pyramid = Pyramid(1, 24, 1, Structure(prior=2, first_level=1))
    params = {f"up{e}": np.array(CUBIC) for e in range(5)}
    latents = [np.zeros((1, level.width)) for level in pyramid.levels]
    latents[-1][0] = 2 * np.arange(12)
    (tile,) = of_tiles(tile_features, latents, params, pyramid)
    inside = slice(4, 20)  # beyond, the edges repeat
    positions = (np.arange(24) + 0.5) / 2 - 0.5
    row = tile[-1, HALO, HALO : HALO + 24]
    assert np.allclose(row[inside], positions[inside], atol=1e-5)


def keys(x, a=-0.5):
    """Keys' cubic kernel, IEEE Trans. ASSP 29(6), 1981."""
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


# Synthesis


def colours_of(latents, params, pyramid):
    """f32[c, height, width]."""
    tiles = of_tiles(tile_colours, latents, params, pyramid)
    n_channels = pyramid.n_channels
    rows = [each.reshape(n_channels, SIDE, SIDE + 2 * MARGIN)[:, :, :SIDE] for each in tiles]
    return put_together(rows, pyramid.height, pyramid.width, Tiling(pyramid).shape)


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", SIZES)
def test_colours_by_a_slow_loop(size, n_channels):
    pyramid = Pyramid(*size, n_channels, Structure(prior=2, hidden=6))
    latents = grid_loops.random_latents(pyramid)
    params = grid_loops.random_networks(pyramid, seed=n_channels)
    found = colours_of(latents, params, pyramid)
    assert found.shape == (n_channels, *size)
    expected = grid_loops.colours(latents, params, pyramid)
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-3)  # f32 sums of 36, of up to 100


@pytest.mark.parametrize("structure", STRUCTURES[1:3])
def test_colours_of_other_structures_by_a_slow_loop(structure):
    pyramid = Pyramid(130, 37, 3, structure)
    latents = grid_loops.random_latents(pyramid)
    params = grid_loops.random_networks(pyramid, scale=0.2)
    expected = grid_loops.colours(latents, params, pyramid)
    assert np.allclose(colours_of(latents, params, pyramid), expected, rtol=1e-4, atol=1e-3)


def test_hand_worked_edges_of_the_3x3_layers():
    pyramid = Pyramid(2, 3, 1, Structure(prior=2, hidden=1))
    params = {name: np.zeros(shape, np.float32) for name, shape in pyramid.shapes.items()}
    params["synth_linear"][0, -1] = 1
    params["conv_w1"][0, 0] = 1  # the pixel up and left, or the edge's
    latents = [np.zeros((level.height, level.width)) for level in pyramid.levels]
    latents[-1][:] = [[1, 2, 3], [4, 5, 6]]
    added = np.array([[1, 1, 2], [1, 1, 2]])
    out = colours_of(latents, params, pyramid)
    assert out[0].tolist() == (latents[-1] + added).tolist()
    params["conv_w0"][0, 4] = -1  # minus the pixel itself: nothing above 0 is left to add
    assert np.array_equal(colours_of(latents, params, pyramid), out)


def test_colours_beyond_the_picture_follow_from_the_latents():
    """They are no copies of the edge: the first convolution goes on there."""
    pyramid = Pyramid(1, 3, 1, Structure(prior=2, hidden=1))
    params = {name: np.zeros(shape, np.float32) for name, shape in pyramid.shapes.items()}
    params["synth_linear"][0, -1] = 1
    params["conv_w0"][0, 3] = 1  # both add the pixel to the left
    params["conv_w1"][0, 3] = 1
    latents = [np.zeros((level.height, level.width)) for level in pyramid.levels]
    latents[-1][0] = [1, 2, 4]
    # First 2, 3, 6 with a 2 before them: 1 + 1. A copied edge would be no other here; to the right
    # it would be 6 and not 8, which the mirrored kernel sees.
    assert colours_of(latents, params, pyramid)[0].tolist() == [[4, 5, 9]]
    params["conv_w1"][0] = 0
    params["conv_w1"][0, 5] = 1
    assert colours_of(latents, params, pyramid)[0].tolist() == [[5, 9, 14]]


# Sums


@pytest.fixture(scope="module")
def small():
    """Networks, windows, tile and picture of a picture smaller than its tile."""
    pyramid = Pyramid(40, 70, 4, Structure(prior=2, hidden=5))
    latents = grid_loops.random_latents(pyramid, scale=0.3)
    params = grid_loops.random_networks(pyramid, scale=0.15)
    picture = np.random.default_rng(3).random((4, 40, 70)).astype(np.float32)
    tiling = Tiling(pyramid)
    (windows,) = tiling.cut([y.astype(np.float32) for y in latents])
    return pyramid, latents, params, windows, tiling.tiles(picture)[0], picture


def weights_of(pyramid, squares=0.0, slopes=0.0, bits=0.0):
    own = Tiling(pyramid).tile_pyramid
    shapes = (pyramid.n_channels, n_pixels(own)), (own.n_latents,)
    rng = np.random.default_rng(4)
    random = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    return Weights(
        jnp.float32(squares), jnp.float32(slopes) * random[0], jnp.float32(bits) * random[1]
    )


def sums_of(small, **of_weights):
    pyramid, _, params, windows, tile, _ = small
    weights = weights_of(pyramid, **of_weights)
    return compiled_sums(params, windows, tile, weights, Tiling(pyramid).tile_pyramid)


def test_sums_count_only_what_lies_in_the_picture(small):
    pyramid, latents, params, _, _, picture = small
    errors, bits = grid_loops.errors_and_bits(latents, params, picture, pyramid)
    sums = sums_of(small, squares=3.0)
    assert float(sums.errors) == pytest.approx(errors, rel=1e-4)  # f32 sums of 10000 numbers
    assert float(sums.bits) == pytest.approx(bits, rel=1e-4)
    assert float(sums.weighted) == pytest.approx(3 * errors, rel=1e-4)


def test_slopes_and_weights_of_bits_by_a_slow_loop(small):
    pyramid, latents, params, _, _, picture = small
    weights = weights_of(pyramid, slopes=1.0, bits=1.0)
    errors = grid_loops.as_seen(grid_loops.colours(latents, params, pyramid))
    errors -= grid_loops.as_seen(picture)
    slopes = np.asarray(weights.slopes).reshape(4, SIDE, SIDE + 2 * MARGIN)[:, :40, :70]
    expected = float((slopes * errors).sum())
    begin = 0
    own = Tiling(pyramid).tile_pyramid.levels
    for level, bits in zip(own, grid_loops.bits_of_levels(latents, params, pyramid), strict=True):
        of_level = np.asarray(weights.bits[begin : begin + level.size])
        square = of_level.reshape(level.height, level.width)
        expected += float((square[: bits.shape[0], : bits.shape[1]] * bits).sum())
        begin += level.size
    found = sums_of(small, slopes=1.0, bits=1.0).weighted
    assert float(found) == pytest.approx(expected, rel=1e-3)  # random signs: much of it cancels


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_the_error_is_that_of_the_measure(n_channels):
    pyramid = Pyramid(9, 14, n_channels, Structure(prior=2, hidden=5))
    latents = grid_loops.random_latents(pyramid, scale=0.3)
    params = grid_loops.random_networks(pyramid, scale=0.05)
    params["synth_b1"] = np.full(n_channels, 0.5, np.float32)
    drawn = grid_loops.colours(latents, params, pyramid)
    assert 0 < drawn.min() < drawn.max() < 1  # neither is clipped
    pixels = np.random.default_rng(3).integers(0, 65536, (9, 14, n_channels), np.uint16)
    pixels[::2, ::3, -1] = 0
    picture = pixels.transpose(2, 0, 1).astype(np.float32) / 65535
    tiling = Tiling(pyramid)
    (windows,) = tiling.cut([y.astype(np.float32) for y in latents])
    split = split_windows(jnp.asarray(windows), tiling.tile_pyramid)
    errors = tile_errors(params, split, tiling.tiles(picture)[0], tiling.tile_pyramid)
    rounded = np.rint(drawn.transpose(1, 2, 0) * 65535).astype(np.uint16)
    expected = mse(pixels, rounded) / 65535**2
    # rounded to 16 bits, and f32 sums
    assert float((errors**2).sum()) / picture.size == pytest.approx(expected, rel=1e-3)


def test_flat_arrays_are_split_in_the_order_of_the_pyramid():
    pyramid = Pyramid(SIDE, SIDE, 3, Structure(prior=2, n_hyper=1))
    sizes = [window_size(level) for level in pyramid.levels]
    assert sizes[:3] == [12 * 12, 12 * 12, 16 * 16]  # 4 latents, hyper and not, then 8
    windows = split_windows(np.arange(sum(sizes)), pyramid)
    assert [w.size for w in windows] == sizes
    assert [int(w[0, 0]) for w in windows] == np.cumsum([0, *sizes[:-1]]).tolist()
    n = sum(int(np.prod(shape)) for shape in pyramid.shapes.values())
    params = split_params(np.arange(n), pyramid)
    assert {name: w.shape for name, w in params.items()} == pyramid.shapes
    flat = np.concatenate([w.reshape(-1) for w in params.values()])
    assert np.array_equal(flat, np.arange(n))
