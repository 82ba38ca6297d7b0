"""The range coder by the constriction library: fast, and the same bytes as range_python.

`Categorical(p, perfect=False)` turns floats p into 24-bit integers as
    left[i] = int((p[0] + .. + p[i-1]) * (2**24 - k) / sum(p)) + i,
so p = frequencies - 1, whose sums are exact in float64, gives back exactly our integers.
`perfect` is always stated, because its default is announced to change.
"""

import constriction  # type: ignore[import-untyped, unused-ignore]
import numpy as np
from numpy.typing import NDArray

from inr.errors import FormatError

_Categorical = constriction.stream.model.Categorical
_Rows = _Categorical(perfect=False)  # a table of its own for each symbol
_RangeEncoder = constriction.stream.queue.RangeEncoder
_RangeDecoder = constriction.stream.queue.RangeDecoder


class ConstrictionWriter:
    """Takes symbols, gives words; see PythonWriter."""

    def __init__(self) -> None:
        self._encoder = _RangeEncoder()

    def put(self, symbols: NDArray[np.int32], frequencies: NDArray[np.int64]) -> None:
        if symbols.size:
            self._encoder.encode(symbols, _model(frequencies))

    def put_rows(self, symbols: NDArray[np.int32], rows: NDArray[np.float64]) -> None:
        if symbols.size:
            self._encoder.encode(symbols, _Rows, rows)

    def finish(self) -> NDArray[np.uint32]:
        words: NDArray[np.uint32] = self._encoder.get_compressed()
        return words


class ConstrictionReader:
    """Takes words, gives symbols; see PythonReader."""

    def __init__(self, words: NDArray[np.uint32]) -> None:
        # One zero word more, so that `maybe_exhausted` does not let a trailing word pass.
        self._decoder = _RangeDecoder(np.append(words, np.uint32(0)))

    def take(self, n: int, frequencies: NDArray[np.int64]) -> NDArray[np.int32]:
        if n == 0:
            return np.zeros(0, np.int32)
        return self._decode(_model(frequencies), n)

    def take_rows(self, rows: NDArray[np.float64]) -> NDArray[np.int32]:
        return self._decode(_Rows, rows) if len(rows) else np.zeros(0, np.int32)

    def is_finished(self) -> bool:
        return bool(self._decoder.maybe_exhausted())

    def _decode(self, model: object, per_symbol: int | NDArray[np.float64]) -> NDArray[np.int32]:
        try:
            symbols: NDArray[np.int32] = self._decoder.decode(model, per_symbol)
        except AssertionError as error:  # what constriction raises for impossible data
            raise FormatError("range coder: the data does not fit its frequency tables") from error
        return symbols


def _model(frequencies: NDArray[np.int64]) -> object:
    return _Categorical((frequencies - 1).astype(np.float64), perfect=False)
