"""Squared errors and bits of one tile of a picture, of windows of its latents.

A tile is a square of pixels at a multiple of its side, and at each level the latents that lie over
it. Its window at a level is these latents and HALO more on every side: all that its pixels are
drawn of, and all that its own latents have as context. So the sums over the tiles of a picture are
those of the whole picture, and gradients too, once those of windows are added where they overlap:
tiles leave no seams. All tiles of all pictures have one shape, and so one program.

The shape is that of a `Pyramid` of one tile's size at rate 0. Only those with a rate are fitted
(structure.py), whose number of levels does not depend on the size.

A tile's pixels stand in rows of side + 2 MARGIN, of which the last 2 MARGIN are not counted: so
that a neighbour is a fixed number of places away, and all loops run over one axis.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inr.grid.fit.model import Params, mix_features
from inr.grid.fit.tile_contexts import HALO, tile_bits
from inr.grid.structure import Level, Pyramid

MARGIN = 2  # pixels around a tile that two 3x3 convolutions see
_STRIP = 1024  # pixels whose hidden values are at hand at once


class Tile(NamedTuple):
    """What a tile is compared with, and which of its pixels and latents lie in the picture."""

    picture: Any  # f32[c, pixels], in 0..1
    is_pixel: Any  # f32[pixels], 1 or 0
    is_latent: Any  # f32[windows], 1 or 0, of all levels one after the other


class Weights(NamedTuple):
    """Which sums are wanted; see `tile_sums`."""

    squares: Any  # f32[]
    slopes: Any  # f32[c, pixels], or f32[]
    bits: Any  # f32[latents of the tile], or f32[]


class Sums(NamedTuple):
    """Sums over the pixels and latents of a tile that lie in the picture, f32[]."""

    weighted: jax.Array
    errors: jax.Array  # squared
    bits: jax.Array


def n_pixels(pyramid: Pyramid) -> int:
    """Count the places of a tile's pixels, those that are not counted with them."""
    return pyramid.height * (pyramid.width + 2 * MARGIN)


def window_size(level: Level) -> int:
    """Count the latents of a window."""
    return (level.height + 2 * HALO) * (level.width + 2 * HALO)


def split_windows(flat: jax.Array, pyramid: Pyramid) -> list[jax.Array]:
    """[h + 2 HALO, w + 2 HALO] of each level, of all one after the other."""
    windows, begin = [], 0
    for level in pyramid.levels:
        end = begin + window_size(level)
        windows.append(flat[begin:end].reshape(level.height + 2 * HALO, level.width + 2 * HALO))
        begin = end
    return windows


def split_params(flat: jax.Array, pyramid: Pyramid) -> Params:
    """Tensors of pyramid.shapes, of all one after the other."""
    params, begin = {}, 0
    for name, shape in pyramid.shapes.items():
        end = begin + int(np.prod(shape))
        params[name] = flat[begin:end].reshape(shape)
        begin = end
    return params


def tile_sums(
    params: Params, windows: list[jax.Array], tile: Tile, weights: Weights, pyramid: Pyramid
) -> Sums:
    """Sum squares * errors**2 + slopes * errors + bits * weights.bits of a tile.

    Args:
      params: tensors of pyramid.shapes.
      windows: latents in codes; beyond the picture its edges are repeated.
      pyramid: of one tile.
    """
    errors = tile_errors(params, windows, tile, pyramid)
    squared = jnp.sum(errors**2)
    inside = split_windows(tile.is_latent, pyramid)
    # Contexts see zeros beyond the picture.
    known = [window * mask for window, mask in zip(windows, inside, strict=True)]
    is_real = jnp.concatenate([_inner(each).reshape(-1) for each in inside])
    bits = tile_bits(params, known, pyramid) * is_real
    weighted = weights.squares * squared + jnp.sum(weights.slopes * errors)
    weighted += jnp.sum(weights.bits * bits)
    return Sums(weighted, squared, jnp.sum(bits))


def tile_errors(
    params: Params, windows: list[jax.Array], tile: Tile, pyramid: Pyramid
) -> jax.Array:
    """Return f32[c, pixels], how far a tile as it is drawn lies from the picture."""
    drawn = tile_colours(params, windows, pyramid)
    errors: jax.Array = (_as_seen(drawn) - _as_seen(tile.picture)) * tile.is_pixel[None]
    return errors


