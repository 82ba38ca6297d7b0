"""What the tests of coding in kind cae share: small models as shipped ones, and pictures."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np

import inr
from helpers.tiny_cae import (
    FACTORIZED,
    HYPERPRIOR,
    MODELS,
    RESIDUAL,
    SLIMMABLE,
    weights_of,
)
from inr.cae.recipe import CaeRecipe
from inr.cae.weights import write_weights

__all__ = [
    "FACTORIZED",
    "HYPERPRIOR",
    "MODELS",
    "RESIDUAL",
    "SLIMMABLE",
    "TINY",
    "decode",
    "models_folder",
    "picture",
    "recipe",
    "weights_of",
]


TINY = {
    "tiny": weights_of(),
    "factorized": weights_of(FACTORIZED, "factorized"),
    "residual": weights_of(RESIDUAL, "residual"),
    "slimmable": weights_of(SLIMMABLE, "slimmable"),
}


@functools.cache
def models_folder() -> Path:
    """A folder of the TINY models, NAME.npz each, until the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="models-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, weights in TINY.items():
        (folder / f"{name}.npz").write_bytes(write_weights(weights))
    return folder


def recipe(model: str = "tiny", **changes) -> CaeRecipe:
    """A recipe that names one of the TINY models by its path."""
    return CaeRecipe("cae", str(models_folder() / f"{model}.npz"), **changes)


def decode(data: bytes, **view) -> np.ndarray:
    return inr.decode(data, models=models_folder(), **view)


def picture(height: int, width: int, n_channels: int = 3, seed: int = 0) -> np.ndarray:
    """u8[height, width, n_channels] of waves and a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:height, :width]
    planes = [
        np.sin(y / (7 + c) + c) * 60 + np.cos(x / (5 + c)) * 50 + 128 for c in range(n_channels)
    ]
    noisy = np.stack(planes, axis=2) + rng.normal(0, 6, (height, width, n_channels))
    return np.clip(noisy, 0, 255).astype(np.uint8)
