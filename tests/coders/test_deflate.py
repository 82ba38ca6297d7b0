"""Deflate: its stream, and streams that lie. The rest is in contracts/test_coder.py."""

import tracemalloc
import zlib

import numpy as np
import pytest

from inr.coders.deflate import Deflate
from inr.errors import FormatError

NO_ZEROS = bytes([0, 0, 0])  # the head of a dense layout without codes other than 0


def stream(data):
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush()


def test_a_stored_block_is_read():
    # dense, 3 codes, none wide; last block, stored: length 5, its complement, the bytes
    data = bytes.fromhex("00 03 00" + "01 0500 faff" + "01 02 00 03" + "40")
    assert Deflate().decode(data, [4])[0].tolist() == [1, -2, 0, 3]


def test_the_stream_is_plain_deflate():
    codes = np.arange(-5, 6, dtype=np.int32)
    data = Deflate().encode([codes])
    assert zlib.decompress(data[3:], -15)[:11] == bytes(np.abs(codes).tolist())


def test_a_bomb_is_refused_before_it_unpacks():
    bomb = NO_ZEROS + stream(bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(FormatError, match="deflate: the stream is not one of exactly 5 bytes"):
        Deflate().decode(bomb, [5])
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1e6


def test_streams_of_another_length_or_kind():
    right = stream(bytes(5))
    for wrong in (stream(bytes(4)), stream(bytes(6)), right[:-1], right + b"x", b""):
        with pytest.raises(FormatError, match="not one of exactly 5 bytes"):
            Deflate().decode(NO_ZEROS + wrong, [5])
    with pytest.raises(FormatError, match="deflate: Error -3"):
        Deflate().decode(NO_ZEROS + b"\xff" * 9, [5])
