"""Proves that the drawing of a grid picture is exact, from its weights and its largest latent.

All numbers of `inr.grid.synthesis` are multiples of powers of two, carried by float64. Sums of such
numbers are exact, in any order and with or without fused multiply-add, while they stay below 2**53
in units of the finest of them: any BLAS, any number of threads and any GPU give the same bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inr.coders.laplace_tables import LATENT_LIMIT
from inr.errors import FormatError
from inr.grid.structure import Pyramid

NumpyParams = dict[str, np.ndarray]

FEATURE_BITS = 10  # fraction of a feature
COLOUR_BITS = 20  # fraction of a colour
COLOUR_LIMIT = 8  # largest |colour| before the convolutions
_WEIGHT_BITS = 16  # finest fraction of a weight
_TAP_LIMIT, _WEIGHT_LIMIT = 4, 64  # largest |weight| of the upsampling and of all others
_LEAST_BITS = 4  # nothing is rounded coarser than this
_EXACT_BITS = 53  # float64 holds every integer up to 2**53


@dataclass(frozen=True)
class Rounding:
    """Fractions, in bits, of sums that other sums are made of; None where all of it is kept."""

    row_bits: tuple[int | None, ...]  # per exponent of the finer size, between rows and columns
    hidden_bits: int | None


def check_exact(params: NumpyParams, pyramid: Pyramid, max_latent: int) -> Rounding:
    """Proves that every sum of the drawing is exact.

    Args:
      params: f64, the tensors of `pyramid.synthesis_groups`, as the file holds them.
      max_latent: the largest |latent| of the drawn levels.
    Returns:
      The finest rounding that makes it so: none at all for common files.
    Raises:
      FormatError: a weight is too large or too fine, or no rounding makes the sums exact.
    """
    if not 0 <= max_latent <= LATENT_LIMIT:
        raise FormatError(f"|latent| {max_latent} is outside 0..{LATENT_LIMIT}; encode again")
    names = [name for group in pyramid.synthesis_groups.values() for name in group]
    units = {name: _units(name, params[name]) for name in names}
    bits = {name: _fraction_bits(units[name]) for name in names}

    features, feature_bits, row_bits = _bounds_of_features(units, bits, pyramid, max_latent)
    hidden = _bounds(units["synth_w0"], features, units["synth_b0"])
    fraction = max(feature_bits + bits["synth_w0"], bits["synth_b0"])
    _check("synth_w0", max(hidden), fraction)
    second = np.concatenate([units["synth_w1"], units["synth_linear"]], axis=1)
    colour = max(_bounds(second, hidden + features, units["synth_b1"]))
    beside = max(feature_bits + bits["synth_linear"], bits["synth_b1"], COLOUR_BITS + 1)
    _check("synth_linear", colour, beside)
    hidden_bits = _rounded_to("synth_w1", colour, fraction, bits["synth_w1"])

    colours = [COLOUR_LIMIT << COLOUR_BITS] * pyramid.n_channels  # from here on in steps
    for i in range(2):
        w, b = f"conv_w{i}", f"conv_b{i}"
        change = _bounds(units[w], colours * 9, units[b] << COLOUR_BITS)
        colours = [x + y for x, y in zip(colours, change, strict=True)]
        _check(w, max(colours), max(bits[w], 1))
    return Rounding(row_bits, hidden_bits)


def _bounds_of_features(
    units: NumpyParams, bits: dict[str, int], pyramid: Pyramid, max_latent: int
) -> tuple[list[int], int, tuple[int | None, ...]]:
    """Largest |feature| of each drawn level, their fraction in bits, and `Rounding.row_bits`."""
    drawn = [level.exponent for level in pyramid.levels if not level.is_hyper]
    coarsest = pyramid.levels[0].exponent
    bounds, feature_bits = [max_latent] * drawn.count(coarsest), 0
    row_bits: list[int | None] = []
    for e in reversed(range(coarsest)):
        name = f"up{e}"
        gain = int(units[name].sum())
        rows = [_in_ones(gain * bound) + 1 for bound in bounds]
        bounds = [_in_ones(gain * bound) + 1 for bound in rows]
        fraction = feature_bits + bits[name]
        _check(name, max(rows), fraction)
        _check(name, max(bounds), FEATURE_BITS + 1)
        row_bits.append(_rounded_to(name, max(bounds), fraction, bits[name]))
        bounds += [max_latent] * drawn.count(e)
        feature_bits = FEATURE_BITS
    return bounds, feature_bits, tuple(reversed(row_bits))


def _units(name: str, w: np.ndarray) -> np.ndarray:
    """|w| in units of 2**-16, i64."""
    limit = _TAP_LIMIT if name.startswith("up") else _WEIGHT_LIMIT
    if not (np.abs(w) <= limit).all():  # NaN too
        raise FormatError(f"{name!r} has a weight outside +-{limit}; encode again")
    scaled = np.abs(w) * 2.0**_WEIGHT_BITS
    if (scaled != np.floor(scaled)).any():
        raise FormatError(f"{name!r} is finer than 2**-{_WEIGHT_BITS}; encode with larger steps")
    units: np.ndarray = scaled.astype(np.int64)
    return units


def _fraction_bits(units: np.ndarray) -> int:
    """The least k for which all weights are multiples of 2**-k."""
    used = int(np.bitwise_or.reduce(units, axis=None))
    return max(0, _WEIGHT_BITS + 1 - (used & -used).bit_length()) if used else 0


def _bounds(w: np.ndarray, x: Sequence[int], b: np.ndarray) -> list[int]:
    """Largest |w x + b| of each row, and 1 for what rounding adds. Python integers, rounded up:
    the same on every machine."""
    return [
        _in_ones(sum(a * c for a, c in zip(row, x, strict=True)) + bias) + 1
        for row, bias in zip(w.tolist(), b.tolist(), strict=True)
    ]


def _in_ones(bound: int) -> int:
    """From units of 2**-16, rounded up."""
    return -(-bound >> _WEIGHT_BITS)


def _check(name: str, bound: int, fraction: int) -> None:
    """Sums below bound, of multiples of 2**-fraction, must be exact."""
    if bound.bit_length() + fraction > _EXACT_BITS:
        raise FormatError(
            f"sums of {name!r} may reach {bound} in steps of 2**-{fraction}, beyond the "
            f"{_EXACT_BITS} bits of exact arithmetic; encode with smaller weights or larger steps"
        )


def _rounded_to(name: str, bound: int, fraction: int, weight_bits: int) -> int | None:
    """Rounding of multiples of 2**-fraction that makes sums of their products with weights exact.

    Args:
      bound: of those sums.
      weight_bits: fraction of the weights.
    Returns:
      The most bits of fraction that are safe; None if all are.
    """
    safe = _EXACT_BITS - bound.bit_length() - weight_bits
    if safe >= fraction:
        return None
    _check(name, bound, weight_bits + _LEAST_BITS)
    return safe
