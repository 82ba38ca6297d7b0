"""The fields of one file as one network: what fit, sizes and file see of several fields at once.

A split has one field a group of bands. Their tensors stand in one dict, each name with the number
of its group before it ("1/w0"); a single field keeps its own names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from inr.mlp.fields.protocol import Field, Shapes
from inr.mlp.splits.protocol import Split

T = TypeVar("T")


@dataclass(frozen=True)
class FieldPart:
    """One field and the number of channels it draws."""

    field: Field
    n_channels: int


@dataclass(frozen=True)
class FieldSet:
    """All fields of a file, coarsest group first."""

    parts: tuple[FieldPart, ...]

    def prefix(self, i: int) -> str:
        return f"{i}/" if len(self.parts) > 1 else ""

    def shapes(self) -> Shapes:
        """Shapes of all tensors, in the order in which the file holds them."""
        return {
            self.prefix(i) + name: shape
            for i, part in enumerate(self.parts)
            for name, shape in part.field.shapes(part.n_channels).items()
        }

    def fixed_steps(self) -> dict[str, float]:
        """Tensors that are drawn once and not trained, with the q_step of their codes."""
        return {
            self.prefix(i) + name: q_step
            for i, part in enumerate(self.parts)
            for name, q_step in part.field.fixed_steps().items()
        }

    def trained_shapes(self) -> Shapes:
        fixed = self.fixed_steps()
        return {name: shape for name, shape in self.shapes().items() if name not in fixed}

    def matrices(self) -> Shapes:
        """Return the shapes of the trained matrices, the ones that masks are for."""
        return {
            self.prefix(i) + name: shape
            for i, part in enumerate(self.parts)
            for name, shape in part.field.matrices(part.n_channels).items()
        }

    def fixed_bits(self) -> float:
        """About what the codes of the fixed tensors cost."""
        return sum(part.field.fixed_bits() for part in self.parts)

    def init(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw fresh parameters, f32."""
        return {
            self.prefix(i) + name: w
            for i, part in enumerate(self.parts)
            for name, w in part.field.init(rng, part.n_channels).items()
        }

    def params_of(self, params: Mapping[str, T], i: int) -> dict[str, T]:
        """Return the tensors of part i under the names that its field knows."""
        prefix = self.prefix(i)
        return {
            name.removeprefix(prefix): w for name, w in params.items() if name.startswith(prefix)
        }


def field_set_of(split: Split, field: Field, height: int, width: int, n_channels: int) -> FieldSet:
    """Return the fields that a split needs for a picture of that size."""
    grids = split.grids(height, width, n_channels)
    fields = split.fields(field, n_channels)
    return FieldSet(
        tuple(FieldPart(part, grid.n_channels) for part, grid in zip(fields, grids, strict=True))
    )
