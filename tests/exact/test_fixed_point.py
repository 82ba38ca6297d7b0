"""fixed_point.py: rounding by hand, and bounds that hold and are needed."""

from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from inr.errors import FormatError
from inr.exact.fixed_point import EXACT_BITS, Bounds, fraction_bits, round_in_place, round_to


def test_halves_are_rounded_upwards():
    x = np.array([-1.5, -0.5, -0.25, 0.5, 1.49, 2.5])
    assert round_to(x, 0).tolist() == [-1, 0, 0, 1, 1, 3]
    assert round_to(x, 1).tolist() == [-1.5, -0.5, 0, 0.5, 1.5, 2.5]
    assert round_to(np.array([1e308, -1e308]), 10).tolist() == [np.inf, -np.inf]
    assert round_in_place(x) is x
    assert x.tolist() == [-1, 0, 0, 1, 1, 3]


def test_fractions_on_paper():
    x = np.array([0, 1, -12, 0.5, -0.75, 3 + 2.0**-16, 2.0**-40, 2.0**51 + 0.5, 1e300])
    assert fraction_bits(x).tolist() == [0, 0, 0, 1, 2, 16, 40, 1, 0]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_fractions_are_those_of_the_exact_number(x):
    denominator = Fraction(x).denominator  # a power of two
    assert fraction_bits(np.array([x])).tolist() == [denominator.bit_length() - 1]


def test_hand_worked_bounds():
    x = Bounds.of([10, 100]).join(Bounds.of([1], 3))
    sums = x.product(np.array([[0.25, -2, 0], [0, 0, 0.5]]), np.array([0.5, -8]))
    assert sums.most.tolist() == [2.5 + 200 + 0.5 + 1, 0.5 + 8 + 0.5 + 1]  # the second rounded up
    assert sums.fraction_bits.tolist() == [2, 4]
    tall = x.convolve(np.array([-0.25, 1, 0.25]))
    assert tall.most.tolist() == [16, 151, 3]
    assert tall.fraction_bits.tolist() == [2, 2, 5]


def test_sums_are_exact_below_two_to_the_53():
    assert Bounds.of([2.0**40 - 1], 13).is_exact()
    assert not Bounds.of([1, 2.0**40], 13).is_exact()
    assert not Bounds.of([np.nan]).is_exact()
    message = r"sums of 'w0' may reach 1099511627776 in steps of 2\*\*-13, beyond the 53 bits"
    with pytest.raises(FormatError, match=message):
        Bounds.of([1, 2.0**40], 13).check("w0")


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(0, 20))
def test_what_is_exact_by_its_bounds_is_exact(seed, bits, x_bits):
    """The sums of the worst numbers there are, in two orders, against fractions."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-(1 << 20), 1 << 20, (3, 40)) * 2.0**-bits
    most = rng.integers(1, 1 << 12, 40).astype(float)
    sums = Bounds.of(most, x_bits).product(weights)
    x = rng.choice([-1, 1], 40) * (most - rng.integers(0, 2, 40) * 2.0**-x_bits)
    if sums.is_exact():
        exact = [sum(map(Fraction, (row * x).tolist())) for row in weights]
        assert (weights @ x).tolist() == exact == (weights[:, ::-1] @ x[::-1]).tolist()
        assert all(abs(each) <= limit for each, limit in zip(exact, sums.most, strict=True))
    else:
        assert (sums.most.max() * 2.0 ** (bits + x_bits)) >= 2.0**EXACT_BITS
