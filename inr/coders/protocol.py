"""What codec asks of a coder."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inr.format.wire import Stage


class Coder(Stage, Protocol):
    """Integer codes to bytes and back, without loss."""

    def encode(self, codes: Sequence[NDArray[np.int32]], bits: int) -> bytes:
        """Codes tensors with |code| <= 2**(bits-1) - 1."""

    def decode(self, data: bytes, sizes: Sequence[int], bits: int) -> list[NDArray[np.int32]]:
        """The inverse of `encode`: one flat tensor for each size; FormatError for bad data."""
