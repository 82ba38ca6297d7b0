"""A model computed for training: pictures to noisy latents, their bits, and pictures again."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from inr.cae.model import HYPER_BLOCK, PRIOR_SCALE, Hyperprior, Model
from inr.cae.modulation import Modulation
from inr.cae.networks import Network
from inr.cae.priors import FactorizedDensity, factorized_bits, laplace_bits
from inr.cae.transforms import BLOCK, N_COLOURS, Balle2017

Params = dict[str, dict[str, jax.Array]]  # group -> tensor
Key = jax.Array

LOG_SCALE_RANGE = (-5.0, 5.0)  # of Laplace densities: what the tables of files span
_STEP_OF_ROOT_LAMBDA = 5.1  # sqrt(12 / (2 ln 2 / 3)): where a uniform quantizer's D' is lambda
_QUIET = 0.1  # what the trained layers beside a shortcut begin with


def init(model: Model, key: Key) -> Params:
    """Parameters at the start of training."""
    keys = iter(jax.random.split(key, 8))
    params: Params = {}
    side = BLOCK * HYPER_BLOCK
    inputs = {
        "analysis": (side, N_COLOURS),
        "synthesis": (HYPER_BLOCK, model.n_latents),
        "hyper_analysis": (HYPER_BLOCK, model.n_latents),
        "hyper_synthesis": (1, model.n_coded),
    }
    lengths = model.scale_vectors()
    ones = {name: jnp.ones((1, n)) for name, n in lengths.items()}
    for group, chain in model.chains().items():
        n, channels = inputs[group]
        x = jnp.zeros((1, n, n, channels))
        params[group] = dict(Network(chain).init(next(keys), x, ones)["params"])
    if lengths:
        module = modulation_of(model)
        params["modulation"] = dict(module.init(next(keys), jnp.zeros(1))["params"])
    density = FactorizedDensity(model.n_coded)
    params["prior"] = dict(density.init(next(keys), jnp.zeros((1, model.n_coded)))["params"])
    if isinstance(model.transform, Balle2017) and model.transform.has_shortcut:
        _begin_as_block_transform(model, params)
    return params


def modulation_of(model: Model) -> Modulation:
    """Latents begin with scales that follow lambda as the steps of a uniform quantizer would."""
    half_range = (math.log(model.lambda_high) - math.log(model.lambda_low)) / 2
    slopes = [("ma2", -half_range / 2), ("ms0", half_range / 2)]
    if not isinstance(model.prior, Hyperprior):
        slopes.append((PRIOR_SCALE, -half_range / 2))
    return Modulation(tuple(model.scale_vectors().items()), tuple(slopes))


def vectors(model: Model, params: Params, position: jax.Array) -> dict[str, jax.Array]:
    """The scales of all channels for f32[n] positions of lambda, f32[n, length] each."""
    if not model.scale_vectors():
        return {}
    module = modulation_of(model)
    made: Any = module.apply({"params": params["modulation"]}, position)
    return dict(made)


def forward(
    model: Model,
    params: Params,
    x: jax.Array,
    scales: dict[str, jax.Array],
    key: Key | None,
    *,
    is_hard: bool | jax.Array = True,
    conv_dtype: Any = jnp.float32,
) -> tuple[jax.Array, jax.Array]:
    """Pictures through the autoencoder.

    Args:
      x: f32[n, h, w, 3] in 0..1, sides multiples of BLOCK * HYPER_BLOCK.
      scales: see `vectors`.
      key: of the noise that latents get in place of rounding where their bits are estimated; None
        to round them, as files do.
      is_hard: True: decoders see rounded latents, whose gradient is that of the unrounded ones;
        False: they see the noise that the bits are estimated with.
    Returns:
      f32[n, h, w, 3], not clipped, and bits f32[n] of each picture.
    """
    chains = model.chains()
    y_key, z_key = (None, None) if key is None else jax.random.split(key)

    def apply(group: str, value: jax.Array) -> jax.Array:
        network = Network(chains[group], conv_dtype)
        return jnp.asarray(network.apply({"params": params[group]}, value, scales))

    y = apply("analysis", x - 0.5)  # [n, h / 16, w / 16, m]
    y_noisy = noisy(y, y_key)
    stretch = scales.get(PRIOR_SCALE)
    if isinstance(model.prior, Hyperprior):
        z = apply("hyper_analysis", y)  # [n, h / 64, w / 64, hidden]
        z_noisy = noisy(z, z_key)
        told = apply("hyper_synthesis", jnp.where(is_hard, rounded(z), z_noisy))
        log_scale = jnp.clip(told[..., : model.n_latents], *LOG_SCALE_RANGE)
        mean = told[..., model.n_latents :] if model.prior.has_mean else 0.0
        bits = laplace_bits(y_noisy, mean, log_scale).sum((1, 2, 3))
        bits += factorized_bits(params["prior"], z_noisy, stretch).sum((1, 2, 3))
    else:
        bits = factorized_bits(params["prior"], y_noisy, stretch).sum((1, 2, 3))
    drawn = apply("synthesis", jnp.where(is_hard, rounded(y), y_noisy)) + 0.5
    return drawn, bits


def noisy(y: jax.Array, key: Key | None) -> jax.Array:
    """Uniform noise in place of rounding; without a key, rounded."""
    if key is None:
        return rounded(y)
    return y + jax.random.uniform(key, y.shape, minval=-0.5, maxval=0.5)


def rounded(y: jax.Array) -> jax.Array:
    """Rounds; gradients pass as if it did not."""
    return y + jax.lax.stop_gradient(jnp.round(y) - y)


def _begin_as_block_transform(model: Model, params: Params) -> None:
    """The shortcut begins as a DCT of 16x16 blocks in three colours, the layers beside it small.

    So training begins where a transform codec stands. The step of its quantizer is that of the
    lambda in the middle of the model's range.
    """
    assert isinstance(model.transform, Balle2017)
    basis = block_basis(model.n_latents)  # [16, 16, 3, m]
    step = _STEP_OF_ROOT_LAMBDA * model.lambda_at(0.0) ** 0.5
    params["analysis"]["a_short_w"] = jnp.asarray(basis / step, jnp.float32)
    params["synthesis"]["s_short_w"] = jnp.asarray(basis * step, jnp.float32)
    params["analysis"]["a2_w"] *= _QUIET / step
    params["synthesis"]["s0_w"] *= _QUIET * step  # or the inverse GDN behind would explode
    params["synthesis"]["s2_w"] *= _QUIET


@functools.cache
def block_basis(n: int) -> Any:
    """f64[16, 16, 3, n]: the first n functions of an orthonormal DCT, brightness preferred.

    Columns are ordered by frequency; the two colour differences count as if their frequencies were
    2.5 times as high.
    """
    import numpy as np

    at = (np.arange(BLOCK) + 0.5) * np.pi / BLOCK
    waves = np.cos(np.arange(BLOCK)[:, None] * at) * (2 / BLOCK) ** 0.5  # [frequency, place]
    waves[0] /= 2**0.5
    colours = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    cost = np.add.outer([1.0, 6.25, 6.25], 0 * at)  # [colour, u]
    square = (np.arange(BLOCK) + 0.5) ** 2
    cost = cost[..., None] * np.add.outer(square, square)[None]  # [colour, u, v]
    order = np.argsort(cost.ravel(), kind="stable")[:n]
    c, u, v = np.unravel_index(order, cost.shape)
    return np.einsum("ny,nx,nc->yxcn", waves[u], waves[v], colours[c])
