"""Lzma: its stream. The rest is in contracts/test_coder.py."""

import lzma

import numpy as np

from inr.coders.lzma import Lzma

FILTERS = [{"id": lzma.FILTER_LZMA1, "dict_size": 65536, "lc": 0, "lp": 0, "pb": 0}]


def test_the_stream_is_raw_lzma_of_the_stated_settings():
    codes = np.arange(-5, 6, dtype=np.int32)
    data = Lzma().encode([codes])
    plain = lzma.decompress(data[3:], lzma.FORMAT_RAW, filters=FILTERS)
    assert plain[:11] == bytes(np.abs(codes).tolist())


def test_the_stream_has_little_besides_the_codes():
    # five bytes of the range coder, and the end marker
    assert len(lzma.compress(b"", lzma.FORMAT_RAW, filters=FILTERS)) <= 12
    # and with three bytes of the layout, a code and its sign
    assert len(Lzma().encode([np.array([1], np.int32)])) <= 16
