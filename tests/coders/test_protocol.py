"""protocol.py: tensors of any integer type become flat int32; see also contracts/test_coder.py."""

import numpy as np
import pytest

from inr.coders.protocol import check_codes, check_sizes


def test_tensors_are_ravelled_row_by_row():
    flat = check_codes(
        [np.array([[1, -2], [3, 32767]], np.int64).T, np.uint8(7), np.zeros((0, 2), int)]
    )
    assert [tensor.tolist() for tensor in flat] == [[1, 3, -2, 32767], [7], []]
    assert all(tensor.dtype == np.int32 for tensor in flat)


def test_a_size_below_zero():
    check_sizes([0, 5])
    with pytest.raises(ValueError, match=r"sizes=\[3, -1\] has a negative entry"):
        check_sizes([3, -1])
