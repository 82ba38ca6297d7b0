"""What fit, codec and decoder ask of a quantizer.

A quantizer maps the weights of one tensor to integer codes, symmetric around 0, with the help of
the tensor's `levels`, a small f32 array that the file holds beside the codes: the step of a
uniform quantizer, the codebook of the others, nothing for float16 codes. Weight 0 is code 0, and
back. The shape of levels depends on the quantizer and the size of the tensor alone.
"""

from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from inr.format.wire import Reader, Stage

if TYPE_CHECKING:
    import jax

Levels = np.ndarray  # f32; [] for Uniform (the step), [2**bits - 1] a codebook, [0] float16 codes


class Quantizer(Stage, Protocol):
    """A frozen dataclass; its methods are pure.

    bits: what a code costs, about, from which the size of a network is chosen.
    """

    LEARNS_STEPS: ClassVar[bool]  # levels are one step, learned in the fit under added noise

    @property
    def bits(self) -> float: ...

    def for_training(self) -> "Quantizer":
        """One quantizer for all that differ only in what `rounded` does not read: as a static
        argument of jit it lets them share a compilation."""

    def fitted(self, weights: np.ndarray, octaves: float = 0.0) -> Levels:
        """Levels for the weights of one tensor, exactly as a file can hold them.

        octaves: 0 for `bits`; n for levels 2**n times coarser. Codebooks are never finer than
          bits, steps never so fine that codes would be cut.
        """

    def scaled(self, levels: Levels, octaves: float, weights: np.ndarray) -> Levels:
        """Levels for the same tensor, 2**octaves times coarser than these, within the same
        limits as those of `fitted`."""

    def codes(self, weights: np.ndarray, levels: Levels) -> np.ndarray:
        """f32[...] -> int32[...], |code| at most 2**15 - 1."""

    def dequantize(self, codes: np.ndarray, levels: Levels) -> np.ndarray:
        """int32[...] -> f32[...]; a code that levels do not have raises FormatError."""

    def rounded(self, weights: "jax.Array", levels: "jax.Array") -> "jax.Array":
        """dequantize(codes(weights)) in jax, bit for bit the same; for training, under jit."""

    def level_bytes(self, n_weights: int) -> int:
        """About how many bytes a tensor takes beside n_weights codes of `bits` bits."""

    def pack(self, levels: list[Levels]) -> bytes:
        """Writes the levels of all trained tensors."""

    def unpack(self, reader: Reader, sizes: list[int]) -> list[Levels]:
        """The inverse of `pack`, but for what fills up a codebook's array; raises FormatError.

        sizes: number of weights of each tensor.
        """
