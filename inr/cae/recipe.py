"""What decides the bytes of a cae file besides the picture; the named recipe."""

from collections.abc import Callable
from dataclasses import dataclass

from inr.errors import UsageError


@dataclass(frozen=True)
class CaeRecipe:
    """A recipe of kind cae."""

    name: str
    model: str  # the name of a shipped model, or the path of a weights file
    width: int = 0  # of a slimmable model; 0 for the widest
    lambda_: float = 2e-3  # weight of a bit per pixel against MSE on 0..1; `lambda` in --set

    def __post_init__(self) -> None:
        if not 0 < self.lambda_ < 1e3:
            raise UsageError(f"lambda={self.lambda_}: expected a number above 0, such as 0.001")


def cae() -> CaeRecipe:
    """Return a trained autoencoder, for comparison: no fit, one model for all rates."""
    return CaeRecipe("cae", "hyperprior")


RECIPES: dict[str, Callable[[], CaeRecipe]] = {"cae": cae}
