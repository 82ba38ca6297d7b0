"""What fit and codec ask of a sparsifier.

Nothing of a sparsifier stands in the file: a weight that is not kept is code 0 there. Biases and
tensors that are not trained have no mask.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from inr.mlp.fields.protocol import Field, Shapes

if TYPE_CHECKING:
    import jax

Masks = dict[str, "jax.Array"]  # bool, by name and in the shape of the tensor; True: kept


class MaskRule(Protocol):
    """Which weights are kept, and how that changes in a fit: a frozen dataclass, its methods pure.

    n_updates: how often the masks change, in even distances over the first `stop` of the fit.
    stop: fraction of the fit after which the masks stay as they are.
    """

    NEEDS_MOMENTUM: ClassVar[bool]  # scores are wanted: a running mean of dense gradients

    @property
    def n_updates(self) -> int: ...
    @property
    def stop(self) -> float: ...

    def keep_counts(self, matrices: Shapes) -> dict[str, int]:
        """Count the weights of each matrix that are kept at the end.

        The counts add up to exactly round((1 - sparsity) * all weights of the matrices), though
        `update` may move them between tensors.
        """

    def start(self, rng: np.random.Generator, matrices: Shapes) -> dict[str, np.ndarray]:
        """Make the first masks, bool."""

    def update(
        self,
        masks: Masks,
        params: Mapping[str, "jax.Array"],
        scores: Mapping[str, "jax.Array"],
        keep_counts: Mapping[str, "jax.Array"],
        progress: "jax.Array",
        key: "jax.Array",
    ) -> Masks:
        """Make the next masks; jax, traced under jit and vmap.

        Args:
          masks: as they were.
          params: f32 tensors, zero where not kept; holds at least the masked ones.
          scores: f32 running means of the dense gradients of the masked tensors, over some ten
            steps; {} unless NEEDS_MOMENTUM.
          keep_counts: i32[] per masked tensor. Given here too, and not read from `sparsity`, so
            that fits of several sparsities share one compilation.
          progress: f32[], 0..1 of the whole fit.
          key: a jax key, used once.
        """


class Sparsifier(Protocol):
    """A frozen dataclass; its methods are pure.

    sparsity: fraction of exact zeros among the weights of all masked tensors together, 0..1; of
      those without masks the fraction of weights that their field does without.
    masks: None where every weight may be other than zero.
    """

    @property
    def sparsity(self) -> float: ...
    @property
    def masks(self) -> MaskRule | None: ...

    def for_training(self) -> "Sparsifier":
        """One sparsifier for all that differ only in their sparsity, which `MaskRule.update` does
        not read: as a static argument of jit it lets them share a compilation."""

    def prepare(self, net: Field, n_channels: int) -> Field:
        """Make the field to fit instead of `net`; those with masks return it as it is."""
