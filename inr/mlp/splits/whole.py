"""No split: the picture is one band."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from inr.format.wire import Wire
from inr.mlp.fields.protocol import Field
from inr.mlp.splits.protocol import Grid


@dataclass(frozen=True)
class Whole:
    """One field draws the whole picture, its -1..1 spanning the samples' own range."""

    WIRE: ClassVar[Wire] = ()
    HAS_BANDS: ClassVar[bool] = False

    def grids(self, height: int, width: int, n_channels: int) -> tuple[Grid, ...]:
        return (Grid(height, width, n_channels),)

    def fields(self, field: Field, n_channels: int) -> tuple[Field, ...]:
        return (field,)

    def forward(self, samples: np.ndarray) -> list[np.ndarray]:
        return [samples]

    def inverse(self, bands: list[np.ndarray], height: int, width: int) -> np.ndarray:
        return bands[0]
