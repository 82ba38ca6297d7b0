"""Targets for grid files: lambda is steered while the fit runs, and the real file decides.

Bits and errors of a fit fall on their way, by about the same share for all pictures, so what they
will be in the end can be told early; lambda is moved until that is what was asked. What the
networks take is known only when they are coded: the last percent goes by rounding latents with a
wider dead zone. A file that misses still is fitted on from where it stands, one that misses by far
is fitted anew: late in a fit latents hardly follow lambda.
"""

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from inr.codec import Encoded, Wish
from inr.container import SECTION_LATENTS, pack_icc
from inr.errors import FitError, UsageError
from inr.fit_types import Progress
from inr.grid.draw import draw
from inr.grid.encode import FIT_SHARE, coded_networks, finished_grid, job_of, pyramid_of
from inr.grid.fit import FittedGrid, GridFitting, GridJob
from inr.grid.grid_file import open_grid
from inr.grid.latent_coder import latent_bits
from inr.grid.network_coding import CodedNetworks, write_networks
from inr.grid.structure import Pyramid
from inr.metrics import psnr_db

if TYPE_CHECKING:
    from inr.grid.recipe import GridRecipe
    from inr.picture import Picture

Report = Callable[[Progress], None]

_AIM, _LEAST = 1.015, 0.97  # of the bytes asked for: what is aimed at, and what is near enough
_NEAR_DB = 0.1
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
    picture: "Picture", recipe: "GridRecipe", wish: Wish, report: Report | None = None
) -> Encoded:
    """The file that meets the wish's target: at most 3 % below its bytes and not above, or within
    0.1 dB of its PSNR.

    Raises:
      ValueError: a target that no file of this recipe can meet.
      FitError: the target was missed.
    """
    started_at = time.monotonic()
    pyramid = pyramid_of(picture, recipe)
    target = _target(picture, recipe, wish, pyramid)
    deadline, ends_at = None, math.inf
    if wish.time_budget is not None:
        ends_at = started_at + wish.time_budget
        deadline = started_at + FIT_SHARE / 2 * wish.time_budget
    job = job_of(picture, recipe, wish)
    job = GridJob(job.picture, target.first_lambda(), job.seed)
    fitted: FittedGrid | None = None
    is_far = False
    tried: list[Encoded] = []
    for _ in range(1 + _MAX_FURTHER):
        fitting = GridFitting([job], pyramid, recipe.fit, deadline)
        begin = None if fitted is None or is_far else (fitted, _FURTHER)
        (fitted,) = fitting.run(report=report, steer=target.steer, begin=begin)
        coded = coded_networks(picture, pyramid, fitted, wish.seed, ends_at)
        latents = target.trimmed(fitted, coded, picture, pyramid)
        tried.append(finished_grid(picture, pyramid, coded, latents, fitted.n_steps, started_at))
        if target.is_met(tried[-1]) or time.monotonic() > ends_at:
            break
        lambda_ = target.corrected(fitted, tried[-1])
        is_far = target.miss(tried[-1]) > _followed((1 - _FURTHER) * recipe.fit.steps)
        if is_far:  # as if lambda had been what it was on average
            lambda_ *= (job.lambda_ / fitted.lambda_) ** 0.5
        job = GridJob(job.picture, _within(lambda_), job.seed)
        if deadline is not None:
            deadline = time.monotonic() + (ends_at - time.monotonic()) / 2
    return target.best(tried)


def _target(
    picture: "Picture", recipe: "GridRecipe", wish: Wish, pyramid: Pyramid
) -> "BytesTarget | PsnrTarget":
    n_steps = recipe.fit.steps
    if wish.target_psnr is not None:
        return PsnrTarget(wish.target_psnr, n_steps)
    n_pixels = pyramid.height * pyramid.width
    if wish.target_bytes is not None:
        n_bytes = wish.target_bytes
    else:
        assert wish.target_bpp is not None
        n_bytes = int(wish.target_bpp * n_pixels / 8)
    return BytesTarget(n_bytes, pyramid, picture.icc_profile, n_steps)


