"""Canonical Huffman tables (Huffman 1952; canonical form as in RFC 1951, 3.2.2).

A table is nothing but the length of each symbol's codeword: codewords rise first with their
length, then with the symbol. In the file:

    7 bits   n_symbols - 1
    4 bits   length of symbol 0, 1..12
    then for each further symbol, by how much its length differs from the one before:
             0 the same; 1, a sign (1 is shorter), and for a difference d: d - 1 ones and a zero

A table of one symbol has no lengths: its codeword takes no bits.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from inr.coders.bit_fields import BitReader, BitWriter
from inr.errors import FormatError

MAX_LENGTH = 12  # bits of a codeword; a reader's table has 2**12 entries
MAX_SYMBOLS = 128


def code_lengths(counts: Sequence[int]) -> list[int]:
    """Returns the length of each symbol's codeword, 1..MAX_LENGTH, or [0] for one symbol.

    Args:
      counts: how often each symbol occurs, 1 to MAX_SYMBOLS of them. Those that never do get a
        codeword all the same, as if they occurred once.
    """
    counts = [max(count, 1) for count in counts]
    lengths = _unlimited_lengths(counts)
    while max(lengths) > MAX_LENGTH:
        counts = [(count + 1) // 2 for count in counts]  # flatter; all equal in the end
        lengths = _unlimited_lengths(counts)
    return lengths


def _unlimited_lengths(counts: Sequence[int]) -> list[int]:
    heap = [(count, symbol) for symbol, count in enumerate(counts)]
    heapq.heapify(heap)
    parents = [0] * (2 * len(counts) - 1)
    for node in range(len(counts), len(parents)):
        first = heapq.heappop(heap)
        second = heap[0]
        parents[first[1]] = parents[second[1]] = node
        heapq.heapreplace(heap, (first[0] + second[0], node))
    depths = [0] * len(parents)
    for node in reversed(range(len(parents) - 1)):  # the last one is the root
        depths[node] = depths[parents[node]] + 1
    return depths[: len(counts)]


def table_bits(lengths: Sequence[int]) -> int:
    """Returns how many bits `write_lengths` writes."""
    if len(lengths) == 1:
        return 7
    steps = np.abs(np.diff(lengths))
    return 7 + 4 + len(steps) + int(np.sum(steps + (steps > 0)))


def write_lengths(writer: BitWriter, lengths: Sequence[int]) -> None:
    """The inverse of `read_lengths`."""
    writer.put(len(lengths) - 1, 7)
    if len(lengths) == 1:
        return
    writer.put(lengths[0], 4)
    for before, length in pairwise(lengths):
        step = abs(length - before)
        if step == 0:
            writer.put(0, 1)
        else:
            writer.put(0b10 | (length < before), 2)
            writer.put((1 << step) - 2, step)


def read_lengths(reader: BitReader) -> list[int]:
    """Returns the lengths of a complete code.

    Raises:
      FormatError: the lengths are out of range or make no complete code.
    """
    n_symbols = reader.take(7) + 1
    if n_symbols == 1:
        return [0]
    lengths = [reader.take(4)]
    while len(lengths) < n_symbols:
        step = 0
        if reader.take(1):
            sign, step = reader.take(1), 1
            while reader.take(1) and step <= MAX_LENGTH:
                step += 1
            step = -step if sign else step
        lengths.append(lengths[-1] + step)
        if not 1 <= lengths[-1] <= MAX_LENGTH:
            break
    if not all(1 <= length <= MAX_LENGTH for length in lengths):
        raise FormatError(f"huffman: a codeword of {lengths[-1]} bits, not 1..{MAX_LENGTH}")
    if sum(1 << (MAX_LENGTH - length) for length in lengths) != 1 << MAX_LENGTH:
        raise FormatError("huffman: the lengths of a table make no complete code")
    return lengths


@dataclass(frozen=True)
class Table:
    """The codewords of a table, for writing and for reading."""

    lengths: NDArray[np.int64]  # [n_symbols], bits
    codewords: NDArray[np.int64]  # [n_symbols]
    symbols: NDArray[np.int64]  # [2**MAX_LENGTH], the symbol whose codeword begins these bits


def table_of(lengths: Sequence[int]) -> Table:
    """Returns the canonical code of these lengths, which must be those of a complete code."""
    n_bits = np.array(lengths, np.int64)
    order = np.argsort(n_bits, kind="stable")
    spans = 1 << (MAX_LENGTH - n_bits[order])  # entries that begin with a codeword
    codewords = np.empty_like(n_bits)
    codewords[order] = (np.cumsum(spans) - spans) >> (MAX_LENGTH - n_bits[order])
    return Table(n_bits, codewords, np.repeat(order, spans))
