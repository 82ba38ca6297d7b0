"""What holds for every coder: exact round trips, sizes near the entropy, safety on bad data."""

import lzma
import tracemalloc
import zlib

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from contracts.methods import CODERS
from inr.coders.costs import entropy_bound_bits
from inr.coders.deflate import Deflate
from inr.coders.lzma import Lzma
from inr.coders.protocol import MAX_CODE
from inr.coders.zstd import Zstd
from inr.errors import FormatError

ALL = pytest.mark.parametrize("coder", CODERS, ids=repr)
CHEAP_ZEROS = pytest.mark.parametrize(
    "coder", [coder for coder in CODERS if coder != Zstd(level=1)], ids=repr
)
SLOW_MACHINE = settings(deadline=None, max_examples=40)


def assert_round_trip(coder, codes):
    """Checks decode(encode(x)) == x and returns the number of bytes."""
    data = coder.encode(codes)
    decoded = coder.decode(data, [tensor.size for tensor in codes])
    assert [tensor.tolist() for tensor in decoded] == [tensor.ravel().tolist() for tensor in codes]
    assert all(tensor.dtype == np.int32 and tensor.ndim == 1 for tensor in decoded)
    return len(data)


def draw_codes(scale, n, limit=MAX_CODE, zeros=0.0, seed=0):
    """Laplace codes, none of them 0, and then that share of them set to 0."""
    rng = np.random.default_rng(seed)
    magnitude = np.clip(np.ceil(rng.exponential(scale, n)), 1, limit)
    codes = (magnitude * rng.choice([-1, 1], n)).astype(np.int32)
    codes[rng.random(n) < zeros] = 0
    return codes


@st.composite
def lists_of_codes(draw):
    limit = draw(st.sampled_from([1, 7, 127, 300, MAX_CODE]))
    shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9)
    codes = st.integers(-limit, limit)
    mostly_zero = st.one_of(st.just(0), st.just(0), st.just(0), codes)
    elements = draw(st.sampled_from([codes, mostly_zero]))
    return draw(st.lists(hnp.arrays(np.int32, shapes, elements=elements), max_size=4))


@ALL
@SLOW_MACHINE
@given(codes=lists_of_codes())
def test_round_trip_of_anything(coder, codes):
    assert_round_trip(coder, codes)


@ALL
@pytest.mark.parametrize("limit", [1, 127, 255, 256, MAX_CODE])
def test_round_trip_of_weights_and_edge_cases(coder, limit):
    extremes = np.array([limit, -limit] * 50, np.int32)
    lone = np.zeros(3000, np.int32)
    lone[2000] = -limit
    assert_round_trip(coder, [])
    assert_round_trip(coder, [np.zeros((0, 3), np.int32), np.zeros(1, np.int32)])
    assert_round_trip(coder, [np.zeros(3000, np.int32), extremes, np.full((), limit)])
    assert_round_trip(coder, [lone, lone[:2001], lone[2000:]])
    assert_round_trip(coder, [lone[:9]] * 17)  # more tensors than two bytes have bits
    for zeros in (0, 0.9):
        assert_round_trip(
            coder, [draw_codes(limit / 4, n, limit, zeros) for n in (80, 40, 13_000, 1)]
        )


@CHEAP_ZEROS
@pytest.mark.parametrize("zeros", [0, 0.5, 0.8, 0.9, 0.95])
def test_size_is_near_the_entropy(coder, zeros):
    codes = [draw_codes(20, 20_000, 127, zeros)]
    # 0.95 leaves 1000 codes, for which the tables of zstd's blocks are a tenth of the bytes.
    ratio = 1.05 if zeros <= 0.8 else 1.12
    assert assert_round_trip(coder, codes) <= entropy_bound_bits(codes) / 8 * ratio


@CHEAP_ZEROS
def test_tensors_of_different_scale_do_not_spoil_each_other(coder):
    codes = [draw_codes(scale, 4000, seed=scale) for scale in (90, 25, 12, 5)]
    assert assert_round_trip(coder, codes) <= entropy_bound_bits(codes) / 8 * 1.09


@ALL
def test_zeros_cost_next_to_nothing(coder):
    assert assert_round_trip(coder, [np.zeros(17_000, np.int32)]) <= 40


