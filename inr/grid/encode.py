"""Pictures to grid files: fit, codes of the networks, file, and the file checked.

fit -> code_networks -> latents coded under the networks of the file -> drawn by those networks,
for the checksum -> file -> decoded again
"""

import math
import time
from collections.abc import Sequence

import numpy as np

from inr.errors import FitError, FormatError
from inr.fitting.checkpoint import Checkpoint, checkpoint_of
from inr.fitting.compile_time import OF_GRID, seconds_to_compile
from inr.fitting.loop import give_back
from inr.fitting.time_budget import LEAST_STEPS, TimeBudget, budget_of
from inr.format.checksum import pixels_crc
from inr.format.container import pack_icc, unpack
from inr.grid.decode import render_content
from inr.grid.file import check_sides, read_content, write_grid
from inr.grid.fit.init import first_networks
from inr.grid.fit.program import FitProblem, FitResult, SecondsAfter, fit
from inr.grid.network_coding import CodedNetworks, quantize_networks
from inr.grid.rdoq import compile_search, optimize_networks
from inr.grid.recipe import GridRecipe
from inr.grid.structure import Pyramid
from inr.grid.synthesis import synthesize
from inr.image.picture import Picture
from inr.image.region import Region
from inr.options import Candidate, Job, Report

# Rounds of moves of the networks' codes: one for so many steps of the fit, at most.
_STEPS_A_ROUND, _MOST_ROUNDS = 50, 32
_STEPS_OF_A_ROUND = 7  # a round takes as long as so many steps of the fit
_SHARE_OF_MOVES = 0.1  # of a time budget, at most
_SEARCH_COMPILE_SHARE = 1.5  # of the time that the fit's program takes: what the search compiles
_STEP_OF_CODING = 0.2  # a step of the fit takes this part of drawing, coding and decoding, or more
# Of the crop on which coding is measured.
_SAMPLE_SIDE, _SAMPLE_OCTAVES = 256, 8


