"""The rate term: what the weights would cost under the range coder's own model, differentiably.

The loss is MSE + lambda * bits / pixels. Between blocks the host chooses for every tensor the very
model that the range coder would choose for its codes now (coders/model_choice.py); inside a block
the cost of a weight w at step q is read off that model at |w| / q, noise included: the exponent of
its density beyond one step, a straight line from the cost of code 0 to that of code 1 below. So
both the weights, down to zero, and the steps of all tensors answer to what they cost. Balle et
al., "End-to-end Optimized Image Compression" (2017), https://arxiv.org/abs/1611.01704, section
2.2, train a transform like this; there the model is learned, here it is the coder's.

Where the file has a target, lambda is found on the way: after each block it grows if the codes
cost more than the budget and shrinks if they cost less.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from inr.coders.model_choice import choose_model, cost_bits
from inr.coders.tables import PRECISION_BITS, alphabet, frequency_table
from inr.fit_types import Codes

Params = dict[str, jax.Array]

_CODE_BITS = 16
# Powers t, t**2, t**4 in the exponent of the density, by TensorModel.shape >> 1 (tables.py).
_EXPONENTS = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_MAX_EXPONENT = np.float32(PRECISION_BITS)  # no symbol costs more
_GAIN = 0.5  # of log lambda, per octave of bits too many, after each block


def coder_curve(codes: np.ndarray) -> tuple[np.ndarray, float]:
    """The range coder's model of one tensor, as `estimated_bits` reads it, and the codes' cost.

    Args:
      codes: int32[n], n >= 1.
    Returns:
      f32[6] (cost of code 0, cost of code 1 less its exponent, codes per scale, three powers)
      and the bits that all codes take.
    """
    model = choose_model(codes, _CODE_BITS)
    letters = alphabet(model.log2_scale, _CODE_BITS)
    table = frequency_table(model, _CODE_BITS)
    zero_bits = PRECISION_BITS - np.log2(table[letters.half])
    one_bits = PRECISION_BITS - np.log2(table[letters.half + 1]) + letters.n_raw_bits
    scale = 2.0 ** (model.log2_scale / 8 - 1)
    powers = np.array(_EXPONENTS[model.shape >> 1])
    t = 1 / scale
    base_bits = one_bits - powers @ (t, t**2, t**4)
    curve = np.array([zero_bits, base_bits, scale, *powers], np.float32)
    return curve, cost_bits(np.bincount(np.abs(codes)), model, _CODE_BITS)


def coder_curves(codes: Codes) -> tuple[dict[str, np.ndarray], float]:
    """`coder_curve` of all tensors, and the cost of all codes together."""
    curves, total_bits = {}, 0.0
    for name, tensor in codes.items():
        curves[name], bits = coder_curve(tensor.ravel())
        total_bits += bits
    return curves, total_bits


def estimated_bits(params: Params, q_steps: Params, curves: Mapping[str, jax.Array]) -> jax.Array:
    """What the weights cost under the curves; differentiable in weights and steps."""
    total = jnp.zeros((), jnp.float32)
    for name, w in params.items():
        zero_bits, base_bits, scale, *powers = curves[name]
        y = jnp.abs(w) / q_steps[name]  # codes
        t = jnp.maximum(y, np.float32(1)) / scale
        exponent = powers[0] * t + powers[1] * t**2 + powers[2] * t**4
        bits = base_bits + jnp.minimum(exponent, _MAX_EXPONENT)
        nearness = jnp.minimum(y, np.float32(1))
        total += jnp.sum(zero_bits + (bits - zero_bits) * nearness)
    return total


def next_lambda(rate_lambda: float, bits: float, budget_bits: float) -> float:
    """lambda after a block whose codes cost `bits` where `budget_bits` were allowed."""
    octaves = float(np.clip(np.log2(bits / budget_bits), -1, 1))
    return float(rate_lambda * 2 ** (_GAIN * octaves))
