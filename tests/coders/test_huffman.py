"""Huffman: bytes worked by hand, tables, and bad data. The rest is in contracts/test_coder.py."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from inr.coders.huffman import MAX_LENGTH, Huffman, choose_lengths, pack_blocks, unpack_blocks
from inr.errors import FormatError


def bits_of(text):
    """Bytes of bits as on paper, filled up with zeros."""
    digits = "".join(line.split("#")[0] for line in text.splitlines()).replace(" ", "")
    digits += "0" * (-len(digits) % 8)
    return bytes(int(digits[i : i + 8], 2) for i in range(0, len(digits), 8))


# Bytes 0..3 occur 1, 6, 1 and 3 times. 1 + 1 = 2; 2 + 3 = 5; 5 + 6: byte 1 is one step from the
# root, 3 two, 0 and 2 three. So the codewords are 0 of byte 1, 10 of 3, 110 of 0, 111 of 2.
BLOCK = bytes([1, 1, 1, 0, 3, 3, 1, 2, 1, 3, 1])
BLOCK_BITS = """
    00000011 0011                        # the largest byte is 3; the codeword of 0 has three bits
    11110 1110 110                       # two less, two more, one less
    0 0 0 110 10 10 0 111 0 10 0         # 18 bits
"""


def test_a_block_on_paper():
    assert choose_lengths([1, 6, 1, 3]) == [3, 1, 3, 2]
    coded = bits_of(BLOCK_BITS)
    assert pack_blocks([BLOCK]) == bytes([11, len(coded)]) + coded
    assert unpack_blocks(bytes([11, len(coded)]) + coded, 11) == BLOCK


def test_a_block_that_does_not_shrink_stays_as_it_is():
    assert pack_blocks([b"\x05\x09", b"\xff"]).hex(" ") == "02 00 05 09 01 00 ff"


def test_a_block_of_one_level_takes_a_bit_a_byte():
    data = bytes([40, 7]) + bits_of("00000000 0001" + "0" * 40)
    assert pack_blocks([bytes(40)]) == data
    assert unpack_blocks(data, 40) == bytes(40)


def test_tensors_that_are_mostly_zeros_stand_apart():
    sparse, dense = np.array([0, 0, 0, -5], np.int32), np.array([1, -1, 0, 2], np.int32)
    data = Huffman().encode([sparse, dense])
    assert data.hex(" ") == (
        "80 0a "  # the first of two tensors is sparse; ten bytes of dense ones
        "00 03 00 05 00 01 01 00 02 40 "  # dense, three codes, none wide; five bytes as they are
        "01 01 00 01 03 00 03 04 80"  # sparse, one code, none wide, one gap; gap, |code| - 1, sign
    )
    assert [t.tolist() for t in Huffman().decode(data, [4, 4])] == [[0, 0, 0, -5], [1, -1, 0, 2]]


STORED_CODES = [  # sparse, empty, dense
    np.where(np.arange(120) % 29 == 0, np.arange(120) - 60, 0).astype(np.int32),
    np.zeros(0, np.int32),
    (np.arange(90) * 7919 % 201 % 9 - 4).astype(np.int32),
]
STORED = (
    "80670050006462d15c3f826981308cb2658b5800160b00991ad658000000d2cb264196580b161a5800264c2c9801bb16019900908119a00c8448410668"
    "01211230419900908118200c8048408cd00642242083340090891820cc8048408c10979ee52264bcf7291300010500050b00001c1c1c1c3b1e011a37e0"
)


def test_stored_bytes_stay_readable():
    """Changed bytes here make every stored file unreadable."""
    decoded = Huffman().decode(bytes.fromhex(STORED), [120, 0, 90])
    assert [t.tolist() for t in decoded] == [t.tolist() for t in STORED_CODES]


counts_of_bytes = st.lists(st.integers(0, 3000), min_size=2, max_size=256)


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


@settings(deadline=None)
@given(counts_of_bytes)
def test_lengths_are_the_best_there_are(counts):
    lengths = choose_lengths(counts)
    counts = np.maximum(counts, 1)
    assert np.dot(lengths, counts) == np.dot(package_merge(counts.tolist(), MAX_LENGTH), counts)
    assert sum(2.0**-length for length in lengths) == 1


def test_codewords_stay_short_where_counts_grow_like_fibonacci_numbers():
    counts = [1, 1]
    while len(counts) < 40:
        counts.append(counts[-1] + counts[-2])
    assert max(choose_lengths(counts)) == MAX_LENGTH
    block = bytes(byte for byte, count in enumerate(counts[:20]) for _ in range(count))
    assert unpack_blocks(pack_blocks([block]), len(block)) == block


@given(st.lists(st.binary(min_size=1, max_size=99) | st.integers(1, 999).map(bytes), max_size=4))
def test_blocks_are_their_row(blocks):
    row = b"".join(blocks)
    assert unpack_blocks(pack_blocks(blocks), len(row)) == row


def block(text, n_bytes=1):
    coded = bits_of(text)
    return bytes([n_bytes, len(coded)]) + coded


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cut short at byte 0"),
        (bytes([0, 0]), r"a block of 0 bytes, 1\.\.11 expected"),
        (bytes([12, 0]) + bytes(12), r"a block of 12 bytes, 1\.\.11 expected"),
        (bytes([11, 0]) + bytes(10), "11 bytes expected, 10 left"),
        (bytes([11, 0]) + bytes(12), "1 bytes too many"),
        (bytes([11, 1, 0]), "11 codewords where only 8 bits are"),
        (block("00000000", 8), "a table is cut short"),
        (block(BLOCK_BITS, 9), "does not end with its last codeword"),
        (block(BLOCK_BITS + "00000000", 11), "does not end with its last codeword"),
        (block(BLOCK_BITS + "1", 11), "does not end with its last codeword"),
        (bytes([11, 5]) + bits_of(BLOCK_BITS)[:5], "11 codewords expected: reached end"),
        (block("00000001 0000 10 "), r"codewords of \[0, 1\] bits, 1\.\.15 expected"),
        (block("00000001 1111 10 "), r"codewords of \[15, 16\] bits"),
        (block("00000001 0010 0"), r"codewords of \[2, 2\] bits make no complete code"),
        (block("00000010 0001 0 0"), r"codewords of \[1, 1, 1\] bits make no complete code"),
        (block("00000000 0010 0"), r"codewords of \[2\] bits make no complete code"),
        (block("00000001 0001" + "1" * 36), "its lengths differ too much"),
        (block("00000001 0001 1111"), "a table is cut short"),
    ],
)
def test_wrong_blocks(data, message):
    with pytest.raises(FormatError, match=message):
        unpack_blocks(data, 11)


@pytest.mark.parametrize(
    ("text", "sizes", "message"),
    [
        ("", [4], "cut short at byte 0"),
        ("40 00", [4], "a bit is set for a tensor that does not exist"),
        ("01 00", [], "1 bytes for tensors that do not exist"),
        ("80 01 00", [4], "1 bytes for tensors that do not exist"),
        ("00 05 000000 0400 00000000 00", [4], "cut short at byte 2"),
        ("00 04 000000", [4], "4 bytes expected, 3 left"),
        ("00 07 000000 0200 0000 00", [4], "cut short"),
    ],
)
def test_wrong_streams(text, sizes, message):
    with pytest.raises(FormatError, match=message):
        Huffman().decode(bytes.fromhex(text), sizes)
