"""The uniform quantizer as training sees it: noise first, then rounding with a straight-through
gradient.

For most of the fit every weight carries fresh uniform noise of one step, the additive model of
Balle et al., "End-to-end Optimized Image Compression" (2017), https://arxiv.org/abs/1611.01704,
section 2.2. It is differentiable in the step, so steps are learned: log2_steps holds one number a
tensor. Only their differences count, because the common level is fixed by the budget: the codes
of a tensor with root mean square s and step q cost about log2(s / q) + log2(sqrt(2 pi e)) bits
each, the entropy of a Gaussian at high rate, and q is scaled so that the sum meets the budget
exactly. A coarser step is thus paid for by nothing, a finer one by all other tensors.

At the end the steps are frozen and weights rounded, with the gradient of the identity (Bengio et
al., 2013, https://arxiv.org/abs/1308.3432).
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from inr.quantize.uniform import MAX_CODE

_GAUSSIAN_BITS = np.float32(0.5 * np.log2(2 * np.pi * np.e))  # entropy at unit s / q
_RMS_FLOOR = np.float32(1e-4)  # keeps log2(rms) finite for tensors that start at zero

Params = dict[str, jax.Array]


def budgeted_steps(params: Params, log2_steps: Params, budget_bits: jax.Array | float) -> Params:
    """Steps at which the codes of all tensors cost budget_bits together.

    Args:
      params: f32 tensors to be coded.
      log2_steps: f32[] for each of them, relative coarseness, free to train.
      budget_bits: f32[].
    Returns:
      f32[] for each tensor.
    """
    n_weights = sum(w.size for w in params.values())
    spent = sum(w.size * log2_steps[name] for name, w in params.items())
    level = -(budget_bits + spent) / n_weights
    steps = {}
    for name, w in params.items():
        rms = jnp.sqrt(jnp.mean(w * w) + _RMS_FLOOR**2)
        steps[name] = jnp.exp2(jnp.log2(rms) + _GAUSSIAN_BITS + log2_steps[name] + level)
    return steps


def add_noise(params: Params, q_steps: Mapping[str, jax.Array], key: jax.Array) -> Params:
    """Adds U(-1/2, 1/2) steps to every weight."""
    n_weights = sum(w.size for w in params.values())
    noise = jax.random.uniform(key, (n_weights,), minval=-0.5, maxval=0.5)  # one draw for all
    noisy, start = {}, 0
    for name, w in params.items():
        noisy[name] = w + q_steps[name] * noise[start : start + w.size].reshape(w.shape)
        start += w.size
    return noisy


def round_straight_through(params: Params, q_steps: Mapping[str, jax.Array]) -> Params:
    """Rounds to multiples of the steps as `Uniform.codes` does; the gradient passes unchanged."""
    rounded = {}
    for name, w in params.items():
        codes = jnp.clip(jnp.round(w / q_steps[name]), -MAX_CODE, MAX_CODE)
        rounded[name] = w + jax.lax.stop_gradient(codes * q_steps[name] - w)
    return rounded
