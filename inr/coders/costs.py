"""Whose bytes they are: what each tensor adds to a coder's output."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inr.coders.protocol import Coder


def tensor_bytes(coder: Coder, codes: Sequence[NDArray[np.int32]], bits: int) -> list[int]:
    """Returns how many bytes each tensor adds to those before it.

    The sum is exactly len(coder.encode(codes, bits)) if there are codes at all; what the coder
    writes once, such as a head, counts for the first tensor. A tensor that makes another layout
    the better one, or that shares a table, can add nothing, or even take bytes away.

    Args:
      coder: it encodes once for each tensor.
      codes: int32 tensors of any shape, |code| <= 2**(bits-1) - 1.
      bits: 2..16.
    """
    n_bytes = [len(coder.encode(codes[: k + 1], bits)) for k in range(len(codes))]
    return [after - before for before, after in zip([0, *n_bytes], n_bytes, strict=False)]
