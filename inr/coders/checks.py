"""What every coder asks of its arguments; wrong ones raise ValueError."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def largest_code(bits: int) -> int:
    """Returns the largest |code|; codes are symmetric, so 8 bits span -127..127."""
    if not 2 <= bits <= 16:
        raise ValueError(f"bits={bits} is outside 2..16")
    return (1 << (bits - 1)) - 1


def check_codes(codes: Sequence[NDArray[np.int32]], bits: int) -> list[NDArray[np.int32]]:
    """Returns the tensors ravelled in C order as int32[n], after checking type and range."""
    limit = largest_code(bits)
    flat = []
    for i, tensor in enumerate(map(np.asarray, codes)):
        if tensor.dtype.kind not in "iu":
            raise ValueError(f"codes[{i}] has dtype {tensor.dtype}, expected integers")
        if tensor.size and not (-limit <= int(tensor.min()) and int(tensor.max()) <= limit):
            raise ValueError(
                f"codes[{i}] spans {int(tensor.min())}..{int(tensor.max())}, "
                f"but bits={bits} allows -{limit}..{limit}"
            )
        flat.append(tensor.ravel().astype(np.int32))
    return flat


def check_sizes(sizes: Sequence[int]) -> None:
    """Refuses negative sizes."""
    if any(size < 0 for size in sizes):
        raise ValueError(f"sizes={list(sizes)} has a negative entry")
