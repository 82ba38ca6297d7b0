"""What trial networks cost: many at once, on a sample of latents and of the picture."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from inr.grid.forward import (
    Latents,
    Params,
    Seen,
    bits_of,
    contexts,
    features_of,
    laplace_parameters,
    seen_by_level,
    synthesis,
)
from inr.grid.structure import Pyramid

_SAMPLED_LATENTS = 8192  # of a level, at most
_TILE, _MAX_TILES = 64, 12  # pixels of a side; tiles drawn, of pictures that have more


class ContextTrials:
    """lambda * bpp of the latents under trial context models, from a sample of each level."""

    def __init__(
        self, latents: Latents, pyramid: Pyramid, lambda_per_bit: float, rng: np.random.Generator
    ) -> None:
        self._pyramid = pyramid
        self._seen, self._ys, self._bit_costs = [], [], []
        for seen, y in zip(seen_by_level(latents, pyramid), latents, strict=True):
            n = min(y.size, _SAMPLED_LATENTS)
            at = np.sort(rng.choice(y.size, n, replace=False))
            before = None if seen.before is None else seen.before[:, at]
            self._seen.append(Seen(seen.taps[:, at], before))
            self._ys.append(y.reshape(-1)[at])
            self._bit_costs.append(np.full(n, lambda_per_bit * y.size / n, np.float32))

    def losses(self, params: Params) -> np.ndarray:
        """f32[n] of networks stacked on a leading axis of n."""
        y, costs = jnp.concatenate(self._ys), np.concatenate(self._bit_costs)
        return np.asarray(_context_losses(self._pyramid, params, self._seen, y, costs))


@functools.partial(jax.jit, static_argnums=0)
def _context_losses(
    pyramid: Pyramid, params: Params, seen: list[Seen], y: jax.Array, bit_costs: jax.Array
) -> jax.Array:
    def loss(params: Params) -> jax.Array:
        bits = bits_of(y, *laplace_parameters(contexts(seen, params, pyramid), params))
        return bits @ bit_costs

    return jax.vmap(loss)(params)


class DrawTrials:
    """MSE of the picture drawn by trial networks, from tiles of it."""

    def __init__(
        self, latents: Latents, picture: np.ndarray, pyramid: Pyramid, rng: np.random.Generator
    ) -> None:
        self._latents, self._pyramid = latents, pyramid
        h, w = min(_TILE, pyramid.height), min(_TILE, pyramid.width)
        n = min(_MAX_TILES, -(-pyramid.height // h) * -(-pyramid.width // w))
        tops = rng.integers(0, pyramid.height - h + 1, n)
        lefts = rng.integers(0, pyramid.width - w + 1, n)
        self._slices = [
            (slice(None), slice(y, y + h), slice(x, x + w))
            for y, x in zip(tops.tolist(), lefts.tolist(), strict=True)
        ]
        self._target = self._tiles(picture)

    def upsample(self, params: Params) -> None:
        """Uses these kernels from here on. params: of one network."""
        self._features = self._tiles(np.asarray(_features(self._pyramid, self._latents, params)))

    def losses(self, params: Params) -> np.ndarray:
        """f32[n] of networks stacked on a leading axis of n; their kernels do not count."""
        return np.asarray(_draw_losses(params, self._features, self._target))

    def kernel_losses(self, params: Params) -> np.ndarray:
        """f32[n] of networks stacked on a leading axis of n, with their kernels."""
        losses = []
        for i in range(next(iter(params.values())).shape[0]):
            one = {name: w[i] for name, w in params.items()}
            self.upsample(one)
            losses.append(self.losses({name: w[None] for name, w in one.items()}))
        return np.concatenate(losses)

    def _tiles(self, planes: np.ndarray) -> np.ndarray:
        return np.stack([planes[each] for each in self._slices])


@functools.partial(jax.jit, static_argnums=0)
def _features(pyramid: Pyramid, latents: Latents, params: Params) -> jax.Array:
    return features_of(latents, params, pyramid)


@jax.jit
def _draw_losses(params: Params, features: jax.Array, target: jax.Array) -> jax.Array:
    def loss(params: Params) -> jax.Array:
        drawn = jax.vmap(lambda tile: synthesis(tile, params))(features)
        return jnp.mean((jnp.clip(drawn, 0, 1) - target) ** 2)

    return jax.lax.map(loss, params)  # one after the other: together they would leave the cache
