"""Optimizers of the fit: their rates, and how optax builds them.

They run at a constant rate: the fit scales their updates by its schedule, whose progress may
follow the clock. optax is imported where it is needed, so that recipes load quickly.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from inr.errors import UsageError

if TYPE_CHECKING:
    import jax
    import optax

# At 128 and the full rate, batches of 3,072 to 8,192 pixels end in chaos.
_FULL_RATE_SIDE = np.float32(64)
_MUON_MIN_SIDE = 8  # a matrix with a shorter side goes to Adam: orthogonalising it brings little


def _check_rate(name: str, rate: float) -> None:
    if not 0 < rate < float("inf"):
        raise UsageError(f"fit.optimizer.{name}={rate}: expected a number above 0")


@dataclass(frozen=True)
class Adam:
    """Kingma and Ba (2014), https://arxiv.org/abs/1412.6980, on all tensors."""

    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        _check_rate("learning_rate", self.learning_rate)

    def make(self, params: "dict[str, jax.Array]") -> "optax.GradientTransformation":
        """Build the gradient transformation for these tensors."""
        import optax

        return optax.adam(self.learning_rate)

    def share_of_rate(
        self, shape: tuple[int, ...], density: "jax.Array | float"
    ) -> "jax.Array | float":
        """Factor on the update of one tensor; density: share of its weights that are kept."""
        return 1.0


@dataclass(frozen=True)
class Muon:
    """Orthogonalised momentum for the matrices, Adam for biases and thin matrices.

    Jordan et al. (2024), https://kellerjordan.github.io/posts/muon/. Every update has the same
    spectral norm, however weak the gradient: at rates or batches where noise rules (3e-3 with
    8192 pixels on kodim08) weights grow until the field turns chaotic. The more entries a matrix
    has for the pixels of a batch, the more of its update is noise, so wider ones take a lower rate.
    """

    learning_rate: float = 2.6e-3  # of matrices up to 64 wide; falls as 1 / width
    adam_learning_rate: float = 2e-3  # of the rest

    def __post_init__(self) -> None:
        _check_rate("learning_rate", self.learning_rate)
        _check_rate("adam_learning_rate", self.adam_learning_rate)

    def make(self, params: "dict[str, jax.Array]") -> "optax.GradientTransformation":
        """Build the gradient transformation for these tensors."""
        import optax

        matrices = {
            name: optax.contrib.MuonDimensionNumbers() if _is_matrix(w.shape) else None
            for name, w in params.items()
        }
        return optax.contrib.muon(
            self.learning_rate,
            adam_learning_rate=self.adam_learning_rate,
            muon_weight_dimension_numbers=matrices,
        )

    def share_of_rate(
        self, shape: tuple[int, ...], density: "jax.Array | float"
    ) -> "jax.Array | float":
        """Factor on the update of one tensor; density: share of its weights that are kept."""
        import jax.numpy as jnp

        if not _is_matrix(shape):
            return 1.0
        root = jnp.sqrt(jnp.asarray(density, jnp.float32))
        return jnp.minimum(np.float32(1), _FULL_RATE_SIDE / (min(shape) * root))


def _is_matrix(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and min(shape) >= _MUON_MIN_SIDE
