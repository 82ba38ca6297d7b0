"""How training sees the quantizer: the weights perturbed as it will change them.

What a step differentiates is one of these, chosen by the phase when the program is built: first
`Noise`, or `PricedNoise` where there is a rate term, or `Keep` for quantizers that learn no steps;
then `Rounding`. Noise and straight-through gradient are those of quantize/ste.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from inr.mlp.fields.protocol import Params
from inr.mlp.fit.rate import RateTerm, estimated_bits, paid_steps
from inr.mlp.quantize.protocol import Quantizer
from inr.mlp.quantize.ste import add_noise, apply_masks, round_straight_through, solve_steps
from inr.mlp.sparsify.protocol import Masks


class Held(NamedTuple):
    """What stays as it is in a block of steps."""

    qparams: Mapping[str, Any] | None = None  # frozen when rounding begins
    rate: RateTerm | None = None


class PerturbInputs(NamedTuple):
    """What a perturbation reads besides weights and steps."""

    masks: Masks
    noise_key: jax.Array
    budget_bits: jax.Array
    held: Held


class Perturbed(NamedTuple):
    """The weights as the file will have them, about."""

    weights: Params
    bits: jax.Array  # f32[], what the loss pays for, times RateTerm.lambda_per_bit
    log2_steps: Params  # as their optimizer finds them


class Perturbation(Protocol):
    """Frozen, hence a static argument."""

    MOVES_STEPS: ClassVar[bool]  # their optimizer moves log2_steps

    def __call__(self, trained: Params, log2_steps: Params, x: PerturbInputs) -> Perturbed: ...


_NO_BITS = np.float32(0)


@dataclass(frozen=True)
class Keep:
    """Changes nothing but what the masks remove: before rounding, for quantizers without steps."""

    MOVES_STEPS: ClassVar[bool] = False

    def __call__(self, trained: Params, log2_steps: Params, x: PerturbInputs) -> Perturbed:
        return Perturbed(apply_masks(trained, x.masks), jnp.asarray(_NO_BITS), log2_steps)


@dataclass(frozen=True)
class Noise:
    """Adds uniform noise of one step, all steps together at the budget."""

    MOVES_STEPS: ClassVar[bool] = True

    def __call__(self, trained: Params, log2_steps: Params, x: PerturbInputs) -> Perturbed:
        q_steps = solve_steps(trained, log2_steps, x.budget_bits, x.masks)
        noisy = apply_masks(add_noise(trained, q_steps, x.noise_key), x.masks)
        return Perturbed(noisy, jnp.asarray(_NO_BITS), log2_steps)


@dataclass(frozen=True)
class PricedNoise:
    """The same, with steps that pay for what the coder's model says their codes cost (rate.py)."""

    MOVES_STEPS: ClassVar[bool] = True

    def __call__(self, trained: Params, log2_steps: Params, x: PerturbInputs) -> Perturbed:
        assert x.held.rate is not None
        if x.held.rate.lambda_per_bit is None:
            log2_steps = paid_steps(trained, log2_steps, x.held.rate.curves, x.budget_bits)
        q_steps = {name: jnp.exp2(log2_step) for name, log2_step in log2_steps.items()}
        noisy = apply_masks(add_noise(trained, q_steps, x.noise_key), x.masks)
        return Perturbed(noisy, estimated_bits(noisy, q_steps, x.held.rate.curves), log2_steps)


@dataclass(frozen=True)
class Rounding:
    """Rounds with frozen qparams, the gradient passed straight through."""

    quantizer: Quantizer

    MOVES_STEPS: ClassVar[bool] = False

    def __call__(self, trained: Params, log2_steps: Params, x: PerturbInputs) -> Perturbed:
        assert x.held.qparams is not None
        rounded = round_straight_through(trained, x.held.qparams, self.quantizer, x.masks)
        return Perturbed(rounded, jnp.asarray(_NO_BITS), log2_steps)
