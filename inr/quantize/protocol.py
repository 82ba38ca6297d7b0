"""What fit, codec and decoder ask of a quantizer.

A quantizer maps the weights of one tensor to integer codes, symmetric around 0, with the help of
the tensor's `levels`, a small f32 array that the file holds beside the codes: the step of a
uniform quantizer, the codebook of the others. Weight 0 is code 0, and back.
"""

from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from inr.container import Reader, Stage

if TYPE_CHECKING:
    import jax

Levels = np.ndarray  # f32; [] for Uniform (the step), [k] for codebooks


class Quantizer(Stage, Protocol):
    """A frozen dataclass; its methods are pure.

    bits: what a code costs, about, from which the size of a network is chosen.
    """

    LEARNS_STEPS: ClassVar[bool]  # levels are one step, learned in the fit under added noise

    @property
    def bits(self) -> float: ...

    def fitted(self, weights: np.ndarray, octaves: float = 0.0) -> Levels:
        """Levels for the weights of one tensor, exactly as a file can hold them.

        octaves: 0 for `bits`; n for a codebook that is 2**n times coarser. Never finer than bits.
        """

    def codes(self, weights: np.ndarray, levels: Levels) -> np.ndarray:
        """f32[...] -> int32[...], |code| at most 2**15 - 1."""

    def dequantize(self, codes: np.ndarray, levels: Levels) -> np.ndarray:
        """int32[...] -> f32[...]; a code that levels do not have raises FormatError."""

    def rounded(self, weights: "jax.Array", levels: "jax.Array") -> "jax.Array":
        """dequantize(codes(weights)) in jax, bit for bit the same; for training, under jit."""

    def pack(self, levels: list[Levels]) -> bytes:
        """Writes the levels of all trained tensors."""

    def unpack(self, reader: Reader, sizes: list[int]) -> list[Levels]:
        """The inverse of `pack`; sizes: weights of each tensor; raises FormatError."""
