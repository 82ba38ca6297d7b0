"""Fits so small that a test can wait for them.

One configuration for nearly all tests: each other one, even of another sparsifier or width, is
compiled again, which takes seconds.
"""

import numpy as np

from helpers.options import encode_options
from inr import recipes
from inr.codec import encode_picture
from inr.image.read import from_array
from inr.mlp.fields.joint import field_set_of
from inr.mlp.fit.problem import Budget, FitProblem, Signal
from inr.mlp.fit.program import MlpProgram
from inr.mlp.recipe import MlpRecipe
from inr.options import EncodeResult
from inr.settings import with_settings

# The last 12 of 60 steps round, so that blocks have a quarter of that, 3 steps, whatever the
# number of steps.
TINY = {
    "fit.steps": "60",
    "fit.rounding": "0.2",
    "fit.optimizer.learning_rate": "2e-2",  # as 60 steps have to do
    "fit.optimizer.adam_learning_rate": "2e-2",
    "field.hidden": "8",
    "field.n_layers": "2",
    "field.first_omega_0": "5",
}
BLOCK = 3  # steps


def smooth(height=32, width=32, n_channels=3):
    """Slow waves, other ones in each channel: what a tiny network can learn."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [np.sin(3 * x + 2 * y), np.cos(4 * y), np.sin(5 * x * y), np.cos(3 * x)]
    return np.rint(np.stack(waves[:n_channels], -1) * 100 + 128).astype(np.uint8)


def tiny(settings=None, name="siren") -> MlpRecipe:
    """A recipe of that name with a tiny fixed network."""
    return with_settings(recipes.named(name), TINY | (settings or {}))


def fitted(picture=None, settings=None, report=None, **options) -> EncodeResult:
    """One tiny fit down to bytes; options: see codec.EncodeOptions."""
    loaded = from_array(smooth() if picture is None else picture)
    return encode_picture(loaded, tiny(settings), encode_options(**options), report=report)


def job_of(settings=None, max_bytes=None, seed=0, picture=None, budget_bits=1000.0) -> FitProblem:
    """The job of such a fit, with a file of 100 bytes, whatever the codes."""
    recipe = tiny(settings)
    pixels = smooth() if picture is None else picture
    height, width, n_channels = pixels.shape
    signal = Signal(
        pixels.reshape(-1, n_channels), height, width, ((0, 255),) * n_channels, peak=255.0
    )
    budget = Budget(budget_bits, height * width, max_bytes, lambda codes, qparams: bytes(100))
    field = recipe.sparsify.prepare(recipe.field, n_channels)
    field_set = field_set_of(recipe.split, field, height, width, n_channels)
    return FitProblem(field_set, (signal,), recipe.quantize, recipe.sparsify, budget, seed)


def program_of(settings=None, **of_job) -> MlpProgram:
    """The program of one such fit, to be run by hand."""
    return MlpProgram([job_of(settings, **of_job)], tiny(settings).fit)


class Watched:
    """A program, and its state after each block that the loop has run of it."""

    def __init__(self, program):
        self.program, self.seen = program, []

    def __getattr__(self, name):
        return getattr(self.program, name)

    def after_block(self, state, block, losses):
        state, scores = self.program.after_block(state, block, losses)
        self.seen.append((block, state))
        return state, scores


class Killed(Exception):
    """Stands for a kill in the middle of a fit."""


def kill_after(n_blocks):
    """A `report` that kills the fit in the block after that many."""

    def report(progress):
        nonlocal n_blocks
        n_blocks -= 1
        if n_blocks < 0:
            raise Killed

    return report