class BytesTarget:
    """Bytes of the file."""

    def __init__(
        self, n_bytes: int, pyramid: Pyramid, icc_profile: bytes | None, n_steps: int
    ) -> None:
        self._steering = _Steering(n_steps)
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
        self, progress: float, lambdas: np.ndarray, mse: np.ndarray, bits: np.ndarray
    ) -> np.ndarray:
        final = np.maximum(bits, 1.0) * (1 - 0.5 * (1 - progress) ** 3)
        return self._steering.moved(progress, lambdas, np.log(final / self._latent_bits()))

    def trimmed(
        self, fitted: FittedGrid, coded: CodedNetworks, picture: "Picture", pyramid: Pyramid
    ) -> list[np.ndarray]:
        """The latents, with just so wide a dead zone that the file is small enough."""
        values = coded.values(pyramid)
        other_bytes = self._fixed_bytes + len(write_networks(coded, pyramid)) + _SLACK_BYTES

        def fits(latents: list[np.ndarray]) -> bool:
            return other_bytes + latent_bits(latents, values, pyramid) / 8 <= self._n_bytes

        return _least_dead_zone(fitted, fits)

    def is_met(self, encoded: Encoded) -> bool:
        return _LEAST * self._n_bytes <= len(encoded.data) <= self._n_bytes

    def miss(self, encoded: Encoded) -> float:
        """In units of what many further steps make good."""
        return abs(math.log(len(encoded.data) / self._n_bytes)) / _FAR

    def corrected(self, fitted: FittedGrid, encoded: Encoded) -> float:
        """The lambda with which to fit on; from here on the other bytes are known."""
        latents_bytes = len(open_grid(encoded.data).sections[SECTION_LATENTS])
        self._other_bytes = len(encoded.data) - latents_bytes
        wanted = max(self._latent_bits(), 8.0)
        return _within(fitted.lambda_ * (8 * latents_bytes / wanted) ** 1.5)

    def best(self, tried: list[Encoded]) -> Encoded:
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
        self._steering = _Steering(n_steps)
        self._psnr_db = wanted_db
        self._aim = wanted_db + _AIM_DB

    def first_lambda(self) -> float:
        return _within(1e-3 * 10 ** ((34 - self._psnr_db) / 6))

    def steer(
        self, progress: float, lambdas: np.ndarray, mse: np.ndarray, bits: np.ndarray
    ) -> np.ndarray:
        final = mse * (1 - 0.36 * (1 - progress) ** 3)
        too_good_db = -10 * np.log10(np.maximum(final, 1e-12)) - self._aim
        return self._steering.moved(progress, lambdas, too_good_db * math.log(10) / 6)

    def trimmed(
        self, fitted: FittedGrid, coded: CodedNetworks, picture: "Picture", pyramid: Pyramid
    ) -> list[np.ndarray]:
        """The latents, with so wide a dead zone that the picture is not too good."""
        values = coded.values(pyramid)

        def is_modest(latents: list[np.ndarray]) -> bool:
            drawn = draw(latents, values, pyramid, picture.bit_depth)
            return psnr_db(picture.pixels, drawn) <= self._psnr_db + _AIM_DB

        return _least_dead_zone(fitted, is_modest)

    def is_met(self, encoded: Encoded) -> bool:
        return abs(encoded.psnr_db - self._psnr_db) <= _NEAR_DB

    def miss(self, encoded: Encoded) -> float:
        """In units of what many further steps make good."""
        return abs(encoded.psnr_db - self._psnr_db) / _FAR_DB

    def corrected(self, fitted: FittedGrid, encoded: Encoded) -> float:
        too_good_db = encoded.psnr_db - self._psnr_db
        self._aim -= too_good_db  # what clipping, rounding and coded networks changed
        return _within(fitted.lambda_ * 10 ** (too_good_db / 6))

    def best(self, tried: list[Encoded]) -> Encoded:
        best = min(tried, key=lambda each: abs(each.psnr_db - self._psnr_db))
        if abs(best.psnr_db - self._psnr_db) > _NEAR_DB:
            raise FitError(
                f"the picture came to {best.psnr_db:.2f} dB, not to the {self._psnr_db} asked for; "
                "give more fit.steps or another target"
            )
        return best


def _least_dead_zone(
    fitted: FittedGrid, suits: Callable[[list[np.ndarray]], bool]
) -> list[np.ndarray]:
    """The latents with the least dead zone that suits, with none where not even the widest does."""
    if suits(fitted.latents()) or not suits(fitted.latents(_WIDEST_DEAD_ZONE)):
        return fitted.latents()
    low, high = 0.0, _WIDEST_DEAD_ZONE
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if suits(fitted.latents(middle)) else (middle, high)
    return fitted.latents(high)


class _Steering:
    """Moves lambda by a part of what is wanted: the more steps the latents had to follow, the
    larger."""

    def __init__(self, n_steps: int) -> None:
        self._n_steps, self._progress = n_steps, 0.0

    def moved(self, progress: float, lambdas: np.ndarray, correction: np.ndarray) -> np.ndarray:
        """correction: f64[members], wanted change of log lambda."""
        steps = self._n_steps * abs(progress - self._progress)
        self._progress = progress
        if not _EARLIEST <= progress <= _LATEST:
            return lambdas
        step = np.clip(_followed(steps) * correction, -_LARGEST, _LARGEST)
        moved: np.ndarray = np.clip(lambdas * np.exp(step), *_LAMBDAS)
        return moved


def _followed(n_steps: float) -> float:
    """The share of a change of lambda that latents have followed after some steps."""
    return 1 - math.exp(-n_steps / _RESPONSE_STEPS)


def _within(lambda_: float) -> float:
    return min(max(lambda_, _LAMBDAS[0]), _LAMBDAS[1])