def encode(jobs: Sequence[Job[GridRecipe]], report: Report | None) -> list[Candidate]:
    """Fit pictures of one size, or one picture with several lambdas or seeds, as one batch.

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
    coding = None if budget is None else seconds_to_code(picture, recipe)
    refuse_too_short(budget, coding)
    results = fit(
        [problem_of(job) for job in jobs],
        pyramid,
        recipe.fit,
        time_budget=budget,
        store=checkpoint,
        report=report,
        seconds_after=after_fit(coding, recipe.fit.steps, pyramid, budget),
    )
    give_back()  # what the fit held, before more is compiled
    search_until = before_coding(budget, coding)
    made = []
    for job, result in zip(jobs, results, strict=True):
        coded = code_networks(job.picture, pyramid, result, job.options.seed, search_until)
        data, pixels = write_checked(job.picture, pyramid, coded, result.latents())
        made.append(Candidate(data, result.n_steps, pixels, checkpoint))
    return made


def grid_checkpoint(job: Job[GridRecipe]) -> Checkpoint | None:
    """Return the checkpoint of an encoding, if there is to be one."""
    target, picture = job.options.target, job.picture
    targets = (target.max_bytes(picture.n_pixels), target.psnr_db)
    settings = (job.recipe, job.options.seed, targets)
    return checkpoint_of(job.options.checkpoint, picture.pixels, settings)


def seconds_to_code(picture: Picture, recipe: GridRecipe) -> float:
    """Measure on a crop how long it takes to draw, code and decode the whole picture."""
    seconds = 0.0
    for side in (16, _SAMPLE_SIDE):  # the first loads tables and starts threads
        crop = Picture(np.ascontiguousarray(picture.pixels[:side, :side]))
        pyramid = Pyramid(crop.height, crop.width, crop.n_channels, recipe.structure)
        networks = first_networks(pyramid, np.full(crop.n_channels, 0.5), np.random.default_rng(0))
        coded = quantize_networks(networks, dict.fromkeys(pyramid.groups, _SAMPLE_OCTAVES), pyramid)
        latents = [np.zeros((level.height, level.width), np.int32) for level in pyramid.levels]
        started_at = time.monotonic()
        write_checked(crop, pyramid, coded, latents)
        n_pixels = crop.height * crop.width
        seconds = (time.monotonic() - started_at) * picture.height * picture.width / n_pixels
    return seconds


def refuse_too_short(budget: TimeBudget | None, coding_seconds: float | None) -> None:
    """Refuses, before anything is compiled, a time budget that cannot be kept; raises TooShort."""
    if budget is not None and coding_seconds is not None:
        compile_seconds = (1 + _SEARCH_COMPILE_SHARE) * seconds_to_compile(OF_GRID)
        fit_seconds = LEAST_STEPS * _STEP_OF_CODING * coding_seconds
        rest = budget.reserving(coding_seconds)
        rest.require(compile_seconds + fit_seconds, "compiling, a short fit, coding and drawing")


def after_fit(
    coding_seconds: float | None, n_steps: int, pyramid: Pyramid, budget: TimeBudget | None
) -> SecondsAfter:
    """Return what tells the seconds of an encoding after its fit.

    coding_seconds: of drawing, coding and decoding; None where there is no time budget.
    """

    def seconds(step_seconds: float, compile_seconds: float) -> float:
        # Compiled now: how long it would take later nobody knows, where a cache on disk may hold
        # some of the programs and not the others.
        compile_search(pyramid)
        a_round = _STEPS_OF_A_ROUND * step_seconds
        moving = _n_rounds(n_steps) * a_round
        if budget is not None:
            moving = min(moving, max(a_round, _SHARE_OF_MOVES * budget.left()))
        return moving + (coding_seconds or 0.0)

    return seconds


def before_coding(budget: TimeBudget | None, coding_seconds: float | None) -> float:
    """When the search for codes has to end, in seconds of time.monotonic()."""
    return math.inf if budget is None else budget.ends_at - (coding_seconds or 0.0)


def _n_rounds(n_steps: int) -> int:
    return min(_MOST_ROUNDS, max(1, n_steps // _STEPS_A_ROUND))


def pyramid_of(picture: Picture, recipe: GridRecipe) -> Pyramid:
    """Return the pyramid of a picture; ValueError where no grid file can hold the picture."""
    check_sides(picture.height, picture.width)
    if picture.icc_profile is not None:
        pack_icc(picture.icc_profile)  # finds out before the fit that it is too long
    return Pyramid(picture.height, picture.width, picture.n_channels, recipe.structure)


def problem_of(job: Job[GridRecipe]) -> FitProblem:
    """Return what is to be fitted."""
    return FitProblem(_signal(job.picture), job.recipe.lambda_, job.options.seed)


def code_networks(
    picture: Picture, pyramid: Pyramid, result: FitResult, seed: int, deadline: float = math.inf
) -> CodedNetworks:
    """Choose the codes of the networks of a finished fit.

    deadline: in seconds of time.monotonic().
    """
    return optimize_networks(
        result.params,
        result.latents(),
        _signal(picture),
        result.lambda_,
        pyramid,
        seed,
        max_rounds=_n_rounds(result.n_steps),
        deadline=deadline,
    )


def write_checked(
    picture: Picture, pyramid: Pyramid, coded: CodedNetworks, latents: list[np.ndarray]
) -> tuple[bytes, np.ndarray]:
    """Write the file, and read it back.

    Args:
      latents: int32[h, w] of each level.
    Returns:
      The file and the pixels that it draws.
    Raises:
      FitError: networks that no file can hold, or a file that does not give the picture back.
    """
    size = picture.size
    try:
        drawn = synthesize(latents, coded.values(pyramid), pyramid, picture.bit_depth)
        data = write_grid(
            pyramid=pyramid,
            bit_depth=picture.bit_depth,
            coded=coded,
            latents=latents,
            crc=pixels_crc(drawn),
            icc_profile=picture.icc_profile,
        )
        decoded = render_content(read_content(*unpack(data)), size, Region.whole(size))
    except FormatError as error:
        raise FitError(
            f"the fit ended in what no file can hold ({error}); give another seed or a lower "
            "fit.learning_rate"
        ) from error
    if not np.array_equal(drawn, decoded):
        raise FitError("the file does not give back the picture it was made of; please report this")
    return data, decoded


def _signal(picture: Picture) -> np.ndarray:
    """f32[n_channels, height, width] in 0..1."""
    peak = np.float32((1 << picture.bit_depth) - 1)
    return picture.pixels.transpose(2, 0, 1).astype(np.float32) / peak
