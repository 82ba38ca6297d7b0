"""No sparsity: every weight may be other than zero."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from inr.mlp.fields.protocol import Field, Shapes
from inr.mlp.sparsify.protocol import Masks

if TYPE_CHECKING:
    import jax


@dataclass(frozen=True)
class Dense:
    """The field as it is, without masks."""

    NEEDS_MOMENTUM: ClassVar[bool] = False
    # Not settings: there is nothing to update.
    sparsity: ClassVar[float] = 0.0
    n_updates: ClassVar[int] = 0
    stop: ClassVar[float] = 1.0

    def for_training(self) -> "Dense":
        return self

    def prepared(self, net: Field, n_channels: int) -> Field:
        return net

    def keep_counts(self, shapes: Shapes) -> dict[str, int]:
        return {}

    def start(self, rng: np.random.Generator, shapes: Shapes) -> dict[str, np.ndarray]:
        return {}

    def updated(
        self,
        masks: Masks,
        params: Mapping[str, "jax.Array"],
        scores: Mapping[str, "jax.Array"],
        keep_counts: Mapping[str, "jax.Array"],
        progress: "jax.Array",
        key: "jax.Array",
    ) -> Masks:
        return masks
