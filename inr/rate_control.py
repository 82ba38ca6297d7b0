"""`target_psnr`: fits of several sizes until the decoded picture has the quality asked for.

Fits are bracketed and interpolated in log bytes against PSNR. A fit a little above the target is
brought down to it by coarser codes, which takes seconds instead of another fit.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from inr.codec import Encoded, Wish, finished
from inr.errors import FitError, UsageError
from inr.fit import fit
from inr.fit_types import AllLevels, Codes, Fitted
from inr.metrics import psnr_db
from inr.preparation import Prepared, facts_of, prepare

if TYPE_CHECKING:
    from inr.fit_types import Progress
    from inr.picture import Picture
    from inr.recipes import Recipe

TOLERANCE_DB = 0.1
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
    wish: Wish,
    *,
    report: "Callable[[Progress], None] | None" = None,
) -> Encoded:
    """The smallest file found whose decoded PSNR is within 0.1 dB of wish.target_psnr.

    A time budget is shared by all fits; a checkpoint is refused, as there are several fits.

    Raises:
      FitError: the quality was not reached; the text tells what was.
    """
    assert wish.target_psnr is not None
    if wish.checkpoint is not None:
        raise UsageError("--checkpoint holds one fit, and a target of PSNR takes several")
    started_at = time.monotonic()
    target_db = wish.target_psnr
    deadline = None if wish.time_budget is None else started_at + wish.time_budget
    plain = dataclasses.replace(wish, target_psnr=None, time_budget=None)
    n_bytes = plain.max_bytes(recipe, facts_of(picture))
    tried: list[tuple[float, float]] = []  # (log2 of bytes, PSNR)
    above: list[tuple[int, Prepared, Fitted]] = []  # (bytes, ...) of fits far above the target
    n_steps, margin_db = 0, _NEAR_DB / 4
    n_fits = 1 if recipe.fixed_size else _MAX_FITS
    for _ in range(n_fits):
        prepared = _prepared(picture, recipe, plain, n_bytes, tried)
        if prepared is None:
            break
        fitted = fit(prepared.job, recipe.fit, deadline=_share(deadline, n_fits), report=report)
        n_steps += fitted.n_steps
        data = prepared.file_of(fitted.codes, fitted.levels)
        encoded = finished(picture, data, n_steps, started_at)
        excess_db = encoded.psnr_db - target_db
        if abs(excess_db) <= TOLERANCE_DB:
            return encoded
        if 0 < excess_db < _NEAR_DB:
            lowered = _lowered(picture, prepared, fitted, target_db)
            if lowered is not None:
                return finished(picture, lowered, n_steps, started_at)
            margin_db = 0.0  # only a fit itself can meet the target
        elif excess_db > 0:
            above.append((len(data), prepared, fitted))
        tried.append((float(np.log2(len(data))), encoded.psnr_db))
        size = _next_size(tried, target_db + margin_db, float(np.log2(picture.pixels.nbytes)))
        if size is None or (deadline is not None and time.monotonic() > deadline):
            break
        n_bytes = round(2**size)
    for _, prepared, fitted in sorted(above, key=lambda each: each[0]):
        lowered = _lowered(picture, prepared, fitted, target_db)
        if lowered is not None:
            return finished(picture, lowered, n_steps, started_at)
    reached = ", ".join(f"{2**size:.0f} bytes {psnr:.2f} dB" for size, psnr in tried)
    raise FitError(
        f"a PSNR of {target_db} dB was not reached: {reached}; give more fit.steps or another "
        "target"
    )


def _share(deadline: float | None, n_fits: int) -> float | None:
    """Half of the time left, so that a second fit and a third have some."""
    if deadline is None:
        return None
    now = time.monotonic()
    return now + max(0.0, deadline - now) / min(n_fits, 2)


def _prepared(
    picture: "Picture",
    recipe: "Recipe",
    wish: Wish,
    n_bytes: int | None,
    tried: list[tuple[float, float]],
) -> Prepared | None:
    """The job for n_bytes, or for somewhat more where no network is that small; None where there
    is none between that and the sizes tried."""
    if n_bytes is None:
        return prepare(picture, recipe, wish)
    while True:
        try:
            return prepare(picture, recipe, dataclasses.replace(wish, target_bytes=n_bytes))
        except ValueError:
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
    no_use = any(
        other < last_size - 0.5 and db > last_db - TOLERANCE_DB for other, db in tried[:-1]
    )
    return None if no_use or size < last_size + 0.05 else size


def _lowered(
    picture: "Picture", prepared: Prepared, fitted: Fitted, target_db: float
) -> bytes | None:
    """The file with its PSNR brought down to the target; None where that cannot be done.

    Levels are made coarser as far as that alone keeps above the target. Another grid costs at
    once what the fit gained by training with the old one, so for the rest codes are moved one
    nearer to 0, as many of them as it takes.
    """
    from inr.codec import View, decode_picture

    quantizer, fixed = prepared.job.quantizer, prepared.job.joint.fixed_steps()
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

    def measured(codes: Codes, levels: AllLevels) -> tuple[bytes, float]:
        """The file, and what its PSNR exceeds the target by."""
        data = prepared.file_of(codes, levels)
        drawn = decode_picture(data, View(max_pixels=None)).pixels
        return data, psnr_db(picture.pixels, drawn) - target_db

    low, high = 0.0, _MOST_COARSER
    if measured(*coarser(high))[1] > 0:
        return None
    while high - low > _FINEST:  # PSNR falls from one to the other
        octaves = (low + high) / 2
        data, excess_db = measured(*coarser(octaves))
        if 0 <= excess_db <= TOLERANCE_DB:
            return data
        low, high = (octaves, high) if excess_db > 0 else (low, octaves)
    codes, levels = coarser(low) if low > 0 else (fitted.codes, fitted.levels)
    trained = {name: codes[name] for name in weights}
    n_all = sum(tensor.size for tensor in trained.values())
    for seed in range(_N_ORDERS):
        order = np.random.default_rng(seed).permutation(n_all)
        fewest, most = 0, n_all
        while most - fewest > 1:
            n = (fewest + most) // 2
            data, excess_db = measured(codes | _shrunk(trained, order[:n]), levels)
            if abs(excess_db) <= TOLERANCE_DB:
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
