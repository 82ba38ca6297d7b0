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
    split_count,
    uniform_counts,
)
from inr.mlp.sparsify.protocol import Masks

if TYPE_CHECKING:
    import jax

_SHARE_FLOOR = np.float32(1e-30)  # equal shares where no tensor has momentum, nothing elsewhere


@dataclass(frozen=True)
class SNFS:
    """Sparse from the first step to the last; only the total of all tensors is fixed."""

    sparsity: float = 0.9  # fraction of exact zeros among the weights of all matrices
    erk: bool = True  # first masks denser in thin matrices; False: the same density in all
    drop: float = 0.3  # fraction that the first update moves (the authors' code: 0.5); cosine to 0
    n_updates: int = 75  # drop, n_updates and stop as RigL, so that the two can be compared
    stop: float = 0.75  # fraction of the fit after which the masks stay as they are

    NEEDS_MOMENTUM: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_settings(self.sparsity, drop=self.drop, n_updates=self.n_updates, stop=self.stop)

    def for_training(self) -> "SNFS":
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

        names = sorted(masks)
        momentum = {name: jnp.abs(scores[name]) for name in names}
        counts = {name: jnp.sum(masks[name], dtype=jnp.int32) for name in names}
        n_survivors = {
            name: counts[name] - n_dropped(self.drop, self.stop, progress, counts[name])
            for name in names
        }
        n_kept = jnp.stack([counts[name] for name in names])  # [n_tensors], as the next three
        total_momentum = jnp.stack([jnp.sum(momentum[name], where=masks[name]) for name in names])
        shares = total_momentum / jnp.maximum(n_kept, 1).astype(jnp.float32) + _SHARE_FLOOR
        room = jnp.stack([masks[name].size - n_survivors[name] for name in names])
        n_grown = jnp.sum(jnp.stack([keep_counts[name] - n_survivors[name] for name in names]))
        grown = split_count(n_grown, shares, room, jnp)
        return {
            name: moved(
                masks[name],
                params[name],
                momentum[name],
                n_survivors[name],
                n_survivors[name] + grown[i],
            )
            for i, name in enumerate(names)
        }
