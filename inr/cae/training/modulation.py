"""From lambda to one positive scale per channel: the modulated autoencoder.

Yang et al., "Variable rate deep image compression with modulated autoencoder", IEEE SPL 2020,
Section III: for each vector a network of one hidden layer of 50, exp at its end. Differs from the
paper: the input is the position of log(lambda) in the range of the model, in -1..1, not lambda over
its maximum, so that every octave counts alike; and latents begin with scales that already follow
lambda as a uniform quantizer's step would.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

HIDDEN = 50  # the paper's


class Modulation(nn.Module):
    """vectors: names and lengths. slopes: by name, d log(scale) / d position at the start."""

    vectors: tuple[tuple[str, int], ...]
    slopes: tuple[tuple[str, float], ...] = ()

    @nn.compact
    def __call__(self, position: jax.Array) -> dict[str, jax.Array]:
        """Map positions f32[n] of lambdas to f32[n, length] for each vector."""
        slopes = dict(self.slopes)
        made = {}
        for name, length in self.vectors:
            slope = slopes.get(name, 0.0)
            w0 = self.param(f"{name}_w0", _first_weights)
            b0 = self.param(f"{name}_b0", _first_offsets)
            w1 = self.param(f"{name}_w1", _last_weights, length, slope)
            b1 = self.param(f"{name}_b1", _last_offsets, length, slope)
            hidden = nn.relu(position[:, None] @ w0 + b0)  # [n, 50]
            made[name] = jnp.exp(hidden @ w1 + b1)
        return made


def _first_weights(key: jax.Array) -> jax.Array:
    """Draw both signs in turn: with offsets in 0..1 the kinks lie all over -1..1."""
    signs = jnp.where(jnp.arange(HIDDEN) % 2 == 0, 1.0, -1.0)[None]
    weights = signs * jax.random.uniform(key, (1, HIDDEN), minval=0.5, maxval=1.5)
    return weights.at[0, 0].set(1.0)


def _first_offsets(key: jax.Array) -> jax.Array:
    """Draw offsets; unit 0 is position + 1, never cut off: it adds a slope to a logarithm."""
    return jax.random.uniform(key, (HIDDEN,)).at[0].set(1.0)


def _last_weights(key: jax.Array, length: int, slope: float) -> jax.Array:
    """Make zeros but for the slope: what multiplies latents and what divides begin as inverses."""
    return jnp.zeros((HIDDEN, length)).at[0].set(slope)


def _last_offsets(key: jax.Array, length: int, slope: float) -> jax.Array:
    """Make offsets of a dtype that steps keep, or the second step would be compiled again."""
    return jnp.full(length, -slope, jnp.float32)
