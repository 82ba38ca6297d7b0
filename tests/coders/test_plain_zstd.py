"""PlainZstd: its bytes stay as they are, for the files that have them."""

import numpy as np
import pytest
import zstandard

from inr.coders.plain_zstd import PlainZstd
from inr.errors import FormatError


def test_exact_bytes():
    codes = [np.array([[1, -1], [0, 127]], np.int32), np.array([-127], np.int32)]
    assert PlainZstd().encode(codes, 8).hex() == "28b52ffd0000" + "290000" + "01ff007f81"


def test_only_tensors_beyond_int8_take_two_bytes():
    codes = [np.array([5], np.int32), np.array([1, -2, 0x1234], np.int32)]
    data = PlainZstd().encode(codes, 16)
    assert data[0] == 0b10
    assert data[-7:].hex() == "05" + "01fe34" + "000012"
    decoded = PlainZstd().decode(data, [1, 3], 16)
    assert [tensor.tolist() for tensor in decoded] == [tensor.tolist() for tensor in codes]


def test_a_bomb_is_refused_before_it_unpacks():
    stated = zstandard.ZstdCompressor().compress(bytes(10_000_000))
    with pytest.raises(FormatError, match="states a content size"):
        PlainZstd().decode(stated, [5], 8)
    unstated = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(10_000_000))
    with pytest.raises(FormatError, match="window"):
        PlainZstd().decode(unstated, [5], 8)


def test_wrong_masks_and_values():
    with pytest.raises(FormatError, match="a mask of 1 bytes expected, 0 bytes left"):
        PlainZstd().decode(b"", [5], 16)
    with pytest.raises(FormatError, match="names tensors that do not exist"):
        PlainZstd().decode(b"\2", [5], 16)
    data = PlainZstd().encode([np.arange(-3, 4, dtype=np.int32)], 8)
    with pytest.raises(FormatError, match=r"outside -1\.\.1"):
        PlainZstd().decode(data, [7], 2)
