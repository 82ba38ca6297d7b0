"""What quantizers with a codebook share: the levels of one tensor, and how weights find them.

The levels are ascending, distinct float16 values with an exact 0 among them, at most
2**(bits-1) - 1 on either side of it: 8-bit codes fit int8. The code of a weight is the place of
its nearest level, counted from that of 0. As an array the levels have the length 2**bits - 1
whatever their number, filled up with +inf, which is nearest to nothing: shapes inside jit depend
on the size of the tensor alone.

The codebook of a small tensor costs more than its codes save: a tensor of fewer than
WEIGHTS_A_LEVEL * 2**bits weights, zeros included, has no levels and float16 codes (float16.py).

In the file, for each tensor:

  n_levels     varint    0: float16 codes, nothing follows
  n_negative   varint    levels below 0, at most n_levels - 1
  n_negative varints     magnitudes of the levels below 0, from 0 outwards, each as the distance of
                         its float16 bit pattern from the one before (0 at first), less 1
  the other levels but 0 as varints in the same way
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from inr.errors import FormatError, UsageError
from inr.format.wire import Reader, Wire, varint
from inr.mlp.quantize.float16 import (
    LARGEST_CODE,
    LARGEST_HALF,
    NO_QPARAMS,
    from_half_codes,
    round_to_halves,
    to_half_codes,
)
from inr.mlp.quantize.protocol import QParams

if TYPE_CHECKING:
    import jax

MAX_BITS = 12  # beyond, a codebook is larger than most networks
MAX_LEVELS = 2**MAX_BITS - 1
# On normal, uniform and Laplacian weights the file with a codebook becomes the smaller one at 1.1
# to 1.9 weights a level for 3 to 9 bits, at 1.6 to 2.8 (range coder) for 10 to 12.
WEIGHTS_A_LEVEL = 2

_HALF_BITS = 15  # of a float16 code after either coder, about

OneSide = Callable[[np.ndarray, int], np.ndarray]


def check_bits(bits: int) -> None:
    """Refuse a number of bits that no codebook has."""
    if bits not in range(2, MAX_BITS + 1):
        raise UsageError(
            f"quantize.bits={bits} is not a whole number in 2..{MAX_BITS}; "
            "use Uniform or Float16 for finer codes"
        )


def has_codebook(n_weights: int, bits: int) -> bool:
    """Say whether a tensor of that size has levels, or else float16 codes."""
    return n_weights >= WEIGHTS_A_LEVEL << bits


def level_bytes(n_weights: int, bits: int) -> int:
    """Estimate the bytes that a tensor takes beside n_weights codes of `bits` bits.

    They are the codebook's, or those by which float16 codes of a small tensor exceed `bits`. Most
    levels take one byte. About 14 on each side take two, those next to 0, where one is not much
    less than twice the other: so counted on normal, uniform and Laplacian weights.
    """
    if not has_codebook(n_weights, bits):
        return 1 + round(n_weights * max(0, _HALF_BITS - bits) / 8)
    n_levels = (1 << bits) - 2  # 0 is not written
    return 2 + n_levels + min(n_levels, 28)


def fit_levels(weights: np.ndarray, bits: int, log2_factor: float, one_side: OneSide) -> QParams:
    """Choose the levels of one tensor.

    Args:
      weights: f32[...], finite.
      bits: 2..MAX_BITS.
      log2_factor: the codebook has 2**log2_factor times fewer levels than `bits` allows, at
        least 3.
      one_side: (f64[n] magnitudes > 0, ascending; m < n) -> up to m levels for them, any order.
    Returns:
      f32[2**bits - 1], or f32[0] for float16 codes.
    """
    if not has_codebook(weights.size, bits):
        return NO_QPARAMS
    return _levels_of_count(weights, bits, (2**bits - 1) / 2.0**log2_factor, one_side)


def scale_levels(
    levels: QParams, log2_factor: float, weights: np.ndarray, bits: int, one_side: OneSide
) -> QParams:
    """Choose 2**log2_factor times fewer levels than the given ones."""
    if not levels.size:
        return levels
    return _levels_of_count(weights, bits, _real(levels).size / 2.0**log2_factor, one_side)


def _levels_of_count(weights: np.ndarray, bits: int, count: float, one_side: OneSide) -> QParams:
    n_levels = int(np.clip(np.rint(count), 3, 2**bits - 1))
    flat = weights.ravel().astype(np.float64)
    below = _side(np.sort(-flat[flat < 0]), (n_levels - 1) // 2, one_side)
    above = _side(np.sort(flat[flat > 0]), n_levels // 2, one_side)
    levels = np.full(2**bits - 1, np.inf, np.float32)
    real = np.concatenate([-below[::-1], np.zeros(1, np.float32), above])
    levels[: real.size] = real
    return levels


def _side(magnitudes: np.ndarray, n_levels: int, one_side: OneSide) -> np.ndarray:
    """Return f32[up to n_levels], ascending halves above 0."""
    halves = _distinct_halves(magnitudes)
    if halves.size > n_levels:
        halves = _distinct_halves(one_side(magnitudes, n_levels))
    return halves


def _distinct_halves(magnitudes: np.ndarray) -> np.ndarray:
    codes = np.unique(to_half_codes(magnitudes))
    return from_half_codes(codes[codes > 0])


def quantize(weights: np.ndarray, levels: QParams) -> np.ndarray:
    """Map f32[...] to int32[...]; of two levels as near the one nearer to 0."""
    if not levels.size:
        return to_half_codes(weights)
    index: np.ndarray = np.searchsorted(_bounds(levels, np), weights)
    return (index - _n_negative(levels)).astype(np.int32)


def dequantize(codes: np.ndarray, levels: QParams) -> np.ndarray:
    """Map int32[...] to f32[...]; raises FormatError for a code that has no level."""
    if not levels.size:
        return from_half_codes(codes)
    real, n_negative = _real(levels), _n_negative(levels)
    index = codes + n_negative
    wrong = codes[(index < 0) | (index >= real.size)]
    if wrong.size:
        raise FormatError(
            f"code {wrong[0]} is outside {-n_negative}..{real.size - 1 - n_negative}, "
            "the levels of its codebook"
        )
    found: np.ndarray = real[index]
    return found


def round_to_levels(weights: "jax.Array", levels: "jax.Array") -> "jax.Array":
    """Compute dequantize(quantize(weights)) in jax; the shape of `levels` is static."""
    import jax.numpy as jnp

    if not levels.size:
        return round_to_halves(weights)
    # Unrolled, the search is a chain of gathers that XLA fuses: no loop, no table in memory.
    return levels[jnp.searchsorted(_bounds(levels, jnp), weights, method="scan_unrolled")]


def _bounds(levels: Any, xp: Any) -> Any:
    """Return the largest f32 that goes to each level but the last; xp is numpy or jax.numpy.

    Sums of halves are rounded in float32, in both in the same way.
    """
    middles = (levels[1:] + levels[:-1]) / 2
    return xp.where(middles < 0, xp.nextafter(middles, -xp.inf), middles)


def _real(levels: QParams) -> np.ndarray:
    finite: np.ndarray = levels[np.isfinite(levels)]
    return finite


def _n_negative(levels: QParams) -> int:
    return int((levels < 0).sum())


def pack_levels(levels: list[QParams]) -> bytes:
    """Write the codebooks of all tensors, as laid out at the top of this file."""
    numbers: list[int] = []
    for tensor_levels in levels:
        codes = to_half_codes(_real(tensor_levels))
        n_negative = int((codes < 0).sum())
        numbers.append(codes.size)
        if codes.size:
            outwards = -codes[: n_negative + 1][::-1], codes[n_negative:]  # both begin with 0
            numbers += [n_negative, *(int(d) - 1 for side in outwards for d in np.diff(side))]
    return b"".join(map(varint, numbers))


def unpack_levels(reader: Reader, n_tensors: int) -> list[QParams]:
    """Read what `pack_levels` wrote, without the +inf that fill up; raises FormatError."""
    return [_read_levels(reader) for _ in range(n_tensors)]


def _read_levels(reader: Reader) -> QParams:
    n_levels = reader.varint()
    if n_levels == 0:
        return NO_QPARAMS
    if n_levels > MAX_LEVELS:
        raise FormatError(f"a codebook of {n_levels} levels, more than the {MAX_LEVELS} allowed")
    n_negative = reader.varint()
    if n_negative >= n_levels:
        raise FormatError(f"{n_negative} of {n_levels} levels below 0 leave no place for 0")
    if n_levels - 1 > reader.n_left:
        raise FormatError(f"a codebook of {n_levels} levels in {reader.n_left} bytes")
    below = _read_side(reader, n_negative)
    above = _read_side(reader, n_levels - 1 - n_negative)
    return from_half_codes(np.array([*(-code for code in below[::-1]), 0, *above], np.int32))


def _read_side(reader: Reader, n_levels: int) -> list[int]:
    """Read the codes of halves above 0, ascending."""
    codes, code = [], 0
    for _ in range(n_levels):
        code += 1 + reader.varint()
        if code > LARGEST_CODE:
            raise FormatError(f"a level is above {LARGEST_HALF:.0f}, the largest finite half")
        codes.append(code)
    return codes


@dataclass(frozen=True)
class CodebookQuantizer:
    """What KMeans and Distribution share: all but how levels are found on one side of 0."""

    bits: int = 8  # 2..12: codes lie in [-(2**(bits-1) - 1), 2**(bits-1) - 1]

    WIRE: ClassVar[Wire] = ()  # the levels stand in the weights section, that is enough
    LEARNS_STEPS: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_bits(self.bits)

    def find_levels(self, magnitudes: np.ndarray, n_levels: int) -> np.ndarray:
        """Find levels for the weights on one side of 0.

        Args:
          magnitudes: f64[n] > 0, ascending.
          n_levels: fewer than n.
        Returns:
          f64[up to n_levels], in any order.
        """
        raise NotImplementedError

    def for_training(self) -> Self:
        return type(self)()

    def fit_qparams(self, weights: np.ndarray, log2_factor: float = 0.0) -> QParams:
        """Return f32[2**bits - 1] levels, or f32[0] for a small tensor."""
        return fit_levels(weights, self.bits, log2_factor, self.find_levels)

    def scale_qparams(self, qparams: QParams, log2_factor: float, weights: np.ndarray) -> QParams:
        return scale_levels(qparams, log2_factor, weights, self.bits, self.find_levels)

    def quantize(self, weights: np.ndarray, qparams: QParams) -> np.ndarray:
        return quantize(weights, qparams)

    def dequantize(self, codes: np.ndarray, qparams: QParams) -> np.ndarray:
        return dequantize(codes, qparams)

    def round(self, weights: "jax.Array", qparams: "jax.Array") -> "jax.Array":
        return round_to_levels(weights, qparams)

    def qparam_bytes(self, n_weights: int) -> int:
        return level_bytes(n_weights, self.bits)

    def pack(self, qparams: list[QParams]) -> bytes:
        return pack_levels(qparams)

    def unpack(self, reader: Reader, sizes: list[int]) -> list[QParams]:
        return unpack_levels(reader, len(sizes))
