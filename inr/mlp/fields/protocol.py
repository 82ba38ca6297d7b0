"""What fit, codec and decoder ask of a field."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from inr.format.wire import Stage

if TYPE_CHECKING:
    import jax


Shapes = Mapping[str, tuple[int, ...]]
Params = dict[str, "jax.Array"]  # while fitting
NumpyParams = Mapping[str, np.ndarray]  # while decoding


class Field(Stage, Protocol):
    """A coordinate network: a frozen dataclass whose parameters are a dict of f32 tensors.

    hidden, n_layers: its size; every field has both, so that one rule can choose the size. A
      recipe may leave hidden open, as None: size.py then chooses it by the target.
    """

    @property
    def hidden(self) -> int | None: ...
    @property
    def n_layers(self) -> int: ...

    def with_size(self, hidden: int, n_layers: int) -> "Field":
        """Return the same field with another size."""

    def shapes(self, n_channels: int) -> Shapes:
        """Return the shapes of all tensors, in the order in which the file holds them."""

    def matrices(self, n_channels: int) -> Shapes:
        """Return the shapes of the trained matrices between layers, the ones that masks are for."""

    def fixed_steps(self) -> Mapping[str, float]:
        """Return the q_step of tensors that are drawn once, as its multiples, and not trained."""

    def fixed_bits(self) -> float:
        """Estimate the bits that the codes of those tensors cost."""

    def init(self, rng: "np.random.Generator", n_channels: int) -> dict[str, np.ndarray]:
        """Draw fresh parameters, f32."""

    def apply(self, params: Params, coords: "jax.Array") -> "jax.Array":
        """Evaluate the network for the fit: coords f32[n, 2] -> signal f32[n, n_channels]."""

    def evaluate(self, params: NumpyParams, coords: np.ndarray) -> np.ndarray:
        """Evaluate it in numpy, for the decoder, which must not import jax."""

    def macs(self, n_channels: int, n_points: int) -> int:
        """Count the multiply-adds of one call of `evaluate`; see exact/work.py."""


def hidden_of(field: Field) -> int:
    """Return the width of a field whose size is chosen."""
    assert field.hidden is not None, "the width is not chosen yet"
    return field.hidden


def n_weights(shapes: Shapes) -> int:
    """Count the numbers that the tensors hold together."""
    return sum(int(np.prod(shape)) for shape in shapes.values())
