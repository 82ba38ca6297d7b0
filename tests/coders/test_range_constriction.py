"""range_constriction.py: word for word what the plain engine writes, which is the specification."""

import numpy as np
import pytest

from inr.coders.range_python import PythonReader, PythonWriter
from inr.coders.tensor_model import TOTAL

constriction_engine = pytest.importorskip("inr.coders.range_constriction")


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
