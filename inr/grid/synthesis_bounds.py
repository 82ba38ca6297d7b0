"""Proves that the drawing of a grid picture is exact, from its weights and its largest latent.

All numbers of `inr.grid.synthesis` are multiples of powers of two, carried by float64. Bounds of
each layer follow from those of the layer before, see `inr.exact.fixed_point`.
"""

import math
from dataclasses import dataclass

import numpy as np

from inr.coders.laplace_tables import LATENT_LIMIT
from inr.errors import FormatError
from inr.exact.fixed_point import EXACT_BITS, Bounds, fraction_bits
from inr.grid.structure import Pyramid

NumpyParams = dict[str, np.ndarray]

FEATURE_BITS = 10  # fraction of a feature
COLOUR_BITS = 20  # fraction of a colour
COLOUR_LIMIT = 8  # largest |colour| before the convolutions
_WEIGHT_BITS = 16  # finest fraction of a weight
_TAP_LIMIT, _WEIGHT_LIMIT = 4, 64  # largest |weight| of the upsampling and of all others
_LEAST_BITS = 4  # nothing is rounded coarser than this


@dataclass(frozen=True)
class Rounding:
    """Fractions, in bits, of sums that other sums are made of; None where all of it is kept."""

    row_bits: tuple[int | None, ...]  # per exponent of the finer size, between rows and columns
    hidden_bits: int | None


def check_exact(params: NumpyParams, pyramid: Pyramid, max_latent: int) -> Rounding:
    """Prove that every sum of the drawing is exact.

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
    p = {
        name: _check_weights(name, params[name])
        for group in pyramid.synthesis_groups.values()
        for name in group
    }
    features, row_bits = _bound_features(p, pyramid, max_latent)
    hidden = features.product(p["synth_w0"], p["synth_b0"])
    hidden.check("synth_w0")
    second = np.concatenate([p["synth_w1"], p["synth_linear"]], axis=1)
    colour = hidden.join(features).product(second, p["synth_b1"])
    beside = features.product(p["synth_linear"], p["synth_b1"])  # the hidden ones may be rounded
    halves = np.maximum(beside.fraction_bits, COLOUR_BITS + 1)  # of steps, which rounding adds
    Bounds(colour.most, halves).check("synth_linear")
    hidden_bits = _choose_rounding("synth_w1", colour, hidden, p["synth_w1"])

    colours = Bounds.of([COLOUR_LIMIT << COLOUR_BITS] * pyramid.n_channels)  # now in steps
    for i in range(2):
        w, b = f"conv_w{i}", f"conv_b{i}"
        neighbours = Bounds.of(np.tile(colours.most, 9))
        change = neighbours.product(p[w], p[b] * (1 << COLOUR_BITS))
        colours = Bounds(colours.most + change.most, np.maximum(change.fraction_bits, 1))
        colours.check(w)
    return Rounding(row_bits, hidden_bits)


def _bound_features(
    p: NumpyParams, pyramid: Pyramid, max_latent: int
) -> tuple[Bounds, tuple[int | None, ...]]:
    """Bound the features of the drawn levels, and choose `Rounding.row_bits`."""
    drawn = [level.exponent for level in pyramid.levels if not level.is_hyper]
    coarsest = pyramid.levels[0].exponent

    def planes(exponent: int) -> Bounds:
        octaves = pyramid.octaves_at(exponent)
        return Bounds.of([math.ceil(max_latent / 2**octaves)] * drawn.count(exponent), octaves)

    features = planes(coarsest)
    row_bits: list[int | None] = []
    for e in reversed(range(coarsest)):
        name = f"up{e}"
        rows = features.convolve(p[name])
        rows.check(name)
        both = rows.convolve(p[name])
        Bounds.of(both.most, FEATURE_BITS + 1).check(name)
        row_bits.append(_choose_rounding(name, both, rows, p[name]))
        features = Bounds.of(both.most, FEATURE_BITS).join(planes(e))
    return features, tuple(reversed(row_bits))


def _check_weights(name: str, w: np.ndarray) -> np.ndarray:
    limit = _TAP_LIMIT if name.startswith("up") else _WEIGHT_LIMIT
    if not (np.abs(w) <= limit).all():  # NaN too
        raise FormatError(f"{name!r} has a weight outside +-{limit}; encode again")
    if fraction_bits(w).max() > _WEIGHT_BITS:
        raise FormatError(f"{name!r} is finer than 2**-{_WEIGHT_BITS}; encode with larger steps")
    return w


def _choose_rounding(name: str, sums: Bounds, x: Bounds, weights: np.ndarray) -> int | None:
    """Choose the finest rounding of x that makes the sums of their products with weights exact.

    Returns:
      The most bits of fraction that are safe; None if all of x are.
    """
    most, weight_bits = sums.most.max(), int(fraction_bits(weights).max())
    safe = EXACT_BITS - int(most).bit_length() - weight_bits
    if safe >= x.fraction_bits.max():
        return None
    Bounds.of([most], weight_bits + _LEAST_BITS).check(name)
    return safe
