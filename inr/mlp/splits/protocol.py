"""What codec and decoder ask of a split."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from inr.format.wire import Stage
from inr.mlp.fields.protocol import Field


@dataclass(frozen=True)
class Grid:
    """The samples of one group of bands, which share their positions and one field."""

    height: int
    width: int
    n_channels: int  # of the field: bands times colour channels


class Split(Stage, Protocol):
    """A frozen dataclass; its methods are pure and numpy only."""

    HAS_BANDS: ClassVar[bool]  # False: the only band is the picture itself, drawn at any size

    def grids(self, height: int, width: int, n_channels: int) -> tuple[Grid, ...]:
        """One grid a group, coarsest first, of a picture of that size."""

    def fields(self, field: Field, n_channels: int) -> tuple[Field, ...]:
        """One field a group; together they have about as many weights as `field`."""

    def forward(self, samples: np.ndarray) -> list[np.ndarray]:
        """f64 [height, width, n_channels] in 0..1 -> one f64 [height, width, n_channels] a grid.

        Squared errors of all groups add up to that of the picture, up to what happens at its
        edges, so that one mean squared error can train all fields together.
        """

    def inverse(self, bands: list[np.ndarray], height: int, width: int) -> np.ndarray:
        """Return the inverse of `forward`, f64 [height, width, n_channels], for a picture of that
        size."""
