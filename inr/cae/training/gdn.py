"""Generalized divisive normalization, and how its positive parameters are kept for training.

Balle, Laparra, Simoncelli, "End-to-end optimized image compression", ICLR 2017, Section 3:
y_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j^2). A parameter v is kept as sqrt(v + 2**-36), so that
small values move slowly and none becomes negative.
"""

import jax
import jax.numpy as jnp

PEDESTAL = 2.0**-36
BETA_LEAST = 1e-6
GAMMA_AT_START = 0.1  # on the diagonal


def gdn(x: jax.Array, beta: jax.Array, gamma: jax.Array, *, is_inverse: bool = False) -> jax.Array:
    """Normalizes the last axis.

    Args:
      x: f32[..., n].
      beta: f32[n], above 0.
      gamma: f32[n, n], 0 and above; row i weighs what divides channel i.
    Returns:
      f32[..., n], x divided by the root, or multiplied if is_inverse.
    """
    norm = jnp.square(x) @ gamma.T + beta  # [..., n]
    return x * jnp.sqrt(norm) if is_inverse else x * jax.lax.rsqrt(norm)


def kept(v: jax.Array) -> jax.Array:
    """What is trained in place of a parameter v of 0 or more; the inverse of `value`."""
    return jnp.sqrt(jnp.maximum(v + PEDESTAL, PEDESTAL))


def value(p: jax.Array, least: float) -> jax.Array:
    """The parameter, least and above, that p stands for."""
    bound = (least + PEDESTAL) ** 0.5
    return jnp.square(lower_bounded(p, bound)) - PEDESTAL


@jax.custom_vjp
def lower_bounded(x: jax.Array, bound: float) -> jax.Array:
    """max(x, bound), whose gradient also passes below the bound where it leads back above it."""
    return jnp.maximum(x, bound)


def _forward(x: jax.Array, bound: float) -> tuple[jax.Array, jax.Array]:
    return jnp.maximum(x, bound), x >= bound


def _backward(is_above: jax.Array, g: jax.Array) -> tuple[jax.Array, None]:
    return jnp.where(is_above | (g < 0), g, 0.0), None


lower_bounded.defvjp(_forward, _backward)
