"""Pictures to cae files: latents, a search over lambda where there is a target, file, checked."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inr.cae.alpha import encode_alpha
from inr.cae.codec import CaeCodec
from inr.cae.decode import render_content
from inr.cae.entropy_models import Latents
from inr.cae.file import (
    HASH_BYTES,
    MAX_SIDE,
    Coded,
    colours_of,
    pack_cae,
    pixels_of,
    read_content,
)
from inr.cae.recipe import CaeRecipe
from inr.cae.weight_store import find_weights
from inr.errors import FitError, UsageError
from inr.fitting.time_budget import TimeBudget, budget_of
from inr.format import container
from inr.format.checksum import pixels_crc
from inr.image.metrics import psnr_db
from inr.image.picture import Picture
from inr.image.region import Region
from inr.options import Candidate, Job, Target

_SAMPLE_SIDE = 512  # pixels of the crop on which an encoding is timed


@dataclass(frozen=True)
class _Trial:
    """A file at one rate."""

    rate: int
    data: bytes
    pixels: NDArray[np.uint8]  # that the file draws


class _Encoder:
    """Files of one picture at any rate."""

    def __init__(self, picture: Picture, recipe: CaeRecipe) -> None:
        weights, self._number = find_weights(recipe.model)
        widths = weights.model.widths
        width = recipe.width or (widths[-1] if widths else 0)
        if width and width not in widths:
            known = ", ".join(map(str, widths)) or "only one, 0"
            raise UsageError(f"width={width}: the model {weights.name} has {known}")
        self._width_index = widths.index(width) if width else 0
        self._sha256 = bytes.fromhex(weights.sha256)[:HASH_BYTES]
        self.codec = CaeCodec(weights.at_width(width))
        self._picture = picture
        self._colours = colours_of(picture.pixels)
        has_alpha = picture.n_channels in (2, 4)
        self._alpha = picture.pixels[..., -1] if has_alpha else None
        self._alpha_bytes = None if self._alpha is None else encode_alpha(self._alpha)

    def at(self, rate: int) -> _Trial:
        """Make the file, and what it draws."""
        picture = self._picture
        latents = self.codec.analyse(self._colours, rate)
        drawn = self.codec.synthesize(latents, picture.height, picture.width, rate)
        data = self._pack(rate, latents, pixels_crc(drawn))
        return _Trial(rate, data, pixels_of(drawn, self._alpha, picture.n_channels))

    def n_bytes_at(self, rate: int) -> int:
        """Compute the length of the file, without the work of drawing it."""
        return len(self._pack(rate, self.codec.analyse(self._colours, rate), crc=0))

    def _pack(self, rate: int, latents: Latents, crc: int) -> bytes:
        picture = self._picture
        return pack_cae(
            (picture.height, picture.width, picture.n_channels),
            Coded(self._number, self._sha256, rate, self._width_index, crc),
            self.codec.write(latents, rate),
            self._alpha_bytes,
            picture.icc_profile,
        )

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Decode as one who has these weights, wherever those are."""
        size = self._picture.size
        content = read_content(*container.unpack(data))
        return render_content(content, size, Region.whole(size), self.codec)


