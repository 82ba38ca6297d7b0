"""The priors: networks fitted to many pictures at once, shipped with the package.

Fits begin with them, and files hold only how far a picture's own networks lie from them. They are
part of the format, as tables of other codecs are: `Structure.prior` names the set, and a set never
changes: its SHA-256 stands in assets/manifest.json.

Set 1, made by a script of commit 60bdc74, was fitted for pictures of three channels and exponents
0..5 of the pyramid. Columns and kernels of coarser levels repeat those of the coarsest that is
known; grey is the mean of the three colours; what is left, such as the row of alpha, has no prior.

Sets 2 to 5 depend on lambda. Sets 2, 3 and 4 were made by scripts/train_grid_networks.py, on
latents that were fitted: set 3 is set 2, trained on with the steps of coarse latents that
structure.py tells, and set 4 is set 3, trained on for screens: pages of text and graphics. Set 5 is
set 2, trained on by scripts/train_grid_analysis.py on latents as they are predicted, for files
without a fit. They hold three numbers a, b, c for each one of the networks,
all multiples of 2**-16; at `Structure.rate` = 0..64 that is

    floor((a + t b + t**2 c) g * 2**16 + 0.5) / 2**16,  t = (rate - 32) / 32

with g = 1, or for weights on the levels (GAINED) gain[rate], multiples of 2**-12; a rate stands for
the lambda 0.0001 * 200**(rate / 64). Of grey the colours are one: the mean of
their rows, and in the convolutions the sum of their columns. Colours beside alpha are as without.
"""

import functools
import io
import math
from dataclasses import replace

import numpy as np

from inr.format.shipped import SHIPPED
from inr.grid.structure import MAX_RATE, Pyramid, Shape, Structure

UNIT_BITS = 12  # set 1: stored are int16 multiples of 2**-12
RATE_UNIT_BITS = 16  # later sets: int32 multiples of 2**-16
GAIN_BITS = 12
GAINED = ("synth_w0", "synth_linear")
PRIOR_LIMIT = 8.0
LAMBDA_RANGE = 1e-4, 2e-2  # of later sets
SCREENS = 4  # the set that is for screens
WITHOUT_FIT = 5  # the set for photographs that is best without a fit
_N_COLOURS = 3
_MIDDLE_RATE = MAX_RATE // 2


def rate_of(lambda_: float) -> int:
    """Return the rate 0..MAX_RATE whose lambda is nearest."""
    low, high = LAMBDA_RANGE
    place = math.log(lambda_ / low) / math.log(high / low)
    return round(MAX_RATE * min(max(place, 0.0), 1.0))


def lambda_of(rate: float) -> float:
    """Return the lambda of a rate."""
    low, high = LAMBDA_RANGE
    return low * math.exp(math.log(high / low) * rate / MAX_RATE)


def rate_place(rate: float) -> float:
    """Return t of a rate, -1..1."""
    return (rate - _MIDDLE_RATE) / _MIDDLE_RATE


def without_fit(structure: Structure) -> Structure:
    """Return the structure with the set of networks that is best for latents as predicted."""
    return structure if structure.prior == SCREENS else replace(structure, prior=WITHOUT_FIT)


@functools.lru_cache(maxsize=8)
def prior_networks(pyramid: Pyramid) -> dict[str, np.ndarray]:
    """Make f64 tensors of all shapes of the pyramid, not to be written to: multiples of
    2**-RATE_UNIT_BITS within +-PRIOR_LIMIT, 0 where there is no prior.

    Raises:
      FormatError: the file of the set is damaged or missing.
    """
    shipped = _at_rate(pyramid.structure)
    find = _find_with_rate if pyramid.structure.has_rate else _find_known
    fitted = {}
    for name, shape in pyramid.shapes.items():
        fitted[name] = np.zeros(shape)
        known = find(name, shape, shipped, pyramid)
        if known is not None and known.shape[1:] == shape[1:] and len(known) <= shape[0]:
            fitted[name][: len(known)] = known
        fitted[name].setflags(write=False)
    return fitted


