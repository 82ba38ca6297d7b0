"""Pictures to grid files: fit, codes of the networks, file, and the file checked.

fit -> chosen_networks -> latents coded under the networks of the file -> drawn by those networks,
for the checksum -> file -> decoded again
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from inr.checkpoint import checkpoint_of
from inr.checksum import pixels_crc
from inr.codec import Encoded, View, Wish, decode_picture
from inr.container import pack_icc
from inr.errors import FitError, FormatError
from inr.fit_types import Progress
from inr.grid.draw import draw
from inr.grid.fit import FittedGrid, GridFitting, GridJob
from inr.grid.grid_file import check_sides, write_grid
from inr.grid.network_coding import CodedNetworks
from inr.grid.network_search import chosen_networks
from inr.grid.structure import Pyramid
from inr.memory import give_back
from inr.metrics import psnr_db

if TYPE_CHECKING:
    from inr.grid.recipe import GridRecipe
    from inr.picture import Picture

# Of moves of the networks' codes: a round takes as long as seven steps of the fit.
_STEPS_A_ROUND, _MOST_ROUNDS = 50, 32
FIT_SHARE = 0.8  # of a time budget; the rest is for the networks' codes and the file

Report = Callable[[Progress], None]
GridEncoding = tuple["Picture", "GridRecipe", Wish]


def encode_grid(
    picture: "Picture", recipe: "GridRecipe", wish: Wish, report: Report | None = None
) -> Encoded:
    """`codec.encode_picture` for a recipe of kind grid and a picture of more than one colour.

    Raises:
      ValueError: a picture that is too large, or a checkpoint of another run.
      FitError: the fit failed, or a target was not met.
    """
    if wish.has_target:
        from inr.grid.rate_control import encode_to_target

        return encode_to_target(picture, recipe, wish, report)
    return encode_grids([(picture, recipe, wish)], report)[0]


def encode_grids(jobs: Sequence[GridEncoding], report: Report | None = None) -> list[Encoded]:
    """Pictures of one size, or one picture with several lambdas or seeds, fitted as one batch.

    Args:
      jobs: without targets, and with one structure and one fit; a time budget or a checkpoint only
        where there is one job. The seconds of each are its share of the batch's.
    """
    started_at = time.monotonic()
    picture, recipe, wish = jobs[0]
    pyramid = pyramid_of(picture, recipe)
    ends_at, fit_until = math.inf, None
    if wish.time_budget is not None:
        ends_at = started_at + wish.time_budget
        fit_until = started_at + FIT_SHARE * wish.time_budget
    fitting = GridFitting([job_of(*job) for job in jobs], pyramid, recipe.fit, fit_until)
    told = (picture.pixels.shape, picture.pixels.dtype.name, recipe, wish.seed)
    checkpoint = checkpoint_of(wish.checkpoint, picture.pixels, told)
    all_fitted = fitting.run(checkpoint, report)
    give_back()  # what the fit held, before more is compiled
    fit_seconds = (time.monotonic() - started_at) / len(jobs)
    encoded = []
    for (picture, _, wish), fitted in zip(jobs, all_fitted, strict=True):
        coding_at = time.monotonic() - fit_seconds  # counts as started its share ago
        coded = coded_networks(picture, pyramid, fitted, wish.seed, ends_at)
        latents = fitted.latents()
        encoded.append(finished_grid(picture, pyramid, coded, latents, fitted.n_steps, coding_at))
    return encoded


def pyramid_of(picture: "Picture", recipe: "GridRecipe") -> Pyramid:
    """The pyramid of a picture; ValueError where no grid file can hold the picture."""
    check_sides(picture.height, picture.width)
    if picture.icc_profile is not None:
        pack_icc(picture.icc_profile)  # finds out before the fit that it is too long
    return Pyramid(picture.height, picture.width, picture.n_channels, recipe.structure)


def job_of(picture: "Picture", recipe: "GridRecipe", wish: Wish) -> GridJob:
    """What is to be fitted."""
    return GridJob(_signal(picture), recipe.lambda_, wish.seed)


def coded_networks(
    picture: "Picture", pyramid: Pyramid, fitted: FittedGrid, seed: int, deadline: float = math.inf
) -> CodedNetworks:
    """The networks of a finished fit as codes; deadline in seconds of time.monotonic()."""
    return chosen_networks(
        *(fitted.params, fitted.latents(), _signal(picture), fitted.lambda_, pyramid, seed),
        max_rounds=min(_MOST_ROUNDS, max(1, fitted.n_steps // _STEPS_A_ROUND)),
        deadline=deadline,
    )


def finished_grid(
    picture: "Picture",
    pyramid: Pyramid,
    coded: CodedNetworks,
    latents: list[np.ndarray],
    n_steps: int,
    started_at: float,
) -> Encoded:
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
        decoded = decode_picture(data, View(max_pixels=None)).pixels
    except FormatError as error:
        raise FitError(
            f"the fit ended in what no file can hold ({error}); give another seed or a lower "
            "fit.learning_rate"
        ) from error
    if not np.array_equal(drawn, decoded):
        raise FitError("the file does not give back the picture it was made of; please report this")
    seconds = time.monotonic() - started_at
    return Encoded(data, psnr_db(picture.pixels, decoded), n_steps, seconds)


def _signal(picture: "Picture") -> np.ndarray:
    """f32[n_channels, height, width] in 0..1."""
    peak = np.float32((1 << picture.bit_depth) - 1)
    return picture.pixels.transpose(2, 0, 1).astype(np.float32) / peak
