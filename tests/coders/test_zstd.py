"""Zstd: exact round trips, exact bytes, and nothing but FormatError for bad data."""

import hypothesis.strategies as st
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from inr.coders.zstd import Zstd
from inr.errors import FormatError


def assert_round_trip(codes, bits, coder=Zstd()):  # noqa: B008, frozen
    decoded = coder.decode(coder.encode(codes, bits), [tensor.size for tensor in codes], bits)
    assert [tensor.tolist() for tensor in decoded] == [tensor.ravel().tolist() for tensor in codes]
    assert all(tensor.dtype == np.int32 and tensor.ndim == 1 for tensor in decoded)


@st.composite
def codes_and_bits(draw):
    bits = draw(st.integers(2, 16))
    limit = 2 ** (bits - 1) - 1
    shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9)
    tensors = hnp.arrays(np.int32, shapes, elements=st.integers(-limit, limit))
    return draw(st.lists(tensors, max_size=4)), bits


@settings(deadline=None)
@given(codes_and_bits())
def test_round_trip_of_anything(case):
    assert_round_trip(*case)


@pytest.mark.parametrize("bits", [2, 8, 9, 16])
@pytest.mark.parametrize("level", [1, 19, 22])
def test_round_trip_of_weights(bits, level):
    rng = np.random.default_rng(bits)
    limit = 2 ** (bits - 1) - 1
    codes = [
        np.clip(np.rint(rng.normal(0, limit / 4, shape)), -limit, limit).astype(np.int32)
        for shape in [(2, 40), (40,), (100, 130), (0,), (1,)]
    ]
    assert_round_trip(codes, bits, Zstd(level))


def test_exact_bytes():
    codes = [np.array([[1, -1], [0, 127]], np.int32), np.array([-127], np.int32)]
    assert Zstd().encode(codes, 8).hex() == "28b52ffd0000" + "290000" + "01ff007f81"


def test_only_tensors_beyond_int8_take_two_bytes():
    codes = [np.array([5], np.int32), np.array([1, -2, 0x1234], np.int32)]
    data = Zstd().encode(codes, 16)
    assert data[0] == 0b10
    assert data[-7:].hex() == "05" + "01fe34" + "000012"
    assert_round_trip(codes, 16)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"codes\[1\] spans 0\.\.128, but bits=8"):
        Zstd().encode([np.zeros(2, np.int32), np.array([0, 128], np.int32)], 8)
    with pytest.raises(ValueError, match="dtype float32"):
        Zstd().encode([np.zeros(2, np.float32)], 8)
    with pytest.raises(ValueError, match=r"bits=17 is outside 2\.\.16"):
        Zstd().encode([], 17)
    with pytest.raises(ValueError, match="negative"):
        Zstd().decode(b"", [-1], 8)
    with pytest.raises(ValueError, match="level=23"):
        Zstd(level=23)


def test_a_bomb_is_refused_before_it_unpacks():
    stated = zstandard.ZstdCompressor().compress(bytes(10_000_000))
    with pytest.raises(FormatError, match="states a content size"):
        Zstd().decode(stated, [5], 8)
    unstated = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(10_000_000))
    with pytest.raises(FormatError, match="window"):
        Zstd().decode(unstated, [5], 8)


def test_wrong_lengths_and_values():
    data = Zstd().encode([np.arange(-3, 4, dtype=np.int32)], 8)
    for damaged, sizes in [(data + b"\0", [7]), (data[:-1], [7]), (data, [6]), (data, [8])]:
        with pytest.raises(FormatError):
            Zstd().decode(damaged, sizes, 8)
    with pytest.raises(FormatError, match=r"outside -1\.\.1"):
        Zstd().decode(data, [7], 2)
    with pytest.raises(FormatError):
        Zstd().decode(b"", [], 8)


def test_damaged_data_gives_codes_in_range_or_format_error():
    rng = np.random.default_rng(0)
    codes = [np.rint(rng.normal(0, 12, n)).astype(np.int32) for n in (300, 0, 20)]
    data = Zstd().encode(codes, 7)
    for _ in range(500):
        damaged = bytearray(data[: rng.integers(len(data) + 1)] if rng.random() < 0.3 else data)
        for _ in range(rng.integers(1, 4)):
            if damaged:
                damaged[rng.integers(len(damaged))] = rng.integers(256)
        try:
            decoded = Zstd().decode(bytes(damaged), [300, 0, 20], 7)
        except FormatError:
            continue
        assert [tensor.size for tensor in decoded] == [300, 0, 20]
        assert max(abs(tensor).max() for tensor in decoded if tensor.size) <= 63
