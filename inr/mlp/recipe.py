"""What decides the bytes of a file of kind mlp, and the named recipes.

Besides the recipe: the picture, the target and the seed.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inr.coders.deflate import Deflate
from inr.coders.huffman import Huffman
from inr.coders.lzma import Lzma
from inr.coders.protocol import Coder
from inr.coders.range_coder import RangeCoder
from inr.coders.zstd import Zstd
from inr.errors import UsageError
from inr.mlp.fields.fourier import Fourier
from inr.mlp.fields.protocol import Field
from inr.mlp.fields.siren import Siren
from inr.mlp.fit.optimizers import Adam, Muon
from inr.mlp.fit.settings import FitSettings
from inr.mlp.quantize.distribution import Distribution
from inr.mlp.quantize.float16 import Float16
from inr.mlp.quantize.kmeans import KMeans
from inr.mlp.quantize.protocol import Quantizer
from inr.mlp.quantize.uniform import Uniform
from inr.mlp.sparsify.dense import Dense
from inr.mlp.sparsify.feathermap import Feathermap
from inr.mlp.sparsify.magnitude import Magnitude
from inr.mlp.sparsify.protocol import Sparsifier
from inr.mlp.sparsify.rigl import RigL
from inr.mlp.sparsify.set import SET
from inr.mlp.sparsify.small_dense import SmallDense
from inr.mlp.sparsify.snfs import SNFS
from inr.mlp.splits.protocol import Split
from inr.mlp.splits.wavelet import Wavelet
from inr.mlp.splits.whole import Whole

# What `--set quantize=kmeans` may name: the methods of each stage, with their defaults.
STAGES: dict[str, tuple[type[Any], ...]] = {
    "field": (Siren, Fourier),
    "split": (Whole, Wavelet),
    "sparsify": (Dense, RigL, SNFS, SET, Magnitude, SmallDense, Feathermap),
    "quantize": (Uniform, KMeans, Distribution, Float16),
    "coder": (RangeCoder, Huffman, Zstd, Deflate, Lzma),
    "fit.optimizer": (Muon, Adam),
}


@dataclass(frozen=True)
class MlpRecipe:
    """A recipe of kind mlp."""

    name: str
    field: Field
    fit: FitSettings
    sparsify: Sparsifier = dataclasses.field(default_factory=Dense)
    quantize: Quantizer = dataclasses.field(default_factory=Uniform)
    coder: Coder = dataclasses.field(default_factory=RangeCoder)
    split: Split = dataclasses.field(default_factory=Whole)
    target_bpp: float = 0.3  # size of the whole file, if neither another nor field.hidden is given

    def __post_init__(self) -> None:
        if not 0 < self.target_bpp < 1e3:
            raise UsageError(f"target_bpp={self.target_bpp}: expected bits per pixel above 0")


def siren() -> MlpRecipe:
    """Return the default: SIREN, learned steps, range coder; about a minute for 768x512 on two
    cores."""
    return MlpRecipe("siren", Siren(), FitSettings())


def siren_best() -> MlpRecipe:
    """More weights at fewer bits, the best of three starts, fitted eight times as long."""
    fit = FitSettings(steps=26000, optimizer=Muon(learning_rate=2e-3), n_seeds=3, seed_trial=0.01)
    return MlpRecipe("siren_best", Siren(), fit, quantize=Uniform(bits=6.0))


def siren_zstd() -> MlpRecipe:
    """Return the classic pipeline: SIREN, Adam, codes of 8 bits on average, zstd."""
    return MlpRecipe(
        "siren_zstd",
        Siren(),
        FitSettings(optimizer=Adam()),
        quantize=Uniform(bits=8.0),
        coder=Zstd(),
    )


def fourier() -> MlpRecipe:
    """Fourier features with a ReLU perceptron."""
    return MlpRecipe("fourier", Fourier(), FitSettings(optimizer=Muon(learning_rate=5e-2)))


def siren_rate() -> MlpRecipe:
    """SIREN whose weights and steps pay for their bits under the coder's model; four minutes."""
    fit = FitSettings(steps=12000, optimizer=Muon(learning_rate=2.4e-3), rate_term=True)
    return MlpRecipe("siren_rate", Siren(), fit, quantize=Uniform(bits=6.0))


def siren_rigl() -> MlpRecipe:
    """SIREN with 90 % zeros, trained sparse by RigL; codes of 8 bits on average, range coder."""
    return MlpRecipe(
        "siren_rigl",
        Siren(),
        FitSettings(),
        sparsify=RigL(sparsity=0.9),
        quantize=Uniform(bits=8.0),
    )


def siren_pruned() -> MlpRecipe:
    """SIREN pruned step by step by the magnitude of its weights, otherwise as siren_rigl."""
    return MlpRecipe(
        "siren_pruned",
        Siren(),
        FitSettings(),
        sparsify=Magnitude(sparsity=0.9),
        quantize=Uniform(bits=8.0),
    )


def siren_wavelet() -> MlpRecipe:
    """One SIREN for the coarse band of a wavelet transform and one for its details."""
    return MlpRecipe("siren_wavelet", Siren(), FitSettings(), split=Wavelet())


RECIPES: dict[str, Callable[[], MlpRecipe]] = {
    make.__name__: make
    for make in (
        siren,
        siren_best,
        siren_zstd,
        fourier,
        siren_rate,
        siren_rigl,
        siren_pruned,
        siren_wavelet,
    )
}
