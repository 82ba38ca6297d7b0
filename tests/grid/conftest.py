"""Fixtures of the grid's tests."""

import numpy as np
import pytest

from inr.grid.fit.init import first_networks
from inr.grid.fit.program import FitResult
from inr.grid.network_coding import quantize_networks


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
        params = first_networks(pyramid, problem.picture.mean((1, 2)), rng)
        latents = [
            rng.integers(-2, 3, (level.height, level.width), np.int32) for level in pyramid.levels
        ]
        return FitResult(params, latents, problem.lambda_, n_steps=7)

    def optimize_networks(params, latents, picture, lambda_, pyramid, *_, **__):
        return quantize_networks(params, dict.fromkeys(pyramid.groups, 8), pyramid)

    monkeypatch.setattr("inr.grid.encode.fit", fit)
    monkeypatch.setattr("inr.grid.encode.optimize_networks", optimize_networks)
    return fits
