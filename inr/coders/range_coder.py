"""All tensors in one range-coder stream, each with a parametric table of its own.

    u16 x tensors   TensorModel of each tensor that is not empty, little-endian
    the rest        words of the range coder, "<u4", trailing zero bytes left out

Inside the stream each tensor gives its symbols, then the raw bits of its non-zero symbols, then
the high byte and the low byte of its escapes. tables.py defines the tables and these terms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from inr.coders.checks import check_codes, check_sizes, largest_code
from inr.coders.model_choice import choose_model
from inr.coders.range_python import PythonReader, PythonWriter
from inr.coders.tensor_model import TensorModel, alphabet, frequency_table, uniform_table
from inr.errors import FormatError
from inr.format.wire import Wire

try:
    from inr.coders.range_constriction import ConstrictionReader, ConstrictionWriter
except ImportError:  # constriction has no wheel for this machine; the bytes are the same
    HAS_CONSTRICTION = False
else:
    HAS_CONSTRICTION = True

_ESCAPE_ZERO = 1 << 15  # an escaped code is sent as code + 2**15


class Writer(Protocol):
    """The writing half of an engine."""

    def put(self, symbols: NDArray[np.int32], frequencies: NDArray[np.int64]) -> None: ...
    def put_rows(self, symbols: NDArray[np.int32], rows: NDArray[np.float64]) -> None: ...
    def finish(self) -> NDArray[np.uint32]: ...


class Reader(Protocol):
    """The reading half of an engine."""

    def take(self, n: int, frequencies: NDArray[np.int64]) -> NDArray[np.int32]: ...
    def take_rows(self, rows: NDArray[np.float64]) -> NDArray[np.int32]: ...
    def is_finished(self) -> bool: ...


@dataclass(frozen=True)
class RangeCoder:
    """Range coding with a fitted distribution, two bytes of side information, per tensor."""

    WIRE: ClassVar[Wire] = ()

    def encode(self, codes: Sequence[NDArray[np.int32]], bits: int) -> bytes:
        """Codes all tensors into one stream; the inverse of `decode`.

        Args:
          codes: int32 tensors of any shape, |code| <= 2**(bits-1) - 1.
          bits: 2..16.
        """
        tensors = [tensor for tensor in check_codes(codes, bits) if tensor.size]
        models = [choose_model(tensor, bits) for tensor in tensors]
        writer = new_writer()
        for tensor, model in zip(tensors, models, strict=True):
            write_tensor(writer, tensor, model, bits)
        return _models_to_bytes(models) + words_to_bytes(writer.finish())

    def decode(self, data: bytes, sizes: Sequence[int], bits: int) -> list[NDArray[np.int32]]:
        """Returns one int32[size] tensor for each size.

        Raises:
          FormatError: `data` is not what `encode` makes of tensors of these sizes.
        """
        largest_code(bits)  # refuses bits outside 2..16
        check_sizes(sizes)
        n_models = sum(size > 0 for size in sizes)
        if n_models == 0 and data:
            raise FormatError(f"range coder: {len(data)} bytes where there are no codes")
        models = iter(_models_from_bytes(data[: 2 * n_models], n_models))
        reader = new_reader(words_from_bytes(data[2 * n_models :]))
        tensors = [
            read_tensor(reader, size, next(models), bits) if size else np.zeros(0, np.int32)
            for size in sizes
        ]
        if not reader.is_finished():
            raise FormatError("range coder: the data does not end with its last symbol")
        return tensors


def new_writer() -> Writer:
    """Returns a writer of the fastest engine there is; all engines write the same bytes."""
    return ConstrictionWriter() if HAS_CONSTRICTION else PythonWriter()


def new_reader(words: NDArray[np.uint32]) -> Reader:
    """Returns a reader of the fastest engine there is."""
    return ConstrictionReader(words) if HAS_CONSTRICTION else PythonReader(words)


def write_tensor(writer: Writer, codes: NDArray[np.int32], model: TensorModel, bits: int) -> None:
    """Writes int32[n] codes; the inverse of `read_tensor`."""
    letters = alphabet(model.log2_scale, bits)
    place = np.abs(codes) - 1  # -1 for zero, which >> keeps at -1: symbol 0
    symbols = np.sign(codes) * ((place >> letters.n_raw_bits) + 1)
    is_escape = np.abs(symbols) > letters.half
    has_place = (codes != 0) & ~is_escape
    letter = np.where(is_escape, letters.n_symbols - 1, symbols + letters.half).astype(np.int32)
    writer.put(letter, frequency_table(model, bits))
    if letters.n_raw_bits:
        raw = place[has_place] & ((1 << letters.n_raw_bits) - 1)
        writer.put(raw, uniform_table(1 << letters.n_raw_bits))
    if letters.has_escape:
        escaped = codes[is_escape] + _ESCAPE_ZERO
        writer.put(escaped >> 8, uniform_table(256))
        writer.put(escaped & 255, uniform_table(256))


def read_tensor(reader: Reader, size: int, model: TensorModel, bits: int) -> NDArray[np.int32]:
    """Reads int32[size] codes; the inverse of `write_tensor`."""
    letters = alphabet(model.log2_scale, bits)
    letter = reader.take(size, frequency_table(model, bits))
    is_escape = letter > 2 * letters.half
    symbols = letter - letters.half
    has_place = (symbols != 0) & ~is_escape
    magnitudes = np.abs(symbols)
    if letters.n_raw_bits:
        raw = reader.take(int(has_place.sum()), uniform_table(1 << letters.n_raw_bits))
        magnitudes[has_place] = ((magnitudes[has_place] - 1) << letters.n_raw_bits) + raw + 1
    codes = np.sign(symbols) * magnitudes
    if letters.has_escape:
        n_escapes = int(is_escape.sum())
        high = reader.take(n_escapes, uniform_table(256))
        codes[is_escape] = (high << 8) + reader.take(n_escapes, uniform_table(256)) - _ESCAPE_ZERO
    limit = largest_code(bits)
    if np.abs(codes).max() > limit:
        raise FormatError(f"range coder: a code lies outside -{limit}..{limit}")
    return codes


def _models_to_bytes(models: Sequence[TensorModel]) -> bytes:
    return np.array([model.to_u16() for model in models], "<u2").tobytes()


def _models_from_bytes(head: bytes, n_models: int) -> list[TensorModel]:
    if len(head) < 2 * n_models:
        raise FormatError(f"range coder: {2 * n_models} bytes of models expected, {len(head)} left")
    return [TensorModel.from_u16(packed) for packed in np.frombuffer(head, "<u2").tolist()]


def words_to_bytes(words: NDArray[np.uint32]) -> bytes:
    """Returns the words as a file holds them; the inverse of `words_from_bytes`."""
    return words.astype("<u4").tobytes().rstrip(b"\0")


def words_from_bytes(stream: bytes) -> NDArray[np.uint32]:
    """Returns u32 words for a reader; FormatError for bytes that no encoder ends with."""
    if stream.endswith(b"\0"):
        raise FormatError("range coder: trailing zero bytes, which an encoder leaves out")
    return np.frombuffer(stream + bytes(-len(stream) % 4), "<u4").astype(np.uint32)