def encode(job: Job[CaeRecipe]) -> Candidate:
    """Encode a picture of more than one colour.

    Nothing is fitted: seed and checkpoint change nothing. A time budget ends the search for a
    target.

    Raises:
      UsageError: a picture of 16 bits or too large, a lambda outside of the model's range, a
        target that the model cannot meet, or a time budget that is too short.
      FitError: a file that does not give the picture back.
    """
    picture, recipe, target = job.picture, job.recipe, job.options.target
    budget = budget_of(job.options)
    if picture.bit_depth != 8:
        raise UsageError(
            "recipe cae was trained on 8 bits a sample and this picture has 16; round it to 8, or "
            "use siren or grid"
        )
    advice = "; cut it into parts, make it smaller or use the recipe siren"
    container.check_sides(picture.height, picture.width, MAX_SIDE, UsageError, advice)
    if budget is not None:
        trial_seconds = _seconds_of_a_trial(picture, recipe)
        budget.require(trial_seconds, "one encoding, drawn and checked")
        budget = budget.reserving(trial_seconds)  # that of the rate that is chosen
    encoder = _Encoder(picture, recipe)
    most = target.max_bytes(picture.n_pixels)
    if target.psnr_db is not None:
        trial = _to_psnr(encoder, picture, target.psnr_db, budget)
    elif most is not None:
        trial = _to_bytes(encoder, most, budget)
    else:
        trial = encoder.at(encoder.codec.rate_of(recipe.lambda_))
    if not np.array_equal(encoder.decode(trial.data), trial.pixels):
        raise FitError("the file does not give back the picture it was made of; please report this")
    return Candidate(trial.data, 0, trial.pixels)


def _seconds_of_a_trial(picture: Picture, recipe: CaeRecipe) -> float:
    """Measure on a crop how long it takes to encode, draw and decode the whole picture."""
    seconds = 0.0
    for side in (16, _SAMPLE_SIDE):  # the first loads weights and starts threads
        crop = Picture(np.ascontiguousarray(picture.pixels[:side, :side]))
        started_at = time.monotonic()
        encoder = _Encoder(crop, recipe)
        encoder.decode(encoder.at(0).data)
        n_pixels = crop.height * crop.width
        seconds = (time.monotonic() - started_at) * picture.height * picture.width / n_pixels
    return seconds


def _has_time(budget: TimeBudget | None, started_at: float, n_trials: int) -> bool:
    """Tell whether there is time for one more trial as long as those since started_at."""
    if budget is None or n_trials == 0:
        return True
    return budget.left() > (time.monotonic() - started_at) / n_trials


def _to_bytes(encoder: _Encoder, max_bytes: int, budget: TimeBudget | None) -> _Trial:
    """Return the finest rate whose file has at most max_bytes, or the finest that was found in
    time.

    Sizes fall with the rate but for single bytes, so halving finds it.
    """
    started_at, n_trials = time.monotonic(), 1
    low, high = 0, encoder.codec.n_rates - 1
    n_bytes = encoder.n_bytes_at(high)
    if n_bytes > max_bytes:
        raise UsageError(
            f"a target of {max_bytes} bytes is too small: at the largest lambda of the model this "
            f"picture takes {n_bytes}"
        )
    while low < high and _has_time(budget, started_at, n_trials):
        middle = (low + high) // 2
        n_trials += 1
        if encoder.n_bytes_at(middle) <= max_bytes:  # high is a rate that was tried and fits
            high = middle
        else:
            low = middle + 1
    return encoder.at(high)


def _to_psnr(
    encoder: _Encoder, picture: Picture, target_db: float, budget: TimeBudget | None
) -> _Trial:
    """Find the rate whose PSNR is nearest to target_db, if that is within Target.TOLERANCE_DB;
    else the coarsest that reaches it."""

    def excess_db(trial: _Trial) -> float:
        return psnr_db(picture.pixels, trial.pixels) - target_db

    started_at, n_trials = time.monotonic(), 1
    low, high = 0, encoder.codec.n_rates - 1
    nearest = coarsest = encoder.at(low)
    while low < high and _has_time(budget, started_at, n_trials):
        middle = (low + high + 1) // 2
        trial = encoder.at(middle)
        n_trials += 1
        if abs(excess_db(trial)) < abs(excess_db(nearest)):
            nearest = trial
        if excess_db(trial) >= 0:
            low, coarsest = middle, trial
        else:
            high = middle - 1
    if abs(excess_db(nearest)) <= Target.TOLERANCE_DB:
        return nearest
    if excess_db(coarsest) < 0:
        raise FitError(
            f"a PSNR of {target_db} dB was not reached: the best of this model is "
            f"{target_db + excess_db(coarsest):.2f} dB; give a lower target or another recipe"
        )
    return coarsest
