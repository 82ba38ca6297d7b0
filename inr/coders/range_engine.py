"""The engine of range coding: symbols under integer frequency tables to words, and back.

There are two engines, range_constriction.py and range_python.py. They write the same words, so a
file does not tell which one made it.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inr.coders.range_python import PythonReader, PythonWriter
from inr.coders.tensor_model import uniform_table
from inr.errors import FormatError

try:
    from inr.coders.range_constriction import ConstrictionReader, ConstrictionWriter
except ImportError:  # constriction has no wheel for this machine
    HAS_CONSTRICTION = False
else:
    HAS_CONSTRICTION = True


class RangeWriter(Protocol):
    """The writing half of an engine; range_python.py says what each method takes."""

    def put(self, symbols: NDArray[np.int32], frequencies: NDArray[np.int64]) -> None: ...
    def put_rows(self, symbols: NDArray[np.int32], rows: NDArray[np.float64]) -> None: ...
    def finish(self) -> NDArray[np.uint32]: ...


class RangeReader(Protocol):
    """The reading half of an engine."""

    def take(self, n: int, frequencies: NDArray[np.int64]) -> NDArray[np.int32]: ...
    def take_rows(self, rows: NDArray[np.float64]) -> NDArray[np.int32]: ...
    def is_finished(self) -> bool: ...


def new_writer() -> RangeWriter:
    """Make a writer of the fastest engine there is."""
    return ConstrictionWriter() if HAS_CONSTRICTION else PythonWriter()


def new_reader(words: NDArray[np.uint32]) -> RangeReader:
    """Make a reader of the fastest engine there is."""
    return ConstrictionReader(words) if HAS_CONSTRICTION else PythonReader(words)


def write_escapes(writer: RangeWriter, values: NDArray[np.int32], half_bits: int) -> None:
    """Write numbers that have no symbol, as plain bits: all high halves, then all low ones.

    Args:
      values: int32[n], 0..2**(2 * half_bits) - 1.
      half_bits: of each half.
    """
    uniform = uniform_table(1 << half_bits)
    writer.put(values >> half_bits, uniform)
    writer.put(values & ((1 << half_bits) - 1), uniform)


def read_escapes(reader: RangeReader, n: int, half_bits: int) -> NDArray[np.int32]:
    """Read int32[n] numbers; the inverse of `write_escapes`."""
    uniform = uniform_table(1 << half_bits)
    high = reader.take(n, uniform)
    return (high << half_bits) + reader.take(n, uniform)


def words_to_bytes(words: NDArray[np.uint32]) -> bytes:
    """Return u32[n] words as a file holds them; the inverse of `words_from_bytes`."""
    return words.astype("<u4").tobytes().rstrip(b"\0")


def words_from_bytes(stream: bytes) -> NDArray[np.uint32]:
    """Return u32 words for a reader; FormatError for bytes that no encoder ends with."""
    if stream.endswith(b"\0"):
        raise FormatError("range coder: trailing zero bytes, which an encoder leaves out")
    return np.frombuffer(stream + bytes(-len(stream) % 4), "<u4").astype(np.uint32)
