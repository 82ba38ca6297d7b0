"""RigL: drops the smallest weights, grows those whose dense gradient is largest.

Evci et al., "Rigging the Lottery: Making All Tickets Winners" (2020),
https://arxiv.org/abs/1911.11134, section 3 and Algorithm 1. As there, all but the weights that
survive the drop may grow, also one that this very update drops; it then keeps its value and its
momentum. Others begin at zero. Unlike there, the gradient is a running mean over some ten steps:
that of a single batch is mostly noise (96x6 SIREN of a 256x256 crop, 1,000 steps: 0.8 dB). And
half of the weights move at first, not a third (0.3 dB). Their alpha is `drop` here, their T_end
`stop`; Delta T follows from n_updates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from inr.mlp.sparsify.masks import MovedMasks, move_mask
from inr.mlp.sparsify.protocol import Masks

if TYPE_CHECKING:
    import jax


@dataclass(frozen=True)
class RigL(MovedMasks):
    """Every tensor keeps its count throughout."""

    drop: float = 0.5  # fraction of the kept weights that the first update moves; cosine to 0

    NEEDS_MOMENTUM: ClassVar[bool] = True

    def update(
        self,
        masks: Masks,
        params: Mapping[str, "jax.Array"],
        scores: Mapping[str, "jax.Array"],
        keep_counts: Mapping[str, "jax.Array"],
        progress: "jax.Array",
        key: "jax.Array",
    ) -> Masks:
        import jax.numpy as jnp

        after = {}
        for name, mask in masks.items():
            count = keep_counts[name]
            n_survivors = count - self.count_dropped(progress, count)
            gradient = jnp.abs(scores[name])
            after[name] = move_mask(mask, params[name], gradient, n_survivors, count)
        return after
