"""tensor_bytes: the shares of a file, tensor by tensor."""

import numpy as np
import pytest
from methods import CODERS

from inr.coders.costs import tensor_bytes
from inr.coders.plain_zstd import PlainZstd


def test_shares_on_paper():
    codes = [np.array([1, -1], np.int32), np.zeros(0, np.int32), np.array([5, 6, 7], np.int32)]
    # Nothing here can be made smaller: a frame of 9 bytes and one byte a code.
    assert tensor_bytes(PlainZstd(), codes, 8) == [9 + 2, 0, 3]
    assert tensor_bytes(PlainZstd(), [], 8) == []


@pytest.mark.parametrize("coder", CODERS, ids=repr)
def test_shares_add_up_to_the_whole(coder):
    rng = np.random.default_rng(0)
    codes = [rng.integers(-60, 61, shape, np.int32) for shape in [(3, 40), (40,), (40, 40), (3,)]]
    codes[2][rng.random((40, 40)) < 0.9] = 0
    shares = tensor_bytes(coder, codes, 16)
    assert sum(shares) == len(coder.encode(codes, 16))
    assert len(shares) == 4
    assert shares[2] == max(shares)
