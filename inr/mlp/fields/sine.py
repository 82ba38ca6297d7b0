"""A sine for training on CPU: one polynomial pass gives sine and cosine together.

XLA's own CPU sine takes most of a SIREN's training step, and the derivative asks for a cosine as
slow again. Here the argument is reduced once to r in [-pi/2, pi/2], x = k pi + r, sine and cosine
of r come from two short polynomials of r**2, and the forward pass keeps the cosine for the
backward pass. The reduction subtracts k pi in three parts, after Cody and Waite, "Software Manual
for the Elementary Functions" (1980), chapter 8. Absolute error below 1e-6 for |x| <= 1e3.
"""

import jax
import jax.numpy as jnp
import numpy as np

# pi in three parts: the first two have so few bits that k times them is exact for |k| < 2**11.
_PI_HIGH = np.float32(3.140625)
_PI_MIDDLE = np.float32(0.0009675025939941406)
_PI_LOW = np.float32(1.5099580252808664e-07)
_1_PI = np.float32(1 / np.pi)
_HALF = np.float32(0.5)

# Minimax fits on [-pi/2, pi/2]: sin(r) = r + r**3 S(r**2) within 5e-9, cos(r) = 1 + r**2 C(r**2)
# within 6e-8, found by iteratively reweighted least squares (Lawson 1961).
_SINE = (
    -0.16666656732559204,
    0.008333017118275166,
    -0.00019806600175797939,
    2.6000213892984902e-06,
)
_COSINE = (-0.4999993145465851, 0.041663989424705505, -0.0013855912256985903, 2.319403938599862e-05)


def _polynomial(coefficients: tuple[float, ...], x: jax.Array) -> jax.Array:
    value = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * x + np.float32(coefficient)
    return value


def _sine_and_cosine(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    # floor(y + 0.5) and not round(y): XLA's CPU round is not vectorised.
    k = jnp.floor(x * _1_PI + _HALF)
    r = ((x - k * _PI_HIGH) - k * _PI_MIDDLE) - k * _PI_LOW
    sign = (1 - 2 * (k.astype(jnp.int32) & 1)).astype(jnp.float32)
    r2 = r * r
    sine_r = r + r * r2 * _polynomial(_SINE, r2)
    cosine_r = 1 + r2 * _polynomial(_COSINE, r2)
    return sine_r * sign, cosine_r * sign


@jax.custom_vjp
def sine(x: jax.Array) -> jax.Array:
    """sin(x) for f32[...] in radians; absolute error below 1e-6 for |x| <= 1e3."""
    return _sine_and_cosine(x)[0]


def _sine_backward(cosine: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
    return (cosine * cotangent,)


sine.defvjp(_sine_and_cosine, _sine_backward)
