"""The range coder in plain Python: the same bytes as constriction's, where that has no wheel.

The queue coder of constriction (https://docs.rs/constriction, `stream::queue`, its default
64-bit state and 32-bit words) with 24-bit frequency tables. A number `point` is pinned down in
[lower, lower + span): each symbol cuts that interval in proportion to its frequency, and
whenever span < 2**32 the leading word of `lower` is settled, up to a carry, and moves out.
Beyond the last word the reader sees zeros. constriction calls our `span` `range`.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, repeat

import numpy as np
from numpy.typing import NDArray

from inr.coders.tensor_model import PRECISION_BITS
from inr.errors import FormatError

_WORD_BITS = 32
_WORD_MASK = (1 << 32) - 1
_STATE_MASK = (1 << 64) - 1


class PythonWriter:
    """Takes symbols, gives words; the inverse of PythonReader."""

    def __init__(self) -> None:
        self._lower = 0  # may exceed 64 bits: the bit above is a carry not yet handed on
        self._span = _STATE_MASK
        self._words: list[int] = []

    def put(self, symbols: NDArray[np.int32], frequencies: NDArray[np.int64]) -> None:
        """Append symbols int32[n] in 0..k-1 by their table int64[k], each >= 1, sum 2**24."""
        widths = frequencies.tolist()
        lefts = [0, *accumulate(widths)]
        for symbol in symbols.tolist():
            self._narrow(lefts[symbol], widths[symbol])

    def put_rows(self, symbols: NDArray[np.int32], rows: NDArray[np.float64]) -> None:
        """Append symbols int32[n], each by a table of its own.

        Args:
          rows: f64[n, k], each frequency less one: whole numbers >= 0, in each row with sum
            2**24 - k. So constriction takes them as they are.
        """
        for symbol, row in zip(symbols.tolist(), rows.astype(np.int64) + 1, strict=True):
            self._narrow(int(row[:symbol].sum()), int(row[symbol]))

    def finish(self) -> NDArray[np.uint32]:
        """Return words that name a number in the interval, given that only zeros follow."""
        if self._span != _STATE_MASK:
            self._lower += _WORD_MASK  # round up to a whole word; span >= 2**32 leaves room
            self._settle_carry()
            self._words.append(self._lower >> _WORD_BITS)
        return np.array(self._words, np.uint32)

    def _narrow(self, left: int, width: int) -> None:
        scale = self._span >> PRECISION_BITS
        self._lower += scale * left
        self._span = scale * width
        if self._span <= _WORD_MASK:
            self._settle_carry()
            self._words.append(self._lower >> _WORD_BITS)
            self._lower = (self._lower & _WORD_MASK) << _WORD_BITS
            self._span <<= _WORD_BITS

    def _settle_carry(self) -> None:
        if self._lower <= _STATE_MASK:
            return
        self._lower &= _STATE_MASK
        i = len(self._words) - 1
        while self._words[i] == _WORD_MASK:
            self._words[i] = 0
            i -= 1
        self._words[i] += 1


class PythonReader:
    """Takes words, gives symbols; the inverse of PythonWriter."""

    def __init__(self, words: NDArray[np.uint32]) -> None:
        self._words = words.tolist()
        self._position = 2
        first, second = [*self._words, 0, 0][:2]
        self._offset = first << _WORD_BITS | second  # point - lower: only the difference matters
        self._span = _STATE_MASK

    def take(self, n: int, frequencies: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the next n symbols, coded by this table.

        Raises:
          FormatError: no table of this kind can have led to these words.
        """
        return self._decode(repeat((0, *accumulate(frequencies.tolist())), n))

    def take_rows(self, rows: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the next n symbols, coded by the tables f64[n, k] of `put_rows`.

        Raises:
          FormatError: as for `take`.
        """
        lefts = np.zeros((rows.shape[0], rows.shape[1] + 1), np.int64)
        np.cumsum(rows.astype(np.int64) + 1, axis=1, out=lefts[:, 1:])
        return self._decode(lefts.tolist())

    def _decode(self, tables: Iterable[Sequence[int]]) -> NDArray[np.int32]:
        """Read one symbol for each table, given as the sums of frequencies before each symbol."""
        words, position = self._words, self._position
        offset, span = self._offset, self._span
        symbols = []
        for lefts in tables:
            scale = span >> PRECISION_BITS
            quantile = offset // scale
            if quantile >> PRECISION_BITS:
                raise FormatError("range coder: the data does not fit its frequency tables")
            symbol = bisect_right(lefts, quantile) - 1
            symbols.append(symbol)
            offset -= scale * lefts[symbol]
            span = scale * (lefts[symbol + 1] - lefts[symbol])
            if span <= _WORD_MASK:
                span <<= _WORD_BITS
                offset <<= _WORD_BITS
                if position < len(words):
                    offset |= words[position]
                position += 1
        self._position, self._offset, self._span = position, offset, span
        return np.array(symbols, np.int32)

    def is_finished(self) -> bool:
        """Tell whether a writer could have stopped here: all words used, point near `lower`."""
        # A reader is two words ahead of the settled ones, and the writer ends with one.
        is_at_end = len(self._words) < self._position
        is_untouched = self._span == _STATE_MASK
        is_near_lower = self._offset < (1 << (_WORD_BITS + 1)) - 1  # as `maybe_exhausted` has it
        return is_at_end and (is_untouched or is_near_lower)
