"""The bound that a coder without context is measured against."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def entropy_bound_bits(codes: Sequence[NDArray[np.int32]]) -> float:
    """Returns the sum over tensors of n * H(histogram), in bits.

    No code with one fixed table per tensor is shorter, side information not counted. With few
    samples per level (n below about ten times the alphabet) it lies far below what is possible.

    Args:
      codes: int32 tensors of any shape.
    """
    bound_bits = 0.0
    for tensor in codes:
        _, counts = np.unique(tensor, return_counts=True)
        bound_bits -= float(np.sum(counts * np.log2(counts / max(tensor.size, 1))))
    return bound_bits
