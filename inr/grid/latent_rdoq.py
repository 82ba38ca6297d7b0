"""Rate-distortion optimised rounding of the finest latents of a file without a fit.

Each of the finest latents, which take most of the bits, becomes the whole number that costs least,
MSE + lambda * bits per pixel, by the decoder's own densities: the nearest one, the next one towards
zero, or zero. Contexts are taken as they are, and all latents are rounded at once; what depends on
its neighbours is left to latent_moves.py.
"""

import numpy as np

from inr.coders.laplace_symbols import bits_of_each, to_symbols
from inr.coders.laplace_tables import LaplaceTables, laplace_tables
from inr.grid.fit.result import round_codes
from inr.grid.latent_coder import densities_of_level
from inr.grid.prior import prior_networks
from inr.grid.structure import Pyramid

_AT_ONCE = 1 << 18  # latents, whose symbols take 25 MB


def lower_finest(
    latents: list[np.ndarray], colour: np.ndarray, lambda_: float, pyramid: Pyramid
) -> list[np.ndarray]:
    """Return the latents with those of the finest level that are better rounded otherwise replaced
    by whole numbers, f32[h, w] of each level, in codes.

    Contexts are those of the nearest codes, and a latent changes its own pixels alone.

    Args:
      latents: f32[h, w] of each level, in codes, for the networks of the prior.
      colour: f64[c], of the finest level, see `closed_loop.colours_of`.
      lambda_: weight of a bit per pixel against MSE.
    Raises:
      FormatError: latents or networks whose sums are too large to be exact.
    """
    codes, last = [round_codes(y) for y in latents], len(latents) - 1
    # Of a square error in codes, against lambda * bits.
    weight = np.mean(colour**2) * 4 ** pyramid.levels[last].exponent
    density = densities_of_level(last, codes, prior_networks(pyramid), pyramid).reshape(2, -1)
    chosen, tables = latents[last].ravel().copy(), laplace_tables()
    for begin in range(0, chosen.size, _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        chosen[part] = _cheapest(chosen[part], density[:, part], tables, lambda_ / weight)
    return [*latents[:-1], chosen.reshape(latents[last].shape)]


def _cheapest(
    latents: np.ndarray, density: np.ndarray, tables: LaplaceTables, per_bit: float
) -> np.ndarray:
    """Return f32[n]: each as it is where its nearest code costs least, else the code that does.

    per_bit: what a bit costs, in square errors of a code.
    """
    nearest = round_codes(latents)
    codes = np.stack([nearest, nearest - np.sign(nearest), np.zeros_like(nearest)])
    bits = np.stack([bits_of_each(to_symbols(code, density, tables), tables) for code in codes])
    best = np.argmin((codes - latents) ** 2 + per_bit * bits, axis=0)  # the first of equals
    others = np.take_along_axis(codes, best[None], axis=0)[0]
    cheapest: np.ndarray = np.where(best == 0, latents, others).astype(np.float32)
    return cheapest