def _at_rate(structure: Structure) -> dict[str, np.ndarray]:
    """Return the set of a structure, f64 tensors as they were trained; empty where it has none."""
    if structure.prior == 0:
        return {}
    stored = _shipped(structure.prior)
    if not structure.has_rate:
        return {name: w * 2.0**-UNIT_BITS for name, w in stored.items()}
    by, tensors = structure.rate - _MIDDLE_RATE, {}
    for name in stored.keys() - {"gain"}:
        a, b, c = stored[name]
        sums = _MIDDLE_RATE**2 * a + _MIDDLE_RATE * by * b + by**2 * c  # int64, exact as all here
        unit = _MIDDLE_RATE**2
        if name in GAINED:
            sums, unit = sums * stored["gain"][structure.rate], unit << GAIN_BITS
        tensors[name] = ((2 * sums + unit) // (2 * unit)) * 2.0**-RATE_UNIT_BITS
    return tensors


@functools.cache
def _shipped(n: int) -> dict[str, np.ndarray]:
    """Read set n: int64 tensors as they are stored; a, b, c on a first axis but in set 1."""
    entry = next(entry for entry in SHIPPED.entries("grid") if entry.id == n)
    with np.load(io.BytesIO(SHIPPED.read(entry))) as stored:
        return {name: stored[name].astype(np.int64) for name in stored.files}


def _find_known(
    name: str, shape: Shape, shipped: dict[str, np.ndarray], pyramid: Pyramid
) -> np.ndarray | None:
    """Return the first rows of a tensor as the prior has them; None if it does not know the
    tensor."""
    coarsest = shipped["synth_w0"].shape[1] - 1 if shipped else 0
    if name.startswith("up") and shipped:
        return shipped[f"up{min(int(name[2:]), coarsest - 1)}"]
    if name not in shipped:
        return None
    known = shipped[name]
    if name in ("synth_w0", "synth_linear"):
        exponents = [level.exponent for level in pyramid.levels if not level.is_hyper]
        known = known[:, [max(0, coarsest - e) for e in exponents]]
    if name in ("synth_linear", "synth_w1", "synth_b1") and pyramid.n_channels < _N_COLOURS:
        known = _round_to(known.mean(axis=0, keepdims=True), UNIT_BITS)
    if name.startswith("feature"):  # of the coarsest levels, those that are not known count 0
        n_missing = max(0, shape[1] - known.shape[1])
        known = np.pad(known, ((0, 0), (n_missing, 0)))[:, -shape[1] :]
    return known


def _find_with_rate(
    name: str, shape: Shape, shipped: dict[str, np.ndarray], pyramid: Pyramid
) -> np.ndarray | None:
    """Return the first rows of a tensor as a set with a rate has them; None if it does not know
    the tensor."""
    s, n_channels = pyramid.structure, pyramid.n_channels
    if name.startswith("feature"):
        name = f"feature{int(name[7:]) + s.first_level}"
    known = shipped.get(name)
    if known is None:
        return None
    if name in ("synth_w0", "synth_linear"):
        known = known[:, : known.shape[1] - s.first_level]
    if name.startswith("conv_w"):
        known = known.reshape(_N_COLOURS, 9, _N_COLOURS)
        if n_channels < _N_COLOURS:
            known = known.sum(axis=2, keepdims=True)
        known = np.pad(known, ((0, 0), (0, 0), (0, n_channels - known.shape[2])))
        known = known.reshape(_N_COLOURS, 9 * n_channels)
    is_by_colour = name.startswith("conv") or name in ("synth_linear", "synth_w1", "synth_b1")
    if is_by_colour and n_channels < _N_COLOURS:
        known = _round_to(known.mean(axis=0, keepdims=True), RATE_UNIT_BITS)
    return known


def _round_to(w: np.ndarray, bits: int) -> np.ndarray:
    rounded: np.ndarray = np.ldexp(np.rint(np.ldexp(w, bits)), -bits)
    return rounded
