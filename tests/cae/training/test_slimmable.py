"""slimmable.py: which lambda each width is to serve, worked by hand."""

import pytest

from inr.cae.training.slimmable import schedule_lambdas


def test_lambdas_are_raised_until_the_line_between_two_widths_becomes_steeper():
    # From the narrow width to the wide one, at (2, 34): 4 / 1, 4.4 / 1.2 and 7 / 1.5 dB a bit.
    narrow = iter([(1.0, 30.0), (0.8, 29.6), (0.5, 27.0)])
    tried = []

    def train_on(lambdas):
        tried.append(tuple(lambdas))
        return [next(narrow), (2.0, 34.0)]

    assert schedule_lambdas(0.01, 2, train_on) == (0.015625, 0.01)
    assert tried == [(0.01, 0.01), (0.0125, 0.01), (0.015625, 0.01)]


def test_all_narrower_widths_are_raised_at_once_and_not_without_end():
    tried = []

    def train_on(lambdas):
        tried.append(tuple(lambdas))
        return [(1.0 / i, 30.0 - i) for i in range(3, 0, -1)]  # nothing ever becomes steeper

    found = schedule_lambdas(1.0, 3, train_on)
    assert len(tried) == 1 + 7 + 7
    assert found == pytest.approx((1.25**14, 1.25**7, 1.0))
    assert tried[1] == (1.25, 1.25, 1.0)


def test_one_width_has_no_schedule():
    with pytest.raises(ValueError, match="n_widths=1: a schedule needs at least two widths"):
        schedule_lambdas(0.01, 1, lambda lambdas: [])
