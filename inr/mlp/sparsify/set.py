"""SET, sparse evolutionary training: drops the smallest weights, grows others at random.

Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse connectivity
inspired by network science" (2018), https://arxiv.org/abs/1707.04780, Algorithm 1. Differs from
the paper as the comparisons of Evci et al. (rigl.py) do: weights are dropped by magnitude, not
the same fraction of each sign; their zeta, `drop` here, decays by a cosine; grown weights begin
at zero; and a dropped weight may be drawn again at once. `erk` is their Erdos-Renyi graph, whose
epsilon follows from the sparsity.
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
class SET:
    """Sparse from the first step to the last; every tensor keeps its count throughout."""

    sparsity: float = 0.9  # fraction of exact zeros among the weights of all matrices
    erk: bool = True  # thin matrices denser (Erdos-Renyi); False: the same density in all
    drop: float = 0.3  # fraction of the kept weights that the first update moves; cosine to 0
    n_updates: int = 75  # drop, n_updates and stop as RigL, so that the two can be compared
    stop: float = 0.75  # fraction of the fit after which the masks stay as they are

    NEEDS_MOMENTUM: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_settings(self.sparsity, drop=self.drop, n_updates=self.n_updates, stop=self.stop)

    def for_training(self) -> "SET":
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
        import jax

        after = {}
        names = sorted(masks)  # jit sorts dicts: each tensor must get the same key without it
        for name, tensor_key in zip(names, jax.random.split(key, len(names)), strict=True):
            count = keep_counts[name]
            n_survivors = count - n_dropped(self.drop, self.stop, progress, count)
            chance = jax.random.uniform(tensor_key, masks[name].shape)
            after[name] = moved(masks[name], params[name], chance, n_survivors, count)
        return after
