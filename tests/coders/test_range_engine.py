"""The engines write the same words, read them alike, and refuse what no engine writes."""

import numpy as np
import pytest

from inr.coders import range_engine
from inr.coders.range_engine import (
    read_escapes,
    words_from_bytes,
    words_to_bytes,
    write_escapes,
)
from inr.coders.range_python import PythonReader, PythonWriter
from inr.coders.tensor_model import TOTAL, uniform_table
from inr.errors import FormatError


@pytest.fixture(params=["constriction", "python"])
def engine(request, monkeypatch):
    if request.param == "constriction":
        pytest.importorskip("constriction")
    monkeypatch.setattr(range_engine, "HAS_CONSTRICTION", request.param == "constriction")


def random_tables(seed, n_tables):
    """Yields tables of all kinds: smooth, spiky, and with many symbols of frequency 1."""
    rng = np.random.default_rng(seed)
    for _ in range(n_tables):
        size = int(rng.integers(2, 600))
        weights = rng.random(size) ** rng.choice([0.1, 1, 30, 300])
        weights = np.floor(weights / weights.sum() * (TOTAL - size)).astype(np.int64)
        weights[rng.integers(size)] += TOTAL - size - weights.sum()
        yield weights + 1


@pytest.mark.parametrize("seed", range(8))
def test_engines_agree_word_for_word_on_random_tables(seed):
    constriction_engine = pytest.importorskip("inr.coders.range_constriction")
    rng = np.random.default_rng(seed)
    writers = [PythonWriter(), constriction_engine.ConstrictionWriter()]
    written = []
    for table in random_tables(seed, 30):
        rare = rng.integers(0, table.size, 20)
        likely = rng.choice(table.size, 100, p=table / TOTAL)
        symbols = np.concatenate([rare, likely, [0, table.size - 1]]).astype(np.int32)
        written.append((symbols, table))
        for writer in writers:
            writer.put(symbols, table)
    words, reference = (writer.finish() for writer in writers)
    # constriction may add one zero word against data that follows; nothing follows here.
    assert words.tolist() == reference[: words.size].tolist()
    assert not reference[words.size :].any()
    readers = [PythonReader(words), constriction_engine.ConstrictionReader(words)]
    for symbols, table in written:
        for reader in readers:
            assert reader.take(symbols.size, table).tolist() == symbols.tolist()
    assert all(reader.is_finished() for reader in readers)


@pytest.mark.parametrize("k", [2, 17, 65])
def test_engines_agree_word_for_word_on_a_table_for_each_symbol(k):
    constriction_engine = pytest.importorskip("inr.coders.range_constriction")
    rng = np.random.default_rng(k)
    weights = rng.random((500, k)) ** rng.choice([0.1, 1, 30], (500, 1))
    rows = np.floor(weights / weights.sum(axis=1, keepdims=True) * (TOTAL - k))
    rows[:, 0] += TOTAL - k - rows.sum(axis=1)  # frequencies less one
    symbols = rng.integers(0, k, 500).astype(np.int32)
    shared = (rows[0] + 1).astype(np.int64)
    writers = [PythonWriter(), constriction_engine.ConstrictionWriter()]
    for writer in writers:
        writer.put_rows(symbols[:300], rows[:300])
        writer.put(symbols, shared)
        writer.put_rows(symbols[:0], rows[:0])
        writer.put_rows(symbols[300:], rows[300:])
    words, reference = (writer.finish() for writer in writers)
    assert words.tolist() == reference[: words.size].tolist()
    assert not reference[words.size :].any()
    readers = [PythonReader(words), constriction_engine.ConstrictionReader(words)]
    for reader in readers:
        assert reader.take_rows(rows[:300]).tolist() == symbols[:300].tolist()
        assert reader.take(500, shared).tolist() == symbols.tolist()
        assert reader.take_rows(rows[:0]).tolist() == []
        assert reader.take_rows(rows[300:]).tolist() == symbols[300:].tolist()
        assert reader.is_finished()


@pytest.mark.usefixtures("engine")
def test_equal_rows_are_one_table():
    table = uniform_table(8)
    symbols = np.arange(40, dtype=np.int32) % 8
    by_rows, by_table = range_engine.new_writer(), range_engine.new_writer()
    by_rows.put_rows(symbols, np.tile(table - 1.0, (40, 1)))
    by_table.put(symbols, table)
    assert by_rows.finish().tolist() == by_table.finish().tolist()


@pytest.mark.usefixtures("engine")
def test_rows_refuse_impossible_words():
    reader = range_engine.new_reader(np.full(2, 2**32 - 1, np.uint32))
    with pytest.raises(FormatError, match="does not fit its frequency tables"):
        reader.take_rows(np.array([[2.0**23 - 1, 2.0**23 - 1]] * 3))


@pytest.mark.usefixtures("engine")
def test_escapes_are_two_uniform_halves():
    values = np.array([0, 127, 128, 2**14 - 1], np.int32)
    escapes, halves = range_engine.new_writer(), range_engine.new_writer()
    write_escapes(escapes, values, half_bits=7)
    halves.put(np.array([0, 0, 1, 127, 0, 127, 0, 127], np.int32), uniform_table(128))
    words = escapes.finish()
    assert words.tolist() == halves.finish().tolist()
    assert read_escapes(range_engine.new_reader(words), 4, half_bits=7).tolist() == values.tolist()


def test_words_lose_their_last_zeros_on_the_way_to_a_file():
    assert words_to_bytes(np.array([0x04030201, 0x0605], np.uint32)).hex() == "010203040506"
    assert words_from_bytes(bytes.fromhex("010203040506")).tolist() == [0x04030201, 0x0605]
    assert words_to_bytes(np.zeros(3, np.uint32)) == b""
    with pytest.raises(FormatError, match="trailing zero bytes"):
        words_from_bytes(b"\1\0")
