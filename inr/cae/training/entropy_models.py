"""Densities of latents, for training: what a latent costs in bits.

factorized   Balle et al., "Variational image compression with a scale hyperprior", ICLR 2018,
             Appendix 6.1: for each channel a cumulative function made of a small network whose
             matrices are positive, stretched by a scale for each picture
laplace      around a mean, of a scale; both are predicted by the hyperprior
"""

import itertools
import math

import jax
import jax.numpy as jnp
from flax import linen as nn

FILTERS = (3, 3, 3)  # widths inside of the cumulative function
_WIDTH_AT_START = 10.0  # latents that the density spans at first
_LEAST = 2.0**-16  # probability: what the tables of files grant every symbol


class FactorizedDensity(nn.Module):
    """Cumulative functions of n channels."""

    n: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Compute the logits of the cumulative functions at f32[..., n]."""
        widths = (1, *FILTERS, 1)
        step = _WIDTH_AT_START ** (1 / (len(widths) - 1))
        x = x[..., None]  # [..., n, 1]
        for i, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
            start = math.log(math.expm1(1 / step / n_out))
            matrix = self.param(
                f"matrix{i}", nn.initializers.constant(start), (self.n, n_in, n_out)
            )
            offset = self.param(f"offset{i}", _around_zero, (self.n, n_out))
            x = (x[..., None] * nn.softplus(matrix)).sum(-2) + offset  # [..., n, n_out]
            if i < len(FILTERS):
                factor = self.param(f"factor{i}", nn.initializers.zeros, (self.n, n_out))
                x = x + jnp.tanh(factor) * jnp.tanh(x)
        return x[..., 0]


def factorized_bits(
    params: dict[str, jax.Array], y: jax.Array, scales: jax.Array | None
) -> jax.Array:
    """Compute the bits of each latent: the mass between y - 1/2 and y + 1/2.

    Args:
      params: of a FactorizedDensity of y.shape[-1] channels.
      y: f32[n, h, w, channels], rounded or with noise in its place.
      scales: f32[n, channels], by which densities are stretched; None for 1.
    """
    stretch = 1.0 if scales is None else 1 / scales[:, None, None]
    density = FactorizedDensity(y.shape[-1])

    def logits(x: jax.Array) -> jax.Array:
        return jnp.asarray(density.apply({"params": params}, x * stretch))

    low, high = logits(y - 0.5), logits(y + 0.5)
    sign = -jnp.sign(low + high)  # the side where sigmoids are small, hence exact
    sign = jax.lax.stop_gradient(jnp.where(sign == 0, 1.0, sign))
    return bits_of(jnp.abs(jax.nn.sigmoid(sign * high) - jax.nn.sigmoid(sign * low)))


def laplace_bits(y: jax.Array, mean: jax.Array | float, log_scale: jax.Array) -> jax.Array:
    """Compute bits of latents under densities exp(-|y - mean| / b) / 2b, b = exp(log_scale)."""
    inverse = jnp.exp(-log_scale)
    d = jnp.abs(y - mean)
    near, far = jnp.abs(d - 0.5) * inverse, (d + 0.5) * inverse
    outside = 0.5 * jnp.exp(-near) * -jnp.expm1(near - far)  # d above 1/2: near - far = -1 / b
    inside = 1 - 0.5 * (jnp.exp(-near) + jnp.exp(-far))
    return bits_of(jnp.where(d > 0.5, outside, inside))


def bits_of(probability: jax.Array) -> jax.Array:
    """Compute -log2 of a probability mixed with what tables grant at least."""
    return -jnp.log2(probability * (1 - _LEAST) + _LEAST)


def _around_zero(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.uniform(key, shape, minval=-0.5, maxval=0.5)
