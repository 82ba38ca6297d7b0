"""Named, complete configurations of all kinds; each is defined beside its kind's recipe."""

from collections.abc import Callable

import inr.kinds
from inr.cae.recipe import cae
from inr.errors import UsageError
from inr.grid.recipe import grid, grid_best, grid_fast
from inr.mlp.recipe import (
    fourier,
    siren,
    siren_best,
    siren_pruned,
    siren_rate,
    siren_rigl,
    siren_wavelet,
    siren_zstd,
)
from inr.options import AnyRecipe

__all__ = [
    "all_recipes",
    "cae",
    "fourier",
    "grid",
    "grid_best",
    "grid_fast",
    "named",
    "siren",
    "siren_best",
    "siren_pruned",
    "siren_rate",
    "siren_rigl",
    "siren_wavelet",
    "siren_zstd",
]


def all_recipes() -> dict[str, Callable[[], AnyRecipe]]:
    """Return what makes each recipe, by its name, kind after kind."""
    return {name: make for kind in inr.kinds.KINDS for name, make in kind.recipes.items()}


def named(name: str) -> AnyRecipe:
    """Return the recipe of a name; raises UsageError with the names there are."""
    recipes = all_recipes()
    if name not in recipes:
        raise UsageError(f"unknown recipe {name!r}; there are {', '.join(recipes)}")
    return recipes[name]()
