"""A model computed for training: pictures to noisy latents, their bits, and pictures again."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from inr.cae.model import HYPER_BLOCK, HYPER_INPUT_SCALE, PRIOR_SCALE, Hyperprior, Model
from inr.cae.training.entropy_models import FactorizedDensity, factorized_bits, laplace_bits
from inr.cae.training.modulation import Modulation
from inr.cae.training.networks import Network
from inr.cae.transforms import BLOCK, N_COLOURS, Balle2017

Params = dict[str, dict[str, jax.Array]]  # group -> tensor
Key = jax.Array

LOG_SCALE_RANGE = (-5.0, 5.0)  # of Laplace densities: what the tables of files span
_STEP_OF_ROOT_LAMBDA = 5.1  # sqrt(12 / (2 ln 2 / 3)): where a uniform quantizer's D' is lambda
_QUIET = 0.02  # what the trained layers beside a shortcut begin with


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
    finer, coarser = -half_range / 2, half_range / 2
    slopes = [(model.transform.LATENT_SCALE, finer), ("ms0", coarser), (HYPER_INPUT_SCALE, coarser)]
    if not isinstance(model.prior, Hyperprior):
        slopes.append((PRIOR_SCALE, finer))
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
        log_scale = told[..., : model.n_latents]
        mean = told[..., model.n_latents :] if model.prior.has_mean else jnp.zeros(())
        if model.transform.LATENT_SCALE in scales:
            factor = scales[model.transform.LATENT_SCALE][:, None, None]
            log_scale, mean = log_scale + jnp.log(factor), mean * factor
        log_scale = jnp.clip(log_scale, *LOG_SCALE_RANGE)
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
    lambda in the middle of the model's range; a hyperprior begins with the scales that photographs
    have on average.
    """
    assert isinstance(model.transform, Balle2017)
    n = model.n_latents
    basis, log_amplitude = block_basis(n), block_log_amplitude(n)
    step = _STEP_OF_ROOT_LAMBDA * model.lambda_at(0.0) ** 0.5
    params["analysis"]["a_short_w"] = jnp.asarray(basis / step, jnp.float32)
    params["synthesis"]["s_short_w"] = jnp.asarray(basis * step, jnp.float32)
    params["analysis"]["a2_w"] *= _QUIET / step
    params["synthesis"]["s0_w"] *= _QUIET * step  # or the inverse GDN behind would explode
    params["synthesis"]["s2_w"] *= _QUIET
    if isinstance(model.prior, Hyperprior):
        told = params["hyper_synthesis"]["hs2_b"]
        start = jnp.asarray(log_amplitude - math.log(step), jnp.float32)
        params["hyper_synthesis"]["hs2_b"] = told.at[:n].set(start)
        params["hyper_analysis"]["ha0_w"] *= step  # brightness is as large in latents as 1 / step
        params["hyper_synthesis"]["hs2_w"] *= _QUIET


def block_basis(n: int) -> np.ndarray:
    """f64[16, 16, 3, n]: the first n functions of an orthonormal DCT."""
    at = (np.arange(BLOCK) + 0.5) * np.pi / BLOCK
    waves = np.cos(np.arange(BLOCK)[:, None] * at) * (2 / BLOCK) ** 0.5  # [frequency, place]
    waves[0] /= 2**0.5
    colours = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    c, u, v = _frequencies(n)
    basis: np.ndarray = np.einsum("ny,nx,nc->yxcn", waves[u], waves[v], colours[c])
    return basis


def block_log_amplitude(n: int) -> np.ndarray:
    """f64[n]: log of the mean magnitude of these functions' coefficients, of samples in 0..1.

    Fitted to 120 photographs of the training set, with a deviation of 0.32.
    """
    c, u, v = _frequencies(n)
    made: np.ndarray = 0.40 - 0.79 * np.log(u**2 + v**2 + 1.0) - 1.84 * (c > 0)
    return made


def _frequencies(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colour, row and column frequency of n functions, the lowest frequencies first; those of the
    two colour differences count as if they were 2.5 times as high."""
    square = (np.arange(BLOCK) + 0.5) ** 2
    cost = np.array([1.0, 6.25, 6.25])[:, None, None] * np.add.outer(square, square)
    order = np.argsort(cost.ravel(), kind="stable")[:n]
    c, u, v = np.unravel_index(order, cost.shape)
    return c, u, v
