"""Pictures to grid files: fit, codes of the networks, file, and the file checked.

fit -> chosen_networks -> latents coded under the networks of the file -> drawn by those networks,
for the checksum -> file -> decoded again
"""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from inr.codec import NO_LIMITS, EncodeOptions, EncodeResult, decode_picture
from inr.errors import FitError, FormatError
from inr.fitting.checkpoint import Checkpoint, checkpoint_of
from inr.fitting.compile_time import OF_GRID, seconds_to_compile
from inr.fitting.memory import give_back
from inr.fitting.time_budget import LEAST_STEPS, Pace, TimeBudget
from inr.format.checksum import pixels_crc
from inr.format.container import pack_icc
from inr.grid.file import check_sides, write_grid
from inr.grid.fit.init import first_networks
from inr.grid.fit.program import FitProblem, FitResult, GridFitting
from inr.grid.network_coding import CodedNetworks, quantized
from inr.grid.rdoq import chosen_networks
from inr.grid.structure import Pyramid
from inr.grid.synthesis import draw
from inr.image.metrics import psnr_db
from inr.image.picture import Picture
from inr.mlp.fit.problem import Progress

if TYPE_CHECKING:
    from inr.grid.recipe import GridRecipe

# Rounds of moves of the networks' codes: one for so many steps of the fit, at most.
_STEPS_A_ROUND, _MOST_ROUNDS = 50, 32
_STEPS_OF_A_ROUND = 7  # a round takes as long as so many steps of the fit
_SHARE_OF_MOVES = 0.1  # of a time budget, at most
_SEARCH_COMPILE_SHARE = 1.5  # of the time that the fit's program takes: what the search compiles
_STEP_OF_CODING = 0.2  # a step of the fit takes this part of drawing, coding and decoding, or more
# Of the crop on which coding is measured.
_SAMPLE_SIDE, _SAMPLE_OCTAVES = 256, 8

Report = Callable[[Progress], None]
GridEncoding = tuple[Picture, "GridRecipe", EncodeOptions]


def encode_grid(
    picture: Picture,
    recipe: "GridRecipe",
    options: EncodeOptions,
    budget: TimeBudget | None = None,
    report: Report | None = None,
) -> EncodeResult:
    """`codec.encode_picture` for a recipe of kind grid and a picture of more than one colour.

    Raises:
      UsageError: a picture that is too large, a time budget that is too short, or a checkpoint of
        another run.
      FitError: the fit failed, or a target was not met.
    """
    if options.has_target:
        from inr.grid.targets import encode_to_target

        return encode_to_target(picture, recipe, options, budget, report)
    return encode_grids([(picture, recipe, options)], budget, report)[0]


def encode_grids(
    jobs: Sequence[GridEncoding],
    budget: TimeBudget | None = None,
    report: Report | None = None,
) -> list[EncodeResult]:
    """Pictures of one size, or one picture with several lambdas or seeds, fitted as one batch.

    Args:
      jobs: without targets, and with one structure and one fit; a time budget or a checkpoint only
        where there is one job. The seconds of each are its share of the batch's.
    """
    started_at = time.monotonic()
    picture, recipe, options = jobs[0]
    pyramid = pyramid_of(picture, recipe)
    checkpoint = grid_checkpoint(picture, recipe, options)
    coding = None if budget is None else seconds_to_code(picture, recipe)
    refuse_too_short(budget, coding)
    fitting = GridFitting([job_of(*job) for job in jobs], pyramid, recipe.fit, budget)
    all_fitted = fitting.run(checkpoint, report, after=after_fit(coding))
    give_back()  # what the fit held, before more is compiled
    fit_seconds = (time.monotonic() - started_at) / len(jobs)
    search_until = before_coding(budget, coding)
    encoded = []
    for (picture, _, options), fitted in zip(jobs, all_fitted, strict=True):
        coding_at = time.monotonic() - fit_seconds  # counts as started its share ago
        coded = coded_networks(picture, pyramid, fitted, options.seed, search_until)
        latents = fitted.latents()
        made = finished_grid(picture, pyramid, coded, latents, fitted.n_steps, coding_at)
        encoded.append(dataclasses.replace(made, checkpoint=checkpoint))
    return encoded


def grid_checkpoint(
    picture: Picture, recipe: "GridRecipe", options: EncodeOptions
) -> Checkpoint | None:
    """The checkpoint of an encoding, if there is to be one."""
    targets = (options.target_size(picture.height, picture.width), options.target_psnr)
    return checkpoint_of(options.checkpoint, picture.pixels, (recipe, options.seed, targets))


