"""Gradual magnitude pruning: begins dense and removes the smallest weights step by step.

Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model
compression" (2017), https://arxiv.org/abs/1710.01878, section 3, equation 1 with s_i = 0, t_0 = 0.
Theirs prunes each tensor by itself (per_layer=True); that leaves too little of the thin first and
last matrices of a SIREN, so that here the smallest weights of all tensors together go first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from inr.mlp.fields.protocol import Field, Shapes
from inr.mlp.sparsify.masks import (
    check_settings,
    magnitude_of_kept,
    top_mask,
    uniform_counts,
)
from inr.mlp.sparsify.protocol import Masks

if TYPE_CHECKING:
    import jax


@dataclass(frozen=True)
class Magnitude:
    """Weights that are pruned never return."""

    sparsity: float = 0.9  # fraction of exact zeros among the weights of all matrices, at the end
    per_layer: bool = False  # True: the same sparsity in all; False: the smallest of all together
    n_updates: int = 75  # n_updates and stop as RigL, so that the two can be compared
    stop: float = 0.75  # fraction of the fit after which the masks stay as they are

    NEEDS_MOMENTUM: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_settings(self.sparsity, n_updates=self.n_updates, stop=self.stop)

    @property
    def masks(self) -> "Magnitude":
        return self

    def for_training(self) -> "Magnitude":
        return replace(self, sparsity=0.0)

    def prepare(self, net: Field, n_channels: int) -> Field:
        return net

    def keep_counts(self, matrices: Shapes) -> dict[str, int]:
        return uniform_counts(matrices, self.sparsity)

    def start(self, rng: np.random.Generator, matrices: Shapes) -> dict[str, np.ndarray]:
        return {name: np.ones(shape, bool) for name, shape in matrices.items()}

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

        names = sorted(masks)  # jit sorts dicts: ties must fall the same way without it
        magnitudes = {name: magnitude_of_kept(masks[name], params[name]) for name in names}
        if self.per_layer:
            return {
                name: masks[name] & top_mask(w, self._count(w.size, keep_counts[name], progress))
                for name, w in magnitudes.items()
            }
        # The largest weight of each tensor is spared: one without weights would cut the network.
        flat = [w.reshape(-1) for w in magnitudes.values()]
        together = jnp.concatenate([w.at[jnp.argmax(w)].set(np.float32(np.inf)) for w in flat])
        total = jnp.sum(jnp.stack([keep_counts[name] for name in names]))
        stays = top_mask(together, self._count(together.size, total, progress))
        ends = np.cumsum([w.size for w in flat])
        return {
            name: masks[name] & stays[end - masks[name].size : end].reshape(masks[name].shape)
            for name, end in zip(names, ends.tolist(), strict=True)
        }

    def _count(self, size: int, at_the_end: "jax.Array", progress: "jax.Array") -> "jax.Array":
        """Count how many of `size` weights are kept: all at first, the given count from `stop`
        on."""
        import jax.numpy as jnp

        to_go = 1 - jnp.minimum(progress / self.stop, 1)
        surplus = (size - at_the_end).astype(jnp.float32) * to_go**3
        return at_the_end + jnp.rint(surplus).astype(jnp.int32)
