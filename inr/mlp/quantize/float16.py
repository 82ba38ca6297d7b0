"""Half precision: the code of a weight is the bit pattern of its IEEE 754 binary16.

A code is sign and magnitude: the lower 15 bits of the pattern, negated for negative weights. So
codes rise with the weight, 0 is code 0, and none is above that of 65504, the largest finite half.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from inr.errors import FormatError
from inr.format.wire import Reader, Wire
from inr.mlp.quantize.protocol import QParams

if TYPE_CHECKING:
    import jax

LARGEST_HALF = 65504.0
LARGEST_CODE = 0x7BFF  # of LARGEST_HALF
NO_QPARAMS = np.zeros(0, np.float32)  # halves need none


@dataclass(frozen=True)
class Float16:
    """Weights rounded to the nearest half, half to even; larger ones become +-65504."""

    WIRE: ClassVar[Wire] = ()
    LEARNS_STEPS: ClassVar[bool] = False

    @property
    def bits(self) -> float:
        return 16.0

    def for_training(self) -> "Float16":
        return self

    def fit_qparams(self, weights: np.ndarray, log2_factor: float = 0.0) -> QParams:
        return NO_QPARAMS

    def scale_qparams(self, qparams: QParams, log2_factor: float, weights: np.ndarray) -> QParams:
        """Change nothing: halves cannot be made coarser."""
        return qparams

    def quantize(self, weights: np.ndarray, qparams: QParams) -> np.ndarray:
        """Map f32[...] to int32[...] in [-LARGEST_CODE, LARGEST_CODE]."""
        return to_half_codes(weights)

    def dequantize(self, codes: np.ndarray, qparams: QParams) -> np.ndarray:
        """Map int32[...] to f32[...]; raises FormatError for codes beyond LARGEST_CODE."""
        return from_half_codes(codes)

    def round(self, weights: "jax.Array", qparams: "jax.Array") -> "jax.Array":
        return round_to_halves(weights)

    def qparam_bytes(self, n_weights: int) -> int:
        return 0

    def pack(self, qparams: list[QParams]) -> bytes:
        return b""

    def unpack(self, reader: Reader, sizes: list[int]) -> list[QParams]:
        return [NO_QPARAMS for _ in sizes]


def to_half_codes(weights: np.ndarray) -> np.ndarray:
    """Map f32[...] to int32[...], the codes of the nearest halves."""
    halves = np.clip(weights, -LARGEST_HALF, LARGEST_HALF).astype(np.float16)
    patterns = halves.view(np.uint16).astype(np.int32)
    magnitudes = patterns & 0x7FFF
    codes: np.ndarray = np.where(patterns > 0x7FFF, -magnitudes, magnitudes)
    return codes


def from_half_codes(codes: np.ndarray) -> np.ndarray:
    """Map int32[...] to f32[...], the inverse of `to_half_codes`; raises FormatError."""
    wrong = codes[(codes < -LARGEST_CODE) | (codes > LARGEST_CODE)]
    if wrong.size:
        raise FormatError(
            f"code {wrong[0]} is outside -{LARGEST_CODE}..{LARGEST_CODE}, the finite halves"
        )
    halves = np.abs(codes).astype(np.uint16).view(np.float16).astype(np.float32)
    signed: np.ndarray = np.where(codes < 0, -halves, halves)
    return signed


def round_to_halves(weights: "jax.Array") -> "jax.Array":
    """Compute from_half_codes(to_half_codes(weights)) in jax.

    Not by conversion to float16 and back, which XLA may leave out as excess precision. And
    reduce_precision makes subnormal halves zero; those are multiples of 2**-24.
    """
    import jax
    import jax.numpy as jnp

    normal = jax.lax.reduce_precision(
        jnp.clip(weights, -LARGEST_HALF, LARGEST_HALF), exponent_bits=5, mantissa_bits=10
    )
    is_subnormal = jnp.abs(weights) < 2.0**-14
    multiples = jnp.round(jnp.where(is_subnormal, weights, 0) * 2.0**24)
    subnormal = multiples.astype(jnp.int32).astype(jnp.float32) * 2.0**-24  # never -0.0
    return jnp.where(is_subnormal, subnormal, normal)
