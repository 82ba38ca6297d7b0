"""The plain engine by hand: it is the specification of the other."""

import numpy as np

from inr.coders.range_python import PythonReader, PythonWriter
from inr.coders.tensor_model import TOTAL, uniform_table


def test_python_writer_on_paper():
    writer = PythonWriter()
    writer.put(np.array([1], np.int32), uniform_table(2))
    # lower = (2**40 - 1) * 2**23 = 2**63 - 2**23, rounded up to a multiple of 2**32: 2**63.
    assert writer.finish().tolist() == [1 << 31]


def test_python_writer_carries_through_full_words():
    table = np.array([1, 1, TOTAL - 2], np.int64)
    symbols = np.array([1] * 48 + [2] * 48, np.int32)
    writer = PythonWriter()
    writer.put(symbols, table)
    assert PythonReader(writer.finish()).take(96, table).tolist() == symbols.tolist()
