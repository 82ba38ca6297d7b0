"""What the tests of coding in kind cae share: small models as shipped ones, and pictures."""

import functools
import json

import numpy as np

from helpers.tiny_cae import (
    FACTORIZED,
    HYPERPRIOR,
    MODELS,
    RESIDUAL,
    SLIMMABLE,
    weights_of,
)
from inr.cae import weight_store as models
from inr.cae.recipe import CaeRecipe
from inr.cae.weights import Weights, write_weights

__all__ = [
    "FACTORIZED",
    "HYPERPRIOR",
    "MODELS",
    "RESIDUAL",
    "SLIMMABLE",
    "picture",
    "recipe",
    "ship",
    "weights_of",
]


def ship(folder, monkeypatch, *shipped: Weights) -> None:
    """Makes `folder` the one of shipped models, with these numbered from 1."""
    entries = []
    for number, weights in enumerate(shipped, 1):
        file = f"{weights.name}.npz"
        (folder / file).write_bytes(write_weights(weights))
        entries.append({"id": number, "name": weights.name, "file": file, "sha256": weights.sha256})
    (folder / "manifest.json").write_text(json.dumps({"models": entries}))
    monkeypatch.setattr(models, "_folder", lambda: folder)
    uncached = functools.lru_cache(models._shipped_weights.__wrapped__)
    monkeypatch.setattr(models, "_shipped_weights", uncached)


def recipe(model: str = "tiny", **changes) -> CaeRecipe:
    return CaeRecipe("cae", model, **changes)


def picture(height: int, width: int, n_channels: int = 3, seed: int = 0) -> np.ndarray:
    """u8[height, width, n_channels] of waves and a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:height, :width]
    planes = [
        np.sin(y / (7 + c) + c) * 60 + np.cos(x / (5 + c)) * 50 + 128 for c in range(n_channels)
    ]
    noisy = np.stack(planes, axis=2) + rng.normal(0, 6, (height, width, n_channels))
    return np.clip(noisy, 0, 255).astype(np.uint8)
