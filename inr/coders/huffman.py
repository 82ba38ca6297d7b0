"""Canonical Huffman codes over magnitudes, and over the gaps between them where most are zero.

    6 bits       n_groups - 1; a group of tensors shares its tables
    per tensor   that is not empty: its group, in the bits that n_groups - 1 takes
    per group    its tensors in one row:
      1 bit        1 if the row is sparse
      6 bits, n    only if sparse: n_nonzero, after the number of its bits; all else only if > 0
      tables       (huffman_table.py) dense: of |code|; sparse: of the gaps, then of |code| - 1
      numbers      (huffman_numbers.py) dense: |code| with a sign unless 0; sparse: for each
                   non-zero code the zeros since the one before it, then |code| - 1 with a sign
    0 bits       up to a whole byte

Without codes there are no bytes. A codeword takes at least one bit, so codes of very few levels
take more than their entropy: a quarter more at 1.2 bits a code. The range coder does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from inr.coders.bit_fields import BitReader, BitWriter
from inr.coders.checks import check_codes, check_sizes, largest_code
from inr.coders.huffman_groups import MAX_GROUPS, choose_groups, gaps_before, used
from inr.coders.huffman_numbers import NO_SIGNS, NumberCode, fields, read_rows, symbols_of
from inr.coders.huffman_table import code_lengths, read_lengths, table_of, write_lengths
from inr.errors import FormatError
from inr.format.wire import Wire

_GROUPS_BITS = (MAX_GROUPS - 1).bit_length()
_COUNT_BITS = 6  # of the number of bits of n_nonzero
_UNLESS_ZERO, _ALWAYS = 1, 0  # which symbols have a sign


@dataclass(frozen=True)
class Huffman:
    """Canonical Huffman codes; tensors that are alike share a table."""

    WIRE: ClassVar[Wire] = ()

    def encode(self, codes: Sequence[NDArray[np.int32]], bits: int) -> bytes:
        """Codes all tensors into one stream; the inverse of `decode`.

        Args:
          codes: int32 tensors of any shape, |code| <= 2**(bits-1) - 1.
          bits: 2..16.
        """
        tensors = [tensor for tensor in check_codes(codes, bits) if tensor.size]
        if not tensors:
            return b""
        groups = choose_groups(tensors)
        group_of_tensor = {place: i for i, group in enumerate(groups) for place in group.members}
        writer = BitWriter()
        writer.put(len(groups) - 1, _GROUPS_BITS)
        for place in range(len(tensors)):
            writer.put(group_of_tensor[place], (len(groups) - 1).bit_length())
        for group in groups:
            row = np.concatenate([tensors[place] for place in group.members])
            is_sparse = group.is_sparse()
            writer.put(is_sparse, 1)
            (write_sparse if is_sparse else write_dense)(writer, row)
        return writer.finish()

    def decode(self, data: bytes, sizes: Sequence[int], bits: int) -> list[NDArray[np.int32]]:
        """Returns one int32[size] tensor for each size.

        Raises:
          FormatError: `data` is not what `encode` makes of tensors of these sizes.
        """
        limit = largest_code(bits)
        check_sizes(sizes)
        tensors = [np.zeros(0, np.int32) for _ in sizes]
        filled = [i for i, size in enumerate(sizes) if size]
        reader = BitReader(data)
        if filled:
            n_groups = reader.take(_GROUPS_BITS) + 1
            group_of_tensor = [reader.take((n_groups - 1).bit_length()) for _ in filled]
            if set(group_of_tensor) != set(range(n_groups)):
                raise FormatError(f"huffman: {n_groups} groups, and some of them without tensors")
            for group in range(n_groups):
                members = [i for i, g in zip(filled, group_of_tensor, strict=True) if g == group]
                ends = np.cumsum([sizes[i] for i in members])
                read_row = read_sparse if reader.take(1) else read_dense
                row = read_row(reader, int(ends[-1]), limit)
                for i, tensor in zip(members, np.split(row, ends[:-1]), strict=True):
                    tensors[i] = tensor
        reader.finish()
        return tensors


def write_dense(writer: BitWriter, row: NDArray[np.int32]) -> None:
    """Writes codes int32[n], not all 0; the inverse of `read_dense`."""
    magnitude = np.abs(row).astype(np.int64)
    code = _write_table(writer, magnitude, _UNLESS_ZERO)
    writer.put_all(*fields(code, magnitude, row < 0))


def read_dense(reader: BitReader, size: int, limit: int) -> NDArray[np.int32]:
    """Reads codes int32[size], |code| <= limit."""
    code = _read_table(reader, _UNLESS_ZERO)
    if code.table.lengths.size == 1:
        raise FormatError("huffman: a dense row of zeros, which an encoder calls sparse")
    [(magnitude, is_negative)] = read_rows(reader, size, [code])
    return _signed(magnitude, is_negative, limit)


def write_sparse(writer: BitWriter, row: NDArray[np.int32]) -> None:
    """Writes codes int32[n]; the inverse of `read_sparse`."""
    at = np.flatnonzero(row)
    writer.put(at.size.bit_length(), _COUNT_BITS)
    writer.put(at.size, at.size.bit_length())
    if not at.size:
        return
    gaps, magnitude = gaps_before(at), np.abs(row[at]).astype(np.int64) - 1
    gap_code = _write_table(writer, gaps, NO_SIGNS)
    code = _write_table(writer, magnitude, _ALWAYS)
    pairs = [fields(gap_code, gaps, row[at] < 0), fields(code, magnitude, row[at] < 0)]
    values, n_bits = (np.stack(part, axis=1).ravel() for part in zip(*pairs, strict=True))
    writer.put_all(values, n_bits)


def read_sparse(reader: BitReader, size: int, limit: int) -> NDArray[np.int32]:
    """Reads codes int32[size], |code| <= limit."""
    n_count_bits = reader.take(_COUNT_BITS)
    if n_count_bits > size.bit_length():
        raise FormatError(f"huffman: a count of {n_count_bits} bits for at most {size} codes")
    n_nonzero = reader.take(n_count_bits)
    row = np.zeros(size, np.int32)
    if n_nonzero:
        codes = [_read_table(reader, NO_SIGNS), _read_table(reader, _ALWAYS)]
        (gaps, _), (less_one, is_negative) = read_rows(reader, n_nonzero, codes)
        at = np.cumsum(gaps + 1) - 1
        if at[-1] >= size:
            raise FormatError(f"huffman: a code stands at {at[-1]}, but there are {size}")
        row[at] = _signed(less_one + 1, is_negative, limit)
    return row


def _write_table(writer: BitWriter, numbers: NDArray[np.int64], first_signed: int) -> NumberCode:
    lengths = code_lengths(used(np.bincount(symbols_of(numbers)[0])))
    write_lengths(writer, lengths)
    return NumberCode(table_of(lengths), first_signed)


def _read_table(reader: BitReader, first_signed: int) -> NumberCode:
    return NumberCode(table_of(read_lengths(reader)), first_signed)


def _signed(
    magnitude: NDArray[np.int64], is_negative: NDArray[np.bool_], limit: int
) -> NDArray[np.int32]:
    if magnitude.max() > limit:
        raise FormatError(f"huffman: a code lies outside -{limit}..{limit}")
    return np.where(is_negative, -magnitude, magnitude).astype(np.int32)
