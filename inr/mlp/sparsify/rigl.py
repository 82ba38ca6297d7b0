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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from inr.mlp.fields.protocol import Field, Shapes
from inr.mlp.sparsify.masks import (
    check_settings,
    erk_counts,
    moved,
    n_dropped,
    random_masks,
    uniform_counts,
)
from inr.mlp.sparsify.protocol import Masks

if TYPE_CHECKING:
    import jax


@dataclass(frozen=True)
class RigL:
    """Sparse from the first step to the last; every tensor keeps its count throughout."""

    sparsity: float = 0.9  # fraction of exact zeros among the weights of all matrices
    erk: bool = True  # thin matrices denser (Erdos-Renyi kernel); False: the same density in all
    drop: float = 0.5  # fraction of the kept weights that the first update moves; cosine to 0
    n_updates: int = 75  # every 100 of 10,000 steps, as the paper does
    stop: float = 0.75  # fraction of the fit after which the masks stay as they are

    NEEDS_MOMENTUM: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_settings(self.sparsity, drop=self.drop, n_updates=self.n_updates, stop=self.stop)

    def for_training(self) -> "RigL":
        return replace(self, sparsity=0.0)

    def prepared(self, net: Field, n_channels: int) -> Field:
        return net

    def keep_counts(self, shapes: Shapes) -> dict[str, int]:
        counts = erk_counts if self.erk else uniform_counts
        return counts(shapes, self.sparsity)

    def start(self, rng: np.random.Generator, shapes: Shapes) -> dict[str, np.ndarray]:
        return random_masks(rng, shapes, self.keep_counts(shapes))

    def updated(
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
            n_survivors = count - n_dropped(self.drop, self.stop, progress, count)
            gradient = jnp.abs(scores[name])
            after[name] = moved(mask, params[name], gradient, n_survivors, count)
        return after
