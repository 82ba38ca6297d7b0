"""What networks cost besides their own bytes, MSE + lambda * bpp of the latents, and how that
changes with each number: gradient and curvature."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inr.grid.fit.blocks import squared_error, total_bits
from inr.grid.fit.model import Latents, Params, context_inputs, contexts, features_of
from inr.grid.fit.step import COMPILER_OPTIONS
from inr.grid.structure import Pyramid

_N_PROBES = 8  # random signs; the curvature is known to about a half


class RdoProblem(NamedTuple):
    """What stays while networks are chosen."""

    latents: Latents  # f32, whole numbers
    picture: jax.Array  # f32[c, height, width] in 0..1
    lambda_per_bit: jax.Array  # f32[]


class _Weights(NamedTuple):
    """Which sums of errors and bits are wanted."""

    squares: jax.Array  # f32[], of the squared errors; above 0
    slopes: jax.Array  # f32[c, height, width], of the errors themselves
    bits: jax.Array  # f32[latents]


def _sum(params: Params, given: RdoProblem, weights: _Weights, pyramid: Pyramid) -> jax.Array:
    features = features_of(given.latents, params, pyramid)
    slopes = weights.slopes / weights.squares
    of_errors = squared_error(params, features, given.picture, slopes)
    context = contexts(context_inputs(given.latents, pyramid), params, pyramid)
    y = jnp.concatenate([each.reshape(-1) for each in given.latents])
    return weights.squares * of_errors + total_bits(params, context, y, weights.bits)


def _of_loss(given: RdoProblem, pyramid: Pyramid) -> _Weights:
    return _Weights(
        jnp.float32(1 / given.picture.size),
        jnp.zeros_like(given.picture),
        jnp.full(pyramid.n_latents, given.lambda_per_bit),
    )


@functools.partial(jax.jit, static_argnums=2, compiler_options=COMPILER_OPTIONS)
def losses(params: Params, given: RdoProblem, pyramid: Pyramid) -> jax.Array:
    """f32[n] of networks stacked on a leading axis of n."""
    weights = _of_loss(given, pyramid)
    mapped: jax.Array = jax.lax.map(lambda each: _sum(each, given, weights, pyramid), params)
    return mapped


def gradient(params: Params, given: RdoProblem, pyramid: Pyramid) -> Params:
    """Of the loss of one network."""
    of_loss: Params = _gradient(params, given, _of_loss(given, pyramid), pyramid)
    return of_loss


def curvature(params: Params, given: RdoProblem, pyramid: Pyramid, seed: int) -> Params:
    """About the second derivative of the loss by each number.

    Gauss-Newton: 2 / n times the summed squares of the errors' derivatives, and for the bits, whose
    distribution is the model's own, Fisher's information. Sums of squares are estimated as squares
    of sums with random signs (Hutchinson 1990); the context model knows only bits, upsampling and
    synthesis only errors, so one sum serves for both.
    """
    rng = np.random.default_rng([seed, 4])
    now = _gradient(params, given, _signs(given, pyramid, rng, 0.0), pyramid)
    total = dict.fromkeys(params, 0.0)
    for _ in range(_N_PROBES):
        plus = _gradient(params, given, _signs(given, pyramid, rng, 1.0), pyramid)
        for name, derivative in plus.items():
            total[name] = total[name] + (derivative - now[name]) ** 2 / _N_PROBES
    in_context = {name for group in pyramid.context_groups.values() for name in group}
    of_bits, of_errors = given.lambda_per_bit * np.log(2), 2 / given.picture.size
    return {
        name: jnp.asarray(square * (of_bits if name in in_context else of_errors))
        for name, square in total.items()
    }


def _signs(given: RdoProblem, pyramid: Pyramid, rng: np.random.Generator, scale: float) -> _Weights:
    def signs(shape: tuple[int, ...]) -> jax.Array:
        return jnp.asarray(scale * rng.choice(np.array([-1, 1], np.float32), shape), jnp.float32)

    return _Weights(jnp.float32(1), signs(given.picture.shape), signs((pyramid.n_latents,)))


@functools.partial(jax.jit, static_argnums=3, compiler_options=COMPILER_OPTIONS)
def _gradient(params: Params, given: RdoProblem, weights: _Weights, pyramid: Pyramid) -> Params:
    pulled: Params = jax.grad(_sum)(params, given, weights, pyramid)
    return pulled
