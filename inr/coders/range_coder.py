"""All tensors in one range-coder stream, each with a parametric table of its own.

    u16 x tensors   TensorModel of each tensor that is not empty, little-endian
    the rest        words of the range coder, "<u4", trailing zero bytes left out

Inside the stream each tensor gives its symbols, then the raw bits of its non-zero symbols, then
the high byte and the low byte of its escapes. tensor_model.py defines the tables and these terms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from inr.coders.model_choice import choose_model
from inr.coders.protocol import MAX_CODE, check_codes, check_sizes
from inr.coders.range_engine import (
    RangeReader,
    RangeWriter,
    new_reader,
    new_writer,
    read_escapes,
    words_from_bytes,
    words_to_bytes,
    write_escapes,
)
from inr.coders.tensor_model import TensorModel, choose_alphabet, frequency_table, uniform_table
from inr.errors import FormatError
from inr.format.wire import Wire

_ESCAPE_ZERO = 1 << 15  # an escaped code is sent as code + 2**15
_ESCAPE_HALF_BITS = 8


@dataclass(frozen=True)
class RangeCoder:
    """Range coding with a fitted distribution, two bytes of side information, per tensor."""

    WIRE: ClassVar[Wire] = ()

    def encode(self, codes: Sequence[NDArray[np.int32]]) -> bytes:
        """Code all tensors into one stream; see `protocol.Coder`."""
        tensors = [tensor for tensor in check_codes(codes) if tensor.size]
        models = [choose_model(tensor) for tensor in tensors]
        writer = new_writer()
        for tensor, model in zip(tensors, models, strict=True):
            write_tensor(writer, tensor, model)
        return _models_to_bytes(models) + words_to_bytes(writer.finish())

    def decode(self, data: bytes, sizes: Sequence[int]) -> list[NDArray[np.int32]]:
        """Read one int32[size] tensor for each size; see `protocol.Coder`."""
        check_sizes(sizes)
        n_models = sum(size > 0 for size in sizes)
        if n_models == 0 and data:
            raise FormatError(f"range coder: {len(data)} bytes where there are no codes")
        models = iter(_models_from_bytes(data[: 2 * n_models], n_models))
        reader = new_reader(words_from_bytes(data[2 * n_models :]))
        tensors = [
            read_tensor(reader, size, next(models)) if size else np.zeros(0, np.int32)
            for size in sizes
        ]
        if not reader.is_finished():
            raise FormatError("range coder: the data does not end with its last symbol")
        return tensors


def write_tensor(writer: RangeWriter, codes: NDArray[np.int32], model: TensorModel) -> None:
    """Write int32[n] codes; the inverse of `read_tensor`."""
    alphabet = choose_alphabet(model.log2_scale)
    place = np.abs(codes) - 1  # -1 for zero, which >> keeps at -1: symbol 0
    symbols = np.sign(codes) * ((place >> alphabet.n_raw_bits) + 1)
    is_escape = np.abs(symbols) > alphabet.half
    has_place = (codes != 0) & ~is_escape
    entries = np.where(is_escape, alphabet.n_symbols - 1, symbols + alphabet.half)
    writer.put(entries.astype(np.int32), frequency_table(model))
    if alphabet.n_raw_bits:
        raw = place[has_place] & ((1 << alphabet.n_raw_bits) - 1)
        writer.put(raw, uniform_table(1 << alphabet.n_raw_bits))
    if alphabet.has_escape:
        write_escapes(writer, codes[is_escape] + _ESCAPE_ZERO, _ESCAPE_HALF_BITS)


def read_tensor(reader: RangeReader, size: int, model: TensorModel) -> NDArray[np.int32]:
    """Read int32[size] codes; the inverse of `write_tensor`."""
    alphabet = choose_alphabet(model.log2_scale)
    entries = reader.take(size, frequency_table(model))
    is_escape = entries > 2 * alphabet.half
    symbols = entries - alphabet.half
    has_place = (symbols != 0) & ~is_escape
    magnitudes = np.abs(symbols)
    if alphabet.n_raw_bits:
        raw = reader.take(int(has_place.sum()), uniform_table(1 << alphabet.n_raw_bits))
        magnitudes[has_place] = ((magnitudes[has_place] - 1) << alphabet.n_raw_bits) + raw + 1
    codes = np.sign(symbols) * magnitudes
    if alphabet.has_escape:
        escapes = read_escapes(reader, int(is_escape.sum()), _ESCAPE_HALF_BITS)
        codes[is_escape] = escapes - _ESCAPE_ZERO
    if np.abs(codes).max() > MAX_CODE:
        raise FormatError(f"range coder: a code lies outside -{MAX_CODE}..{MAX_CODE}")
    return codes


def _models_to_bytes(models: Sequence[TensorModel]) -> bytes:
    return np.array([model.to_u16() for model in models], "<u2").tobytes()


def _models_from_bytes(head: bytes, n_models: int) -> list[TensorModel]:
    if len(head) < 2 * n_models:
        raise FormatError(f"range coder: {2 * n_models} bytes of models expected, {len(head)} left")
    return [TensorModel.from_u16(packed) for packed in np.frombuffer(head, "<u2").tolist()]
