"""Fixtures of the grid's tests."""

import numpy as np
import pytest

from inr.grid.fit.init import first_networks
from inr.grid.fit.program import FitResult
from inr.grid.network_coding import quantized


@pytest.fixture
def unfitted(monkeypatch):
    """Fits end at once with first networks and random latents, and their codes are rounded: all
    the rest of an encoding, with nothing to compile. Returns what the fits were given."""
    fits = []

    class Fitting:
        def __init__(self, jobs, pyramid, settings, time_budget=None):
            self.jobs, self.pyramid = jobs, pyramid
            fits.append((jobs, pyramid, settings, time_budget))

        def run(self, store=None, report=None, *, after=None):
            fits[-1] += (store,)
            return [self.fitted(job) for job in self.jobs]

        def fitted(self, job):
            rng = np.random.default_rng(job.seed)
            params = first_networks(self.pyramid, job.picture.mean((1, 2)), rng)
            latents = [
                rng.integers(-2, 3, (level.height, level.width), np.int32)
                for level in self.pyramid.levels
            ]
            return FitResult(params, latents, job.lambda_, n_steps=7)

    def chosen_networks(params, latents, picture, lambda_, pyramid, *_, **__):
        return quantized(params, dict.fromkeys(pyramid.groups, 8), pyramid)

    monkeypatch.setattr("inr.grid.encode.GridFitting", Fitting)
    monkeypatch.setattr("inr.grid.encode.chosen_networks", chosen_networks)
    return fits
