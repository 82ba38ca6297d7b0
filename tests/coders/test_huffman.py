"""Huffman: bytes worked by hand, sizes, and bad data. The rest is in test_contract.py."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from inr.coders.bit_fields import BitReader, BitWriter
from inr.coders.entropy import entropy_bound_bits
from inr.coders.huffman import Huffman, read_sparse, write_sparse
from inr.coders.huffman_groups import choose_groups
from inr.coders.huffman_numbers import n_plain_bits, numbers_of, symbols_of
from inr.errors import FormatError


def bits_of(text):
    """Bytes of bits as on paper, filled up with zeros."""
    digits = "".join(line.split("#")[0] for line in text.splitlines()).replace(" ", "")
    digits += "0" * (-len(digits) % 8)
    return bytes(int(digits[i : i + 8], 2) for i in range(0, len(digits), 8))


# Magnitudes 0, 1, 2 occur 1, 2 and 1 times: 1 gets a bit, the others two.
DENSE_CODES = np.array([1, -1, 0, 2], np.int32)
DENSE_BITS = """
    000000                     # one group, whose number takes no bits
    0                          # dense
    0000010 0010 11 0 10 0     # three symbols of 2, 1 and 2 bits: 10, 0, 11
    0 0   0 1   10   11 0      # 1, -1, 0, 2; all but 0 with a sign
"""

# Gaps 1, 0, 1 and magnitudes less one 0, 0, 1.
SPARSE_CODES = np.array([0, 1, 1, 0, -2, 0, 0], np.int32)
SPARSE_BITS = """
    000010 11                  # a count of two bits: three codes other than 0
    0000001 0001 0             # gaps: two symbols of one bit each
    0000001 0001 0             # magnitudes: the same
    1 0 0   0 0 0   1 1 1      # gap, magnitude, sign of each
"""


def test_dense_bytes_on_paper():
    data = bits_of(DENSE_BITS)
    assert data.hex(" ") == "00 08 b4 1b 00"
    assert Huffman().encode([DENSE_CODES], 8) == data
    assert Huffman().decode(data, [4], 8)[0].tolist() == DENSE_CODES.tolist()


def test_sparse_bytes_on_paper():
    writer = BitWriter()
    write_sparse(writer, SPARSE_CODES)
    assert writer.finish() == bits_of(SPARSE_BITS)
    assert read_sparse(BitReader(bits_of(SPARSE_BITS)), 7, 127).tolist() == SPARSE_CODES.tolist()


def test_zeros_alone_are_a_sparse_row_of_no_codes():
    data = bits_of("000000  1  000000")
    assert Huffman().encode([np.zeros(9, np.int32), np.zeros((3, 4), np.int32)], 8) == data
    assert [t.tolist() for t in Huffman().decode(data, [9, 12], 8)] == [[0] * 9, [0] * 12]


STORED_CODES = [  # a sparse row and a dense one
    np.where(np.arange(120) % 29 == 0, np.arange(120) - 60, 0).astype(np.int32),
    np.zeros(0, np.int32),
    (np.arange(60) * 7919 % 201 - 100).astype(np.int32),
]
STORED = (
    "058747ab000626a03000f5b81e8330340570b369a030368c929c9888bc69366c247e148b46008ef2f6abe13da5"
    "ad9782bfe56dd742ffa52617033f49cca30dfb2534883ba919b421fd08404021d27c15b11eb0"
)


def test_stored_bytes_stay_readable():
    """Changed bytes here make every stored file unreadable."""
    assert Huffman().encode(STORED_CODES, 16).hex() == STORED
    decoded = Huffman().decode(bytes.fromhex(STORED), [120, 0, 60], 16)
    assert [t.tolist() for t in decoded] == [t.tolist() for t in STORED_CODES]


def test_symbols_on_paper():
    numbers = np.array([0, 3, 4, 7, 8, 9, 10, 15, 16, 19, 20])
    symbols, plain, n_plain = symbols_of(numbers)
    assert symbols.tolist() == [0, 3, 4, 7, 8, 8, 9, 11, 12, 12, 13]
    assert n_plain.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert plain.tolist() == [0, 0, 0, 0, 0, 1, 0, 1, 0, 3, 0]


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**33 - 1)))
def test_numbers_come_back(numbers):
    symbols, plain, n_plain = symbols_of(np.array(numbers, np.int64))
    assert numbers_of(symbols, plain).tolist() == numbers
    assert n_plain_bits(symbols).tolist() == n_plain.tolist()
    assert max(symbols, default=0) <= 127


def laplace(scale, n, seed=0):
    return np.rint(np.random.default_rng(seed).laplace(0, scale, n)).astype(np.int32)


def test_tensors_of_one_scale_share_tables():
    groups = choose_groups([laplace(90, 4000), laplace(4, 3000), laplace(90, 200), laplace(4, 50)])
    assert [group.members for group in groups] == [(0, 2), (1, 3)]


def test_a_cost_in_bits_is_what_is_written():
    for codes in (laplace(20, 3000), laplace(0.2, 3000)):
        [group] = choose_groups([codes])
        n_bits = group.cost_bits() + 6 + 1
        if group.is_sparse():
            n_bits += 6 + int(np.count_nonzero(codes)).bit_length()
        assert len(Huffman().encode([codes], 16)) == (n_bits + 7) // 8


@pytest.mark.parametrize("zeros", [0, 0.5, 0.8, 0.9, 0.95])
def test_size_is_within_a_few_percent_of_the_entropy(zeros):
    codes = laplace(20, 20_000)
    codes[np.random.default_rng(1).random(20_000) < zeros] = 0
    n_bytes = len(Huffman().encode([codes], 16))
    assert n_bytes <= entropy_bound_bits([codes]) / 8 * 1.04


def test_a_stream_of_many_chunks():
    codes = laplace(300, 200_000)
    codes[::2] = 0
    data = Huffman().encode([codes], 16)
    assert len(data) > 100_000
    assert np.array_equal(Huffman().decode(data, [200_000], 16)[0], codes)


@pytest.mark.parametrize(
    ("text", "sizes", "message"),
    [
        ("", [4], "6 bits expected, 0 left"),
        ("000001 0 0", [4, 4], "2 groups, and some of them without tensors"),
        ("000001", [4], "2 groups, and some of them without tensors"),
        ("000000 0 0000000", [4], "a dense row of zeros"),
        (DENSE_BITS, [40], "40 numbers where only 16 bits are left"),
        (DENSE_BITS, [12], "bits expected|numbers too early"),
        (DENSE_BITS + "00000000", [4], "does not end with its last symbol"),
        (DENSE_BITS, [0], "does not end with its last symbol"),
        ("000000 1" + SPARSE_BITS, [4], "a code stands at 4, but there are 4"),
        ("000000 1 000100 1111", [7], "a count of 4 bits for at most 7 codes"),
        ("000000 1 000011 111 0000001 0001 0 0000001 0001 0", [7], "7 numbers where only 0 bits"),
    ],
)
def test_wrong_bytes(text, sizes, message):
    with pytest.raises(FormatError, match=message):
        Huffman().decode(bits_of(text), sizes, 8)


def test_codes_out_of_range():
    with pytest.raises(FormatError, match=r"outside -1\.\.1"):
        Huffman().decode(bits_of(DENSE_BITS), [4], 2)
