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

    hidden, n_layers: its size; every field has both, so that one rule can choose the size.
    """

    @property
    def hidden(self) -> int: ...
    @property
    def n_layers(self) -> int: ...

    def shapes(self, n_channels: int) -> Shapes:
        """Shapes of all tensors, in the order in which the file holds them."""

    def fixed_steps(self) -> Mapping[str, float]:
        """Tensors that are drawn once and not trained, with the q_step whose multiples they are."""

    def fixed_bits(self) -> float:
        """About what the codes of those tensors cost."""

    def init(self, rng: "np.random.Generator", n_channels: int) -> dict[str, np.ndarray]:
        """Draws fresh parameters, f32."""

    def apply(self, params: Params, coords: "jax.Array") -> "jax.Array":
        """The network for the fit. coords f32[n, 2] -> signal f32[n, n_channels]."""

    def evaluate(self, params: NumpyParams, coords: np.ndarray) -> np.ndarray:
        """The same in numpy for the decoder, which must not import jax."""

    def macs(self, n_channels: int, n_points: int) -> int:
        """Count the multiply-adds of one call of `evaluate`; see work.py."""


def n_weights(shapes: Shapes) -> int:
    """How many numbers the tensors hold together."""
    return sum(int(np.prod(shape)) for shape in shapes.values())
