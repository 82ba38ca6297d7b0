"""Fixtures of the grid's tests."""

import numpy as np
import pytest

from inr.grid.fit.init import first_networks
from inr.grid.fit.result import FitResult
from inr.grid.network_coding import quantize_networks


@pytest.fixture(scope="module")
def small_tiles():
    """Tiles of 32 pixels a side: small pictures have several, and a step takes a tenth."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inr.grid.fit.tiling.SIDE", 32)
        yield


@pytest.fixture
def unfitted(monkeypatch):
    """Fits end at once with first networks and random latents, and their codes are rounded: all
    the rest of an encoding, with nothing to compile. Returns what the fits were given."""
    fits = []

    def fit(problems, pyramid, settings, *, time_budget=None, store=None, **how):
        fits.append((problems, pyramid, settings, time_budget, store))
        return [fresh_result(problem, pyramid) for problem in problems]

    def fresh_result(problem, pyramid):
        rng = np.random.default_rng(problem.seed)
        own = pyramid.at_rate(problem.rate)
        params = first_networks(own, problem.picture.mean((1, 2)), rng)
        latents = [
            rng.integers(-2, 3, (level.height, level.width), np.int32) for level in own.levels
        ]
        return FitResult(params, latents, problem.lambda_, n_steps=7)

    def optimize_networks(params, latents, fitting, pyramid, *_, **__):
        return quantize_networks(params, dict.fromkeys(pyramid.groups, 8), pyramid)

    monkeypatch.setattr("inr.grid.encode.fit", fit)
    monkeypatch.setattr("inr.grid.encode.optimize_networks", optimize_networks)
    return fits