@ALL
def test_wrong_arguments(coder):
    with pytest.raises(ValueError, match=r"codes\[1\] spans 0\.\.32768, but a code lies in -32767"):
        coder.encode([np.zeros(2, np.int32), np.array([0, 32768], np.int32)])
    with pytest.raises(ValueError, match=r"codes\[0\] spans -32768\.\.0"):
        coder.encode([np.array([0, -32768], np.int16)])
    with pytest.raises(ValueError, match="dtype float32"):
        coder.encode([np.zeros(2, np.float32)])
    with pytest.raises(ValueError, match="negative"):
        coder.decode(b"", [3, -1])


@ALL
@pytest.mark.parametrize("zeros", [0, 0.9])
def test_bytes_that_are_missing_or_too_many(coder, zeros):
    codes = draw_codes(20, 500, 127, zeros)
    data = coder.encode([codes])
    for damaged, size in [(data + b"\0", 500), (data[:-4], 500), (b"", 500), (data[:1], 500)]:
        with pytest.raises(FormatError):
            coder.decode(damaged, [size])
    with pytest.raises(FormatError):
        coder.decode(data, [int(np.flatnonzero(codes)[-1])])  # too short for the last code


@ALL
@pytest.mark.parametrize("zeros", [0, 0.9])
def test_damaged_data_gives_codes_in_range_or_format_error(coder, zeros):
    rng = np.random.default_rng(0)
    sizes = [300, 0, 20]
    data = coder.encode([draw_codes(9000, n, MAX_CODE, zeros) for n in sizes])
    for _ in range(500):
        damaged = bytearray(data[: rng.integers(len(data) + 1)] if rng.random() < 0.3 else data)
        for _ in range(rng.integers(1, 4)):
            if damaged:
                damaged[rng.integers(len(damaged))] = rng.integers(256)
        try:
            decoded = coder.decode(bytes(damaged), sizes)
        except FormatError:
            continue
        assert [tensor.size for tensor in decoded] == sizes
        assert all(tensor.dtype == np.int32 for tensor in decoded)
        assert max(abs(tensor).max() for tensor in decoded if tensor.size) <= MAX_CODE


@ALL
@pytest.mark.parametrize("zeros", [0, 0.9])
def test_little_data_takes_little_memory(coder, zeros):
    data = coder.encode([draw_codes(20, 500, 127, zeros)])
    tracemalloc.start()
    try:
        coder.decode(data, [8_000_000])
    except FormatError:
        pass
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 4 * 8_000_000 * 1.2  # the codes themselves as int32, and little else


# ---------------------------------------------------------------- streams of a library

NO_ZEROS = bytes([0, 0, 0])  # the head of a dense layout without codes other than 0
LZMA_FILTERS = [{"id": lzma.FILTER_LZMA1, "dict_size": 65536, "lc": 0, "lp": 0, "pb": 0}]


def deflate_stream(data):
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush()


def lzma_stream(data):
    return lzma.compress(data, lzma.FORMAT_RAW, filters=LZMA_FILTERS)


STREAMS = pytest.mark.parametrize(
    ("coder", "stream", "n_bomb", "damage"),
    [
        (Deflate(), deflate_stream, 50_000_000, "deflate: Error -3"),
        (Lzma(), lzma_stream, 5_000_000, "lzma: Corrupt input data"),
    ],
    ids=["deflate", "lzma"],
)


@STREAMS
def test_the_stream_is_that_of_the_library(coder, stream, n_bomb, damage):
    codes = np.arange(-5, 6, dtype=np.int32)
    data = coder.encode([codes])
    layout = bytes(np.abs(codes).tolist())  # and the signs, 8 a byte
    signs = np.packbits(codes[codes != 0] < 0).tobytes()
    assert coder.decode(data[:3] + stream(layout + signs), [11])[0].tolist() == codes.tolist()


@STREAMS
def test_a_bomb_is_refused_before_it_unpacks(coder, stream, n_bomb, damage):
    bomb, name = NO_ZEROS + stream(bytes(n_bomb)), type(coder).__name__.lower()
    tracemalloc.start()
    with pytest.raises(FormatError, match=f"{name}: the stream is not one of exactly 5 bytes"):
        coder.decode(bomb, [5])
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1e6


@STREAMS
def test_streams_of_another_length_or_kind(coder, stream, n_bomb, damage):
    right = stream(bytes(5))
    for wrong in (stream(bytes(4)), stream(bytes(6)), right[:-1], right + b"x", b""):
        with pytest.raises(FormatError, match="not one of exactly 5 bytes"):
            coder.decode(NO_ZEROS + wrong, [5])
    with pytest.raises(FormatError, match=damage):
        coder.decode(NO_ZEROS + b"\xff" * 9, [5])
