"""A model computed for training: pictures to noisy latents, their bits, and pictures again."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from inr.cae.entropy_models import (
    HYPER_BLOCK,
    HYPER_INPUT_SCALE,
    PRIOR_SCALE,
    Factorized,
    Hyperprior,
)
from inr.cae.model import Model
from inr.cae.training.entropy_models import FactorizedDensity, factorized_bits, laplace_bits
from inr.cae.training.modulation import Modulation
from inr.cae.training.networks import Network
from inr.cae.transforms import BLOCK, N_COLOURS
from inr.image.picture import COLOUR_AXES

Params = dict[str, dict[str, jax.Array]]  # group -> tensor
Key = jax.Array

LOG_SCALE_RANGE = (-5.0, 5.0)  # of Laplace densities: what the tables of files span
_STEP_OF_ROOT_LAMBDA = 5.1  # sqrt(12 / (2 ln 2 / 3)): where a uniform quantizer's D' is lambda
_QUIET = 0.02  # what the trained layers beside a shortcut begin with


def init(model: Model, key: Key) -> Params:
    """Make the parameters at the start of training."""
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
    if model.transform.has_shortcut:
        _begin_as_block_transform(model, params)
    return params


def modulation_of(model: Model) -> Modulation:
    """Make the module of the vectors.

    Latents begin with scales that follow lambda as the steps of a uniform quantizer would.
    """
    half_range = (math.log(model.lambda_high) - math.log(model.lambda_low)) / 2
    finer, coarser = -half_range / 2, half_range / 2
    slopes = [(model.transform.LATENT_SCALE, finer), ("ms0", coarser), (HYPER_INPUT_SCALE, coarser)]
    if not model.prior.has_hyperlatents:
        slopes.append((PRIOR_SCALE, finer))
    return Modulation(tuple(model.scale_vectors().items()), tuple(slopes))


def vectors(model: Model, params: Params, position: jax.Array) -> dict[str, jax.Array]:
    """Compute the scales of all channels, f32[n, length] each, at positions f32[n] of lambda."""
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
    """Pass pictures through the autoencoder.

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
    y_noisy = add_noise(y, y_key)
    stretch = scales.get(PRIOR_SCALE)
    match model.prior:
        case Hyperprior(_, has_mean):
            z = apply("hyper_analysis", y)  # [n, h / 64, w / 64, hidden]
            z_noisy = add_noise(z, z_key)
            made = apply("hyper_synthesis", jnp.where(is_hard, ste_round(z), z_noisy))
            log_scale = made[..., : model.n_latents]
            mean = made[..., model.n_latents :] if has_mean else jnp.zeros(())
            if model.transform.LATENT_SCALE in scales:
                factor = scales[model.transform.LATENT_SCALE][:, None, None]
                log_scale, mean = log_scale + jnp.log(factor), mean * factor
            log_scale = jnp.clip(log_scale, *LOG_SCALE_RANGE)
            bits = laplace_bits(y_noisy, mean, log_scale).sum((1, 2, 3))
            bits += factorized_bits(params["prior"], z_noisy, stretch).sum((1, 2, 3))
        case Factorized():
            bits = factorized_bits(params["prior"], y_noisy, stretch).sum((1, 2, 3))
    pixels = apply("synthesis", jnp.where(is_hard, ste_round(y), y_noisy)) + 0.5
    return pixels, bits


def add_noise(y: jax.Array, key: Key | None) -> jax.Array:
    """Add uniform noise in place of rounding; without a key, round."""
    if key is None:
        return ste_round(y)
    return y + jax.random.uniform(key, y.shape, minval=-0.5, maxval=0.5)


def ste_round(y: jax.Array) -> jax.Array:
    """Round; gradients pass as if it did not (straight-through estimator)."""
    return y + jax.lax.stop_gradient(jnp.round(y) - y)


def _begin_as_block_transform(model: Model, params: Params) -> None:
    """Make the shortcut a DCT of 16x16 blocks in three colours, and the layers beside it small.

    So training begins where a transform codec stands. The step of its quantizer is that of the
    lambda in the middle of the model's range; a hyperprior begins with the scales that photographs
    have on average.
    """
    n = model.n_latents
    basis, log_amplitude = block_basis(n), block_log_amplitude(n)
    step = _STEP_OF_ROOT_LAMBDA * model.lambda_at(0.0) ** 0.5
    params["analysis"]["a_short_w"] = jnp.asarray(basis / step, jnp.float32)
    params["synthesis"]["s_short_w"] = jnp.asarray(basis * step, jnp.float32)
    params["analysis"]["a2_w"] *= _QUIET / step
    params["synthesis"]["s0_w"] *= _QUIET * step  # or the inverse GDN behind would explode
    params["synthesis"]["s2_w"] *= _QUIET
    if model.prior.has_hyperlatents:
        log_scales = jnp.asarray(log_amplitude - math.log(step), jnp.float32)
        bias = params["hyper_synthesis"]["hs2_b"]
        params["hyper_synthesis"]["hs2_b"] = bias.at[:n].set(log_scales)
        params["hyper_analysis"]["ha0_w"] *= step  # brightness is as large in latents as 1 / step
        params["hyper_synthesis"]["hs2_w"] *= _QUIET


def block_basis(n: int) -> np.ndarray:
    """Return the first n functions of an orthonormal DCT, f64[16, 16, 3, n]."""
    at = (np.arange(BLOCK) + 0.5) * np.pi / BLOCK
    waves = np.cos(np.arange(BLOCK)[:, None] * at) * (2 / BLOCK) ** 0.5  # [frequency, place]
    waves[0] /= 2**0.5
    c, u, v = _frequencies(n)
    basis: np.ndarray = np.einsum("ny,nx,nc->yxcn", waves[u], waves[v], COLOUR_AXES[c])
    return basis


def block_log_amplitude(n: int) -> np.ndarray:
    """Estimate the log of the mean magnitude of these functions' coefficients, f64[n].

    Samples are in 0..1. Fitted to 120 photographs of the training set, with a deviation of 0.32.
    """
    c, u, v = _frequencies(n)
    made: np.ndarray = 0.40 - 0.79 * np.log(u**2 + v**2 + 1.0) - 1.84 * (c > 0)
    return made


def _frequencies(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return colour, row and column frequency of n functions, the lowest frequencies first.

    Those of the two colour differences count as if they were 2.5 times as high.
    """
    square = (np.arange(BLOCK) + 0.5) ** 2
    cost = np.array([1.0, 6.25, 6.25])[:, None, None] * np.add.outer(square, square)
    order = np.argsort(cost.ravel(), kind="stable")[:n]
    c, u, v = np.unravel_index(order, cost.shape)
    return c, u, v
