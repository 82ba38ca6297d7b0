"""Targets for grid files: lambda is steered while the fit runs, and the real file decides.

Bits and errors of a fit fall on their way, by about the same share for all pictures, so what they
will be in the end can be told early; lambda is moved until that is what was asked. What the
networks take is known only when they are coded: the last percent goes by rounding latents with a
wider dead zone. A file that misses still is fitted on from where it stands, one that misses by far
is fitted anew: late in a fit latents hardly follow lambda.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from inr.codec import LEAST_SHARE, NEAR_DB, EncodeOptions, EncodeResult
from inr.errors import FitError, UsageError
from inr.fitting.checkpoint import SeveralFits
from inr.fitting.checkpoint import State as Stored
from inr.fitting.time_budget import TimeBudget, TooShort
from inr.format.container import SECTION_LATENTS, pack_icc
from inr.grid.encode import (
    after_fit,
    before_coding,
    coded_networks,
    finished_grid,
    grid_checkpoint,
    job_of,
    pyramid_of,
    refuse_too_short,
    seconds_to_code,
)
from inr.grid.file import open_grid
from inr.grid.fit.program import FitProblem, FitResult, GridFitting
from inr.grid.latent_coder import latent_bits
from inr.grid.network_coding import CodedNetworks, write_networks
from inr.grid.structure import Pyramid
from inr.grid.synthesis import draw
from inr.image.metrics import psnr_db
from inr.mlp.fit.problem import Progress

if TYPE_CHECKING:
    from inr.grid.recipe import GridRecipe
    from inr.image.picture import Picture

Report = Callable[[Progress], None]

_AIM = 1.015  # of the bytes asked for: what is aimed at
_CODINGS = 5  # of all latents after a fit, with the search for a dead zone
_BITS_A_NUMBER = 3.3  # of the networks, before they are coded
_HEADER_BYTES = 40
_LATEST = 0.9  # of a fit: later, lambda changes little
_EARLIEST = 0.15  # before, bits say nothing about the end
_RESPONSE_STEPS = 100.0  # in which latents follow lambda; corrections are made as slowly
_LARGEST = math.log(1.6)  # correction of lambda at once
_LAMBDAS = (1e-7, 1.0)
_AIM_DB = 0.04  # above the PSNR asked for
_WIDEST_DEAD_ZONE, _N_HALVINGS = 0.25, 7  # codes; of the search for a dead zone
_SLACK_BYTES = 16  # a file takes a little more than its latents' bits
_FAR, _FAR_DB = math.log(1.3), 1.0  # misses that many further steps make good
_FURTHER, _MAX_FURTHER = 0.7, 3  # progress from which a file that misses is fitted on; how often


def encode_to_target(
    picture: "Picture",
    recipe: "GridRecipe",
    options: EncodeOptions,
    budget: TimeBudget | None = None,
    report: Report | None = None,
) -> EncodeResult:
    """The file that comes nearest to the options's target: as many bytes as found below it, or the
    smallest that has its PSNR, within 0.1 dB.

    A checkpoint holds what the finished fits ended in beside the state of the next, so that a
    killed run goes on in the fit it was in.

    Raises:
      UsageError: a target that no file of this recipe can meet, or a time budget likewise.
      FitError: every file was too large, or not good enough.
    """
    started_at = time.monotonic()
    pyramid = pyramid_of(picture, recipe)
    target = _target(picture, recipe, options, pyramid)
    checkpoint = grid_checkpoint(picture, recipe, options)
    fits = SeveralFits(checkpoint)
    coding = None if budget is None else _CODINGS * seconds_to_code(picture, recipe)
    refuse_too_short(budget, coding)
    job = job_of(picture, recipe, options)
    job = FitProblem(job.picture, target.first_lambda(), job.seed)
    fitted: FitResult | None = None
    is_far = False
    tried: list[EncodeResult] = []
    for i in range(1 + _MAX_FURTHER):
        kept = fits.result(i)
        if kept is not None:
            fitted, encoded = _restored(kept, pyramid)
        else:
            # Half of the time that is left, so that a second fit has some.
            share = None if budget is None else budget.reserving(max(0.0, budget.left() / 2))
            fitting = GridFitting([job], pyramid, recipe.fit, share)
            begin = None if fitted is None or is_far else (fitted, _FURTHER)
            try:
                (fitted,) = fitting.run(fits, report, target.steer, begin, after_fit(coding))
            except TooShort:
                if not tried:
                    raise
                break
            coded = coded_networks(
                picture, pyramid, fitted, options.seed, before_coding(share, coding)
            )
            latents = target.trimmed(fitted, coded, picture, pyramid)
            encoded = finished_grid(picture, pyramid, coded, latents, fitted.n_steps, started_at)
            fits.add_result(*_saved(fitted, encoded))
        tried.append(encoded)
        if target.is_met(encoded) or (budget is not None and budget.left() < 0):
            break
        lambda_ = target.corrected(fitted, encoded)
        is_far = target.miss(encoded) > _followed((1 - _FURTHER) * recipe.fit.steps)
        if is_far:  # as if lambda had been what it was on average
            lambda_ *= (job.lambda_ / fitted.lambda_) ** 0.5
        job = FitProblem(job.picture, _within(lambda_), job.seed)
    return dataclasses.replace(target.best(tried), checkpoint=checkpoint)


_NUMBERS = ("lambda_", "n_steps", "steered_at")


def _saved(fitted: FitResult, encoded: EncodeResult) -> Stored:
    """A finished fit and its file, for a checkpoint."""
    numbers: dict[str, Any] = {name: vars(fitted)[name] for name in _NUMBERS}
    numbers["psnr_db"], numbers["seconds"] = encoded.psnr_db, encoded.seconds
    data = np.frombuffer(encoded.data, np.uint8)
    return numbers, [data, *fitted.params.values(), *fitted.unrounded]


def _restored(stored: Stored, pyramid: Pyramid) -> tuple[FitResult, EncodeResult]:
    """The inverse of `_saved`."""
    numbers, (data, *arrays) = stored
    n_tensors = len(pyramid.shapes)
    fitted = FitResult(
        dict(zip(pyramid.shapes, arrays[:n_tensors], strict=True)),
        arrays[n_tensors:],
        **{name: numbers[name] for name in _NUMBERS},
    )
    psnr, seconds = numbers["psnr_db"], numbers["seconds"]
    return fitted, EncodeResult(data.tobytes(), psnr, fitted.n_steps, seconds)


def _target(
    picture: "Picture", recipe: "GridRecipe", options: EncodeOptions, pyramid: Pyramid
) -> "BytesTarget | PsnrTarget":
    n_steps = recipe.fit.steps
    if options.target_psnr is not None:
        return PsnrTarget(options.target_psnr, n_steps)
    n_bytes = options.target_size(pyramid.height, pyramid.width)
    assert n_bytes is not None
    return BytesTarget(n_bytes, pyramid, picture.icc_profile, n_steps)


class BytesTarget:
    """Bytes of the file."""

    def __init__(
        self, n_bytes: int, pyramid: Pyramid, icc_profile: bytes | None, n_steps: int
    ) -> None:
        self._n_steps = n_steps
        self._n_bytes, self._n_pixels = n_bytes, pyramid.height * pyramid.width
        n_numbers = sum(int(np.prod(shape)) for shape in pyramid.shapes.values())
        profile_bytes = 0 if icc_profile is None else len(pack_icc(icc_profile))
        self._fixed_bytes = _HEADER_BYTES + profile_bytes
        self._other_bytes = self._fixed_bytes + n_numbers * _BITS_A_NUMBER / 8
        if self._latent_bits() <= 0:
            raise UsageError(
                f"a target of {n_bytes} bytes is too small: header and networks take about "
                f"{round(self._other_bytes)}; give a larger target or a smaller structure.hidden"
            )

    def _latent_bits(self) -> float:
        return 8 * (_AIM * self._n_bytes - self._other_bytes)

    def first_lambda(self) -> float:
        return _within(1e-3 * (0.5 * self._n_pixels / self._latent_bits()) ** 1.5)

    def steer(
        self,
        progress: float,
        since: float,
        lambdas: np.ndarray,
        mse: np.ndarray,
        bits: np.ndarray,
    ) -> np.ndarray:
        final = np.maximum(bits, 1.0) * (1 - 0.5 * (1 - progress) ** 3)
        wanted = np.log(final / self._latent_bits())
        return _steered(progress, since * self._n_steps, lambdas, wanted)

    def trimmed(
        self, fitted: FitResult, coded: CodedNetworks, picture: "Picture", pyramid: Pyramid
    ) -> list[np.ndarray]:
        """The latents, with just so wide a dead zone that the file is small enough."""
        values = coded.values(pyramid)
        other_bytes = self._fixed_bytes + len(write_networks(coded, pyramid)) + _SLACK_BYTES

        def fits(latents: list[np.ndarray]) -> bool:
            return other_bytes + latent_bits(latents, values, pyramid) / 8 <= self._n_bytes

        return _least_dead_zone(fitted, fits)

    def is_met(self, encoded: EncodeResult) -> bool:
        return LEAST_SHARE * self._n_bytes <= len(encoded.data) <= self._n_bytes

    def miss(self, encoded: EncodeResult) -> float:
        """In units of what many further steps make good."""
        return abs(math.log(len(encoded.data) / self._n_bytes)) / _FAR

    def corrected(self, fitted: FitResult, encoded: EncodeResult) -> float:
        """The lambda with which to fit on; from here on the other bytes are known."""
        latents_bytes = len(open_grid(encoded.data).sections[SECTION_LATENTS])
        self._other_bytes = len(encoded.data) - latents_bytes
        wanted = max(self._latent_bits(), 8.0)
        return _within(fitted.lambda_ * (8 * latents_bytes / wanted) ** 1.5)

    def best(self, tried: list[EncodeResult]) -> EncodeResult:
        small = [each for each in tried if len(each.data) <= self._n_bytes]
        if not small:
            least = min(len(each.data) for each in tried)
            raise FitError(
                f"the file takes {least} bytes, not the {self._n_bytes} asked for; give more "
                "fit.steps, a larger target or a smaller structure.hidden"
            )
        return max(small, key=lambda each: len(each.data))


class PsnrTarget:
    """PSNR of the decoded picture."""

    def __init__(self, wanted_db: float, n_steps: int) -> None:
        self._n_steps = n_steps
        self._psnr_db = wanted_db
        self._aim = wanted_db + _AIM_DB

    def first_lambda(self) -> float:
        return _within(1e-3 * 10 ** ((34 - self._psnr_db) / 6))

    def steer(
        self,
        progress: float,
        since: float,
        lambdas: np.ndarray,
        mse: np.ndarray,
        bits: np.ndarray,
    ) -> np.ndarray:
        final = mse * (1 - 0.36 * (1 - progress) ** 3)
        too_good_db = -10 * np.log10(np.maximum(final, 1e-12)) - self._aim
        wanted = too_good_db * math.log(10) / 6
        return _steered(progress, since * self._n_steps, lambdas, wanted)

    def trimmed(
        self, fitted: FitResult, coded: CodedNetworks, picture: "Picture", pyramid: Pyramid
    ) -> list[np.ndarray]:
        """The latents, with so wide a dead zone that the picture is not too good."""
        values = coded.values(pyramid)

        def is_modest(latents: list[np.ndarray]) -> bool:
            drawn = draw(latents, values, pyramid, picture.bit_depth)
            return psnr_db(picture.pixels, drawn) <= self._psnr_db + _AIM_DB

        return _least_dead_zone(fitted, is_modest)

    def is_met(self, encoded: EncodeResult) -> bool:
        return abs(encoded.psnr_db - self._psnr_db) <= NEAR_DB

    def miss(self, encoded: EncodeResult) -> float:
        """In units of what many further steps make good."""
        return abs(encoded.psnr_db - self._psnr_db) / _FAR_DB

    def corrected(self, fitted: FitResult, encoded: EncodeResult) -> float:
        too_good_db = encoded.psnr_db - self._psnr_db
        self._aim -= too_good_db  # what clipping, rounding and coded networks changed
        return _within(fitted.lambda_ * 10 ** (too_good_db / 6))

    def best(self, tried: list[EncodeResult]) -> EncodeResult:
        good = [each for each in tried if each.psnr_db >= self._psnr_db - NEAR_DB]
        if not good:
            best_db = max(each.psnr_db for each in tried)
            raise FitError(
                f"the picture came to {best_db:.2f} dB, not to the {self._psnr_db} asked for; "
                "give more fit.steps or another target"
            )
        return min(good, key=lambda each: len(each.data))


def _least_dead_zone(
    fitted: FitResult, suits: Callable[[list[np.ndarray]], bool]
) -> list[np.ndarray]:
    """The latents with the least dead zone that suits, with none where not even the widest does."""
    if suits(fitted.latents()) or not suits(fitted.latents(_WIDEST_DEAD_ZONE)):
        return fitted.latents()
    low, high = 0.0, _WIDEST_DEAD_ZONE
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if suits(fitted.latents(middle)) else (middle, high)
    return fitted.latents(high)


def _steered(
    progress: float, n_steps: float, lambdas: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """Moves lambdas by a part of what is wanted: the more steps the latents had to follow, the
    larger.

    Args:
      n_steps: since the lambdas were last looked at.
      wanted: f64[members], change of log lambda.
    """
    if not _EARLIEST <= progress <= _LATEST:
        return lambdas
    step = np.clip(_followed(n_steps) * wanted, -_LARGEST, _LARGEST)
    moved: np.ndarray = np.clip(lambdas * np.exp(step), *_LAMBDAS)
    return moved


def _followed(n_steps: float) -> float:
    """The share of a change of lambda that latents have followed after some steps."""
    return 1 - math.exp(-n_steps / _RESPONSE_STEPS)


def _within(lambda_: float) -> float:
    return min(max(lambda_, _LAMBDAS[0]), _LAMBDAS[1])
