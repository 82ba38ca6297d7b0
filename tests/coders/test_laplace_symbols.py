"""laplace_symbols.py: symbols by hand, and pieces that come back in both engines' words."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from inr.coders.laplace_symbols import count_bits, read_piece, to_symbols, write_piece
from inr.coders.laplace_tables import LATENT_LIMIT, MEAN_BITS, N_SCALES, laplace_tables
from inr.coders.range_engine import new_reader, new_writer, words_from_bytes, words_to_bytes
from inr.coders.range_python import PythonReader

TABLES = laplace_tables()
CENTRE = 16  # the mean index of a mean of 0


def symbols_of(residuals, scale):
    n = len(residuals)
    density = np.stack([np.full(n, CENTRE), np.full(n, scale)])
    return to_symbols(np.array(residuals, np.int32), density, TABLES)


def test_narrow_symbols_on_paper():
    symbols = symbols_of([0, 1, -1, 7, -7, 8, -8, 11], scale=80)
    assert symbols.symbol.tolist() == [0, 2, 1, 14, 13, 16, 15, 16]
    assert symbols.is_escape.tolist() == [False] * 5 + [True] * 3
    assert symbols.rest[5:].tolist() == [0, 0, 3]
    assert not symbols.is_wide.any()
    assert not symbols.n_raw.any()
    assert set(symbols.row.tolist()) == {80 * 32 + CENTRE}


def test_wide_symbols_on_paper():
    scale = 80 + 40  # b = exp(2.5), log2 b = 3.6: two raw bits
    symbols = symbols_of([0, 1, 4, 5, -8, 124, 125, -130], scale)
    assert symbols.symbol.tolist() == [0, 2, 2, 4, 3, 62, 64, 63]
    assert symbols.n_raw.tolist() == [0, 2, 2, 2, 2, 2, 0, 0]
    assert symbols.raw[1:6].tolist() == [0, 3, 0, 3, 3]
    assert symbols.rest[6:].tolist() == [0, 5]
    assert set(symbols.row.tolist()) == {39 * 32 + CENTRE}


def test_a_residual_is_counted_from_the_centre():
    mean = np.array([32 * 5 + CENTRE + 3, -32 * 2 + CENTRE - 16])
    density = np.stack([mean, np.array([80, 80])])
    symbols = to_symbols(np.array([6, -2], np.int32), density, TABLES)
    assert symbols.symbol.tolist() == [2, 0]  # 6 is one above its centre
    assert (symbols.row - 80 * 32).tolist() == [CENTRE + 3, 0]


LATENTS = st.tuples(
    st.integers(-LATENT_LIMIT, LATENT_LIMIT) | st.integers(-9, 9),
    st.integers(-(LATENT_LIMIT << MEAN_BITS), LATENT_LIMIT << MEAN_BITS) | st.integers(-64, 64),
    st.integers(0, N_SCALES - 1),
)


@settings(deadline=None)
@given(st.lists(LATENTS, min_size=1, max_size=60), st.data())
def test_pieces_come_back(latents, data):
    y, mean, scale = np.array(latents, np.int64).T
    mean += CENTRE
    symbols = to_symbols(y.astype(np.int32), np.stack([mean, scale]), TABLES)
    cut = data.draw(st.integers(0, y.size))
    writer = new_writer()
    write_piece(writer, symbols, 0, cut, TABLES)
    write_piece(writer, symbols, cut, y.size, TABLES)
    words = words_from_bytes(words_to_bytes(writer.finish()))
    assert (
        abs(32 * words.size - count_bits(symbols, TABLES)) <= 32 + 16
    )  # the end, and zeros left out
    for reader in (new_reader(words), PythonReader(words)):
        parts = [
            read_piece(reader, mean[part], scale[part], TABLES)
            for part in (slice(0, cut), slice(cut, None))
        ]
        assert ((mean >> MEAN_BITS) + np.concatenate(parts)).tolist() == y.tolist()
        assert reader.is_finished()


@pytest.mark.parametrize("scale", [80, 160])
def test_the_largest_residual_there_can_be(scale):
    r = 2 * LATENT_LIMIT
    symbols = symbols_of([r, -r], scale)
    writer = new_writer()
    write_piece(writer, symbols, 0, 2, TABLES)
    read = read_piece(
        new_reader(writer.finish()), np.full(2, CENTRE), np.full(2, scale, np.int64), TABLES
    )
    assert read.tolist() == [r, -r]
