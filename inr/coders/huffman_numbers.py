"""Numbers in a Huffman stream: the size and two bits in the symbol, all other bits plain.

    0..3        symbols 0..3
    v >= 4      with 2**e <= v < 2**(e + 1): symbol 4 (e - 1) + the two bits after the highest,
                then the e - 2 low bits as they are
    sign        one bit, 1 is negative, after the numbers that have one

JPEG (ITU-T T.81, F.1.2.1) puts the size alone in the symbol. With two bits more the numbers of
one symbol differ by less than a quarter, over which the density of weights and of gaps is flat:
the plain bits waste about 0.1 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inr.coders.bit_fields import MAX_BITS, BitReader
from inr.coders.huffman_table import MAX_LENGTH, MAX_SYMBOLS, Table
from inr.errors import FormatError

NO_SIGNS = MAX_SYMBOLS  # a `first_signed` that no symbol reaches
_SIZED = 4  # the first number with a size
_CHUNK = 1 << 17  # bit positions looked at together, a few megabytes
_MARGIN = 2 * MAX_BITS  # so that a gap and a magnitude that begin in the chunk end in the words


def symbols_of(
    numbers: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Splits int64[n], 0 <= number < 2**33, into symbols 0..127, plain bits, and how many."""
    exponent = np.frexp(np.maximum(numbers, _SIZED).astype(np.float64))[1].astype(np.int64) - 1
    n_plain = exponent - 2
    symbols = np.where(numbers < _SIZED, numbers, 4 * n_plain + (numbers >> n_plain))
    return symbols, numbers & ((1 << n_plain) - 1), n_plain


def n_plain_bits(symbols: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns how many plain bits follow each symbol, 0..30."""
    return np.maximum(symbols // 4 - 1, 0)


def numbers_of(symbols: NDArray[np.int64], plain: NDArray[np.int64]) -> NDArray[np.int64]:
    """The inverse of `symbols_of`."""
    leading = np.where(symbols < _SIZED, symbols, 4 + symbols % 4)
    return (leading << n_plain_bits(symbols)) + plain


@dataclass(frozen=True)
class NumberCode:
    """How numbers of one kind are written."""

    table: Table
    first_signed: int  # symbols from this one on have a sign

    def n_bits(self) -> NDArray[np.int64]:
        """Returns int64[n_symbols], the bits of codeword, plain bits and sign: at most 43."""
        symbols = np.arange(self.table.lengths.size)
        return self.table.lengths + n_plain_bits(symbols) + (symbols >= self.first_signed)


def fields(
    code: NumberCode, numbers: NDArray[np.int64], is_negative: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns what a BitWriter writes for int64[n] numbers: values and their lengths."""
    symbols, plain, n_plain = symbols_of(numbers)
    values = code.table.codewords[symbols] << n_plain | plain
    values = np.where(symbols >= code.first_signed, values << 1 | is_negative, values)
    return values, code.n_bits()[symbols]


def read_rows(
    reader: BitReader, n_rows: int, codes: Sequence[NumberCode]
) -> list[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Reads rows of one number of each code; a row takes at least one bit.

    Where a symbol ends is known only when it is read. So this looks up, for all positions of a
    chunk at once, where a row that begins there would end, and then follows that chain.

    Returns:
      For each code int64[n_rows] numbers, and whether they are negative.
    """
    if n_rows > reader.n_left:
        raise FormatError(f"huffman: {n_rows} numbers where only {reader.n_left} bits are left")
    row_bits = sum(int(code.n_bits().max()) for code in codes)  # at most
    n_bits_by_prefix = [code.n_bits()[code.table.symbols] for code in codes]  # [2**MAX_LENGTH]
    found: list[list[NDArray[np.uint64]]] = [[np.zeros(0, np.uint64)] for _ in codes]
    while n_rows:
        chunk = min(_CHUNK, n_rows * row_bits)
        words = reader.words(chunk + _MARGIN)
        if not words.size:
            raise FormatError(f"huffman: the data ends {n_rows} numbers too early")
        starts = [np.arange(words.size)]  # of each number of the row that begins here
        for n_bits in n_bits_by_prefix:
            inside = np.minimum(starts[-1], words.size - 1)  # a cut stream; `skip` refuses it
            starts.append(starts[-1] + n_bits[words[inside] >> (MAX_BITS - MAX_LENGTH)])
        row_ends = starts[-1].tolist()
        position, end = 0, min(words.size, chunk)
        rows: list[int] = []
        while position < end and len(rows) < n_rows:
            rows.append(position)
            position = row_ends[position]
        reader.skip(position)
        n_rows -= len(rows)
        for parts, start in zip(found, starts, strict=False):
            parts.append(words[start[rows]])
    return [_numbers(code, np.concatenate(p)) for code, p in zip(codes, found, strict=True)]


def _numbers(
    code: NumberCode, words: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    word = words.astype(np.int64)  # MAX_BITS of 64: never negative
    symbols = code.table.symbols[word >> (MAX_BITS - MAX_LENGTH)]
    n_plain, n_bits = n_plain_bits(symbols), code.n_bits()[symbols]
    is_signed = symbols >= code.first_signed
    plain = word >> (MAX_BITS - n_bits + is_signed) & ((1 << n_plain) - 1)
    is_negative = is_signed & (word >> (MAX_BITS - n_bits) & 1).astype(bool)
    return numbers_of(symbols, plain), is_negative
