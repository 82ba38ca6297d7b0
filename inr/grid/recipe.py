"""What decides the bytes of a grid file besides the picture and the seed; the named recipes."""

from collections.abc import Callable
from dataclasses import dataclass

from inr.errors import UsageError
from inr.grid.fit.settings import GridFit
from inr.grid.structure import Structure, write_structure


@dataclass(frozen=True)
class GridRecipe:
    """A recipe of kind grid."""

    name: str
    structure: Structure
    fit: GridFit
    lambda_: float = 1e-3  # weight of a bit per pixel against MSE on 0..1; `lambda` in --set

    def __post_init__(self) -> None:
        if not 0 < self.lambda_ < 1e3:
            raise UsageError(f"lambda={self.lambda_}: expected a number above 0, such as 0.001")
        if not self.structure.has_rate:
            raise UsageError(
                f"structure.prior={self.structure.prior}: such files are read, and no longer made; "
                "give 2 or 3"
            )
        try:
            write_structure(self.structure)
        except ValueError as error:
            raise UsageError(f"structure.{error}") from None


def grid_instant() -> GridRecipe:
    """Return latents as they are predicted in one pass, without a fit."""
    return GridRecipe("grid_instant", Structure(prior=2), GridFit(steps=0))


def grid_fast() -> GridRecipe:
    """Return a latent grid after one short fit."""
    return GridRecipe(
        "grid_fast",
        Structure(prior=2),
        GridFit(steps=85, learning_rate=7e-3, drawing_rate=0.3, latent_rate=0.5),
    )


def grid() -> GridRecipe:
    """Return a latent grid after a long fit; lambda steers size and quality."""
    return GridRecipe("grid", Structure(prior=3), GridFit())


def grid_best() -> GridRecipe:
    """Return the same, fitted ten times as long."""
    return GridRecipe("grid_best", Structure(prior=3), GridFit(steps=20000))


RECIPES: dict[str, Callable[[], GridRecipe]] = {
    make.__name__: make for make in (grid_instant, grid_fast, grid, grid_best)
}
