"""No sparsity: every weight may be other than zero."""

from dataclasses import dataclass
from typing import ClassVar

from inr.mlp.fields.protocol import Field


@dataclass(frozen=True)
class Dense:
    """The field as it is, without masks."""

    sparsity: ClassVar[float] = 0.0
    masks: ClassVar[None] = None

    def for_training(self) -> "Dense":
        return self

    def prepare(self, net: Field, n_channels: int) -> Field:
        return net
