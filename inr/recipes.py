"""Named, complete configurations."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from inr.cae.recipe import CaeRecipe
from inr.coders.protocol import Coder
from inr.coders.range_coder import RangeCoder
from inr.coders.zstd import Zstd
from inr.errors import UsageError
from inr.grid.fit.settings import GridFit
from inr.grid.recipe import GridRecipe
from inr.grid.structure import Structure
from inr.mlp.fields.fourier import Fourier
from inr.mlp.fields.protocol import Field
from inr.mlp.fields.siren import Siren
from inr.mlp.fit.optimizers import Adam, Muon
from inr.mlp.fit.settings import FitSettings
from inr.mlp.quantize.protocol import Quantizer
from inr.mlp.quantize.uniform import Uniform
from inr.mlp.sparsify.dense import Dense
from inr.mlp.sparsify.magnitude import Magnitude
from inr.mlp.sparsify.protocol import Sparsifier
from inr.mlp.sparsify.rigl import RigL
from inr.mlp.splits.protocol import Split
from inr.mlp.splits.wavelet import Wavelet
from inr.mlp.splits.whole import Whole


@dataclass(frozen=True)
class Recipe:
    """Of kind mlp: all that decides the bytes, besides the picture, the target and the seed."""

    name: str
    field: Field
    fit: FitSettings
    sparsify: Sparsifier = dataclasses.field(default_factory=Dense)
    quantize: Quantizer = dataclasses.field(default_factory=Uniform)
    coder: Coder = dataclasses.field(default_factory=RangeCoder)
    split: Split = dataclasses.field(default_factory=Whole)
    target_bpp: float = 0.3  # size of the whole file, if no other target is given
    fixed_size: bool = False  # True: field.hidden as it stands, and no target unless one is given

    KIND: ClassVar[Literal["mlp"]] = "mlp"
    MAX_BIT_DEPTH: ClassVar[int] = 16  # of the samples that its files can hold

    def __post_init__(self) -> None:
        if not 0 < self.target_bpp < 1e3:
            raise UsageError(f"target_bpp={self.target_bpp}: expected bits per pixel above 0")


AnyRecipe = Recipe | GridRecipe | CaeRecipe


def configuration_of(recipe: AnyRecipe) -> str:
    """Its settings, and the hash of weights that it names: a path may hold others tomorrow.

    Raises:
      ValueError: there is no such file of weights.
    """
    if recipe.KIND != "cae":
        return str(recipe)
    from inr.cae.weight_store import hash_named

    return f"{recipe}, weights of SHA-256 {hash_named(recipe.model)}"


def siren() -> Recipe:
    """The default: SIREN, learned steps, range coder; about a minute for 768x512 on two cores."""
    return Recipe("siren", Siren(), FitSettings())


def siren_best() -> Recipe:
    """More weights at fewer bits, the best of three starts, fitted eight times as long."""
    fit = FitSettings(steps=26000, optimizer=Muon(learning_rate=2e-3), n_seeds=3, seed_trial=0.01)
    return Recipe("siren_best", Siren(), fit, quantize=Uniform(bits=6.0))


def siren_zstd() -> Recipe:
    """The classic pipeline: SIREN, Adam, codes of 8 bits on average, zstd."""
    return Recipe(
        "siren_zstd",
        Siren(),
        FitSettings(optimizer=Adam()),
        quantize=Uniform(bits=8.0),
        coder=Zstd(),
    )


def fourier() -> Recipe:
    """Fourier features with a ReLU perceptron."""
    return Recipe("fourier", Fourier(), FitSettings(optimizer=Muon(learning_rate=5e-2)))


def siren_rate() -> Recipe:
    """SIREN whose weights and steps pay for their bits under the coder's model; four minutes."""
    fit = FitSettings(steps=12000, optimizer=Muon(learning_rate=2.4e-3), rate_term=True)
    return Recipe("siren_rate", Siren(), fit, quantize=Uniform(bits=6.0))


def siren_rigl() -> Recipe:
    """SIREN with 90 % zeros, trained sparse by RigL; codes of 8 bits on average, range coder."""
    return Recipe(
        "siren_rigl",
        Siren(),
        FitSettings(),
        sparsify=RigL(sparsity=0.9),
        quantize=Uniform(bits=8.0),
    )


def siren_pruned() -> Recipe:
    """SIREN pruned step by step by the magnitude of its weights, otherwise as siren_rigl."""
    return Recipe(
        "siren_pruned",
        Siren(),
        FitSettings(),
        sparsify=Magnitude(sparsity=0.9),
        quantize=Uniform(bits=8.0),
    )


def siren_wavelet() -> Recipe:
    """One SIREN for the coarse band of a wavelet transform and one for its details."""
    return Recipe("siren_wavelet", Siren(), FitSettings(), split=Wavelet())


def grid_fast() -> GridRecipe:
    """A latent grid after one short fit."""
    return GridRecipe("grid_fast", Structure(prior=1), GridFit(steps=180))


def grid() -> GridRecipe:
    """A pyramid of latents, its context model and its synthesis; lambda steers size and quality."""
    return GridRecipe("grid", Structure(prior=1), GridFit())


def grid_best() -> GridRecipe:
    """The same, the best of five starts, fitted ten times as long."""
    return GridRecipe("grid_best", Structure(prior=1), GridFit(steps=10000, n_starts=5))


def cae() -> CaeRecipe:
    """A trained autoencoder, for comparison: no fit, one model for all rates."""
    return CaeRecipe("cae", "hyperprior")


RECIPES: dict[str, Callable[[], AnyRecipe]] = {
    "siren": siren,
    "siren_best": siren_best,
    "siren_zstd": siren_zstd,
    "fourier": fourier,
    "siren_rate": siren_rate,
    "siren_rigl": siren_rigl,
    "siren_pruned": siren_pruned,
    "siren_wavelet": siren_wavelet,
    "grid_fast": grid_fast,
    "grid": grid,
    "grid_best": grid_best,
    "cae": cae,
}


def named(name: str) -> AnyRecipe:
    """The recipe of that name; ValueError lists those there are."""
    if name not in RECIPES:
        raise UsageError(f"unknown recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]()
