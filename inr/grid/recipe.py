"""What decides the bytes of a grid file besides the picture and the seed; the named recipes."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from inr.errors import UsageError
from inr.grid.fit.settings import GridFit
from inr.grid.prior import SCREENS, WITHOUT_FIT
from inr.grid.structure import N_PRIORS, Structure, write_structure


@dataclass(frozen=True)
class GridRecipe:
    """A recipe of kind grid."""

    name: str
    structure: Structure
    fit: GridFit
    lambda_: float = 1e-3  # weight of a bit per pixel against MSE on 0..1; `lambda` in --set
    # Set of networks in the place of structure.prior for pictures that it suits better, as
    # choose_prior.py finds; 0 for none.
    screen_prior: int = SCREENS

    def __post_init__(self) -> None:
        if not 0 < self.lambda_ < 1e3:
            raise UsageError(f"lambda={self.lambda_}: expected a number above 0, such as 0.001")
        if not self.structure.has_rate:
            raise UsageError(
                f"structure.prior={self.structure.prior}: such files are read, and no longer made; "
                f"give 2 to {N_PRIORS}"
            )
        if self.screen_prior not in (0, *range(2, N_PRIORS + 1)):
            raise UsageError(
                f"screen_prior={self.screen_prior}: expected 2 to {N_PRIORS}, or 0 for none"
            )
        try:
            write_structure(self.structure)
        except ValueError as error:
            raise UsageError(f"structure.{error}") from None


def grid_instant() -> GridRecipe:
    """Return latents as they are predicted in one pass, without a fit."""
    return GridRecipe("grid_instant", Structure(prior=WITHOUT_FIT), GridFit(steps=0))


def grid_fast() -> GridRecipe:
    """Return a latent grid after one short fit."""
    return GridRecipe(
        "grid_fast",
        Structure(prior=2),
        GridFit(
            steps=62,
            learning_rate=5e-3,
            drawing_rate=0.25,
            latent_rate=0.5,
            tail=0.02,
            noise=0.17,
        ),
    )


def grid() -> GridRecipe:
    """Return a latent grid after a long fit; lambda steers size and quality."""
    return GridRecipe("grid", Structure(prior=3), GridFit())


def grid_best() -> GridRecipe:
    """Return the same, fitted ten times as long."""
    return GridRecipe("grid_best", Structure(prior=3), GridFit(steps=20000))


# Fits of pictures that have the set for screens: pages differ more from each other than photographs
# do, and fits of them begin further from where they end.
_FITS_OF_SCREENS = {
    "grid_fast": GridFit(steps=140, learning_rate=1.2e-2, drawing_rate=0.3, latent_rate=0.7)
}

RECIPES: dict[str, Callable[[], GridRecipe]] = {
    make.__name__: make for make in (grid_instant, grid_fast, grid, grid_best)
}


def of_screens(recipe: GridRecipe) -> GridRecipe:
    """Return the recipe with the set of networks for screens, and with the fit that goes with it;
    settings that are not those of the named recipe stay as they are given."""
    structure = replace(recipe.structure, prior=recipe.screen_prior)
    fit = recipe.fit
    if recipe.name in _FITS_OF_SCREENS:
        usual = vars(RECIPES[recipe.name]().fit)
        given = {name: value for name, value in vars(fit).items() if value != usual[name]}
        fit = replace(_FITS_OF_SCREENS[recipe.name], **given)
    return replace(recipe, structure=structure, fit=fit)
