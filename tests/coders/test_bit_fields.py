"""Bits into bytes and back."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from inr.coders.bit_fields import MAX_BITS, BitReader, BitWriter
from inr.errors import FormatError


def test_bits_on_paper():
    writer = BitWriter()
    writer.put(0b101, 3)
    writer.put_all(np.array([0, 1, 0b110011]), np.array([0, 1, 6]))
    assert writer.finish() == bytes([0b101_1_1100, 0b11_000000])
    assert BitWriter().finish() == b""


@settings(deadline=None)
@given(
    st.lists(
        st.integers(0, MAX_BITS).flatmap(
            lambda n: st.tuples(st.integers(0, (1 << n) - 1), st.just(n))
        )
    )
)
def test_what_is_put_is_taken(numbers):
    writer = BitWriter()
    for value, n_bits in numbers:
        writer.put(value, n_bits)
    reader = BitReader(writer.finish())
    for value, n_bits in numbers:
        words = reader.words(1)
        if n_bits:
            assert int(words[0]) >> (MAX_BITS - n_bits) == value
        assert reader.take(n_bits) == value
    reader.finish()


def test_words_begin_at_every_bit():
    data = np.random.default_rng(0).bytes(20)
    bits = "".join(f"{byte:08b}" for byte in data) + "0" * 64
    reader = BitReader(data)
    reader.skip(5)
    words = reader.words(1000).tolist()
    assert words == [int(bits[i : i + MAX_BITS], 2) for i in range(5, 160)]
    assert reader.words(7).tolist() == words[:7]


def test_the_end():
    reader = BitReader(b"\x80")
    assert reader.take(1) == 1
    with pytest.raises(FormatError, match="8 bits expected, 7 left"):
        reader.take(8)
    reader.finish()
    with pytest.raises(FormatError, match="does not end"):
        BitReader(b"\x01").finish()
    with pytest.raises(FormatError, match="does not end"):
        BitReader(b"\0").finish()
