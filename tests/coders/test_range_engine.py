"""range_engine.py: what is on top of an engine, in both of them."""

import numpy as np
import pytest

from inr.coders import range_engine
from inr.coders.range_engine import (
    read_escapes,
    words_from_bytes,
    words_to_bytes,
    write_escapes,
)
from inr.coders.tensor_model import uniform_table
from inr.errors import FormatError


@pytest.fixture(params=["constriction", "python"])
def engine(request, monkeypatch):
    if request.param == "constriction":
        pytest.importorskip("constriction")
    monkeypatch.setattr(range_engine, "HAS_CONSTRICTION", request.param == "constriction")


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