def seconds_to_code(picture: Picture, recipe: "GridRecipe") -> float:
    """Measures on a crop how long it takes to draw, code and decode the whole picture."""
    seconds = 0.0
    for side in (16, _SAMPLE_SIDE):  # the first loads tables and starts threads
        crop = Picture(np.ascontiguousarray(picture.pixels[:side, :side]))
        pyramid = Pyramid(crop.height, crop.width, crop.n_channels, recipe.structure)
        networks = first_networks(pyramid, np.full(crop.n_channels, 0.5), np.random.default_rng(0))
        coded = quantized(networks, dict.fromkeys(pyramid.groups, _SAMPLE_OCTAVES), pyramid)
        latents = [np.zeros((level.height, level.width), np.int32) for level in pyramid.levels]
        started_at = time.monotonic()
        finished_grid(crop, pyramid, coded, latents, 0, started_at)
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


def after_fit(coding_seconds: float | None) -> Callable[[Pace, float], float]:
    """For `GridFitting.run`: the seconds of an encoding after its fit.

    coding_seconds: of drawing, coding and decoding; None where there is no time budget.
    """

    def seconds(pace: Pace, compile_seconds: float) -> float:
        a_round = _STEPS_OF_A_ROUND * pace.step_seconds
        moving = _n_rounds(pace.n_steps) * a_round
        if pace.time_budget is not None:
            moving = min(moving, max(a_round, _SHARE_OF_MOVES * pace.time_budget.left()))
        return _SEARCH_COMPILE_SHARE * compile_seconds + moving + (coding_seconds or 0.0)

    return seconds


def before_coding(budget: TimeBudget | None, coding_seconds: float | None) -> float:
    """When the search for codes has to end, in seconds of time.monotonic()."""
    return math.inf if budget is None else budget.ends_at - (coding_seconds or 0.0)


def _n_rounds(n_steps: int) -> int:
    return min(_MOST_ROUNDS, max(1, n_steps // _STEPS_A_ROUND))


def pyramid_of(picture: Picture, recipe: "GridRecipe") -> Pyramid:
    """The pyramid of a picture; ValueError where no grid file can hold the picture."""
    check_sides(picture.height, picture.width)
    if picture.icc_profile is not None:
        pack_icc(picture.icc_profile)  # finds out before the fit that it is too long
    return Pyramid(picture.height, picture.width, picture.n_channels, recipe.structure)


def job_of(picture: Picture, recipe: "GridRecipe", options: EncodeOptions) -> FitProblem:
    """What is to be fitted."""
    return FitProblem(_signal(picture), recipe.lambda_, options.seed)


def coded_networks(
    picture: Picture, pyramid: Pyramid, fitted: FitResult, seed: int, deadline: float = math.inf
) -> CodedNetworks:
    """The networks of a finished fit as codes; deadline in seconds of time.monotonic()."""
    return chosen_networks(
        *(fitted.params, fitted.latents(), _signal(picture), fitted.lambda_, pyramid, seed),
        max_rounds=_n_rounds(fitted.n_steps),
        deadline=deadline,
    )


def finished_grid(
    picture: Picture,
    pyramid: Pyramid,
    coded: CodedNetworks,
    latents: list[np.ndarray],
    n_steps: int,
    started_at: float,
) -> EncodeResult:
    """The file, read back and measured.

    Args:
      latents: int32[h, w] of each level.
      n_steps: of the fit.
      started_at: in seconds of time.monotonic().
    Raises:
      FitError: networks that no file can hold, or a file that does not give the picture back.
    """
    try:
        drawn = draw(latents, coded.values(pyramid), pyramid, picture.bit_depth)
        data = write_grid(
            *(pyramid, picture.bit_depth, coded, latents),
            *(pixels_crc(drawn), picture.icc_profile),
        )
        decoded = decode_picture(data, NO_LIMITS).pixels
    except FormatError as error:
        raise FitError(
            f"the fit ended in what no file can hold ({error}); give another seed or a lower "
            "fit.learning_rate"
        ) from error
    if not np.array_equal(drawn, decoded):
        raise FitError("the file does not give back the picture it was made of; please report this")
    seconds = time.monotonic() - started_at
    return EncodeResult(data, psnr_db(picture.pixels, decoded), n_steps, seconds)


def _signal(picture: Picture) -> np.ndarray:
    """f32[n_channels, height, width] in 0..1."""
    peak = np.float32((1 << picture.bit_depth) - 1)
    return picture.pixels.transpose(2, 0, 1).astype(np.float32) / peak
