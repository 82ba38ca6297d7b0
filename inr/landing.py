"""Lands a file within 5 % below its target by making all quantization steps coarser or finer."""

from collections.abc import Callable

import numpy as np

from inr.fit_types import Steps
from inr.sizing import AIM, MAX_BITS

_LOWEST = 0.955  # of the target: a file below it is tried again with finer steps
_MAX_TRIALS = 30


def landed_steps(
    q_steps: Steps,
    max_bytes: int,
    scaled: Callable[[Steps, float], Steps],
    n_bytes_of: Callable[[Steps], int],
    n_weights: int,
) -> Steps | None:
    """Finds steps whose file has at most max_bytes and, if it can be, at least 95.5 % of them.

    Args:
      q_steps: where to begin; they are returned as they are if their file lands.
      scaled: (steps, octaves) -> the steps made coarser by 2**octaves, as a file can hold them.
      n_bytes_of: steps -> size of the file with them.
      n_weights: a code loses about one bit an octave, which gives the first guesses.
    Returns:
      The steps of the largest file that fits, or None where none was found.
    """
    enough_bytes = min(_LOWEST * max_bytes, MAX_BITS * n_weights / 8)
    octaves, too_fine, coarse_enough = 0.0, -np.inf, np.inf
    steps, fitting, fitting_bytes = q_steps, None, 0
    for _ in range(_MAX_TRIALS):
        n_bytes = n_bytes_of(steps)
        if n_bytes > max_bytes:
            too_fine = max(too_fine, octaves)
        else:
            coarse_enough = min(coarse_enough, octaves)
            if n_bytes > fitting_bytes:
                fitting, fitting_bytes = steps, n_bytes
        if fitting_bytes >= enough_bytes:
            return fitting
        guess = octaves + float(np.clip(8 * (n_bytes - AIM * max_bytes) / n_weights, -1, 1))
        if not too_fine < guess < coarse_enough:
            guess = float(too_fine + coarse_enough) / 2
        octaves, before, steps = guess, steps, scaled(q_steps, guess)
        if steps == before:  # as fine as codes, or as near as the file's steps, allow
            break
    if fitting is None or too_fine == -np.inf:
        return fitting
    # The size jumps between the two, as zstd's does where codes outgrow int8: tensor by tensor.
    finer = scaled(q_steps, float(too_fine))
    for name in finer:
        mixed = fitting | {name: finer[name]}
        n_bytes = n_bytes_of(mixed)
        if fitting_bytes < n_bytes <= max_bytes:
            fitting, fitting_bytes = mixed, n_bytes
    return fitting
