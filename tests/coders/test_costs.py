"""costs.py: every byte of the output belongs to one tensor; the entropy bound by hand."""

import numpy as np
import pytest
from contracts.methods import CODERS

from inr.coders.costs import entropy_bound_bits, share_bytes, tensor_bytes
from inr.coders.range_coder import RangeCoder


class Ruler:
    """Takes one byte a code."""

    def encode(self, codes):
        return bytes(sum(tensor.size for tensor in codes))


def test_hand_worked_shares():
    # 1, 2 and 4 of 7 codes: 10 bytes are 1.43, 2.86 and 5.71; the last two round up.
    codes = [np.zeros(n, np.int32) for n in (1, 2, 4)]
    assert tensor_bytes(Ruler(), codes, 10) == [1, 3, 6]


@pytest.mark.parametrize("coder", CODERS)
def test_shares_add_up_to_the_whole(coder):
    rng = np.random.default_rng(0)
    codes = [np.rint(rng.normal(0, 20, n)).astype(np.int32) for n in (30, 2, 900)]
    n_bytes = len(coder.encode(codes))
    shares = tensor_bytes(coder, codes, n_bytes)
    assert sum(shares) == n_bytes
    assert shares[2] > shares[0] >= shares[1] > 0


def test_zeros_are_cheap():
    rng = np.random.default_rng(0)
    dense = np.rint(rng.normal(0, 20, 2000)).astype(np.int32)
    sparse = np.where(rng.random(2000) < 0.9, 0, dense)
    n_bytes = len(RangeCoder().encode([dense, sparse]))
    shares = tensor_bytes(RangeCoder(), [dense, sparse], n_bytes)
    assert shares[1] < shares[0] / 4


def test_costs_of_nothing_are_shared_evenly():
    assert share_bytes(7, [0, 0, 0]) == [3, 2, 2]


def test_entropy_bound_of_known_counts():
    assert entropy_bound_bits([]) == 0
    assert entropy_bound_bits([np.zeros(0, np.int32), np.zeros(9, np.int32)]) == 0
    assert entropy_bound_bits([np.array([0, 0, 1, 2], np.int32)]) == pytest.approx(6)
