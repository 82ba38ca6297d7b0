"""Draws a grid picture with jax: the same bits as `inr.grid.synthesis`, for where a GPU is at hand.

XLA may contract multiply-adds, and a GPU sums in another order. Neither changes a bit here: after
`check_exact` every product and every partial sum is a float64 without rounding error.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from inr.fitting.jax_settings import own_jax_settings
from inr.grid.structure import Pyramid
from inr.grid.synthesis import max_drawn
from inr.grid.synthesis_bounds import (
    COLOUR_BITS,
    COLOUR_LIMIT,
    FEATURE_BITS,
    NumpyParams,
    Rounding,
    check_exact,
)
from inr.mlp.decode import Region

_CHUNK = 1 << 18  # pixels whose hidden values are at hand at once: 100 MB for a width of 48

Params = dict[str, jax.Array]


@own_jax_settings()
def draw(
    latents: list[np.ndarray],
    params: NumpyParams,
    pyramid: Pyramid,
    bit_depth: int,
    region: Region | None = None,
) -> np.ndarray:
    """Draws as `inr.grid.synthesis.draw` does; a region is cut from the whole picture."""
    rounding = check_exact(params, pyramid, max_drawn(latents, pyramid))
    with jax.enable_x64(True):
        on_device = {
            name: jnp.asarray(params[name])
            for tensors in pyramid.synthesis_groups.values()
            for name in tensors
        }
        planes = [
            jnp.asarray(y, jnp.float64)
            for level, y in zip(pyramid.levels, latents, strict=True)
            if not level.is_hyper
        ]
        samples = np.asarray(_samples(planes, on_device, pyramid, rounding, bit_depth))
    if region is None:
        return samples
    y, x = region.y, region.x
    return samples[y : y + region.height, x : x + region.width]


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _samples(
    planes: list[jax.Array], params: Params, pyramid: Pyramid, rounding: Rounding, bit_depth: int
) -> jax.Array:
    """u8 or u16 [height, width, n_channels] of the drawn levels."""
    features = _features(planes, params, pyramid, rounding)  # [n_drawn, height, width]
    n, height, width = features.shape
    size = height * width
    n_chunks = -(-size // _CHUNK)
    chunk = -(-size // n_chunks)
    padded = jnp.pad(features.reshape(n, size), ((0, 0), (0, n_chunks * chunk - size)))
    colours = jax.lax.map(
        lambda x: _colours(x, params, rounding), padded.reshape(n, n_chunks, chunk).swapaxes(0, 1)
    )  # [n_chunks, c, chunk]
    colours = colours.swapaxes(0, 1).reshape(-1, n_chunks * chunk)[:, :size]
    colours = colours.reshape(-1, height, width)
    colours = _rounded(colours + jnp.maximum(_convolved(colours, params, 0), 0.0), COLOUR_BITS)
    colours = _rounded(colours + _convolved(colours, params, 1), COLOUR_BITS)
    samples = _rounded(jnp.clip(colours, 0.0, 1.0) * (2.0**bit_depth - 1), 0)
    return samples.transpose(1, 2, 0).astype(jnp.uint8 if bit_depth == 8 else jnp.uint16)


def _features(
    planes: list[jax.Array], params: Params, pyramid: Pyramid, rounding: Rounding
) -> jax.Array:
    exponents = [level.exponent for level in pyramid.levels if not level.is_hyper]
    stack = jnp.zeros((0, *planes[0].shape))
    for e in reversed(range(exponents[0] + 1)):
        if e < exponents[0]:
            taps, (height, width) = params[f"up{e}"], pyramid.size_at(e)
            stack = _doubled(stack, taps, 1, height)
            bits = rounding.row_bits[e]
            stack = stack if bits is None else _rounded(stack, bits)
            stack = _rounded(_doubled(stack, taps, 2, width), FEATURE_BITS)
        own = [y[None] for exponent, y in zip(exponents, planes, strict=True) if exponent == e]
        stack = jnp.concatenate([stack, *own])
    return stack


def _doubled(x: jax.Array, taps: jax.Array, axis: int, size: int) -> jax.Array:
    """Doubles one axis of [channels, h, w]: `taps` for odd positions, mirrored ones for even."""
    n = x.shape[axis]
    padded = jnp.pad(x, [(2, 2) if i == axis else (0, 0) for i in range(3)], mode="edge")
    shifted = [jax.lax.slice_in_dim(padded, i, i + n, axis=axis) for i in range(5)]
    even = sum(taps[3 - t] * shifted[t] for t in range(4))
    odd = sum(taps[t] * shifted[t + 1] for t in range(4))
    shape = [2 * m if i == axis else m for i, m in enumerate(x.shape)]
    doubled = jnp.stack([even, odd], axis=axis + 1).reshape(shape)
    return jax.lax.slice_in_dim(doubled, 0, size, axis=axis)


def _colours(x: jax.Array, params: Params, rounding: Rounding) -> jax.Array:
    """f64[c, n] before the convolutions, of features f64[n_drawn, n]."""
    hidden = jnp.maximum(params["synth_w0"] @ x + params["synth_b0"][:, None], 0.0)
    if rounding.hidden_bits is not None:
        hidden = _rounded(hidden, rounding.hidden_bits)
    out = params["synth_w1"] @ hidden + params["synth_linear"] @ x + params["synth_b1"][:, None]
    return jnp.clip(_rounded(out, COLOUR_BITS), -float(COLOUR_LIMIT), float(COLOUR_LIMIT))


def _convolved(x: jax.Array, params: Params, i: int) -> jax.Array:
    """3x3 convolution of [c, h, w], edges repeated."""
    c, h, width = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge")
    patches = [
        padded[:, y : y + h, x : x + width].reshape(c, -1) for y in range(3) for x in range(3)
    ]
    change = params[f"conv_w{i}"] @ jnp.concatenate(patches) + params[f"conv_b{i}"][:, None]
    return change.reshape(c, h, width)


def _rounded(x: jax.Array, bits: int) -> jax.Array:
    """floor(x * 2**bits + 0.5) * 2**-bits."""
    return jnp.floor(x * 2.0**bits + 0.5) * 2.0**-bits
