"""Chooses the model of a tensor by the exact cost of coding it, coarse scales first.

Only the encoder runs this, so floats are allowed: a poor choice costs bytes, never exactness.
"""

import numpy as np
from numpy.typing import NDArray

from inr.coders.tensor_model import (
    N_SCALES,
    N_SHAPES,
    PRECISION_BITS,
    TensorModel,
    choose_alphabet,
    nearest_zero_odds,
    symbol_masses,
    table_from_masses,
)


def choose_model(codes: NDArray[np.int32]) -> TensorModel:
    """Return the model that codes int32[n], n >= 1, in the fewest bits."""
    magnitudes = np.bincount(np.abs(codes))  # [largest + 1]
    zero_odds = nearest_zero_odds(int(magnitudes[0]), int(magnitudes[1:].sum()))
    best = (np.inf, TensorModel(0, 0, zero_odds))
    scales = range(0, N_SCALES, 8)  # all octaves for the first shape
    for shape in range(N_SHAPES):
        costs = {
            scale: cost_bits(magnitudes, TensorModel(shape, scale, zero_odds)) for scale in scales
        }
        for step in (4, 2, 1):
            middle = min(costs, key=lambda scale: costs[scale])
            for scale in (middle - step, middle + step):
                if 0 <= scale < N_SCALES:
                    model = TensorModel(shape, scale, zero_odds)
                    costs[scale] = cost_bits(magnitudes, model)
        middle = min(costs, key=lambda scale: costs[scale])
        if costs[middle] < best[0]:
            best = (costs[middle], TensorModel(shape, middle, zero_odds))
        near = best[1].log2_scale  # other shapes are best within an octave of this
        scales = range(max(0, near - 8), min(N_SCALES, near + 9), 8)
    return best[1]


def cost_bits(magnitudes: NDArray[np.int64], model: TensorModel) -> float:
    """Count the bits that a tensor takes under a model.

    Args:
      magnitudes: int64[m + 1], how often each |code| 0..m occurs.
      model: the distribution.
    """
    present = np.flatnonzero(magnitudes)
    return float(magnitudes[present] @ magnitude_bits(present, model))


def magnitude_bits(magnitudes: NDArray[np.int64], model: TensorModel) -> NDArray[np.float64]:
    """Return what codes of these magnitudes cost under a model, float64 of the same shape."""
    alphabet = choose_alphabet(model.log2_scale)
    masses = symbol_masses(model.shape, model.log2_scale, alphabet)
    table = table_from_masses(masses, model.zero_odds, alphabet)
    symbol_bits = PRECISION_BITS - np.log2(table[alphabet.half :])  # symbols 0..half, escape
    symbols = (magnitudes + (1 << alphabet.n_raw_bits) - 1) >> alphabet.n_raw_bits
    inside = symbol_bits[np.minimum(symbols, alphabet.half)] + alphabet.n_raw_bits * (symbols > 0)
    costs: NDArray[np.float64] = np.where(symbols <= alphabet.half, inside, symbol_bits[-1] + 16)
    return costs
