"""What a coder is, and what all of them ask of their codes."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inr.format.wire import Stage

CODE_BITS = 16  # width of a code, whatever the quantizer uses of it
MAX_CODE = (1 << (CODE_BITS - 1)) - 1  # largest |code|; codes are symmetric, -2**15 is none


class Coder(Stage, Protocol):
    """Integer codes to bytes and back, without loss."""

    def encode(self, codes: Sequence[NDArray[np.int32]]) -> bytes:
        """Code all tensors, int32 of any shape with |code| <= MAX_CODE, into one stream."""

    def decode(self, data: bytes, sizes: Sequence[int]) -> list[NDArray[np.int32]]:
        """Read what `encode` wrote: one int32[size] tensor for each size.

        Raises:
          FormatError: `data` is not what `encode` makes of tensors of these sizes.
        """


def check_codes(codes: Sequence[NDArray[np.int32]]) -> list[NDArray[np.int32]]:
    """Ravel the tensors in C order, as int32[n]; ValueError for another type or range."""
    flat = []
    for i, tensor in enumerate(map(np.asarray, codes)):
        if tensor.dtype.kind not in "iu":
            raise ValueError(f"codes[{i}] has dtype {tensor.dtype}, expected integers")
        if tensor.size and not (-MAX_CODE <= int(tensor.min()) and int(tensor.max()) <= MAX_CODE):
            raise ValueError(
                f"codes[{i}] spans {int(tensor.min())}..{int(tensor.max())}, "
                f"but a code lies in -{MAX_CODE}..{MAX_CODE}"
            )
        flat.append(tensor.ravel().astype(np.int32))
    return flat


def check_sizes(sizes: Sequence[int]) -> None:
    """Refuse negative sizes, with ValueError."""
    if any(size < 0 for size in sizes):
        raise ValueError(f"sizes={list(sizes)} has a negative entry")
