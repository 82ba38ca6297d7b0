"""`target_psnr`: fits of several sizes until the decoded picture has the quality asked for.

Fits are bracketed and interpolated in log bytes against PSNR. A fit a little above the target is
brought down to it by coarser codes, which takes seconds instead of another fit.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from inr.codec import NEAR_DB, EncodeOptions, EncodeResult, finished
from inr.errors import FitError, UsageError
from inr.fitting.checkpoint import SeveralFits, checkpoint_of
from inr.fitting.time_budget import TimeBudget, TooShort
from inr.format.container import pack_icc
from inr.image.metrics import psnr_db
from inr.mlp.encode import Prepared, before_drawing, file_of_one_colour, picture_info, prepare
from inr.mlp.fit.fit import fit
from inr.mlp.fit.problem import AllLevels, Codes, FitResult

if TYPE_CHECKING:
    from inr.image.picture import Picture
    from inr.mlp.fit.problem import Progress
    from inr.recipes import Recipe

_NEAR_DB = 0.8  # above the target: brought down by levels, at less than a tenth of the bytes
_DB_AN_OCTAVE = 2.6  # of bytes, until two fits tell better
_MAX_FITS = 7
_MAX_OCTAVES = 3.0  # of bytes, between one fit and the next
_MOST_COARSER = 4.0  # octaves of levels; beyond, a smaller network is better
_FINEST = 1 / 64  # octaves
_N_ORDERS = 10  # in which codes are moved: in small networks single ones weigh much


def encode_to_psnr(
    picture: "Picture",
    recipe: "Recipe",
    options: EncodeOptions,
    budget: TimeBudget | None = None,
    report: "Callable[[Progress], None] | None" = None,
) -> EncodeResult:
    """Finds the smallest file whose decoded PSNR is options.target_psnr within 0.1 dB, or better
    where no file comes so near.

    A time budget is shared by all fits. A checkpoint holds what the finished fits ended in beside
    the state of the next, so that a killed run goes on in the fit it was in.

    Raises:
      FitError: the quality was not reached; the text tells what was.
    """
    assert options.target_psnr is not None
    started_at = time.monotonic()
    target_db = options.target_psnr
    plain = dataclasses.replace(options, target_psnr=None, time_budget=None, checkpoint=None)
    info = picture_info(picture)
    checkpoint = checkpoint_of(
        options.checkpoint, picture.pixels, (info, recipe, options.seed, target_db)
    )
    fits = SeveralFits(checkpoint)
    n_bytes = plain.max_bytes(recipe, info)
    if n_bytes is not None and info.icc_profile is not None:
        n_bytes += len(pack_icc(info.icc_profile))  # sizes here are those of whole files
    tried: list[tuple[float, float]] = []  # (log2 of bytes, PSNR)
    above: list[tuple[bytes, float, Prepared, FitResult]] = []  # better than the target, by dB
    n_steps, margin_db = 0, _NEAR_DB / 4
    n_fits = 1 if recipe.fixed_size else _MAX_FITS

    def ended(data: bytes) -> EncodeResult:
        encoded = finished(picture, data, n_steps, started_at)
        return dataclasses.replace(encoded, checkpoint=checkpoint)

    for i in range(n_fits):
        prepared = _prepared(picture, recipe, plain, n_bytes, tried)
        if prepared is None:
            break
        try:
            fitted = _fitted(fits, i, prepared, recipe, _share(budget, n_fits), report)
        except TooShort:
            if not tried:
                raise
            break
        n_steps += fitted.n_steps
        data = prepared.file_of(fitted.codes, fitted.levels)
        encoded = ended(data)
        excess_db = encoded.psnr_db - target_db
        if abs(excess_db) <= NEAR_DB:
            return encoded
        if excess_db > 0:
            above.append((data, excess_db, prepared, fitted))
        if 0 < excess_db < _NEAR_DB:
            lowered = _lowered(picture, prepared, fitted, target_db, budget)
            if lowered is not None:
                return ended(lowered)
            margin_db = 0.0  # only a fit itself can meet the target
        tried.append((float(np.log2(len(data))), encoded.psnr_db))
        size = _next_size(tried, target_db + margin_db, float(np.log2(picture.pixels.nbytes)))
        if size is None or (budget is not None and budget.left() < 0):
            break
        n_bytes = round(2**size)
    above.sort(key=lambda each: len(each[0]))
    for _, excess_db, prepared, fitted in above:
        if excess_db < _NEAR_DB:
            continue  # tried above
        lowered = _lowered(picture, prepared, fitted, target_db, budget)
        if lowered is not None:
            return ended(lowered)
    if above:  # no file comes nearer: the smallest that is good enough
        flat = file_of_one_colour(info, recipe)
        smallest = above[0][0]
        if len(flat) < len(smallest) and ended(flat).psnr_db >= target_db - NEAR_DB:
            return ended(flat)
        return ended(smallest)
    reached = ", ".join(f"{2**size:.0f} bytes {psnr:.2f} dB" for size, psnr in tried)
    raise FitError(
        f"a PSNR of {target_db} dB was not reached: {reached}; give more fit.steps or another "
        "target"
    )


def _fitted(
    fits: SeveralFits,
    i: int,
    prepared: Prepared,
    recipe: "Recipe",
    budget: TimeBudget | None,
    report: "Callable[[Progress], None] | None",
) -> FitResult:
    """What the i-th fit ends in, or has ended in before a kill."""
    job = prepared.job
    names, trained = list(job.field_set.shapes()), list(job.field_set.trained_shapes())
    kept = fits.result(i)
    if kept is None:
        rest = before_drawing(budget, prepared, recipe)
        fitted = fit(job, recipe.fit, time_budget=rest, store=fits, report=report)
        arrays = [fitted.codes[name] for name in names]
        arrays += [np.asarray(fitted.levels[name]) for name in trained]
        fits.add_result({"n_steps": fitted.n_steps}, arrays)
        return fitted
    numbers, arrays = kept
    codes = dict(zip(names, arrays, strict=False))
    levels = dict(zip(trained, arrays[len(names) :], strict=True))
    return FitResult(codes, levels, numbers["n_steps"])


def _share(budget: TimeBudget | None, n_fits: int) -> TimeBudget | None:
    """Half of the time left, so that a second fit and a third have some."""
    if budget is None or n_fits == 1:
        return budget
    return budget.reserving(max(0.0, budget.left() / 2))


def _prepared(
    picture: "Picture",
    recipe: "Recipe",
    options: EncodeOptions,
    n_bytes: int | None,
    tried: list[tuple[float, float]],
) -> Prepared | None:
    """The job for n_bytes, or for somewhat more where no network is that small; None where there
    is none between that and the sizes tried."""
    if n_bytes is None:
        return prepare(picture, recipe, options)
    while True:
        try:
            return prepare(picture, recipe, dataclasses.replace(options, target_bytes=n_bytes))
        except UsageError:
            if not tried:
                raise
            smallest = 2 ** min(size for size, _ in tried)
            n_bytes = round((max(n_bytes, 1) * smallest) ** 0.5)
            if n_bytes > 0.9 * smallest:
                return None


def _next_size(tried: list[tuple[float, float]], target_db: float, largest: float) -> float | None:
    """log2 of the bytes to try next, at most `largest`; None where more would be no use."""
    below = [point for point in tried if point[1] < target_db]
    above = [point for point in tried if point[1] >= target_db]
    last_size, last_db = tried[-1]
    if below and above:
        (low, low_db), (high, high_db) = max(below), min(above)
        if low < high:
            share = (target_db - low_db) / (high_db - low_db)
            return low + float(np.clip(share, 0.1, 0.9)) * (high - low)
        # Seeds differ by more than sizes this near: a little larger than both.
        return low + 0.1
    octaves = (target_db - last_db) / _DB_AN_OCTAVE
    size = last_size + float(np.clip(octaves, -_MAX_OCTAVES, _MAX_OCTAVES))
    if above:
        return size
    size = min(size, largest)
    no_use = any(other < last_size - 0.5 and db > last_db - NEAR_DB for other, db in tried[:-1])
    return None if no_use or size < last_size + 0.05 else size


def _lowered(
    picture: "Picture",
    prepared: Prepared,
    fitted: FitResult,
    target_db: float,
    budget: TimeBudget | None,
) -> bytes | None:
    """The file with its PSNR brought down to the target; None where that cannot be done, or not in
    the time that is left.

    Levels are made coarser as far as that alone keeps above the target. Another grid costs at
    once what the fit gained by training with the old one, so for the rest codes are moved one
    nearer to 0, as many of them as it takes.
    """
    from inr.codec import NO_LIMITS, decode_picture

    quantizer, fixed = prepared.job.quantizer, prepared.job.field_set.fixed_steps()
    weights = {
        name: quantizer.dequantize(codes, fitted.levels[name])
        for name, codes in fitted.codes.items()
        if name not in fixed
    }

    def coarser(octaves: float) -> tuple[Codes, AllLevels]:
        levels, codes = {}, dict(fitted.codes)
        for name, w in weights.items():
            levels[name] = quantizer.scaled(fitted.levels[name], octaves, w)
            codes[name] = quantizer.codes(w, levels[name])
        return codes, levels

    def is_late() -> bool:
        return budget is not None and budget.left() < 0

    def measured(codes: Codes, levels: AllLevels) -> tuple[bytes, float]:
        """The file, and what its PSNR exceeds the target by."""
        data = prepared.file_of(codes, levels)
        drawn = decode_picture(data, NO_LIMITS).pixels
        return data, psnr_db(picture.pixels, drawn) - target_db

    low, high = 0.0, _MOST_COARSER
    if is_late() or measured(*coarser(high))[1] > 0:
        return None
    while high - low > _FINEST and not is_late():  # PSNR falls from one to the other
        octaves = (low + high) / 2
        data, excess_db = measured(*coarser(octaves))
        if 0 <= excess_db <= NEAR_DB:
            return data
        low, high = (octaves, high) if excess_db > 0 else (low, octaves)
    codes, levels = coarser(low) if low > 0 else (fitted.codes, fitted.levels)
    trained = {name: codes[name] for name in weights}
    n_all = sum(tensor.size for tensor in trained.values())
    for seed in range(_N_ORDERS):
        if is_late():
            return None
        order = np.random.default_rng(seed).permutation(n_all)
        fewest, most = 0, n_all
        while most - fewest > 1 and not is_late():
            n = (fewest + most) // 2
            data, excess_db = measured(codes | _shrunk(trained, order[:n]), levels)
            if abs(excess_db) <= NEAR_DB:
                return data
            fewest, most = (n, most) if excess_db > 0 else (fewest, n)
    return None


def _shrunk(codes: Codes, places: np.ndarray) -> Codes:
    """The codes with those at some places, counted through all tensors, moved one nearer to 0.

    Codes of 1 stay: a zero is for the masks to say.
    """
    flat = np.concatenate([tensor.ravel() for tensor in codes.values()])
    at = flat[places]
    flat[places] = np.where(np.abs(at) > 1, at - np.sign(at), at)
    ends = np.cumsum([tensor.size for tensor in codes.values()])
    parts = np.split(flat, ends[:-1])
    return {name: part.reshape(codes[name].shape) for name, part in zip(codes, parts, strict=True)}
