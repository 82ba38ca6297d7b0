"""What decides the bytes of a grid file, besides the picture and the seed."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from inr.errors import UsageError
from inr.format.container import write_fields
from inr.grid.fit.settings import GridFit
from inr.grid.structure import Structure


@dataclass(frozen=True)
class GridRecipe:
    """A recipe of kind grid."""

    name: str
    structure: Structure
    fit: GridFit
    lambda_: float = 1e-3  # weight of a bit per pixel against MSE on 0..1; `lambda` in --set

    KIND: ClassVar[Literal["grid"]] = "grid"
    MAX_BIT_DEPTH: ClassVar[int] = 16  # of the samples that its files can hold

    def __post_init__(self) -> None:
        if not 0 < self.lambda_ < 1e3:
            raise UsageError(f"lambda={self.lambda_}: expected a number above 0, such as 0.001")
        try:
            write_fields(self.structure)
        except ValueError as error:
            raise UsageError(f"structure.{error}") from None
