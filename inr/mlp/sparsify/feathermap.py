"""Feathermap: fewer parameters, not zeros. The field's matrices come from two thin ones.

Eban et al., https://arxiv.org/abs/1911.11177; the field itself is fields/feathermap.py.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from inr.errors import UsageError
from inr.mlp.fields.feathermap import MAX_EXPANDED_WEIGHTS, FeathermapSiren, side_of
from inr.mlp.fields.protocol import Field, n_weights
from inr.mlp.fields.siren import Siren
from inr.mlp.sparsify.masks import check_settings


@dataclass(frozen=True)
class Feathermap:
    """A SIREN of shared weights in place of a sparse one, without masks."""

    sparsity: float = 0.9  # fraction of the parameters, biases among them, that are saved

    masks: ClassVar[None] = None

    def __post_init__(self) -> None:
        check_settings(self.sparsity)

    def for_training(self) -> "Feathermap":
        return replace(self, sparsity=0.0)

    def prepare(self, net: Field, n_channels: int) -> FeathermapSiren:
        """Return the field of the rank whose parameters are nearest to (1 - sparsity) of `net`'s.

        Raises:
          ValueError: `net` is not a Siren, or too large.
        """
        if not isinstance(net, Siren):
            raise UsageError(
                f"feathermap wraps a Siren, not a {type(net).__name__}; choose a recipe with "
                "Siren, or another sparsifier"
            )
        n_all = n_weights(net.shapes(n_channels))
        n_in_matrices = n_weights(net.matrices(n_channels))
        if n_in_matrices > MAX_EXPANDED_WEIGHTS:
            raise UsageError(
                f"feathermap would expand to {n_in_matrices} weights, above the limit of "
                f"{MAX_EXPANDED_WEIGHTS}; give a smaller field.hidden"
            )
        n_biases = n_all - n_in_matrices
        wanted = (1 - self.sparsity) * n_all - n_biases
        rank = max(1, round(wanted / (2 * side_of(n_in_matrices))))
        return FeathermapSiren(net, rank)
