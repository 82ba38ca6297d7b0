"""The rate term: what the weights would cost under the range coder's own model, differentiably.

The loss is MSE + lambda * bits / pixels. Between blocks the host chooses for every tensor the very
model that the range coder would choose for its codes now (coders/model_choice.py); inside a block
the cost of a weight w at step q is read off that model at |w| / q, noise included: the exponent of
its density beyond one step, a straight line from the cost of code 0 to that of code 1 below. The
model's scale follows the root mean square of the codes while the block runs, as the coder's will.
So both the weights, down to zero, and the steps of all tensors answer to what they cost. Balle et
al., "End-to-end Optimized Image Compression" (2017), https://arxiv.org/abs/1611.01704, section
2.2, train a transform like this; there the model is learned, here it is the coder's.

Where the file has a target, the estimated bits are held at the budget instead, by the common level
of the steps (`paid_steps`). The gradient through that level is the one of MSE + lambda * bits with
the lambda at which the budget is met, so none has to be searched.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inr.coders.model_choice import choose_model
from inr.coders.tensor_model import PRECISION_BITS, choose_alphabet, frequency_table
from inr.mlp.fit.problem import Codes

Params = dict[str, jax.Array]

# Powers t, t**2, t**4 in the exponent of the density, by TensorModel.shape >> 1 (tensor_model.py).
_EXPONENTS = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_MAX_EXPONENT = np.float32(PRECISION_BITS)  # no symbol costs more
_LEAST_RMS = 1e-3  # codes; below it a tensor is all zeros and its scale means nothing
_MAX_SHIFT = np.float32(1)  # octaves that the common level moves in one step


class RateTerm(NamedTuple):
    """What a block knows of the rate."""

    curves: Mapping[str, Any]  # f32[7] a tensor, see `coder_curve`
    lambda_per_bit: Any  # f32[], lambda / pixels; None: the budget decides


def coder_curve(codes: np.ndarray) -> np.ndarray:
    """Return the range coder's model of one tensor, as `estimated_bits` reads it.

    Args:
      codes: int32[n], n >= 1.
    Returns:
      f32[7]: cost of code 0, cost of code 1 less its exponent, codes per scale, three powers, root
      mean square of the codes.
    """
    model = choose_model(codes)
    alphabet = choose_alphabet(model.log2_scale)
    table = frequency_table(model)
    zero_bits = PRECISION_BITS - np.log2(table[alphabet.half])
    one_bits = PRECISION_BITS - np.log2(table[alphabet.half + 1]) + alphabet.n_raw_bits
    scale = 2.0 ** (model.log2_scale / 8 - 1)
    powers = np.array(_EXPONENTS[model.shape >> 1])
    t = 1 / scale
    base_bits = one_bits - powers @ (t, t**2, t**4)
    rms = max(float(np.sqrt(np.mean(codes.astype(np.float64) ** 2))), _LEAST_RMS)
    return np.array([zero_bits, base_bits, scale, *powers, rms], np.float32)


def coder_curves(codes: Codes) -> dict[str, np.ndarray]:
    """`coder_curve` of all tensors."""
    return {name: coder_curve(tensor.ravel()) for name, tensor in codes.items()}


def estimated_bits(params: Params, q_steps: Params, curves: Mapping[str, jax.Array]) -> jax.Array:
    """What the weights cost under the curves; differentiable in weights and steps."""
    total = jnp.zeros((), jnp.float32)
    for name, w in params.items():
        zero_bits, base_bits, scale, *powers, rms_then = curves[name]
        y = jnp.abs(w) / q_steps[name]  # codes
        rms = jnp.sqrt(jnp.mean(y * y) + np.float32(_LEAST_RMS**2))
        wider = jnp.where(rms_then > _LEAST_RMS, rms / rms_then, np.float32(1))
        t = jnp.maximum(y, np.float32(1)) / (scale * wider)
        exponent = powers[0] * t + powers[1] * t**2 + powers[2] * t**4
        bits = base_bits + jnp.minimum(exponent, _MAX_EXPONENT)
        nearness = jnp.minimum(y, np.float32(1))
        total += jnp.sum(zero_bits + (bits - zero_bits) * nearness) + w.size * jnp.log2(wider)
    return total


def paid_steps(
    params: Params,
    log2_steps: Params,
    curves: Mapping[str, jax.Array],
    budget_bits: jax.Array,
) -> Params:
    """log2 of the steps, all moved by as much as brings the weights' bits to the budget.

    One step of Newton's method, differentiable: by the implicit function theorem its gradient is
    that of the exact level.
    """

    def bits_at(shift: jax.Array) -> jax.Array:
        q_steps = {name: jnp.exp2(log2_step + shift) for name, log2_step in log2_steps.items()}
        return estimated_bits(params, q_steps, curves)

    one = jnp.ones((), jnp.float32)
    bits, slope = jax.jvp(bits_at, (jnp.zeros((), jnp.float32),), (one,))
    excess = (bits - budget_bits) / jax.lax.stop_gradient(jnp.maximum(-slope, one))
    shift = jnp.clip(excess, -_MAX_SHIFT, _MAX_SHIFT)
    return {name: log2_step + shift for name, log2_step in log2_steps.items()}
