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
    alone = np.array([len(coder.encode([tensor], bits)) for tensor in codes], np.float64)
    exact = n_bytes * alone / max(alone.sum(), 1.0)
    shares = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(shares - exact, kind="stable")
    shares[by_remainder[: n_bytes - int(shares.sum())]] += 1
    return [int(share) for share in shares]
