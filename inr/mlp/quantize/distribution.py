"""Distribution: a codebook whose levels are equally often used.

The weights on each side of 0 are cut into bins of equally many; the mean of each bin is a level,
beside an exact 0. So all codes are about as frequent, and entropy coding gains little: this suits
plain integers, and shows what entropy coding is worth.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from inr.format.wire import Reader, Wire
from inr.mlp.quantize import codebook
from inr.mlp.quantize.protocol import Levels

if TYPE_CHECKING:
    import jax


@dataclass(frozen=True)
class Distribution:
    """code = place of the nearest level, counted from that of 0."""

    bits: int = 8  # 2..12: codes lie in [-(2**(bits-1) - 1), 2**(bits-1) - 1]

    WIRE: ClassVar[Wire] = ()  # the levels stand in the weights section, that is enough
    LEARNS_STEPS: ClassVar[bool] = False

    def __post_init__(self) -> None:
        codebook.check_bits(self.bits)

    def for_training(self) -> "Distribution":
        return Distribution()

    def fitted(self, weights: np.ndarray, octaves: float = 0.0) -> Levels:
        """f32[...] -> f32[2**bits - 1] levels, or f32[0] for a small tensor (codebook.py)."""
        return codebook.fitted_levels(weights, self.bits, octaves, bin_means)

    def scaled(self, levels: Levels, octaves: float, weights: np.ndarray) -> Levels:
        return codebook.scaled_levels(levels, octaves, weights, self.bits, bin_means)

    def codes(self, weights: np.ndarray, levels: Levels) -> np.ndarray:
        """f32[...] -> int32[...]."""
        return codebook.codes_of(weights, levels)

    def dequantize(self, codes: np.ndarray, levels: Levels) -> np.ndarray:
        """int32[...] -> f32[...]; raises FormatError for a code that has no level."""
        return codebook.dequantized(codes, levels)

    def rounded(self, weights: "jax.Array", levels: "jax.Array") -> "jax.Array":
        return codebook.rounded_to_levels(weights, levels)

    def level_bytes(self, n_weights: int) -> int:
        """The codebook, or by how much float16 codes of a small tensor exceed `bits`."""
        return codebook.level_bytes(n_weights, self.bits)

    def pack(self, levels: list[Levels]) -> bytes:
        return codebook.pack_levels(levels)

    def unpack(self, reader: Reader, sizes: list[int]) -> list[Levels]:
        return codebook.unpack_levels(reader, len(sizes))


def bin_means(magnitudes: np.ndarray, n_levels: int) -> np.ndarray:
    """Means of n_levels bins of equally many, up to one.

    Args:
      magnitudes: f64[n], ascending, n >= n_levels.
    Returns:
      f64[n_levels], ascending.
    """
    edges = np.arange(n_levels + 1) * magnitudes.size // n_levels
    means: np.ndarray = np.add.reduceat(magnitudes, edges[:-1]) / np.diff(edges)
    return means
