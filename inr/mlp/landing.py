"""Lands a file within 3 % below its target by making all quantization levels coarser or finer."""

from collections.abc import Callable

import numpy as np

from inr.mlp.fit.problem import AllLevels
from inr.mlp.size import AIM, MAX_BITS

_LOWEST = 0.975  # of the target: a file below it is tried again with finer levels
_MAX_TRIALS = 30
_NUDGE = 1 / 32  # octaves; doubled until a codebook, which loses whole levels, becomes coarser
_MAX_NUDGE = 16.0


def landed_levels(
    levels: AllLevels,
    max_bytes: int,
    scaled: Callable[[AllLevels, float], AllLevels],
    n_bytes_of: Callable[[AllLevels], int],
    n_weights: int,
) -> AllLevels | None:
    """Finds levels whose file has at most max_bytes and, if it can be, at least 97.5 % of them.

    Args:
      levels: where to begin; they are returned as they are if their file lands.
      scaled: (levels, octaves) -> the levels made coarser by 2**octaves, as a file can hold them.
      n_bytes_of: levels -> size of the file with them.
      n_weights: a code loses about one bit an octave, which gives the first guesses.
    Returns:
      The levels of the largest file that fits, or None where none was found.
    """
    enough_bytes = min(_LOWEST * max_bytes, MAX_BITS * n_weights / 8)
    octaves, too_fine, coarse_enough = 0.0, -np.inf, np.inf
    tried, fitting, fitting_bytes = levels, None, 0
    for _ in range(_MAX_TRIALS):
        n_bytes = n_bytes_of(tried)
        if n_bytes > max_bytes:
            too_fine = max(too_fine, octaves)
        else:
            coarse_enough = min(coarse_enough, octaves)
            if n_bytes > fitting_bytes:
                fitting, fitting_bytes = tried, n_bytes
        if fitting_bytes >= enough_bytes:
            return fitting
        guess = octaves + float(np.clip(8 * (n_bytes - AIM * max_bytes) / n_weights, -1, 1))
        if not too_fine < guess < coarse_enough:
            guess = float(too_fine + coarse_enough) / 2
        octaves, before, tried = guess, tried, scaled(levels, guess)
        nudge = _NUDGE
        while fitting is None and nudge < _MAX_NUDGE and _same(tried, before):
            octaves, nudge = octaves + nudge, 2 * nudge
            tried = scaled(levels, octaves)
        if _same(tried, before):  # as fine as codes, or as near as the file's levels, allow
            break
    if fitting is None or too_fine == -np.inf:
        return fitting
    # The size jumps between the two, as that of codebooks where a level is lost: tensor by tensor.
    finer = scaled(levels, float(too_fine))
    for name in finer:
        mixed = fitting | {name: finer[name]}
        n_bytes = n_bytes_of(mixed)
        if fitting_bytes < n_bytes <= max_bytes:
            fitting, fitting_bytes = mixed, n_bytes
    return fitting


def _same(a: AllLevels, b: AllLevels) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)
