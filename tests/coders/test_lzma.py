"""Lzma: its stream, and streams that lie. The rest is in contracts/test_coder.py."""

import lzma
import tracemalloc

import numpy as np
import pytest

from inr.coders.lzma import Lzma
from inr.errors import FormatError

NO_ZEROS = bytes([0, 0, 0])  # the head of a dense layout without codes other than 0
FILTERS = [{"id": lzma.FILTER_LZMA1, "dict_size": 65536, "lc": 0, "lp": 0, "pb": 0}]


def stream(data):
    return lzma.compress(data, lzma.FORMAT_RAW, filters=FILTERS)


def test_the_stream_is_raw_lzma_of_the_stated_settings():
    codes = np.arange(-5, 6, dtype=np.int32)
    data = Lzma().encode([codes])
    plain = lzma.decompress(data[3:], lzma.FORMAT_RAW, filters=FILTERS)
    assert plain[:11] == bytes(np.abs(codes).tolist())
    assert Lzma().decode(data[:3] + stream(plain), [11])[0].tolist() == codes.tolist()


def test_the_stream_has_little_besides_the_codes():
    assert len(stream(b"")) <= 12  # five bytes of the range coder, and the end marker


def test_a_bomb_is_refused_before_it_unpacks():
    bomb = NO_ZEROS + stream(bytes(5_000_000))
    tracemalloc.start()
    with pytest.raises(FormatError, match="lzma: the stream is not one of exactly 5 bytes"):
        Lzma().decode(bomb, [5])
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1e6


def test_streams_of_another_length_or_kind():
    right = stream(bytes(5))
    for wrong in (stream(bytes(4)), stream(bytes(6)), right[:-1], right + b"x", b""):
        with pytest.raises(FormatError, match="not one of exactly 5 bytes"):
            Lzma().decode(NO_ZEROS + wrong, [5])
    with pytest.raises(FormatError, match="lzma: Corrupt input data"):
        Lzma().decode(NO_ZEROS + b"\xff" * 9, [5])
