"""Lengths, codewords and their bytes; package-merge is the second implementation."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from inr.coders.bit_fields import BitReader, BitWriter
from inr.coders.huffman_table import (
    MAX_LENGTH,
    MAX_SYMBOLS,
    code_lengths,
    read_lengths,
    table_bits,
    table_of,
    write_lengths,
)
from inr.errors import FormatError


def package_merge(counts, limit):
    """Larmore and Hirschberg: the best lengths of at most `limit`."""
    leaves = sorted((count, (symbol,)) for symbol, count in enumerate(counts))
    packages = []
    for _ in range(limit):
        pairs = zip(packages[::2], packages[1::2], strict=False)
        packages = sorted(leaves + [(a[0] + b[0], a[1] + b[1]) for a, b in pairs])
    lengths = [0] * len(counts)
    for _, symbols in packages[: 2 * len(counts) - 2]:
        for symbol in symbols:
            lengths[symbol] += 1
    return lengths


def bits_of(text):
    """Bytes of bits as on paper, filled up with zeros."""
    digits = text.replace(" ", "")
    digits += "0" * (-len(digits) % 8)
    return bytes(int(digits[i : i + 8], 2) for i in range(0, len(digits), 8))


def test_a_table_on_paper():
    # 1 + 1 = 2; 2 + 3 = 5; 5 + 6: symbol 1 is one step from the root, 3 two, 0 and 2 three.
    lengths = code_lengths([1, 6, 1, 3])
    assert lengths == [3, 1, 3, 2]
    table = table_of(lengths)
    codewords = [f"{c:0{n}b}" for c, n in zip(table.codewords, lengths, strict=True)]
    assert codewords == ["110", "0", "111", "10"]
    writer = BitWriter()
    write_lengths(writer, lengths)
    # four symbols, the first of 3 bits, then 2 less, 2 more, 1 less
    assert writer.finish() == bits_of("0000011 0011  11 10  10 10  11 0")
    assert table_bits(lengths) == 7 + 4 + 4 + 4 + 3


def test_one_symbol_takes_no_bits():
    assert code_lengths([9]) == [0]
    table = table_of([0])
    assert (table.lengths.tolist(), table.codewords.tolist()) == ([0], [0])
    assert not table.symbols.any()
    writer = BitWriter()
    write_lengths(writer, [0])
    assert read_lengths(BitReader(writer.finish())) == [0]
    assert table_bits([0]) == 7


counts_of_symbols = st.lists(st.integers(0, 3000), min_size=2, max_size=MAX_SYMBOLS)


@settings(deadline=None)
@given(counts_of_symbols)
def test_lengths_are_the_best_there_are(counts):
    lengths = code_lengths(counts)
    seen = np.maximum(counts, 1)
    best = package_merge(seen.tolist(), MAX_LENGTH)
    if max(package_merge(seen.tolist(), 30)) <= MAX_LENGTH:
        assert np.dot(lengths, seen) == np.dot(best, seen)
    else:  # flattened counts are not quite the best way to shorten codewords
        assert np.dot(lengths, seen) <= np.dot(best, seen) * 1.05


@settings(deadline=None)
@given(counts_of_symbols)
def test_codewords_are_a_complete_code_and_lengths_come_back(counts):
    lengths = code_lengths(counts)
    table = table_of(lengths)
    for symbol, (codeword, n_bits) in enumerate(zip(table.codewords, lengths, strict=True)):
        begin = int(codeword) << (MAX_LENGTH - n_bits)
        entries = table.symbols[begin : begin + (1 << (MAX_LENGTH - n_bits))]
        assert (entries == symbol).all()
    assert table.symbols.size == 1 << MAX_LENGTH  # so each entry is of one codeword
    writer = BitWriter()
    write_lengths(writer, lengths)
    reader = BitReader(writer.finish())
    assert read_lengths(reader) == lengths
    assert reader.position == table_bits(lengths)


def test_codewords_stay_short_where_counts_grow_like_fibonacci_numbers():
    counts = [1, 1]
    while len(counts) < 40:
        counts.append(counts[-1] + counts[-2])
    assert max(code_lengths(counts)) == MAX_LENGTH


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0000001 0000 0", "a codeword of 0 bits, not 1..12"),
        ("0000001 1101 0", "a codeword of 13 bits"),
        ("0000010 0001 11 0 0", "a codeword of 0 bits"),
        ("0000001 0001 10 111111111110", "a codeword of 13 bits"),
        ("0000001 0001 10 1111111111111111", "a codeword of 14 bits"),
        ("0000001 0010 0", "make no complete code"),  # two codewords of two bits
        ("0000010 0001 0 0", "make no complete code"),  # three of one bit
        ("0000001", "4 bits expected, 1 left"),
    ],
)
def test_wrong_lengths(text, message):
    with pytest.raises(FormatError, match=message):
        read_lengths(BitReader(bits_of(text)))
