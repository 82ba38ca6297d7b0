"""Targets for grid files: how lambda is steered while a fit runs, and which file is the best.

Bits and errors of a fit fall on their way, by about the same share for all pictures, so what they
will be in the end can be estimated early; lambda is moved until that is what was asked. What the
networks take is known only when they are coded: the last percent goes by rounding latents with a
wider dead zone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from inr.errors import FitError, UsageError
from inr.format.container import SECTION_LATENTS, pack_icc, unpack
from inr.grid.fit.result import FitResult
from inr.grid.latent_coder import latent_bits
from inr.grid.network_coding import CodedNetworks, write_networks
from inr.grid.recipe import GridRecipe
from inr.grid.structure import Pyramid
from inr.grid.synthesis import synthesize
from inr.image.metrics import psnr_db
from inr.image.picture import Picture
from inr.options import Job, Target

_AIM = 0.985  # of the bytes asked for: what is aimed at
# Of the networks, before they are coded: bits a number, and the largest part of a small file.
_BITS_A_NUMBER, _NETWORKS_SHARE = 3.3, 0.3
_HEADER_BYTES = 40
_EARLIEST = 0.15  # of a fit: before, bits say nothing about the end
_RESPONSE_STEPS = 100.0  # in which latents follow lambda; corrections are made as slowly
_LARGEST = math.log(1.6)  # correction of lambda at once
_LAMBDAS = (1e-7, 1.0)
_AIM_DB = 0.04  # above the PSNR asked for
_WIDEST_DEAD_ZONE, _N_HALVINGS = 0.25, 7  # codes; of the search for a dead zone
_SLACK_BYTES = 16  # a file takes a little more than its latents' bits
_FAR, _FAR_DB = math.log(1.3), 1.0  # misses that many further steps make good


@dataclass(frozen=True)
class Trial:
    """A file that was made on the way to a target."""

    data: bytes
    psnr_db: float
    n_steps: int
    pixels: np.ndarray | None = None  # that it draws; None for one of before a kill


def target_of(job: Job[GridRecipe], pyramid: Pyramid) -> "BytesTarget | PsnrTarget":
    """Return what a job aims at."""
    n_steps, target = job.recipe.fit.steps, job.options.target
    if target.psnr_db is not None:
        return PsnrTarget(target.psnr_db, n_steps)
    return BytesTarget(target, pyramid, job.picture.icc_profile, n_steps)


class BytesTarget:
    """Bytes of the file."""

    def __init__(
        self, target: Target, pyramid: Pyramid, icc_profile: bytes | None, n_steps: int
    ) -> None:
        self._n_steps, self._n_pixels = n_steps, pyramid.height * pyramid.width
        n_bytes = target.max_bytes(self._n_pixels)
        assert n_bytes is not None
        self._n_bytes, self._min_bytes = n_bytes, target.min_bytes(self._n_pixels)
        n_numbers = sum(int(np.prod(shape)) for shape in pyramid.shapes.values())
        profile_bytes = 0 if icc_profile is None else len(pack_icc(icc_profile))
        self._fixed_bytes = _HEADER_BYTES + profile_bytes
        networks_bytes = min(n_numbers * _BITS_A_NUMBER / 8, _NETWORKS_SHARE * n_bytes)
        self._other_bytes = self._fixed_bytes + networks_bytes
        if self._latent_bits() <= 0:
            raise UsageError(
                f"a target of {n_bytes} bytes is too small: header and networks take about "
                f"{round(self._other_bytes)}; give a larger target or a smaller structure.hidden"
            )

    def _latent_bits(self) -> float:
        return 8 * (_AIM * self._n_bytes - self._other_bytes)

    def first_lambda(self) -> float:
        return within(1e-3 * (0.5 * self._n_pixels / self._latent_bits()) ** 1.5)

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
        return _steer_lambdas(progress, since * self._n_steps, lambdas, wanted)

    def trim(
        self, result: FitResult, coded: CodedNetworks, picture: Picture, pyramid: Pyramid
    ) -> list[np.ndarray]:
        """Return the latents, with just so wide a dead zone that the file is small enough."""
        values = coded.values(pyramid)
        other_bytes = self._fixed_bytes + len(write_networks(coded, pyramid)) + _SLACK_BYTES

        def fits(latents: list[np.ndarray]) -> bool:
            return other_bytes + latent_bits(latents, values, pyramid) / 8 <= self._n_bytes

        return _least_dead_zone(result, fits)

    def is_modest(self, trial: Trial) -> bool:
        """Whether a file is not more than what is asked for."""
        return len(trial.data) <= self._n_bytes

    def is_met(self, trial: Trial) -> bool:
        return self._min_bytes <= len(trial.data) <= self._n_bytes

    def miss(self, trial: Trial) -> float:
        """In units of what many further steps make good."""
        return abs(math.log(len(trial.data) / self._n_bytes)) / _FAR

    def correct_lambda(self, result: FitResult, trial: Trial) -> float:
        """Return the lambda with which to fit on; from here on the other bytes are known."""
        latents_bytes = len(unpack(trial.data)[1][SECTION_LATENTS])
        self._other_bytes = len(trial.data) - latents_bytes
        wanted = max(self._latent_bits(), 8.0)
        return within(result.lambda_ * (8 * latents_bytes / wanted) ** 1.5)

    def best(self, tried: list[Trial]) -> Trial:
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
        return within(1e-3 * 10 ** ((34 - self._psnr_db) / 6))

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
        return _steer_lambdas(progress, since * self._n_steps, lambdas, wanted)

    def trim(
        self, result: FitResult, coded: CodedNetworks, picture: Picture, pyramid: Pyramid
    ) -> list[np.ndarray]:
        """Return the latents, with so wide a dead zone that the picture is not too good."""
        values = coded.values(pyramid)

        def is_modest(latents: list[np.ndarray]) -> bool:
            drawn = synthesize(latents, values, pyramid, picture.bit_depth)
            return psnr_db(picture.pixels, drawn) <= self._psnr_db + _AIM_DB

        return _least_dead_zone(result, is_modest)

    def is_modest(self, trial: Trial) -> bool:
        """Whether a picture is not better than what is asked for."""
        return trial.psnr_db < self._psnr_db - Target.TOLERANCE_DB

    def is_met(self, trial: Trial) -> bool:
        return abs(trial.psnr_db - self._psnr_db) <= Target.TOLERANCE_DB

    def miss(self, trial: Trial) -> float:
        """In units of what many further steps make good."""
        return abs(trial.psnr_db - self._psnr_db) / _FAR_DB

    def correct_lambda(self, result: FitResult, trial: Trial) -> float:
        too_good_db = trial.psnr_db - self._psnr_db
        self._aim -= too_good_db  # what clipping, rounding and coded networks changed
        return within(result.lambda_ * 10 ** (too_good_db / 6))

    def best(self, tried: list[Trial]) -> Trial:
        good = [each for each in tried if each.psnr_db >= self._psnr_db - Target.TOLERANCE_DB]
        if not good:
            best_db = max(each.psnr_db for each in tried)
            raise FitError(
                f"the picture came to {best_db:.2f} dB, not to the {self._psnr_db} asked for; "
                "give more fit.steps or another target"
            )
        return min(good, key=lambda each: len(each.data))


def _least_dead_zone(
    result: FitResult, suits: Callable[[list[np.ndarray]], bool]
) -> list[np.ndarray]:
    """Return the latents with the least dead zone that suits, with none where not even the widest
    does."""
    if suits(result.latents()) or not suits(result.latents(_WIDEST_DEAD_ZONE)):
        return result.latents()
    low, high = 0.0, _WIDEST_DEAD_ZONE
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if suits(result.latents(middle)) else (middle, high)
    return result.latents(high)


def _steer_lambdas(
    progress: float, n_steps: float, lambdas: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """Move lambdas by a part of what is wanted: the more steps the latents had to follow, the
    larger.

    Args:
      n_steps: since the lambdas were last looked at.
      wanted: f64[members], change of log lambda.
    """
    if progress < _EARLIEST:
        return lambdas
    step = np.clip(response(n_steps) * wanted, -_LARGEST, _LARGEST)
    moved: np.ndarray = np.clip(lambdas * np.exp(step), *_LAMBDAS)
    return moved


def response(n_steps: float) -> float:
    """Return the share of a change of lambda that latents have followed after some steps."""
    return 1 - math.exp(-n_steps / _RESPONSE_STEPS)


def within(lambda_: float) -> float:
    return min(max(lambda_, _LAMBDAS[0]), _LAMBDAS[1])
