"""density_tables.py: rows on paper, a logistic density, and what a file may hold."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.cae.density_tables import LIMIT, MOST_VALUES, tables_of
from inr.coders.tensor_model import TOTAL
from inr.errors import FormatError

LEAST = 256


def logistic(x):
    """Without overflow: both branches see only negative exponents."""
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1) / (1 + small)


def steps(*jumps):
    """The CDF of one channel whose values have masses; jumps are (value, mass)."""

    def cumulative(x):
        return sum(mass * (x > value) for value, mass in jumps) + 0.0 * x

    return cumulative


def rows_of(tables):
    n_knots, n = tables.firsts.shape
    return [[tables.row(k, j) for j in range(n)] for k in range(n_knots)]


# On paper.


def test_three_values_on_paper():
    """Four symbols have 256 each; masses share the 2**24 - 1024 that are left."""
    tables = tables_of(steps((-1, 0.25), (0, 0.5), (1, 0.25)), np.ones((1, 1)))
    assert (tables.firsts.tolist(), tables.lengths.tolist()) == ([[-1]], [[3]])
    quarter = (TOTAL - 1024) // 4
    assert tables.frequencies.tolist() == [quarter + 256, 2 * quarter + 256, quarter + 256, 256]
    assert tables.row(0, 0).tolist() == tables.frequencies.tolist()


def test_rounding_goes_to_the_largest():
    tables = tables_of(steps((5, 1 / 3), (6, 2 / 3)), np.ones((1, 1)))
    spare = TOTAL - 3 * 256  # 16_776_448, a third of which is 5_592_149.33
    assert spare % 3 == 1
    assert tables.frequencies.tolist() == [spare // 3 + 256, 2 * (spare // 3) + 257, 256]


def test_an_even_density_over_all_values_keeps_one_window():
    """A mass of 2**-13 everywhere: all 8191 values are likely, 1023 have symbols."""
    tables = tables_of(lambda x: np.clip((x + 4096) / 8192, 0, 1), np.ones((1, 1)))
    assert tables.lengths.tolist() == [[MOST_VALUES]]
    row = tables.row(0, 0)
    spare = TOTAL - 1024 * 256  # 2**24 - 2**18
    assert (row[:-1] == (spare >> 13) + 256).all()
    assert row[-1] == TOTAL - 1023 * ((spare >> 13) + 256)  # seven eighths escape


def test_values_without_mass_between_likely_ones_have_the_least():
    tables = tables_of(steps((-3, 0.5), (1, 0.5)), np.ones((1, 1)))
    assert tables.row(0, 0).tolist()[1:4] == [LEAST] * 3
    half = (TOTAL - 6 * LEAST) // 2 + LEAST
    assert tables.row(0, 0).tolist()[::4] == [half, half]
    assert tables.row(0, 0)[5] == LEAST


def test_likely_values_far_apart_keep_the_window_of_largest_mass():
    tables = tables_of(steps((-600, 0.25), (0, 0.375), (600, 0.375)), np.ones((1, 1)))
    first, row = int(tables.firsts[0, 0]), tables.row(0, 0)
    assert row.size == 1024
    assert first <= 0
    assert first + 1022 >= 600
    # A quarter escapes.
    assert row[-1] == (TOTAL - 1024 * 256) // 4 + 256


def test_an_unlikely_channel_has_the_value_of_largest_mass():
    """Where no value has 2**-14: the largest, or -LIMIT if all lies outside."""
    thin = steps((7, 2.0**-16), (9, 2.0**-15))
    tables = tables_of(thin, np.ones((1, 1)))
    assert (tables.firsts.tolist(), tables.lengths.tolist()) == ([[9]], [[1]])
    assert tables.row(0, 0)[0] == (TOTAL - 512) * 2.0**-15 // 1 + 256
    nowhere = tables_of(lambda x: 0 * x, np.ones((1, 1)))
    assert nowhere.firsts.tolist() == [[-LIMIT]]
    assert nowhere.row(0, 0).tolist() == [LEAST, TOTAL - LEAST]


def test_stretched_densities_are_wider():
    """Uniform over +-1/2: of 1 all values are 0; of 3 a third each."""
    tables = tables_of(lambda x: np.clip(x + 0.5, 0, 1), np.array([[1.0, 3.0], [3.0, 5.0]]))
    assert tables.firsts.tolist() == [[0, -1], [-1, -2]]
    assert tables.lengths.tolist() == [[1, 3], [3, 5]]
    assert [row.size for knot in rows_of(tables) for row in knot] == [2, 4, 4, 6]
    assert tables.row(0, 1).tolist() == tables.row(1, 0).tolist()
    tables.check()


# A closed form.


def test_tables_of_a_logistic_density():
    """The mass of v is sinh(1 / 2s) / (cosh(v / s) + cosh(1 / 2s)), centred on 0."""
    stretches = np.array([[0.3, 2.0], [1.0, 40.0]])
    tables = tables_of(logistic, stretches)
    tables.check()
    for (knot, channel), s in np.ndenumerate(stretches):
        first, row = int(tables.firsts[knot, channel]), tables.row(knot, channel)
        v = first + np.arange(row.size - 1)
        mass = np.sinh(0.5 / s) / (np.cosh(v / s) + np.cosh(0.5 / s))
        assert v[0] == -v[-1]
        assert mass.min() >= 2.0**-14
        beyond = np.sinh(0.5 / s) / (np.cosh((v[0] - 1) / s) + np.cosh(0.5 / s))
        assert beyond < 2.0**-14
        spare = TOTAL - LEAST * row.size
        # Floored, but for the largest, which has what is left of up to one for each symbol.
        np.testing.assert_allclose(row[:-1], mass * spare + LEAST, atol=row.size)
        np.testing.assert_allclose(row[-1], (1 - mass.sum()) * spare + LEAST, atol=1)


def test_a_shifted_channel_has_shifted_tables():
    shift = np.array([-20.0, 0.0, 700.0])
    tables = tables_of(lambda x: logistic((x - shift) / 2), np.ones((1, 3)))
    assert (tables.firsts[0] - tables.firsts[0, 1]).tolist() == shift.tolist()
    # Far from zero the points, hence the masses, are rounded otherwise.
    assert np.abs(tables.row(0, 0) - tables.row(0, 1)).max() <= 1
    assert np.abs(tables.row(0, 2) - tables.row(0, 1)).max() <= 1


def test_values_beyond_the_limit_have_no_symbol():
    tables = tables_of(lambda x: logistic(x - 4096.0), np.ones((1, 1)))
    tables.check()
    assert tables.firsts[0, 0] + tables.lengths[0, 0] - 1 == LIMIT
    assert tables.row(0, 0)[-1] > TOTAL // 2  # a value of 4096 or more is an escape


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_every_table_is_valid(data):
    """Of two logistic densities in any places and of any widths."""
    places = st.floats(-6000, 6000)
    widths = st.floats(0.01, 5000)
    share = data.draw(st.floats(0, 1))
    a, b, s, t = (data.draw(each) for each in (places, places, widths, widths))
    stretches = np.array([[1.0], [data.draw(st.floats(0.1, 10))]])
    tables = tables_of(
        lambda x: share * logistic((x - a) / s) + (1 - share) * logistic((x - b) / t), stretches
    )
    tables.check()
    for [row] in rows_of(tables):
        assert row.sum() == TOTAL
        assert LEAST <= row.min()
        assert 2 <= row.size <= 1024


# Wrong input.


@pytest.mark.parametrize("stretches", [np.ones(3), np.ones((0, 3)), np.ones((1, 2, 3))])
def test_misshapen_stretches(stretches):
    with pytest.raises(ValueError, match=r"stretches are float64\[.*\]; expected is f64\[knots"):
        tables_of(logistic, stretches)


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.inf, np.nan])
def test_stretches_that_are_not_positive(wrong):
    with pytest.raises(ValueError, match="expected are positive numbers"):
        tables_of(logistic, np.array([[1.0, wrong]]))


def test_wrong_cumulative_functions():
    one = np.ones((1, 2))
    with pytest.raises(ValueError, match=r"gave \[8192, 1\] for points \[8192, 2\]"):
        tables_of(lambda x: logistic(x[:, :1]), one)
    for wrong in (lambda x: x, lambda x: logistic(-x), lambda x: np.nan * x):
        with pytest.raises(ValueError, match=r"rises within 0\.\.1, so pass probabilities, not"):
            tables_of(wrong, one)


def test_noise_of_float32_is_no_mistake():
    noise = np.random.default_rng(0)

    def cumulative(x):
        return np.clip(logistic(x) + noise.uniform(-3e-8, 3e-8, x.shape), 0, 1).astype(np.float32)

    tables_of(cumulative, np.ones((1, 2))).check()


def valid():
    return tables_of(lambda x: np.clip(x + 0.5, 0, 1), np.array([[1.0, 3.0]]))  # lengths 1, 3


def changed(array, index, value):
    found = array.copy()
    found[index] = value
    return found


def moved(frequencies, start, stop):
    """Moves one from start to stop: sums of different tables change."""
    found = frequencies.copy()
    found[start] -= 1
    found[stop] += 1
    return found


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t: {"firsts": t.firsts[0]}, r"firsts are int16\[2\], not int16\[knots, channels\]"),
        (lambda t: {"firsts": t.firsts[:0], "lengths": t.lengths[:0]}, r"firsts are int16\[0, 2\]"),
        (lambda t: {"firsts": t.firsts.astype(float)}, r"float64\[1, 2\] and uint16\[1, 2\], not"),
        (lambda t: {"lengths": t.lengths.astype(np.int16)}, r"and int16\[1, 2\], not int16 and"),
        (lambda t: {"lengths": t.lengths[:, :1]}, r"and uint16\[1, 1\], not int16 and uint16"),
        (lambda t: {"lengths": changed(t.lengths, (0, 0), 0)}, r"lengths span 0\.\.3, not 1\.\."),
        (lambda t: {"lengths": changed(t.lengths, (0, 0), 1024)}, r"span 3\.\.1024, not 1\.\.1023"),
        (lambda t: {"firsts": changed(t.firsts, (0, 0), -4096)}, r"values span -4096\.\.1, beyond"),
        (lambda t: {"firsts": changed(t.firsts, (0, 1), 4094)}, r"span 0\.\.4096, beyond \+-4095"),
        (lambda t: {"frequencies": t.frequencies[:-1]}, r"are uint32\[5\], not uint32\[6\]"),
        (lambda t: {"frequencies": t.frequencies.astype(np.int64)}, r"int64\[6\], not uint32\[6\]"),
        (lambda t: {"frequencies": changed(t.frequencies, 1, 255)}, r"frequency is 255, below 256"),
        (lambda t: {"frequencies": changed(t.frequencies, 1, 257)}, r"to 16777217, not 16777216"),
        (lambda t: {"frequencies": moved(t.frequencies, 0, 3)}, r"sums to 16777215, not 16777216"),
        (lambda t: {"frequencies": changed(t.frequencies, 5, 2**32 - 1)}, r"a table sums to 4"),
    ],
)
def test_damaged_tables(change, text):
    with pytest.raises(FormatError, match=text) as caught:
        replace(valid(), **change(valid())).check()
    assert "the weights are damaged, fetch them again" in str(caught.value)


def test_dtypes_are_those_of_the_weights_file():
    tables = valid()
    kinds = [a.dtype for a in (tables.firsts, tables.lengths, tables.frequencies)]
    assert kinds == [np.int16, np.uint16, np.uint32]
    assert tables.row(0, 1).dtype == np.int64