def tile_colours(params: Params, windows: list[jax.Array], pyramid: Pyramid) -> jax.Array:
    """Return f32[c, pixels], not clipped."""
    features = tile_features(params, windows, pyramid)
    cut = HALO - MARGIN
    x = _mix_in_strips(features[:, cut:-cut, cut:-cut].reshape(len(features), -1), params)
    row = pyramid.width + 2 * MARGIN
    x = _convolve(_convolve(x, params, 0, row), params, 1, row)
    return jnp.pad(x, ((0, 0), (0, n_pixels(pyramid) - x.shape[1])))


def _mix_in_strips(x: jax.Array, params: Params) -> jax.Array:
    """`mix_features` of f32[n_drawn, n], in strips whose hidden values stay in cache."""
    n_drawn, n = x.shape
    n_strips = -(-n // _STRIP)
    strips = jnp.pad(x, ((0, 0), (0, n_strips * _STRIP - n))).reshape(n_drawn, n_strips, _STRIP)
    mix = jax.checkpoint(lambda strip: mix_features(strip, params))
    colours = jax.lax.map(mix, strips.swapaxes(0, 1)).swapaxes(0, 1)
    mixed: jax.Array = colours.reshape(len(colours), -1)[:, :n]
    return mixed


def tile_features(params: Params, windows: list[jax.Array], pyramid: Pyramid) -> jax.Array:
    """Return f32[n_drawn, side + 2 HALO, side + 2 HALO], levels at full size, coarsest first."""
    stack, exponent = jnp.zeros((0, 0, 0)), pyramid.levels[0].exponent
    for level, octaves, y in zip(pyramid.levels, pyramid.octaves, windows, strict=True):
        if level.is_hyper:
            continue
        plane = y[None] * 2.0**-octaves
        stack = _double_to(stack, exponent, level.exponent, params)
        stack = plane if stack.size == 0 else jnp.concatenate([stack, plane])
        exponent = level.exponent
    return _double_to(stack, exponent, 0, params)


def _double_to(x: jax.Array, exponent: int, finer: int, params: Params) -> jax.Array:
    if x.size == 0:
        return x
    for e in reversed(range(finer, exponent)):
        x = _double(_double(x, params[f"up{e}"], 1), params[f"up{e}"], 2)
    return x


def _double(x: jax.Array, taps: jax.Array, axis: int) -> jax.Array:
    """Double one axis of [c, n + 2 HALO, ...] to 2 n + 2 HALO with a mirrored pair of filters."""
    n = x.shape[axis] - HALO
    shifted = jnp.stack([jax.lax.slice_in_dim(x, t, t + n, axis=axis) for t in range(5)])
    zero = jnp.zeros(1, jnp.float32)
    kernel = jnp.stack([jnp.concatenate([taps[::-1], zero]), jnp.concatenate([zero, taps])])
    # As a matrix product rather than a sum: XLA would fuse sums across octaves, and compile long.
    both = kernel @ shifted.reshape(5, -1)  # [2, c h w], even and odd
    shape = list(shifted.shape[1:])
    shape[axis] = 2 * n
    return jnp.moveaxis(both.reshape(2, *shifted.shape[1:]), 0, axis + 1).reshape(shape)


def _convolve(x: jax.Array, params: Params, i: int, row: int) -> jax.Array:
    """[c, n] -> [c, n - 2 row - 2], a residual 3x3 convolution of pixels in rows of that size."""
    c, n = x.shape
    n_left = n - 2 * row - 2
    beside = jnp.concatenate([x[:, j : j + n - 2] for j in range(3)])
    w = params[f"conv_w{i}"].reshape(c, 3, 3 * c).swapaxes(0, 1)  # [y, c_out, x c_in]
    of_rows = (w.reshape(3 * c, 3 * c) @ beside).reshape(3, c, n - 2)
    change = sum(of_rows[y, :, y * row : y * row + n_left] for y in range(3))
    change = change + params[f"conv_b{i}"][:, None]
    change = jax.nn.relu(change) if i == 0 else change
    return x[:, row + 1 : row + 1 + n_left] + change


def _as_seen(samples: jax.Array) -> jax.Array:
    """f32[c, n] as metrics.py compares it: where there is alpha, the last of 2 or 4 channels,
    colours times alpha."""
    if len(samples) in (1, 3):
        return samples
    colours, alpha = samples[:-1], samples[-1:]
    return jnp.concatenate([colours * alpha, alpha])


def _inner(window: jax.Array) -> jax.Array:
    return window[HALO:-HALO, HALO:-HALO]
