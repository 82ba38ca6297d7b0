"""autoencoder.py: rounding and its gradient, and the start of training as a transform codec."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.cae_models import PLAIN, TINY, chain64, photo
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.cae.training import gdn
from inr.cae.training.autoencoder import (
    add_noise,
    block_basis,
    block_log_amplitude,
    forward,
    init,
    ste_round,
    vectors,
)
from inr.cae.training.entropy_models import factorized_bits, laplace_bits
from inr.cae.transforms import Balle2017

apply = jax.jit(forward, static_argnums=0)


@pytest.fixture(scope="module")
def params():
    return init(TINY, jax.random.key(0))


@pytest.fixture(scope="module")
def pictures():
    return np.stack([photo(height=64, width=64), photo("code_editor", 64, 64)]) / 255


def plain64(group, x, params):
    """A chain of PLAIN in float64."""
    tensors = {}
    for name, w in params[group].items():
        least = gdn.BETA_LEAST if name.endswith("_beta") else 0.0
        is_gdn = name.endswith(("_beta", "_gamma"))
        tensors[name] = np.asarray(gdn.from_trainable(w, least) if is_gdn else w, np.float64)
    return chain64(PLAIN.chains()[group], tensors, x, {})


def test_without_a_key_latents_are_rounded():
    """The whole way of a small model once more, in float64."""
    params = init(PLAIN, jax.random.key(1))
    params["analysis"]["a2_w"] *= 20  # so that latents are not all 0
    x = photo(height=32, width=48) / 255
    y = plain64("analysis", x - 0.5, params)
    codes = np.round(y)
    assert len(np.unique(codes)) >= 3
    assert np.abs(y - codes).max() < 0.5 - 1e-4  # none so near a half that f32 decides
    drawn, bits = apply(PLAIN, params, jnp.asarray(x[None], jnp.float32), {}, None)
    expected = plain64("synthesis", codes, params) + 0.5
    np.testing.assert_allclose(drawn[0], expected, atol=1e-4)  # sums of 100 numbers in f32
    each = factorized_bits(params["prior"], jnp.asarray(codes[None], jnp.float32), None)
    assert float(bits[0]) == pytest.approx(float(each.sum()), rel=1e-5)


def test_rounding_passes_gradients():
    y = jnp.array([-1.6, -0.4, 0.2, 2.7])
    assert ste_round(y).tolist() == [-2, 0, 0, 3]
    slope = jax.grad(lambda y: (ste_round(y) * jnp.arange(4.0)).sum())(y)
    assert slope.tolist() == [0, 1, 2, 3]


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31 - 1))
def test_noise_stands_in_for_rounding(seed):
    y = jnp.zeros((1, 20, 20, 5))
    noise = np.asarray(add_noise(y, jax.random.key(seed)))
    assert -0.5 <= noise.min() < -0.45
    assert 0.45 < noise.max() < 0.5
    assert abs(noise.mean()) < 0.04  # six deviations of the mean of 2000
    assert noise.var() == pytest.approx(1 / 12, rel=0.15)
    np.testing.assert_array_equal(add_noise(y + 0.4, None), y)


def test_hard_decoders_see_rounded_latents_and_soft_ones_noise(params, pictures):
    x = jnp.asarray(pictures, jnp.float32)
    scales = vectors(TINY, params, jnp.zeros(2))
    key = jax.random.key(5)
    exact, exact_bits = apply(TINY, params, x, scales, None, is_hard=True)
    hard, noisy_bits = apply(TINY, params, x, scales, key, is_hard=True)
    soft, soft_bits = apply(TINY, params, x, scales, key, is_hard=False)
    np.testing.assert_allclose(hard, exact, atol=1e-5)  # two programs of the same sums
    assert np.abs(soft - exact).mean() > 1e-3
    assert (np.abs(noisy_bits - exact_bits) > 1e-3).all()
    assert (np.abs(soft_bits - exact_bits) > 1e-3).all()
    assert hard.shape == x.shape
    assert noisy_bits.shape == (2,)


# ---------------------------------------------------------------- the start


def test_all_functions_of_a_block_are_orthonormal():
    basis = block_basis(768).reshape(768, 768)
    np.testing.assert_allclose(basis.T @ basis, np.eye(768), atol=1e-12)


def test_the_first_function_is_the_mean_of_a_block():
    basis = block_basis(40)
    np.testing.assert_allclose(basis[..., 0], np.full((16, 16, 3), 768**-0.5))
    u = np.cos(np.pi * (np.arange(16) + 0.5) / 16)
    lows = [np.abs(basis[:, :, 0, i] / basis[0, 0, 0, i]) for i in (1, 2)]
    wave = np.abs(u / u[0])
    for low in lows:  # then the lowest waves down and across
        np.testing.assert_allclose(low, np.broadcast_to(low[:, :1] * low[:1], (16, 16)))
    found = sorted([lows[0][-1, 7] < 0.5, lows[1][-1, 7] < 0.5])
    assert found == [False, True]
    np.testing.assert_allclose(np.minimum(*lows)[8, 0] * wave[0], np.minimum(wave[8], 1), atol=1e-9)
    assert (np.diff(block_log_amplitude(40)[[0, 1, 3]]) < 0).all()


def quantized(x, step, n):
    """A transform codec: blocks of 16 x 16, coefficients rounded to multiples of step."""
    h, w, _ = x.shape
    blocks = (x - 0.5).reshape(h // 16, 16, w // 16, 16, 3)
    coefficients = np.einsum("aybxc,yxcn->abn", blocks, block_basis(n))
    codes = np.round(coefficients / step)
    drawn = np.einsum("abn,yxcn->aybxc", codes * step, block_basis(n)).reshape(h, w, 3) + 0.5
    return codes, drawn


@pytest.mark.parametrize("position", [-1.0, 0.0, 1.0])
def test_training_begins_as_a_block_transform(params, pictures, position):
    """With the step at which one more bit is worth as much in both terms of the loss.

    At high rates D = step^2 / 12 of each sample and R = h - log2(step), three samples a pixel:
    dD = -lambda * 3 dR where step^2 = 18 lambda / ln 2, the root of which is 5.096.
    """
    step = math.sqrt(18 * TINY.lambda_at(position) / math.log(2))
    scales = vectors(TINY, params, jnp.full(2, position))
    drawn, _ = apply(TINY, params, jnp.asarray(pictures, jnp.float32), scales, None)
    for x, found in zip(pictures, drawn, strict=True):
        _, expected = quantized(x, step, TINY.n_latents)
        # The layers beside the shortcut are there, and small against what is lost anyway.
        lost = np.square(x - expected).mean()
        assert np.square(found - expected).mean() < 0.3 * lost
        assert np.square(found - x).mean() == pytest.approx(lost, rel=0.3)


def test_bits_at_the_start_are_those_of_fixed_densities(params, pictures):
    """What the hyperprior tells at first is the amplitude of photographs, over the step."""
    position = 0.5
    step = math.sqrt(18 * TINY.lambda_at(position) / math.log(2))
    scales = vectors(TINY, params, jnp.full(2, position))
    _, bits = apply(TINY, params, jnp.asarray(pictures, jnp.float32), scales, None)
    for x, found in zip(pictures, bits, strict=True):
        codes, _ = quantized(x, step, TINY.n_latents)
        log_scale = jnp.asarray(block_log_amplitude(6) - math.log(step), jnp.float32)
        y = jnp.asarray(codes, jnp.float32)
        expected = float(laplace_bits(y, 0.0, jnp.broadcast_to(log_scale, y.shape)).sum())
        # Four hyperlatents a picture, and layers that are not zero.
        assert float(found) == pytest.approx(expected, rel=0.25)


def test_sixteen_bits_more_than_a_range_of_scales_are_not_told(params):
    """A step far from all else: log scales are clipped to what tables of files span."""
    far = jax.tree.map(jnp.copy, params)
    far["hyper_synthesis"]["hs2_b"] += 1e3
    x = jnp.full((1, 64, 64, 3), 0.5)
    _, bits = apply(TINY, far, x, vectors(TINY, far, jnp.zeros(1)), None)
    assert np.isfinite(bits).all()


def test_seeds_and_groups():
    model = dataclasses.replace(TINY, transform=Balle2017(4, 6, has_latent_gdn=False))
    one, two = init(model, jax.random.key(0)), init(model, jax.random.key(1))
    groups = ["analysis", "synthesis", "hyper_analysis", "hyper_synthesis", "modulation", "prior"]
    assert list(one) == groups
    assert not np.array_equal(one["analysis"]["a0_w"], two["analysis"]["a0_w"])
    assert one["prior"]["matrix0"].shape == (4, 1, 3)  # of hyperlatents
