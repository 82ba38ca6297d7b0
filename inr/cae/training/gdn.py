"""Generalized divisive normalization, and what is trained in place of its positive parameters.

Balle, Laparra, Simoncelli, "End-to-end optimized image compression", ICLR 2017, Section 3:
y_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j^2). What is trained is sqrt(v + 2**-36) for each of its
parameters v, so that small values move slowly and none becomes negative.
"""

import jax
import jax.numpy as jnp

PEDESTAL = 2.0**-36
BETA_LEAST = 1e-6
GAMMA_AT_START = 0.1  # on the diagonal


def gdn(x: jax.Array, beta: jax.Array, gamma: jax.Array, *, is_inverse: bool = False) -> jax.Array:
    """Normalize the last axis.

    Args:
      x: f32[..., n].
      beta: f32[n], above 0.
      gamma: f32[n, n], 0 and above; row i weighs what divides channel i.
    Returns:
      f32[..., n], x divided by the root, or multiplied if is_inverse.
    """
    norm = jnp.square(x) @ gamma.T + beta  # [..., n]
    return x * jnp.sqrt(norm) if is_inverse else x * jax.lax.rsqrt(norm)


def to_trainable(v: jax.Array) -> jax.Array:
    """Return what is trained in place of v, 0 or more; the inverse of `from_trainable`."""
    return jnp.sqrt(jnp.maximum(v + PEDESTAL, PEDESTAL))


def from_trainable(p: jax.Array, least: float) -> jax.Array:
    """Return the parameter, `least` or above, that p stands for."""
    bound = (least + PEDESTAL) ** 0.5
    return jnp.square(bound_below(p, bound)) - PEDESTAL


@jax.custom_vjp
def bound_below(x: jax.Array, bound: float) -> jax.Array:
    """Return max(x, bound); its gradient passes below the bound too where it leads back above."""
    return jnp.maximum(x, bound)


def _forward(x: jax.Array, bound: float) -> tuple[jax.Array, jax.Array]:
    return jnp.maximum(x, bound), x >= bound


def _backward(is_above: jax.Array, g: jax.Array) -> tuple[jax.Array, None]:
    return jnp.where(is_above | (g < 0), g, 0.0), None


bound_below.defvjp(_forward, _backward)
