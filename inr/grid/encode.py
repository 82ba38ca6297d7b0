"""Pictures to grid files: fit, codes of the networks, file, and the file checked.

fit -> code_networks -> finest latents moved where it pays -> latents coded under the networks of
the file -> drawn by those networks, for the checksum -> file -> decoded again
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from inr.fitting.checkpoint import Checkpoint, checkpoint_of
from inr.fitting.compile_time import OF_GRID, seconds_to_compile
from inr.fitting.loop import give_back
from inr.fitting.time_budget import LEAST_STEPS, TimeBudget, TooShort, budget_of
from inr.grid.checked_file import pyramid_of, samples_of, write_checked
from inr.grid.fit.program import FitProblem, SecondsAfter, fit
from inr.grid.fit.result import FitResult
from inr.grid.fit.step import Fitting, flatten
from inr.grid.instant import encode_instant, seconds_to_code
from inr.grid.latent_moves import move_finest
from inr.grid.network_coding import CodedNetworks, quantize_networks
from inr.grid.prior import prior_networks, rate_of
from inr.grid.rdoq import compile_search, optimize_networks
from inr.grid.recipe import GridRecipe
from inr.grid.structure import Pyramid
from inr.image.picture import Picture
from inr.options import Candidate, Job, Report

# Rounds of moves of the networks' codes: one for so many steps of the fit, at most.
_STEPS_A_ROUND, _MOST_ROUNDS = 50, 8
# A round takes as long as so many steps of the fit, and what comes before the first one.
_STEPS_OF_A_ROUND, _STEPS_BEFORE = 3.1, 10
_SHARE_OF_SEARCH = 0.1  # of a time budget, at most
# Rounds of moves of the finest latents: one for so many steps of the fit.
_STEPS_A_MOVE, _LEAST_MOVES, _MOST_MOVES = 30, 2, 12
_STEP_OF_CODING = 0.1  # a step of the fit takes this part of drawing, coding and decoding, or more


def encode(jobs: Sequence[Job[GridRecipe]], report: Report | None) -> list[Candidate]:
    """Fit pictures of one size, or one picture with several lambdas or seeds, as one batch.

    Where a time budget has no place for a fit, there is none.

    Args:
      jobs: without targets, and with one structure and one fit; a time budget or a checkpoint only
        where there is one job.
    Raises:
      UsageError: a picture that is too large, a time budget that is too short, or a checkpoint of
        another run.
      FitError: the fit failed.
    """
    picture, recipe, options = jobs[0].picture, jobs[0].recipe, jobs[0].options
    pyramid = pyramid_of(picture, recipe)
    checkpoint, budget = grid_checkpoint(jobs[0]), budget_of(options)
    problems = [problem_of(job) for job in jobs]
    try:
        coding = place_for_fit(budget, picture, recipe)
        results = fit(
            problems,
            pyramid,
            recipe.fit,
            time_budget=budget,
            store=checkpoint,
            report=report,
            seconds_after=after_fit(coding, recipe, problems[0], pyramid, budget),
        )
    except TooShort:
        return [encode_instant(job) for job in jobs]
    give_back()  # what the fit held, before more is compiled
    search_until = before_coding(budget, coding)
    made = []
    for job, result in zip(jobs, results, strict=True):
        pyramid = pyramid.at_rate(rate_of(job.recipe.lambda_))
        coded = code_networks(job.picture, pyramid, result, job.options.seed, search_until)
        n_rounds = min(_MOST_MOVES, max(_LEAST_MOVES, result.n_steps // _STEPS_A_MOVE))
        moved = move_finest(
            result.unrounded,
            samples_of(job.picture),
            coded.values(pyramid),
            result.lambda_,
            pyramid,
            n_rounds,
            search_until,
            coding,
        )
        latents = replace(result, unrounded=moved).latents()
        data, pixels = write_checked(job.picture, pyramid, coded, latents)
        made.append(Candidate(data, result.n_steps, pixels, checkpoint))
    return made


def grid_checkpoint(job: Job[GridRecipe]) -> Checkpoint | None:
    """Return the checkpoint of an encoding, if there is to be one."""
    target, picture = job.options.target, job.picture
    targets = (target.max_bytes(picture.n_pixels), target.psnr_db)
    settings = (job.recipe, job.options.seed, targets)
    return checkpoint_of(job.options.checkpoint, picture.pixels, settings)


def place_for_fit(
    budget: TimeBudget | None, picture: Picture, recipe: GridRecipe, times: int = 1
) -> float:
    """Return the seconds to reserve for drawing, coding and decoding after a fit.

    times: that a picture is coded.
    Raises:
      TooShort: before anything is compiled, where the budget has no place for a fit.
    """
    if budget is None:
        return 0.0
    coding = times * seconds_to_code(picture, recipe)
    fit_seconds = LEAST_STEPS * _STEP_OF_CODING * coding / times
    rest = budget.reserving(coding)
    rest.require(fit_seconds, "a short fit, coding and drawing")
    compile_seconds = seconds_to_compile(OF_GRID)
    rest.require(compile_seconds + fit_seconds, "compiling, a short fit, coding and drawing")
    return coding


def after_fit(
    coding_seconds: float,
    recipe: GridRecipe,
    problem: FitProblem,
    pyramid: Pyramid,
    budget: TimeBudget | None,
) -> SecondsAfter:
    """Return what tells the seconds of an encoding after its fit, of which coding_seconds are for
    drawing, coding and decoding."""

    def seconds(step_seconds: float) -> float:
        if recipe.fit.alone == 1 and not pyramid.has_alpha:
            return coding_seconds
        # Compiled now: how long it would take later nobody knows, where a cache on disk may hold
        # some of the programs and not the others.
        prior = flatten(prior_networks(pyramid), pyramid)
        compile_search(Fitting.of(problem.picture, pyramid, problem.lambda_, prior), pyramid)
        searching = (_STEPS_BEFORE + _n_rounds(recipe.fit.steps) * _STEPS_OF_A_ROUND) * step_seconds
        if budget is not None:
            searching = min(searching, max(0.0, _SHARE_OF_SEARCH * budget.left()))
        return searching + coding_seconds

    return seconds


def before_coding(budget: TimeBudget | None, coding_seconds: float) -> float:
    """When the search for codes has to end, in seconds of time.monotonic()."""
    return math.inf if budget is None else budget.ends_at - coding_seconds


def _n_rounds(n_steps: int) -> int:
    return min(_MOST_ROUNDS, max(1, n_steps // _STEPS_A_ROUND))


def problem_of(job: Job[GridRecipe]) -> FitProblem:
    """Return what is to be fitted."""
    lambda_ = job.recipe.lambda_
    return FitProblem(samples_of(job.picture), lambda_, job.options.seed, rate_of(lambda_))


def code_networks(
    picture: Picture,
    pyramid: Pyramid,
    result: FitResult,
    seed: int,
    deadline: float = math.inf,
) -> CodedNetworks:
    """Choose the codes of the networks of a finished fit; none where they have stayed as they were.

    deadline: in seconds of time.monotonic().
    """
    prior = prior_networks(pyramid)
    is_prior = all(np.array_equal(result.params[name], prior[name]) for name in pyramid.shapes)
    if is_prior:
        return quantize_networks(prior, dict.fromkeys(pyramid.groups, 0), pyramid)
    flat = flatten(prior, pyramid)
    return optimize_networks(
        result.params,
        result.latents(),
        Fitting.of(samples_of(picture), pyramid, result.lambda_, flat),
        pyramid,
        seed,
        max_rounds=_n_rounds(result.n_steps),
        deadline=deadline,
    )
