"""networks.py against layers that are defined once more in numpy and float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.cae_models import (
    RESIDUAL,
    TINY,
    chain64,
    conv64,
    deconv64,
    photo,
    random_params,
    shuffle64,
)

from inr.cae.layers import (
    Abs,
    Conv,
    Deconv,
    Gate,
    Relu,
    Scale,
    Shuffle,
    Sum,
    scales,
    shapes,
)
from inr.cae.training import gdn
from inr.cae.training.networks import Network, depth_to_space, space_to_depth, sub_pixel_kernel

KERNELS = [(9, 4), (5, 2), (3, 1), (1, 1), (1, 2), (16, 16), (4, 4)]


def f32(x):
    return jnp.asarray(x, jnp.float32)


def trained_as(params):
    """What is trained in place of these parameters."""
    is_gdn = ("_beta", "_gamma")
    return {
        n: gdn.to_trainable(f32(w)) if n.endswith(is_gdn) else f32(w) for n, w in params.items()
    }


def applied(chain, params, x, vectors=None, dtype=jnp.float32):
    """The chain at f64[h, w, channels], computed by the module."""
    own = {name: f32(v)[None] for name, v in (vectors or {}).items()}
    network = Network(chain, dtype)
    apply = jax.jit(network.apply)  # one compilation in place of one for each operation
    return np.asarray(apply({"params": trained_as(params)}, f32(x)[None], own)[0])


@pytest.mark.parametrize(("kernel", "stride"), KERNELS)
def test_conv(kernel, stride):
    rng = np.random.default_rng(0)
    x, w, b = (rng.normal(size=s) for s in ((32, 16, 3), (kernel, kernel, 3, 2), (2,)))
    found = applied((Conv("c", 3, 2, kernel, stride),), {"c_w": w, "c_b": b}, x)
    np.testing.assert_allclose(found, conv64(x, w, stride) + b, atol=1e-4)  # sums of 768 in f32


@pytest.mark.parametrize(("kernel", "stride"), KERNELS)
def test_deconv(kernel, stride):
    rng = np.random.default_rng(0)
    x, w, b = (rng.normal(size=s) for s in ((3, 2, 3), (kernel, kernel, 2, 3), (2,)))
    found = applied((Deconv("d", 3, 2, kernel, stride),), {"d_w": w, "d_b": b}, x)
    np.testing.assert_allclose(found, deconv64(x, w, stride) + b, atol=1e-5)


@pytest.mark.parametrize(("kernel", "stride"), KERNELS)
def test_deconv_is_the_adjoint_of_conv(kernel, stride):
    rng = np.random.default_rng(1)
    w = rng.normal(size=(kernel, kernel, 3, 2))
    x, y = rng.normal(size=(2 * stride, 3 * stride, 3)), rng.normal(size=(2, 3, 2))
    made = applied((Conv("c", 3, 2, kernel, stride, has_bias=False),), {"c_w": w}, x)
    back = applied((Deconv("d", 2, 3, kernel, stride, has_bias=False),), {"d_w": w}, y)
    assert np.vdot(made, y) == pytest.approx(np.vdot(x, back), abs=1e-3)  # 768 products in f32


def test_a_hand_worked_row_up_and_down():
    """3 taps of stride 2: one zero behind, none before."""
    w = np.zeros((3, 3, 1, 1))
    w[0, :, 0, 0] = [1, 10, 100]
    x = np.arange(1.0, 5)[None].repeat(2, 0)[..., None]  # two rows of 1 2 3 4
    made = applied((Conv("c", 1, 1, 3, 2, has_bias=False),), {"c_w": w}, x)
    assert made[..., 0].tolist() == [[1 + 20 + 300, 3 + 40]]
    back = applied((Deconv("d", 1, 1, 3, 2, has_bias=False),), {"d_w": w}, made / made)
    assert back[..., 0].tolist() == [[1, 10, 101, 10], [0, 0, 0, 0]]


def test_gradients_of_kernels_as_large_as_their_stride():
    """They are computed as products of blocks, and must be those of a convolution."""
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(8, 8, 3)), rng.normal(size=(4, 4, 3, 2))
    chain = (Conv("c", 3, 2, 4, 4, has_bias=False),)
    weights = rng.normal(size=(2, 2, 2))

    def loss(w):
        return (Network(chain).apply({"params": {"c_w": w}}, f32(x)[None], {})[0] * weights).sum()

    expected = np.zeros_like(w)
    for row, col in np.ndindex(2, 2):
        block = x[4 * row : 4 * row + 4, 4 * col : 4 * col + 4]
        expected += block[..., None] * weights[row, col]
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(f32(w)), expected, atol=1e-5)


def test_shuffling_places_channels():
    # Channel (row * 2 + col) * 2 + c: both channels of the upper left pixel come first.
    x = jnp.arange(8.0).reshape(1, 1, 1, 8)
    assert depth_to_space(x, 2)[0].tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    x = jnp.asarray(np.random.default_rng(3).normal(size=(2, 6, 9, 18)), jnp.float32)
    np.testing.assert_array_equal(space_to_depth(depth_to_space(x, 3), 3), x)
    np.testing.assert_array_equal(depth_to_space(space_to_depth(x, 3), 3), x)
    np.testing.assert_array_equal(depth_to_space(x, 3)[1], shuffle64(np.asarray(x[1]), 3))


@pytest.mark.parametrize(
    ("kernel", "stride", "size", "border"),
    [(9, 4, 3, 1), (5, 2, 3, 1), (3, 1, 3, 1), (16, 16, 1, 0), (1, 2, 1, 0)],
)
def test_sub_pixel_kernels_are_no_larger_than_they_must_be(kernel, stride, size, border):
    made, zeros = sub_pixel_kernel(jnp.ones((kernel, kernel, 2, 5)), stride)
    assert (made.shape, zeros) == ((size, size, 5, stride**2 * 2), border)
    assert float(made.sum()) == kernel**2 * 10  # every number once


def test_each_picture_has_its_own_scale():
    x = jnp.ones((2, 3, 4, 2))
    vectors = {"m": jnp.array([[1.0, 2.0], [3.0, 4.0]])}
    y = Network((Scale("m", 2),)).apply({}, x, vectors)
    np.testing.assert_array_equal(y[0], np.broadcast_to([1.0, 2.0], (3, 4, 2)))
    np.testing.assert_array_equal(y[1], np.broadcast_to([3.0, 4.0], (3, 4, 2)))


def test_layers_between_convolutions():
    x = np.array([[[-3.0, 4.0, 0.75, -0.75]]])
    gate = (Gate((Relu(),), (Abs(),)),)
    for chain, expected in (
        ((Relu(),), [0, 4, 0.75, 0]),
        ((Relu(0.2),), [-0.6, 4, 0.75, -0.15]),
        ((Abs(),), [3, 4, 0.75, 0.75]),
        ((Sum(((), (Abs(),), (Relu(),))),), [0, 12, 2.25, 0]),
        # 0.75 / sqrt(1 + 0.75^2) = 0.6: opens to 0.8; a gate of 0 lets half through.
        (gate, [1.5, 4 * (1 + 4 / 17**0.5) / 2, 0.6, 0.375]),
    ):
        np.testing.assert_allclose(applied(chain, {}, x)[0, 0], expected, rtol=1e-6)
    assert applied((Shuffle(2),), {}, x).tolist() == [[[-3], [4]], [[0.75], [-0.75]]]


@pytest.mark.parametrize(
    ("model", "group", "side"),
    [
        (TINY, "analysis", 32),
        (TINY, "synthesis", 2),
        (TINY, "hyper_analysis", 4),
        (TINY, "hyper_synthesis", 2),
        (RESIDUAL, "analysis", 16),
        (RESIDUAL, "synthesis", 1),
    ],
)
def test_whole_chains(model, group, side):
    chain = model.chains()[group]
    params = random_params(shapes(chain), seed=4)
    rng = np.random.default_rng(5)
    n_channels = {"analysis": 3, "hyper_synthesis": model.n_coded}.get(group, model.n_latents)
    x = rng.normal(size=(side, side, n_channels))
    vectors = {name: rng.uniform(0.5, 2, n) for name, n in scales(chain).items()}
    expected = chain64(chain, params, x, vectors)
    found = applied(chain, params, x, vectors)
    assert found.shape == expected.shape
    # A dozen layers of sums in f32, each off by some 1e-7 of its largest.
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_bfloat16_is_near():
    chain = TINY.chains()["analysis"]
    params = random_params(shapes(chain), seed=6)
    x = photo(height=32, width=32) / 255 - 0.5
    vectors = {name: np.ones(n) for name, n in scales(chain).items()}
    full = applied(chain, params, x, vectors)
    half = applied(chain, params, x, vectors, jnp.bfloat16)
    assert half.dtype == np.float32
    # 8 bits a number: 2^-9 each, three layers.
    assert 0 < np.abs(half - full).max() < 0.02 * np.abs(full).max()


def test_first_weights_keep_the_power_of_their_input():
    """Kernels begin with a variance of 1 over the numbers that one output sees."""
    chain = (Conv("c", 8, 32, 5, 2), Deconv("d", 32, 8, 9, 4))
    params = Network(chain).init(jax.random.key(0), jnp.zeros((1, 4, 4, 8)), {})["params"]
    for name, fan_in in (("c_w", 25 * 8), ("d_w", 81 / 16 * 32)):
        variance = float(jnp.var(params[name])) * fan_in
        # Truncated at two deviations, flax corrects for it in the one, and the other is 0.77.
        assert variance == pytest.approx({"c_w": 1.0, "d_w": 0.774}[name], rel=0.1)
    assert not params["c_b"].any()
    assert not params["d_b"].any()
