"""`target_psnr`: fits of several sizes until the decoded picture has the quality asked for.

Fits are bracketed and interpolated in log bytes against PSNR. A fit a little above the target is
brought down to it by coarser codes, which takes seconds instead of another fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from inr.errors import FitError, UsageError
from inr.fitting.checkpoint import SeveralFits, checkpoint_of
from inr.fitting.search import bisect, bisect_integers
from inr.fitting.time_budget import TimeBudget, TooShort, budget_of
from inr.format.container import pack_icc, unpack
from inr.image.metrics import psnr_db
from inr.image.region import Region
from inr.mlp.decode import render_content, render_weights
from inr.mlp.encode import (
    Prepared,
    before_drawing,
    encode_one_colour,
    max_bytes,
    picture_info,
    prepare,
)
from inr.mlp.file import dequantize, read_content
from inr.mlp.fit.problem import AllQParams, Codes, FitResult
from inr.mlp.fit.program import fit
from inr.mlp.recipe import MlpRecipe
from inr.options import Candidate, Job, Report, Target

_LOWERABLE_DB = 0.8  # above the target: coarser codes bring it down, at a tenth of the bytes
_DB_AN_OCTAVE = 2.6  # of bytes, until two fits tell better
_MAX_FITS = 7
_MAX_OCTAVES = 3.0  # of bytes, between one fit and the next
_MOST_COARSER = 4.0  # log2 of the factor of qparams; beyond, a smaller network is better
_N_HALVINGS = 8  # of that, down to 1/64
_N_ORDERS = 10  # in which codes are moved: in small networks single ones weigh much


@dataclass(frozen=True)
class Trial:
    """A fit that has ended, as a file."""

    data: bytes
    excess_db: float  # of its PSNR above the target
    pixels: np.ndarray | None = None  # that the file draws
    ended: tuple[Prepared, FitResult] | None = None  # what it is a file of

    @property
    def log2_bytes(self) -> float:
        return float(np.log2(len(self.data)))


class Fits(Protocol):
    """What the search over sizes calls."""

    def fit(self, n_bytes: int | None, trials: Sequence[Trial]) -> Trial | None:
        """Fit a network whose file has n_bytes, or as many more as it takes; None where there is
        none between that and the sizes tried, or no time."""

    def lower(self, trial: Trial) -> Trial | None:
        """Bring the PSNR of a trial down to the target; None where that cannot be done."""

    def is_late(self) -> bool:
        """Tell whether the time is over."""


def encode_to_psnr(job: Job[MlpRecipe], report: Report | None) -> Candidate:
    """Find the smallest file whose decoded PSNR is the target's within 0.1 dB, or better where no
    file comes so near.

    A time budget is shared by all fits. A checkpoint holds what the finished fits ended in beside
    the state of the next, so that a killed run goes on in the fit it was in.

    Raises:
      FitError: the quality was not reached; the text tells what was.
    """
    picture, recipe, target_db = job.picture, job.recipe, job.options.target.psnr_db
    assert target_db is not None
    fits = _PictureFits(job, target_db, report)
    n_fits = _MAX_FITS if recipe.field.hidden is None else 1
    largest = float(np.log2(picture.pixels.nbytes))
    best, trials = find_smallest(fits, fits.first_bytes(), n_fits, largest)
    if best is None:
        reached = ", ".join(
            f"{len(trial.data)} bytes {target_db + trial.excess_db:.2f} dB" for trial in trials
        )
        raise FitError(
            f"a PSNR of {target_db} dB was not reached: {reached}; give more fit.steps or another "
            "target"
        )
    if best.excess_db > Target.TOLERANCE_DB:  # one colour may be good enough
        flat = fits.measure_flat()
        if len(flat.data) < len(best.data) and flat.excess_db >= -Target.TOLERANCE_DB:
            best = flat
    return Candidate(best.data, fits.n_steps, best.pixels, fits.checkpoint)


def find_smallest(
    fits: Fits, n_bytes: int | None, n_fits: int, largest: float
) -> tuple[Trial | None, list[Trial]]:
    """Fit networks of several sizes until the target is met.

    Args:
      n_bytes: of the first file; None where the recipe fixes the network.
      n_fits: at most.
      largest: log2 of the bytes of a file, at most.
    Returns:
      The smallest file that is good enough, None where none is, and all that was fitted.
    """
    margin_db = _LOWERABLE_DB / 4
    trials: list[Trial] = []
    for _ in range(n_fits):
        trial = fits.fit(n_bytes, trials)
        if trial is None:
            break
        trials.append(trial)
        if abs(trial.excess_db) <= Target.TOLERANCE_DB:
            return trial, trials
        if 0 < trial.excess_db < _LOWERABLE_DB:
            lowered = fits.lower(trial)
            if lowered is not None:
                return lowered, trials
            margin_db = 0.0  # only a fit itself can meet the target
        size = next_size(trials, margin_db, largest)
        if size is None or fits.is_late():
            break
        n_bytes = round(2**size)
    above = sorted(
        (trial for trial in trials if trial.excess_db > 0), key=lambda trial: len(trial.data)
    )
    for trial in above:
        if trial.excess_db >= _LOWERABLE_DB:  # else it was tried above
            lowered = fits.lower(trial)
            if lowered is not None:
                return lowered, trials
    return (above[0] if above else None), trials  # no file comes nearer


def next_size(trials: Sequence[Trial], margin_db: float, largest: float) -> float | None:
    """Return log2 of the bytes to try next, at most `largest`; None where more is of no use.

    margin_db: by which a file should be better than the target.
    """
    tried = [(trial.log2_bytes, trial.excess_db - margin_db) for trial in trials]
    below = [point for point in tried if point[1] < 0]
    above = [point for point in tried if point[1] >= 0]
    last_size, last_db = tried[-1]
    if below and above:
        (low, low_db), (high, high_db) = max(below), min(above)
        if low < high:
            share = -low_db / (high_db - low_db)
            return low + float(np.clip(share, 0.1, 0.9)) * (high - low)
        # Seeds differ by more than sizes this near: a little larger than both.
        return low + 0.1
    octaves = -last_db / _DB_AN_OCTAVE
    size = last_size + float(np.clip(octaves, -_MAX_OCTAVES, _MAX_OCTAVES))
    if above:
        return size
    size = min(size, largest)
    no_use = any(
        other < last_size - 0.5 and db > last_db - Target.TOLERANCE_DB for other, db in tried[:-1]
    )
    return None if no_use or size < last_size + 0.05 else size


class _PictureFits:
    """The fits of one picture; see `Fits`."""

    def __init__(self, job: Job[MlpRecipe], target_db: float, report: Report | None) -> None:
        options = job.options
        plain = replace(options, target=Target(), time_budget=None, checkpoint=None)
        self._job, self._report = replace(job, options=plain), report
        self._target_db, self._budget = target_db, budget_of(options)
        self._size = job.picture.size
        self._info = picture_info(job.picture)
        settings = (self._info, job.recipe, options.seed, target_db)
        self.checkpoint = checkpoint_of(options.checkpoint, job.picture.pixels, settings)
        self._stored = SeveralFits(self.checkpoint)
        self.n_steps = 0

    def first_bytes(self) -> int | None:
        """Return the size of the first file, with its profile; None where the recipe fixes it."""
        n_bytes = max_bytes(self._job.options, self._job.recipe, self._info)
        if n_bytes is not None and self._info.icc_profile is not None:
            n_bytes += len(pack_icc(self._info.icc_profile))
        return n_bytes

    def is_late(self) -> bool:
        """See `Fits`."""
        return self._budget is not None and self._budget.left() < 0

    def fit(self, n_bytes: int | None, trials: Sequence[Trial]) -> Trial | None:
        """See `Fits`."""
        prepared = self._prepare(n_bytes, trials)
        if prepared is None:
            return None
        try:
            result = self._fit_or_restore(len(trials), prepared)
        except TooShort:
            if not trials:
                raise
            return None
        self.n_steps += result.n_steps
        data = prepared.write_file(result.codes, result.qparams)
        pixels = self._render(prepared, result.codes, result.qparams)
        return Trial(data, self._excess_db(pixels), pixels, (prepared, result))

    def measure_flat(self) -> Trial:
        """Return the smallest file there is, which draws one colour."""
        data = encode_one_colour(self._job.picture, self._job.recipe)
        content = read_content(*unpack(data))
        pixels = render_content(content, self._size, Region.whole(self._size))
        return Trial(data, self._excess_db(pixels), pixels)

    def _prepare(self, n_bytes: int | None, trials: Sequence[Trial]) -> Prepared | None:
        if n_bytes is None:
            return prepare(self._job)
        while True:
            options = replace(self._job.options, target=Target(n_bytes=n_bytes))
            try:
                return prepare(replace(self._job, options=options))
            except UsageError:
                if not trials:
                    raise
                smallest = min(len(trial.data) for trial in trials)
                n_bytes = round((max(n_bytes, 1) * smallest) ** 0.5)
                if n_bytes > 0.9 * smallest:
                    return None

    def _fit_or_restore(self, i: int, prepared: Prepared) -> FitResult:
        """Return what the i-th fit ends in, or has ended in before a kill."""
        recipe, problem = self._job.recipe, prepared.problem
        names = list(problem.field_set.shapes())
        trained = list(problem.field_set.trained_shapes())
        stored = self._stored.result(i)
        if stored is None:
            rest = before_drawing(self._share_of_time(), prepared, recipe)
            result = fit(
                problem, recipe.fit, time_budget=rest, store=self._stored, report=self._report
            )
            arrays = [result.codes[name] for name in names]
            arrays += [np.asarray(result.qparams[name]) for name in trained]
            self._stored.add_result({"n_steps": result.n_steps}, arrays)
            return result
        numbers, arrays = stored
        codes = dict(zip(names, arrays, strict=False))
        qparams = dict(zip(trained, arrays[len(names) :], strict=True))
        return FitResult(codes, qparams, numbers["n_steps"])

    def _share_of_time(self) -> TimeBudget | None:
        """Return half of the time left, so that a second fit and a third have some."""
        if self._budget is None or self._job.recipe.field.hidden is not None:
            return self._budget
        return self._budget.reserving(max(0.0, self._budget.left() / 2))

    def _excess_db(self, pixels: np.ndarray) -> float:
        return psnr_db(self._job.picture.pixels, pixels) - self._target_db

    def _render(self, prepared: Prepared, codes: Codes, qparams: AllQParams) -> np.ndarray:
        """Draw the picture that a file with these codes draws."""
        problem = prepared.problem
        weights = dequantize(problem.field_set, problem.quantizer, codes, qparams)
        whole = Region.whole(self._size)
        return render_weights(prepared.stages, weights, prepared.info, self._size, whole)

    def lower(self, trial: Trial) -> Trial | None:
        """Bring the PSNR of a file down to the target.

        Levels are made coarser as far as that alone keeps above the target. Another grid costs at
        once what the fit gained by training with the old one, so for the rest codes are moved one
        nearer to 0, as many of them as it takes.

        Returns:
          The file, without its pixels; None where that cannot be done, or not in the time left.
        """
        assert trial.ended is not None
        prepared, result = trial.ended
        quantizer = prepared.problem.quantizer
        weights = {
            name: quantizer.dequantize(result.codes[name], qparams)
            for name, qparams in result.qparams.items()
        }

        def coarsen(log2_factor: float) -> tuple[Codes, AllQParams]:
            qparams, codes = {}, dict(result.codes)
            for name, w in weights.items():
                qparams[name] = quantizer.scale_qparams(result.qparams[name], log2_factor, w)
                codes[name] = quantizer.quantize(w, qparams[name])
            return codes, qparams

        found: list[Trial] = []  # at most one

        def is_above(codes: Codes, qparams: AllQParams, least_db: float) -> bool | None:
            """Say whether a file is above the target; None where it is found, or it is late."""
            if self.is_late():
                return None
            excess_db = self._excess_db(self._render(prepared, codes, qparams))
            if least_db <= excess_db <= Target.TOLERANCE_DB:
                found.append(Trial(prepared.write_file(codes, qparams), excess_db))
                return None
            return excess_db > 0

        if is_above(*coarsen(_MOST_COARSER), least_db=np.inf) is not False:
            return None
        low, _ = bisect(
            lambda log2_factor: is_above(*coarsen(log2_factor), least_db=0.0),
            low=0.0,
            high=_MOST_COARSER,
            n_halvings=_N_HALVINGS,
        )
        codes, qparams = coarsen(low) if low > 0 else (result.codes, result.qparams)
        trained = {name: codes[name] for name in weights}
        n_all = sum(tensor.size for tensor in trained.values())
        for seed in range(_N_ORDERS):
            if found or self.is_late():
                break
            order = np.random.default_rng(seed).permutation(n_all)

            def is_above_with(n_moved: int, order: np.ndarray = order) -> bool | None:
                moved = codes | move_towards_zero(trained, order[:n_moved])
                return is_above(moved, qparams, least_db=-Target.TOLERANCE_DB)

            bisect_integers(is_above_with, low=0, high=n_all)
        return found[0] if found else None


def move_towards_zero(codes: Codes, places: np.ndarray) -> Codes:
    """Move the codes at some places, counted through all tensors, one nearer to 0.

    Codes of 1 stay: a zero is for the masks to say.
    """
    flat = np.concatenate([tensor.ravel() for tensor in codes.values()])
    at = flat[places]
    flat[places] = np.where(np.abs(at) > 1, at - np.sign(at), at)
    ends = np.cumsum([tensor.size for tensor in codes.values()])
    parts = np.split(flat, ends[:-1])
    return {name: part.reshape(codes[name].shape) for name, part in zip(codes, parts, strict=True)}
