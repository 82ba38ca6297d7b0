"""Distribution: a codebook whose levels are equally often used.

The weights on each side of 0 are cut into bins of equally many; the mean of each bin is a level,
beside an exact 0. So all codes are about as frequent, and entropy coding gains little: this suits
plain integers, and shows what entropy coding is worth.
"""

from dataclasses import dataclass

import numpy as np

from inr.mlp.quantize.codebook import CodebookQuantizer


@dataclass(frozen=True)
class Distribution(CodebookQuantizer):
    """code = place of the nearest level, counted from that of 0."""

    def find_levels(self, magnitudes: np.ndarray, n_levels: int) -> np.ndarray:
        """See `CodebookQuantizer`."""
        return bin_means(magnitudes, n_levels)


def bin_means(magnitudes: np.ndarray, n_levels: int) -> np.ndarray:
    """Return the means of n_levels bins of equally many, up to one.

    Args:
      magnitudes: f64[n], ascending, n >= n_levels.
    Returns:
      f64[n_levels], ascending.
    """
    edges = np.arange(n_levels + 1) * magnitudes.size // n_levels
    means: np.ndarray = np.add.reduceat(magnitudes, edges[:-1]) / np.diff(edges)
    return means
