"""What networks cost besides their own bytes, MSE + lambda * bpp of the latents, and how that
changes with each number: gradient and curvature."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inr.grid.fit_step import COMPILER_OPTIONS
from inr.grid.forward import (
    Latents,
    Params,
    bits_of,
    contexts,
    drawn,
    laplace_parameters,
    seen_by_level,
)
from inr.grid.structure import Pyramid

_N_PROBES = 16  # random signs; the curvature is known to about a third


class Given(NamedTuple):
    """What stays while networks are chosen."""

    latents: Latents  # f32, whole numbers
    picture: jax.Array  # f32[c, height, width] in 0..1
    lambda_per_bit: jax.Array  # f32[]


def _outputs(params: Params, given: Given, pyramid: Pyramid) -> tuple[jax.Array, jax.Array]:
    """Errors of all samples, and bits of each latent."""
    errors = drawn(given.latents, params, pyramid) - given.picture
    context = contexts(seen_by_level(given.latents, pyramid), params, pyramid)
    y = jnp.concatenate([each.reshape(-1) for each in given.latents])
    return errors, bits_of(y, *laplace_parameters(context, params))


@functools.partial(jax.jit, static_argnums=2, compiler_options=COMPILER_OPTIONS)
def losses(params: Params, given: Given, pyramid: Pyramid) -> jax.Array:
    """f32[n] of networks stacked on a leading axis of n, one after the other: together they would
    leave the cache."""

    def loss(params: Params) -> jax.Array:
        errors, bits = _outputs(params, given, pyramid)
        return jnp.mean(errors**2) + given.lambda_per_bit * jnp.sum(bits)

    mapped: jax.Array = jax.lax.map(loss, params)
    return mapped


def gradient(params: Params, given: Given, pyramid: Pyramid) -> Params:
    """Of the loss of one network."""
    pull = _Pull(1.0, 0.0, 1.0, 0.0)
    pulled: Params = _pulled_back(params, given, pyramid, pull, jax.random.key(0))
    return pulled


def curvature(params: Params, given: Given, pyramid: Pyramid, seed: int) -> Params:
    """About the second derivative of the loss by each number.

    Gauss-Newton: 2 / n times the summed squares of the errors' derivatives, and for the bits, whose
    distribution is the model's own, Fisher's information. Sums of squares are estimated as squares
    of sums with random signs (Hutchinson 1990).
    """
    n_samples = given.picture.size
    total: Params = jax.tree.map(jnp.zeros_like, params)
    for key in jax.random.split(jax.random.key(seed), _N_PROBES):
        by_errors = _pulled_back(params, given, pyramid, _Pull(0.0, 1.0, 0.0, 0.0), key)
        by_bits = _pulled_back(params, given, pyramid, _Pull(0.0, 0.0, 0.0, 1.0), key)
        total = jax.tree.map(
            lambda t, e, b: t + 2 / n_samples * e**2 + given.lambda_per_bit * np.log(2) * b**2,
            total,
            by_errors,
            by_bits,
        )
    return {name: each / _N_PROBES for name, each in total.items()}


class _Pull(NamedTuple):
    """Weights of what is pulled back from errors and bits to the numbers of the networks."""

    of_errors: float  # the errors' gradient
    error_signs: float
    of_bits: float  # the bits' gradient
    bit_signs: float


# One program for gradient and curvature: compiling is what takes time here.
@functools.partial(jax.jit, static_argnums=2, compiler_options=COMPILER_OPTIONS)
def _pulled_back(
    params: Params, given: Given, pyramid: Pyramid, pull: _Pull, key: jax.Array
) -> Params:
    (errors, bits), back = jax.vjp(lambda p: _outputs(p, given, pyramid), params)
    signs = jax.random.rademacher(key, (errors.size + bits.size,), jnp.float32)
    error_signs, bit_signs = jnp.split(signs, [errors.size])
    by_errors = pull.of_errors * 2 / errors.size * errors
    by_errors = by_errors + pull.error_signs * error_signs.reshape(errors.shape)
    by_bits = pull.of_bits * given.lambda_per_bit + pull.bit_signs * bit_signs
    pulled: Params = back((by_errors, by_bits))[0]
    return pulled
