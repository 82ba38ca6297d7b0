"""The integer frequency tables: hand-worked cases, invariants, and closed forms in floats."""

import itertools
import math

import numpy as np
import pytest

from inr.coders.tensor_model import (
    N_ODDS,
    N_SCALES,
    N_SHAPES,
    TOTAL,
    Alphabet,
    TensorModel,
    choose_alphabet,
    frequency_table,
    nearest_zero_odds,
    symbol_masses,
    table_from_masses,
    uniform_table,
)

LAPLACE, GAUSS, GAUSS_CLIPPED = 0, 4, 5
EVEN_ODDS = 32


def plain_alphabet(half):
    """The codes -half..half are the symbols."""
    return Alphabet(n_raw_bits=0, half=half, has_escape=False)


def table_of(shape, log2_scale, zero_odds, alphabet):
    return table_from_masses(symbol_masses(shape, log2_scale, alphabet), zero_odds, alphabet)


def test_three_codes_at_even_odds_are_a_quarter_a_half_a_quarter():
    table = table_of(LAPLACE, 8, EVEN_ODDS, plain_alphabet(1))
    assert table.tolist() == [1 << 22, 1 << 23, 1 << 22]


def test_laplace_of_scale_one_halves_with_each_code():
    masses = symbol_masses(LAPLACE, 8, plain_alphabet(3))  # s = 2**(8/8 - 1) = 1 code
    assert np.allclose(masses / masses[0], [1, 1 / 2, 1 / 4], rtol=1e-6)  # 24-bit densities


def test_zero_odds_of_minus_one_octave_make_zero_half_as_likely_as_the_rest():
    table = table_of(LAPLACE, 8, EVEN_ODDS - 8, plain_alphabet(3))  # e = -8 * 8 / 64
    assert table[3] / TOTAL == pytest.approx(1 / 3, abs=1e-6)  # 7 symbols keep 1 each


def test_every_model_gives_a_valid_symmetric_table():
    scales = range(0, N_SCALES, 5)
    for shape, scale, odds in itertools.product(range(N_SHAPES), scales, (0, 20, N_ODDS - 1)):
        table = frequency_table(TensorModel(shape, scale, odds))
        alphabet = choose_alphabet(scale)
        symbols = table[: 2 * alphabet.half + 1]
        assert table.sum() == TOTAL
        assert table.min() >= 1
        assert table.size == alphabet.n_symbols <= 514
        assert symbols.tolist() == symbols[::-1].tolist()


def test_gauss_agrees_with_the_error_function():
    scale = 8 + 8 * 4  # s = 16 codes
    sigma = 16 / math.sqrt(2 * math.log(2))  # 2**-(x/s)**2 = exp(-(x/sigma)**2 / 2)
    masses = symbol_masses(GAUSS, scale, plain_alphabet(127))
    edges = np.arange(128) + 0.5
    exact = np.diff([math.erf(edge / (sigma * math.sqrt(2))) for edge in edges])
    # Midpoint sums on 1/8 code and densities cut to 24 bits.
    assert np.allclose(masses / masses.sum(), exact / exact.sum(), rtol=1e-4, atol=2e-8)


def test_clipping_moves_the_tail_onto_the_largest_code():
    alphabet = plain_alphabet(127)
    cut, clipped = symbol_masses(GAUSS, 48, alphabet), symbol_masses(GAUSS_CLIPPED, 48, alphabet)
    assert clipped[:-1].tolist() == cut[:-1].tolist()
    assert clipped[-1] > cut[-1]


def test_the_alphabet_stays_small_at_every_scale():
    assert [choose_alphabet(scale).n_raw_bits for scale in (0, 47, 48, 127)] == [0, 0, 1, 7]
    assert choose_alphabet(127) == Alphabet(7, 256, False)  # 32767 codes in groups of 128
    assert choose_alphabet(0) == Alphabet(0, 256, True)


def test_models_survive_their_sixteen_bits():
    for packed in range(1 << 16):
        assert TensorModel.from_u16(packed).to_u16() == packed


def test_nearest_zero_odds():
    assert nearest_zero_odds(1000, 1000) == EVEN_ODDS
    assert nearest_zero_odds(1000, 500) == EVEN_ODDS + 8  # one octave
    assert nearest_zero_odds(0, 10**6) == 0
    assert nearest_zero_odds(10**6, 0) == N_ODDS - 1


def test_uniform_table():
    assert uniform_table(4).tolist() == [TOTAL // 4] * 4


def test_tables_are_the_same_as_on_every_other_machine():
    """A changed number here makes every stored file unreadable."""
    table = table_of(shape=2, log2_scale=13, zero_odds=35, alphabet=plain_alphabet(7))
    side = [2206975, 1156402, 455779, 135101, 30111, 5045, 636]
    assert table.tolist() == [*side[::-1], 8797118, *side]
