"""Symmetric uniform quantization: one step a tensor, zero is code 0.

A code c stands for the weight c * q_step. The steps are learned with the weights (see
`quantize/ste.py`), under one constraint: all codes together may cost `bits` a weight on average.
So a tensor whose rounding hurts, like the frequencies of a SIREN's first layer, takes finer steps
at the expense of the others, where max-abs scaling would give every tensor the same width.
"""

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from inr.errors import FormatError, UsageError
from inr.format.wire import Reader, Wire
from inr.mlp.quantize.protocol import QParams

if TYPE_CHECKING:
    import jax

MAX_CODE = 2**15 - 1  # codes lie in [-MAX_CODE, MAX_CODE]
MAX_STEP = 2.0**96  # times MAX_CODE it is still a finite float32
GAUSSIAN_BITS = 0.5 * np.log2(2 * np.pi * np.e)  # entropy of codes whose rms is one step
RMS_FLOOR = 1e-4  # keeps the step of a tensor of zeros above 0


@dataclass(frozen=True)
class Uniform:
    """code = round(weight / q_step), half to even."""

    bits: float = 6.3  # mean cost of a code in bits, 2..16; more weights at fewer bits gain less

    WIRE: ClassVar[Wire] = ()  # the steps stand in the weights section, `bits` is not needed
    LEARNS_STEPS: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise UsageError(f"quantize.bits={self.bits} is outside 2..16")

    def for_training(self) -> "Uniform":
        return Uniform()

    def fit_qparams(self, weights: np.ndarray, log2_factor: float = 0.0) -> QParams:
        """Return f32[], the step at which codes of a Gaussian of this rms cost `bits`."""
        rms = np.sqrt(np.mean(weights.astype(np.float64) ** 2) + RMS_FLOOR**2)
        return self.scale_qparams(rms * 2 ** (GAUSSIAN_BITS - self.bits), log2_factor, weights)

    def scale_qparams(
        self, qparams: QParams | float, log2_factor: float, weights: np.ndarray
    ) -> QParams:
        """Multiply the step, but not so finely that codes of the weights would be cut."""
        finest = float(np.abs(weights).max()) / MAX_CODE * (1 + 2**-7)  # wire_step rounds
        return np.array(wire_step(max(float(qparams) * 2.0**log2_factor, finest)), np.float32)

    def quantize(self, weights: np.ndarray, qparams: QParams | float) -> np.ndarray:
        """Map f32[...] to int32[...] in [-MAX_CODE, MAX_CODE]."""
        rounded = np.rint(weights.astype(np.float64) / qparams)
        return np.clip(rounded, -MAX_CODE, MAX_CODE).astype(np.int32)

    def dequantize(self, codes: np.ndarray, qparams: QParams | float) -> np.ndarray:
        """Map int32[...] to f32[...], the inverse of `quantize` up to half a step."""
        return codes.astype(np.float32) * np.float32(qparams)

    def round(self, weights: "jax.Array", qparams: "jax.Array") -> "jax.Array":
        """Compute dequantize(quantize(weights)) in jax.

        XLA may divide by way of the reciprocal, which errs next to ties, so the code is checked:
        code * step and the rest of the weight are exact in float32.
        """
        import jax.numpy as jnp

        codes = jnp.clip(jnp.round(weights / qparams), -MAX_CODE, MAX_CODE).astype(jnp.int32)
        rest = weights - codes.astype(jnp.float32) * qparams
        half = qparams / 2
        is_off = (jnp.abs(rest) > half) | ((jnp.abs(rest) == half) & (codes % 2 == 1))
        codes += jnp.where(is_off, jnp.sign(rest), 0).astype(jnp.int32)
        return jnp.clip(codes, -MAX_CODE, MAX_CODE).astype(jnp.float32) * qparams

    def qparam_bytes(self, n_weights: int) -> int:
        return 2  # the step

    def pack(self, qparams: list[QParams]) -> bytes:
        return pack_steps([float(q_step) for q_step in qparams])

    def unpack(self, reader: Reader, sizes: list[int]) -> list[QParams]:
        steps = unpack_steps(reader, len(sizes))
        return [np.array(q_step, np.float32) for q_step in steps]


def wire_step(q_step: float) -> float:
    """Round a step to what the file can hold: a positive float32 with 8 significant bits."""
    if not 0 < q_step <= MAX_STEP:  # also false for NaN
        raise ValueError(f"q_step={q_step} is outside 0..2**96")
    rounded: float = np.float32(q_step).item()
    pattern = struct.unpack("<I", struct.pack("<f", rounded))[0]
    high = min(max((pattern + 0x8000) >> 16, 1), 0x7F7F)
    return float(struct.unpack("<f", struct.pack("<I", high << 16))[0])


def pack_steps(q_steps: list[float]) -> bytes:
    """Write the upper 16 bits of each step's float32; steps must come from `wire_step`."""
    return b"".join(struct.pack("<f", q_step)[2:] for q_step in q_steps)


def unpack_steps(reader: Reader, n_steps: int) -> list[float]:
    """Read what `pack_steps` wrote; raises FormatError."""
    q_steps = []
    for _ in range(n_steps):
        (q_step,) = struct.unpack("<f", b"\0\0" + reader.take(2))
        if not 0 < q_step <= MAX_STEP:  # also false for NaN
            raise FormatError(f"q_step={q_step} is outside 0..2**96")
        q_steps.append(q_step)
    return q_steps
