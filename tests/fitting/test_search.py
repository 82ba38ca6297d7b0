"""Bisection, by cases worked by hand and by counting what is asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inr.fitting.search import bisect, bisect_integers


def test_hand_worked_halvings():
    asked = []

    def is_low(x):
        asked.append(x)
        return x < 3.3

    assert bisect(is_low, low=0.0, high=8.0, n_halvings=3) == (3.0, 4.0)
    assert asked == [4.0, 2.0, 3.0]
    assert bisect(is_low, low=0.0, high=8.0, n_halvings=0) == (0.0, 8.0)


@given(st.integers(-1000, 1000), st.integers(0, 2000), st.integers(0, 2000))
def test_integers_end_at_the_neighbours_of_the_threshold(low, n_below, n_above):
    last_low, high = low + n_below, low + n_below + 1 + n_above
    asked = []

    def is_low(i):
        assert low < i < high  # the ends are taken for granted
        asked.append(i)
        return i <= last_low

    assert bisect_integers(is_low, low=low, high=high) == (last_low, last_low + 1)
    assert len(asked) <= (high - low - 1).bit_length()
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize("n_asked", [0, 1, 2])
def test_none_ends_the_search_with_the_bracket_so_far(n_asked):
    brackets = [(0, 16), (8, 16), (8, 12)]

    def answers():
        return iter([*[True, False][:n_asked], None])

    for search in (
        lambda is_low: bisect(is_low, low=0, high=16, n_halvings=9),
        lambda is_low: bisect_integers(is_low, low=0, high=16),
    ):
        left = answers()
        assert search(lambda x, left=left: next(left)) == brackets[n_asked]
