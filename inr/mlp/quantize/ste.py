"""Quantizers as training sees them: noise first, then rounding with a straight-through gradient.

For most of the fit every weight carries fresh uniform noise of one step, the additive model of
Balle et al., "End-to-end Optimized Image Compression" (2017), https://arxiv.org/abs/1611.01704,
section 2.2. It is differentiable in the step, so steps are learned: log2_steps holds one number a
tensor. Only their differences count, because a common factor is fixed by the budget: the codes
of a tensor with root mean square s and step q cost about log2(s / q) + log2(sqrt(2 pi e)) bits
each, the entropy of a Gaussian at high rate, and q is scaled so that the sum meets the budget
exactly. A coarser step is thus paid for by nothing, a finer one by all other tensors. (With a
rate term, rate.py, the steps are free instead.) Quantizers without steps are not seen before
rounding begins.

At the end the qparams are frozen and weights rounded, with the gradient of the identity (Bengio et
al., 2013, https://arxiv.org/abs/1308.3432).

Masks tell which weights are kept; the others are exact zeros throughout and cost nothing here.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from inr.mlp.quantize.protocol import Quantizer
from inr.mlp.quantize.uniform import GAUSSIAN_BITS, RMS_FLOOR
from inr.mlp.sparsify.protocol import Masks

_AWAY_FROM_ZERO = np.float32(0.502)  # steps; beyond one half, where rounding leaves zero

Params = dict[str, jax.Array]


def apply_masks(params: Params, masks: Masks) -> Params:
    """Set the tensors to exact zeros where their masks are False."""
    return {
        name: jnp.where(masks[name], w, np.float32(0)) if name in masks else w
        for name, w in params.items()
    }


def solve_steps(
    params: Params, log2_steps: Params, budget_bits: jax.Array | float, masks: Masks
) -> Params:
    """Steps at which the codes of all kept weights cost budget_bits together.

    Args:
      params: f32 tensors to be coded, zero where they are not kept.
      log2_steps: f32[] for each of them, relative coarseness, free to train.
      budget_bits: f32[].
      masks: of the sparse ones among them.
    Returns:
      f32[] for each tensor.
    """
    counts = {
        name: jnp.sum(masks[name]).astype(jnp.float32) if name in masks else np.float32(w.size)
        for name, w in params.items()
    }
    spent = sum(counts[name] * log2_steps[name] for name in params)
    log2_factor = -(budget_bits + spent) / sum(counts.values())
    steps = {}
    for name, w in params.items():
        mean_square = jnp.sum(w * w) / jnp.maximum(counts[name], np.float32(1))
        rms = jnp.sqrt(mean_square + np.float32(RMS_FLOOR) ** 2)
        steps[name] = jnp.exp2(
            jnp.log2(rms) + np.float32(GAUSSIAN_BITS) + log2_steps[name] + log2_factor
        )
    return steps


def add_noise(params: Params, q_steps: Mapping[str, jax.Array], key: jax.Array) -> Params:
    """Add U(-1/2, 1/2) steps to every weight."""
    n_weights = sum(w.size for w in params.values())
    noise = jax.random.uniform(key, (n_weights,), minval=-0.5, maxval=0.5)  # one draw for all
    noisy, start = {}, 0
    for name, w in params.items():
        noisy[name] = w + q_steps[name] * noise[start : start + w.size].reshape(w.shape)
        start += w.size
    return noisy


def round_straight_through(
    params: Params, qparams: Mapping[str, jax.Array], quantizer: Quantizer, masks: Masks
) -> Params:
    """Rounds as the file will; the gradient passes unchanged, to kept weights."""
    rounded = {}
    for name, w in params.items():
        away = w
        if quantizer.LEARNS_STEPS and name in masks:
            away = away_from_zero(w, qparams[name])
        nearest = quantizer.round(away, qparams[name])
        rounded[name] = w + jax.lax.stop_gradient(nearest - w)
    return apply_masks(rounded, masks)


def away_from_zero(w: jax.Array, q_step: jax.Array) -> jax.Array:
    """Move weights that would round to code 0 to where they round to 1 or -1.

    So the zeros in the file are exactly those of the mask.
    """
    least = _AWAY_FROM_ZERO * q_step
    return jnp.where(w < 0, jnp.minimum(w, -least), jnp.maximum(w, least))


def away_from_zero_numpy(w: np.ndarray, q_step: float) -> np.ndarray:
    """`away_from_zero` for the host."""
    least = np.float32(_AWAY_FROM_ZERO * np.float32(q_step))
    moved: np.ndarray = np.where(w < 0, np.minimum(w, -least), np.maximum(w, least))
    return moved
