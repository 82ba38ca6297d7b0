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
from inr.mlp.quantize.protocol import QParams

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

    def fit_qparams(self, weights: np.ndarray, log2_factor: float = 0.0) -> QParams:
        """Return f32[2**bits - 1] levels, or f32[0] for a small tensor (codebook.py)."""
        return codebook.fit_levels(weights, self.bits, log2_factor, bin_means)

    def scale_qparams(self, qparams: QParams, log2_factor: float, weights: np.ndarray) -> QParams:
        return codebook.scale_levels(qparams, log2_factor, weights, self.bits, bin_means)

    def quantize(self, weights: np.ndarray, qparams: QParams) -> np.ndarray:
        return codebook.quantize(weights, qparams)

    def dequantize(self, codes: np.ndarray, qparams: QParams) -> np.ndarray:
        return codebook.dequantize(codes, qparams)

    def round(self, weights: "jax.Array", qparams: "jax.Array") -> "jax.Array":
        return codebook.round_to_levels(weights, qparams)

    def qparam_bytes(self, n_weights: int) -> int:
        return codebook.level_bytes(n_weights, self.bits)

    def pack(self, qparams: list[QParams]) -> bytes:
        return codebook.pack_levels(qparams)

    def unpack(self, reader: Reader, sizes: list[int]) -> list[QParams]:
        return codebook.unpack_levels(reader, len(sizes))


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
