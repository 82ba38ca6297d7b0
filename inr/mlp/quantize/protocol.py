"""What fit, codec and decoder ask of a quantizer.

A quantizer maps the weights of one tensor to integer codes, symmetric around 0, with the help of
the tensor's `qparams`, a small f32 array that the file holds beside the codes: the step size of a
uniform quantizer, the codebook of the others, nothing for float16 codes. Weight 0 is code 0, and
back. The shape of qparams depends on the quantizer and the size of the tensor alone.
"""

from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from inr.format.wire import Reader, Stage

if TYPE_CHECKING:
    import jax

# f32; [] the step size of Uniform, [2**bits - 1] a codebook, [0] float16 codes, which need none.
QParams = np.ndarray


class Quantizer(Stage, Protocol):
    """A frozen dataclass; its methods are pure.

    bits: mean cost of a code, from which the size of a network is chosen.
    """

    LEARNS_STEPS: ClassVar[bool]  # qparams are one step size, learned in the fit under added noise

    @property
    def bits(self) -> float: ...

    def for_training(self) -> "Quantizer":
        """Return one quantizer for all that differ only in what `round` does not read.

        As a static argument of jit it lets them share a compilation.
        """

    def fit_qparams(self, weights: np.ndarray, log2_factor: float = 0.0) -> QParams:
        """Choose qparams for the weights of one tensor, exactly as a file can hold them.

        Args:
          weights: f32[...], finite.
          log2_factor: 0 for codes of `bits` bits; n for a step size 2**n times as large, or 2**n
            times fewer levels. Codebooks are never finer than bits, steps never so fine that
            codes would be cut.
        """

    def scale_qparams(self, qparams: QParams, log2_factor: float, weights: np.ndarray) -> QParams:
        """Make the qparams of a tensor coarser by 2**log2_factor, within the same limits."""

    def quantize(self, weights: np.ndarray, qparams: QParams) -> np.ndarray:
        """Map f32[...] to int32[...], |code| at most 2**15 - 1."""

    def dequantize(self, codes: np.ndarray, qparams: QParams) -> np.ndarray:
        """Map int32[...] to f32[...]; raises FormatError for a code that qparams do not have."""

    def round(self, weights: "jax.Array", qparams: "jax.Array") -> "jax.Array":
        """Compute dequantize(quantize(weights)) in jax, bit for bit; for training, under jit."""

    def qparam_bytes(self, n_weights: int) -> int:
        """Estimate the bytes that a tensor takes beside n_weights codes of `bits` bits."""

    def pack(self, qparams: list[QParams]) -> bytes:
        """Write the qparams of all trained tensors."""

    def unpack(self, reader: Reader, sizes: list[int]) -> list[QParams]:
        """Read what `pack` wrote; the +inf that fill up a codebook's array do not come back.

        Args:
          reader: at the first byte that `pack` wrote.
          sizes: number of weights of each tensor.
        Raises:
          FormatError: the bytes say something that `pack` does not write.
        """
