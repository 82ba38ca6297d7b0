"""SET, sparse evolutionary training: drops the smallest weights, grows others at random.

Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse connectivity
inspired by network science" (2018), https://arxiv.org/abs/1707.04780, Algorithm 1. Differs from
the paper as the comparisons of Evci et al. (rigl.py) do: weights are dropped by magnitude, not
the same fraction of each sign; their zeta, `drop` here, decays by a cosine; grown weights begin
at zero; and a dropped weight may be drawn again at once. `erk` is their Erdos-Renyi graph, whose
epsilon follows from the sparsity.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from inr.mlp.sparsify.masks import MovedMasks, move_mask
from inr.mlp.sparsify.protocol import Masks

if TYPE_CHECKING:
    import jax


@dataclass(frozen=True)
class SET(MovedMasks):
    """Every tensor keeps its count throughout."""

    NEEDS_MOMENTUM: ClassVar[bool] = False

    def update(
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
            n_survivors = count - self.count_dropped(progress, count)
            chance = jax.random.uniform(tensor_key, masks[name].shape)
            after[name] = move_mask(masks[name], params[name], chance, n_survivors, count)
        return after
