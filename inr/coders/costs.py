"""What codes cost: whose bytes a coder's output are, and the bound of coders without context."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inr.coders.protocol import Coder


def tensor_bytes(coder: Coder, codes: Sequence[NDArray[np.int32]], n_bytes: int) -> list[int]:
    """Divide n_bytes among the tensors, in proportion to what the coder takes for each alone.

    Alone they take a little more than together, as they share nothing then, neither heads nor
    tables.

    Args:
      coder: it encodes once for each tensor.
      codes: int32 tensors of any shape, |code| <= MAX_CODE; at least one.
      n_bytes: of all tensors together, as in the file.
    """
    return share_bytes(n_bytes, [len(coder.encode([tensor])) for tensor in codes])


def share_bytes(n_bytes: int, costs: Sequence[float]) -> list[int]:
    """Divide n_bytes in proportion to costs; evenly if all are 0.

    The shares are whole bytes and add up to n_bytes exactly (largest remainders).
    """
    alone = np.array(costs, np.float64)
    if not alone.any():
        alone += 1
    exact = n_bytes * alone / alone.sum()
    shares = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(shares - exact, kind="stable")
    shares[by_remainder[: n_bytes - int(shares.sum())]] += 1
    return [int(share) for share in shares]


def entropy_bound_bits(codes: Sequence[NDArray[np.int32]]) -> float:
    """Return the sum over tensors of n * H(histogram), in bits.

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
