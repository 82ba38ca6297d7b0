"""integer_exp2.py: powers of two by hand, and against decimals of fifty digits."""

from decimal import Decimal, getcontext

import numpy as np

from inr.exact.integer_exp2 import EXPONENT_BITS, POWER_BITS, exp2_negative

ONE = 1 << EXPONENT_BITS


def test_whole_exponents_are_exact():
    whole = np.arange(31) * ONE
    assert exp2_negative(whole).tolist() == [1 << (POWER_BITS - n) for n in range(31)]
    assert exp2_negative(np.array([31 * ONE, 64 * ONE, 1 << 40])).tolist() == [0, 0, 0]


def test_powers_are_at_most_three_units_too_small():
    getcontext().prec = 50
    exponent = np.concatenate([np.arange(300), np.arange(0, 3 * ONE, 331), ONE - np.arange(1, 9)])
    for x, power in zip(exponent.tolist(), exp2_negative(exponent).tolist(), strict=True):
        exact = Decimal(2) ** (POWER_BITS - Decimal(x) / ONE)
        assert exact - 3 < power <= exact


def test_powers_are_the_same_as_on_every_other_machine():
    """A changed number here makes every stored file unreadable."""
    half, third = exp2_negative(np.array([ONE // 2, ONE // 3])).tolist()
    assert (half, third) == (759250124, 852232453)
