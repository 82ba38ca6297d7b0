"""The search for a target: fits whose lambda is steered, until a file meets it.

A file that misses is fitted on from where it stands, one that misses by far is fitted anew: late in
a fit latents hardly follow lambda.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from inr.fitting.checkpoint import SeveralFits
from inr.fitting.checkpoint import State as Stored
from inr.fitting.time_budget import TooShort, budget_of
from inr.grid.checked_file import pyramid_of, write_checked
from inr.grid.encode import (
    after_fit,
    before_coding,
    code_networks,
    grid_checkpoint,
    place_for_fit,
    problem_of,
)
from inr.grid.fit.program import fit
from inr.grid.fit.result import FitResult
from inr.grid.instant import encode_instant
from inr.grid.prior import rate_of
from inr.grid.recipe import GridRecipe
from inr.grid.structure import Pyramid
from inr.grid.targets import Trial, response, target_of, within
from inr.image.metrics import psnr_db
from inr.options import Candidate, Job, Report

_CODINGS = 5  # of all latents after a fit, with the search for a dead zone
_FURTHER, _MAX_FURTHER = 0.7, 7  # progress from which a file that misses is fitted on; how often


def encode_to_target(job: Job[GridRecipe], report: Report | None = None) -> Candidate:
    """Make the file that comes nearest to a target: as many bytes as found below it, or the
    smallest that has its PSNR, within 0.1 dB.

    A checkpoint holds what the finished fits ended in beside the state of the next, so that a
    killed run goes on in the fit it was in.

    Raises:
      UsageError: a target that no file of this recipe can meet, or a time budget likewise.
      FitError: every file was too large, or not good enough.
    """
    picture, recipe, options = job.picture, job.recipe, job.options
    pyramid = pyramid_of(picture, recipe)
    target = target_of(job, pyramid)
    checkpoint, budget = grid_checkpoint(job), budget_of(options)
    fits = SeveralFits(checkpoint)
    try:
        coding = place_for_fit(budget, picture, recipe, _CODINGS)
    except TooShort:
        return encode_instant(job)
    first = target.first_lambda()
    problem = replace(problem_of(job), lambda_=first, rate=rate_of(first))
    result: FitResult | None = None
    is_far = False
    tried: list[Trial] = []
    for i in range(1 + _MAX_FURTHER):
        stored, pyramid = fits.result(i), pyramid.at_rate(problem.rate)
        if stored is not None:
            result, trial = _restore(stored, pyramid)
        else:
            # Half of the time that is left, so that a second fit has some.
            share = None if budget is None else budget.reserving(max(0.0, budget.left() / 2))
            begin = None if result is None or is_far else (result, _FURTHER)
            try:
                (result,) = fit(
                    [problem],
                    pyramid,
                    recipe.fit,
                    time_budget=share,
                    store=fits,
                    report=report,
                    steer=target.steer,
                    begin=begin,
                    seconds_after=after_fit(coding, recipe, problem, pyramid, share),
                )
            except TooShort:
                if not tried:
                    return encode_instant(job)
                break
            search_until = before_coding(share, coding)
            coded = code_networks(picture, pyramid, result, options.seed, search_until)
            latents = target.trim(result, coded, picture, pyramid)
            data, pixels = write_checked(picture, pyramid, coded, latents)
            trial = Trial(data, psnr_db(picture.pixels, pixels), result.n_steps, pixels)
            fits.add_result(*_store(result, trial))
        tried.append(trial)
        if target.is_met(trial) or (budget is not None and budget.left() < 0):
            break
        lambda_ = target.correct_lambda(result, trial)
        is_far = target.miss(trial) > response((1 - _FURTHER) * recipe.fit.steps)
        if is_far:  # as if lambda had been what it was on average
            lambda_ *= (problem.lambda_ / result.lambda_) ** 0.5
        # A fit that goes on keeps the rate whose prior its networks come from.
        rate = rate_of(lambda_) if is_far else problem.rate
        problem = replace(problem, lambda_=within(lambda_), rate=rate)
    best = target.best(tried)
    return Candidate(best.data, best.n_steps, best.pixels, checkpoint)


_NUMBERS = ("lambda_", "n_steps", "steered_at")


def _store(result: FitResult, trial: Trial) -> Stored:
    """Return a finished fit and its file as a checkpoint holds them."""
    numbers: dict[str, Any] = {name: vars(result)[name] for name in _NUMBERS}
    numbers["psnr_db"] = trial.psnr_db
    data = np.frombuffer(trial.data, np.uint8)
    return numbers, [data, *result.params.values(), *result.unrounded]


def _restore(stored: Stored, pyramid: Pyramid) -> tuple[FitResult, Trial]:
    """Return what `_store` was given."""
    numbers, (data, *arrays) = stored
    n_tensors = len(pyramid.shapes)
    result = FitResult(
        dict(zip(pyramid.shapes, arrays[:n_tensors], strict=True)),
        arrays[n_tensors:],
        **{name: numbers[name] for name in _NUMBERS},
    )
    return result, Trial(data.tobytes(), numbers["psnr_db"], result.n_steps)
