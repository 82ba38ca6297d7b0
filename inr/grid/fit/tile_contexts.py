"""Bits of a tile's latents: their contexts, cut into strips of rows that stay in cache.

A strip is, of the window of a level, some rows of the tile's own latents and HALO rows above and
below. The last 2 HALO places of each row are none of its own latents, and what is found there is
dropped: so that a neighbour is a fixed number of places away, and all loops run over one axis.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inr.grid.fit.model import Params, bits_of, laplace_parameters
from inr.grid.structure import TAPS, Level, Pyramid

HALO = 4  # latents around a tile at each level, and pixels
_MOST_LATENTS = 1536  # of a strip, if that can be: 20 numbers of each are 120 kB
_TENSORS = ("w0", "w1", "out", "linear", "b0", "b1", "b2")


class Strips(NamedTuple):
    """The strips of one level, all of one size."""

    latents: Any  # f32[strips, n], of the window
    features: Any  # f32[strips, n_features, rows, columns], on the grid of the level before


def tile_bits(params: Params, windows: list[jax.Array], pyramid: Pyramid) -> jax.Array:
    """Return the bits of a tile's own latents, f32[latents], level after level; the windows are
    zero beyond the picture."""
    features = level_features(params, windows, pyramid)
    bits: dict[int, jax.Array] = {}
    for context in pyramid.contexts:
        network = {name: params[f"{context}_{name}"] for name in _TENSORS}
        which = [i for i, each in enumerate(pyramid.context_of) if each == context]
        strips = [cut_strips(windows[i], features[i], pyramid.levels[i]) for i in which]
        if all(len(each.latents) == 1 for each in strips):
            whole = [jax.tree.map(lambda each: each[0], of_level) for of_level in strips]
            found = _bits_of_strips(whole, network, which, pyramid)
            bits |= dict(zip(which, found, strict=True))
            continue
        for i, of_level in zip(which, strips, strict=True):
            own = functools.partial(_bits_of_strip, network=network, i=i, pyramid=pyramid)
            # Made anew for the gradient: to keep what is in between would take longer.
            bits[i] = jax.lax.map(jax.checkpoint(own), of_level)
    return jnp.concatenate([own_latents(bits[i], level) for i, level in enumerate(pyramid.levels)])


def _bits_of_strips(
    strips: list[Strips], network: Params, which: list[int], pyramid: Pyramid
) -> list[jax.Array]:
    """Return the bits of each of a strip of each of some levels with one network, f32[n]."""
    seen = [strip_contexts(strip, i, pyramid) for strip, i in zip(strips, which, strict=True)]
    sizes = [len(y) for y, _ in seen]
    octaves = np.repeat([pyramid.octaves[i] for i in which], sizes)
    columns = jnp.concatenate([columns for _, columns in seen], axis=1)
    densities = laplace_parameters(columns, network, jnp.asarray(octaves, jnp.float32))
    bits = bits_of(jnp.concatenate([y for y, _ in seen]), *densities)
    return jnp.split(bits, np.cumsum(sizes)[:-1])


def _bits_of_strip(strip: Strips, network: Params, i: int, pyramid: Pyramid) -> jax.Array:
    return _bits_of_strips([strip], network, [i], pyramid)[0]


def own_latents(x: jax.Array, level: Level) -> jax.Array:
    """f32[latents of a tile] of what was found for all places of all strips of its level."""
    return x.reshape(level.height, -1)[:, : level.width].reshape(-1)


def level_features(params: Params, windows: list[jax.Array], pyramid: Pyramid) -> list[jax.Array]:
    """Return f32[n_features, h, w] for each level, on the grid of the level before; zeros where it
    has none. The windows are zero beyond the picture."""
    features = []
    before: list[jax.Array] = []  # at the size of the last level
    last = pyramid.levels[0]
    for i, (level, octaves) in enumerate(zip(pyramid.levels, pyramid.octaves, strict=True)):
        name = pyramid.feature_name(i)
        made = jnp.zeros((pyramid.structure.n_features, last.height, last.width))
        if name is not None:
            stacked = jnp.stack([each.reshape(-1) for each in before])
            made = (params[name] @ stacked).reshape(made.shape)
        features.append(made)
        before = [_repeat(each[None], last.exponent - level.exponent)[0] for each in before]
        before.append(windows[i][HALO:-HALO, HALO:-HALO] * 2.0**-octaves)
        last = level
    return features


def cut_strips(window: jax.Array, features: jax.Array, level: Level) -> Strips:
    """Cut f32[h + 2 HALO, w + 2 HALO] of a level, and its features."""
    row, n_rows = level.width + 2 * HALO, level.height
    while n_rows * row > _MOST_LATENTS and n_rows >= 4 * HALO and n_rows % 2 == 0:
        n_rows //= 2
    n_strips, size = level.height // n_rows, n_rows * row
    latents = window.reshape(1, -1)
    if n_strips > 1:  # each part and the one after it, in which at least 2 HALO rows are
        padded = jnp.pad(window, ((0, n_rows - 2 * HALO), (0, 0))).reshape(-1, size)
        latents = jnp.concatenate([padded[:-1], padded[1:]], axis=1)
    c, h, w = features.shape
    padded = jnp.pad(features, ((0, 0), (0, 0), (0, row * h // level.height - w)))
    return Strips(latents, padded.reshape(c, n_strips, h // n_strips, -1).swapaxes(0, 1))


def strip_contexts(strip: Strips, i: int, pyramid: Pyramid) -> tuple[jax.Array, jax.Array]:
    """Return the latents of a strip of level i, in codes, f32[n], and their taps and features,
    f32[n_taps + n_features, n]."""
    row = pyramid.levels[i].width + 2 * HALO
    n_features, _, n_columns = strip.features.shape
    octaves = (row // n_columns).bit_length() - 1
    features = _repeat(strip.features, octaves).reshape(n_features, -1)
    n, first = features.shape[1], HALO * row + HALO
    x = strip.latents * 2.0 ** -pyramid.octaves[i]
    begins = [first + dy * row + dx for dy, dx in TAPS[: pyramid.structure.n_taps]]
    taps = jnp.stack([x[begin : begin + n] for begin in begins])
    return strip.latents[first : first + n], jnp.concatenate([taps, features])


def _repeat(x: jax.Array, octaves: int) -> jax.Array:
    """[c, h, w], each number 2**octaves times in both directions."""
    if octaves == 0:
        return x
    c, h, w = x.shape
    n = 1 << octaves
    return jnp.broadcast_to(x[:, :, None, :, None], (c, h, n, w, n)).reshape(c, n * h, n * w)
