"""Whose bytes they are: how a coder's output divides among the tensors."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inr.coders.protocol import Coder


def tensor_bytes(
    coder: Coder, codes: Sequence[NDArray[np.int32]], bits: int, n_bytes: int
) -> list[int]:
    """Divides n_bytes among the tensors, in proportion to what the coder takes for each alone.

    Alone they take a little more than together, as they share nothing then, neither heads nor
    tables. The shares are whole bytes and add up to n_bytes exactly (largest remainders).

    Args:
      coder: it encodes once for each tensor.
      codes: int32 tensors of any shape, |code| <= 2**(bits-1) - 1; at least one.
      bits: 2..16.
      n_bytes: of all tensors together, as in the file.
    """
    return divided(n_bytes, [len(coder.encode([tensor], bits)) for tensor in codes])


def divided(n_bytes: int, costs: Sequence[float]) -> list[int]:
    """Divides n_bytes in proportion to costs, as `tensor_bytes` does; evenly if all are 0."""
    alone = np.array(costs, np.float64)
    if not alone.any():
        alone += 1
    exact = n_bytes * alone / alone.sum()
    shares = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(shares - exact, kind="stable")
    shares[by_remainder[: n_bytes - int(shares.sum())]] += 1
    return [int(share) for share in shares]
