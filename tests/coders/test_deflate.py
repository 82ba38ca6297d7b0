"""Deflate: its stream. The rest is in contracts/test_coder.py."""

import zlib

import numpy as np

from inr.coders.deflate import Deflate


def test_a_stored_block_is_read():
    # dense, 3 codes, none wide; last block, stored: length 5, its complement, the bytes
    data = bytes.fromhex("00 03 00" + "01 0500 faff" + "01 02 00 03" + "40")
    assert Deflate().decode(data, [4])[0].tolist() == [1, -2, 0, 3]


def test_the_stream_is_plain_deflate():
    codes = np.arange(-5, 6, dtype=np.int32)
    data = Deflate().encode([codes])
    assert zlib.decompress(data[3:], -15)[:11] == bytes(np.abs(codes).tolist())
