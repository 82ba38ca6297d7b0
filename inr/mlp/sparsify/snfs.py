"""SNFS, sparse momentum: grows weights where the running mean of the gradient is largest, and
moves them to the tensors where it is large.

Dettmers and Zettlemoyer, "Sparse Networks from Scratch: Faster Training without Losing
Performance" (2019), https://arxiv.org/abs/1907.04840, section 3. Each tensor drops the same
fraction of its weights, the smallest; all that are dropped are then shared out in proportion to
the mean momentum magnitude of the weights that each tensor kept before. Differs from the paper:
the total is exact; what has no room in a full tensor goes to the others in proportion too, not
equally; a dropped weight may grow again at once. Theirs begins with the same density in all
tensors (erk=False).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from inr.mlp.sparsify.masks import MovedMasks, move_mask, split_count
from inr.mlp.sparsify.protocol import Masks

if TYPE_CHECKING:
    import jax

_SHARE_FLOOR = np.float32(1e-30)  # equal shares where no tensor has momentum, nothing elsewhere


@dataclass(frozen=True)
class SNFS(MovedMasks):
    """Only the total of all tensors is fixed. drop: 0.5 in the authors' code."""

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

        names = sorted(masks)
        momentum = {name: jnp.abs(scores[name]) for name in names}
        counts = {name: jnp.sum(masks[name], dtype=jnp.int32) for name in names}
        n_survivors = {
            name: counts[name] - self.count_dropped(progress, counts[name]) for name in names
        }
        n_kept = jnp.stack([counts[name] for name in names])  # [n_tensors], as the next three
        total_momentum = jnp.stack([jnp.sum(momentum[name], where=masks[name]) for name in names])
        shares = total_momentum / jnp.maximum(n_kept, 1).astype(jnp.float32) + _SHARE_FLOOR
        room = jnp.stack([masks[name].size - n_survivors[name] for name in names])
        n_grown = jnp.sum(jnp.stack([keep_counts[name] - n_survivors[name] for name in names]))
        grown = split_count(n_grown, shares, room, jnp)
        return {
            name: move_mask(
                masks[name],
                params[name],
                momentum[name],
                n_survivors[name],
                n_survivors[name] + grown[i],
            )
            for i, name in enumerate(names)
        }
