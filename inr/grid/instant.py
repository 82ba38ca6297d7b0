"""Pictures to grid files without a fit: latents as they are predicted, networks of the prior.

All in numpy: to load jax and to compile would take longer.
"""

import time
from dataclasses import replace

import numpy as np

from inr.fitting.time_budget import TooShort, budget_of
from inr.grid.checked_file import pyramid_of, samples_of, write_checked
from inr.grid.closed_loop import predict_corrected
from inr.grid.fit.result import FitResult
from inr.grid.latent_moves import move_finest
from inr.grid.latent_rdoq import lower_finest
from inr.grid.network_coding import CodedNetworks, quantize_networks
from inr.grid.prior import lambda_of, prior_networks, without_fit
from inr.grid.recipe import GridRecipe
from inr.grid.structure import MAX_RATE, Pyramid
from inr.grid.targets import Trial, target_of
from inr.image.metrics import psnr_db
from inr.image.picture import Picture
from inr.options import Candidate, Job

_SAMPLE_SIDES = 16, 96, 256  # pixels, of the crops on which coding is measured
_LOADING = 4.0  # seconds: to load jax and a fit's programs from a cache
_LONG = 60.0  # seconds left in which to load jax matters to no picture
_STEPS_FOR_ALPHA = 60
_ROUNDS_OF_MOVES = 2  # of the finest latents; each takes about half a second at 768x512
# With all levels corrected and moves: times the seconds that a file takes without.
_ALL_LEVELS = 2.6
_LEAST = 0.8  # of the seconds that crops tell, which may be too many: to refuse is the last resort
_PASSES_OF_TARGET = 6  # that a search for a target takes, about, in time of the coding of a file


def with_steps_for_alpha(job: Job[GridRecipe]) -> Job[GridRecipe]:
    """Return the job with a short fit where it has none and there is alpha: no prior knows how
    alpha is drawn."""
    recipe = job.recipe
    if recipe.fit.steps or not job.picture.has_alpha:
        return job
    return replace(job, recipe=replace(recipe, fit=replace(recipe.fit, steps=_STEPS_FOR_ALPHA)))


def is_instant(job: Job[GridRecipe]) -> bool:
    """Whether a job is to be done without a fit: its recipe has no steps, or its time budget no
    place even to load jax."""
    if job.recipe.fit.steps == 0:
        return True
    budget = budget_of(job.options)
    if budget is None or budget.left() > _LONG or job.picture.has_alpha:
        return False
    left = budget.left()
    # To measure takes a part of so short a budget, and is done later once.
    return left < _LOADING or left < _LOADING + seconds_to_code(job.picture, job.recipe)


def encode_instant(job: Job[GridRecipe]) -> Candidate:
    """Make a file without a fit, also where the recipe has one.

    Raises:
      UsageError: a picture that is too large or has alpha, or a time budget that is too short.
      FitError: no such file meets the target.
    """
    if job.picture.has_alpha:
        raise TooShort("a picture with alpha needs a fit, for which the time budget is too short")
    if job.recipe.fit.steps:
        structure = without_fit(job.recipe.structure)
        job = replace(job, recipe=replace(job.recipe, structure=structure))
    only_finest = _is_short(job)
    if job.options.target.is_given:
        return _search(job, only_finest)
    pyramid = pyramid_of(job.picture, job.recipe)
    result, coded = _predict(job.picture, pyramid, job.recipe.lambda_, only_finest)
    if not only_finest:
        picture, values = samples_of(job.picture), coded.values(pyramid)
        moved = move_finest(
            result.unrounded, picture, values, result.lambda_, pyramid, _ROUNDS_OF_MOVES
        )
        result = replace(result, unrounded=moved)
    data, pixels = write_checked(job.picture, pyramid, coded, result.latents())
    return Candidate(data, 0, pixels)


def _is_short(job: Job[GridRecipe]) -> bool:
    """Whether the time budget has no place to correct all levels; raises TooShort where it has none
    even for the finest alone."""
    budget = budget_of(job.options)
    if budget is None:
        return False
    times = _PASSES_OF_TARGET if job.options.target.is_given else 1
    seconds = times * seconds_to_code(job.picture, job.recipe)
    if budget.left() < _LEAST * seconds:
        budget.require(seconds, "coding and drawing")
    return budget.left() < _ALL_LEVELS * seconds


def seconds_to_code(picture: Picture, recipe: GridRecipe) -> float:
    """Measure on crops how long it takes to analyse, draw, code and decode the whole picture, where
    only the finest level is corrected."""
    taken, n_pixels = [], picture.height * picture.width
    for side in _SAMPLE_SIDES:  # the first loads tables and starts threads
        crop = Picture(np.ascontiguousarray(picture.pixels[:side, :side]))
        started_at = time.monotonic()
        pyramid = pyramid_of(crop, recipe)
        result, coded = _predict(crop, pyramid, recipe.lambda_, only_finest=True)
        write_checked(crop, pyramid, coded, result.latents())
        taken.append((crop.height * crop.width, time.monotonic() - started_at))
    (n_small, at_least), (n_large, seconds) = taken[1:]
    if n_large <= n_small:
        return seconds * n_pixels / n_large
    a_pixel = max(0.0, seconds - at_least) / (n_large - n_small)
    return at_least + a_pixel * (n_pixels - n_small)


def _predict(
    picture: Picture, pyramid: Pyramid, lambda_: float, only_finest: bool
) -> tuple[FitResult, CodedNetworks]:
    """Return the predicted latents, rounded by what they cost, and the networks of the prior.

    only_finest: as for `predict_corrected`.
    """
    prior = prior_networks(pyramid)
    coded = quantize_networks(prior, dict.fromkeys(pyramid.groups, 0), pyramid)
    latents, colour = predict_corrected(samples_of(picture), pyramid, only_finest=only_finest)
    if colour is not None:
        latents = lower_finest(latents, colour, lambda_, pyramid)
    return FitResult(prior, latents, lambda_, 0), coded


def _search(job: Job[GridRecipe], only_finest: bool) -> Candidate:
    """Find the rate at which a file is just below what is asked for, and trim that before it."""
    picture = job.picture
    pyramid = pyramid_of(picture, job.recipe)
    target = target_of(job, pyramid)
    tried: dict[int, Trial] = {}

    def make(rate: int, is_trimmed: bool) -> Trial:
        at_rate = pyramid.at_rate(rate)
        result, coded = _predict(picture, at_rate, lambda_of(rate), only_finest)
        latents = result.latents()
        if is_trimmed:
            latents = target.trim(result, coded, picture, at_rate)
        data, pixels = write_checked(picture, at_rate, coded, latents)
        return Trial(data, psnr_db(picture.pixels, pixels), 0, pixels)

    low, high = -1, MAX_RATE  # of low a file is more than what is asked for, or there is none
    while high - low > 1:
        middle = (low + high) // 2
        tried[middle] = make(middle, is_trimmed=False)
        low, high = (low, middle) if target.is_modest(tried[middle]) else (middle, high)
    candidates = [tried[high] if high in tried else make(high, is_trimmed=False)]
    if low >= 0:
        candidates.append(make(low, is_trimmed=True))
    best = target.best(candidates)
    return Candidate(best.data, 0, best.pixels)
