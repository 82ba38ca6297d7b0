"""K-means: a codebook at the least squared error, found by Lloyd's iterations.

Han et al., "Deep Compression" (2016), https://arxiv.org/abs/1510.00149, section 3, with its linear
start (3.2). Differs from the paper: 0 is a level that does not move, so that pruned weights stay
0, and the levels are not trained further. The sides of 0 have nothing to do with each other, and
in one dimension a cluster is a run of the sorted weights: an iteration costs one search a level.
"""

from dataclasses import dataclass

import numpy as np

from inr.errors import UsageError
from inr.mlp.quantize.codebook import CodebookQuantizer


@dataclass(frozen=True)
class KMeans(CodebookQuantizer):
    """code = place of the nearest level, counted from that of 0."""

    n_iterations: int = 20  # of Lloyd, at most; 0 leaves the linear start

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_iterations < 0:
            raise UsageError(f"quantize.n_iterations={self.n_iterations} is below 0; use 20")

    def find_levels(self, magnitudes: np.ndarray, n_levels: int) -> np.ndarray:
        """See `CodebookQuantizer`."""
        return lloyd(magnitudes, n_levels, self.n_iterations)


def lloyd(magnitudes: np.ndarray, n_levels: int, n_iterations: int) -> np.ndarray:
    """Return the means of clusters beside a fixed 0.

    A level that is nearest to no weight moves to the cluster of largest squared error, half-way
    between its level and its largest weight.

    Args:
      magnitudes: f64[n] > 0, ascending.
      n_levels: without 0, fewer than n.
      n_iterations: at most.
    Returns:
      f64[n_levels], ascending.
    """
    sums = np.concatenate([[0.0], np.cumsum(magnitudes)])
    squares = np.concatenate([[0.0], np.cumsum(magnitudes**2)])
    levels: np.ndarray = magnitudes[-1] * np.arange(n_levels + 1) / n_levels  # with the 0
    for _ in range(n_iterations):
        middles = (levels[1:] + levels[:-1]) / 2
        edges = np.searchsorted(magnitudes, middles, side="right")
        starts, ends = np.append(0, edges), np.append(edges, magnitudes.size)
        counts, totals = ends - starts, sums[ends] - sums[starts]
        moved = np.where(counts > 0, totals / np.maximum(counts, 1), levels)
        moved[0] = 0
        # sum (w - m)**2, written for a level m that need not be the mean
        errors = squares[ends] - squares[starts] - 2 * moved * totals + counts * moved**2
        unused = np.flatnonzero(counts[1:] == 0) + 1
        worst = np.argsort(-errors, kind="stable")[: unused.size]
        worst = worst[errors[worst] > 0]
        moved[unused[: worst.size]] = (moved[worst] + magnitudes[ends[worst] - 1]) / 2
        moved.sort()
        if np.array_equal(moved, levels):
            break
        levels = moved
    return levels[1:]
