"""RangeCoder: exact, close to the entropy bound, the same in both engines, safe on bad data."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from inr.coders import range_coder
from inr.coders.entropy import entropy_bound_bits
from inr.coders.range_coder import RangeCoder, read_tensor, write_tensor
from inr.coders.range_python import PythonReader, PythonWriter
from inr.coders.tensor_model import TOTAL, TensorModel, uniform_table
from inr.errors import FormatError

SLOW_MACHINE = settings(deadline=None, max_examples=40)  # the encoder tries 100 tables a tensor


@pytest.fixture(params=["constriction", "python"])
def engine(request, monkeypatch):
    if request.param == "constriction":
        pytest.importorskip("constriction")
    monkeypatch.setattr(range_coder, "HAS_CONSTRICTION", request.param == "constriction")


def assert_round_trip(codes, bits):
    """Checks decode(encode(x)) == x and returns the number of bytes."""
    data = RangeCoder().encode(codes, bits)
    decoded = RangeCoder().decode(data, [tensor.size for tensor in codes], bits)
    assert [tensor.tolist() for tensor in decoded] == [tensor.ravel().tolist() for tensor in codes]
    assert all(tensor.dtype == np.int32 and tensor.ndim == 1 for tensor in decoded)
    return len(data)


def draw_codes(family, sigma, shape, bits, seed=0):
    rng = np.random.default_rng(seed)
    limit = 2 ** (bits - 1) - 1
    spread = sigma if family == "normal" else sigma / math.sqrt(2)
    samples = getattr(rng, family)(0, spread, shape)
    return np.clip(np.rint(samples), -limit, limit).astype(np.int32)


@st.composite
def codes_and_bits(draw):
    bits = draw(st.integers(2, 16))
    limit = 2 ** (bits - 1) - 1
    shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9)
    tensors = hnp.arrays(np.int32, shapes, elements=st.integers(-limit, limit))
    return draw(st.lists(tensors, max_size=2)), bits


@SLOW_MACHINE
@given(codes_and_bits())
def test_round_trip_of_anything(case):
    assert_round_trip(*case)


@pytest.mark.parametrize("bits", [2, 3, 8, 9, 10, 16])
@pytest.mark.usefixtures("engine")
def test_round_trip_of_weights_and_edge_cases(bits):
    limit = 2 ** (bits - 1) - 1
    extremes = np.array([limit, -limit] * 50, np.int32)
    assert_round_trip([], bits)
    assert_round_trip([np.zeros((0, 3), np.int32), np.zeros(1, np.int32)], bits)
    assert_round_trip([np.zeros(3000, np.int32), extremes, np.full((), limit, np.int32)], bits)
    for sigma in (0.1, limit / 40, limit / 4):
        assert_round_trip([draw_codes("laplace", sigma, (40, 50), bits)], bits)


@SLOW_MACHINE
@given(codes_and_bits(), st.data())
def test_round_trip_under_any_model(case, data):
    """A chosen model never shows the worst tables; a reader must follow every one."""
    codes, bits = case
    fields = st.tuples(st.integers(0, 7), st.integers(0, 127), st.integers(0, 63))
    for tensor in codes:
        model = TensorModel(*data.draw(fields))
        writer = PythonWriter()
        write_tensor(writer, tensor.ravel(), model, bits)
        if tensor.size:
            reader = PythonReader(writer.finish())
            assert read_tensor(reader, tensor.size, model, bits).tolist() == tensor.ravel().tolist()


# The engines.


def random_tables(seed, n_tables):
    """Yields tables of all kinds: smooth, spiky, and with many symbols of frequency 1."""
    rng = np.random.default_rng(seed)
    for _ in range(n_tables):
        size = int(rng.integers(2, 600))
        weights = rng.random(size) ** rng.choice([0.1, 1, 30, 300])
        weights = np.floor(weights / weights.sum() * (TOTAL - size)).astype(np.int64)
        weights[rng.integers(size)] += TOTAL - size - weights.sum()
        yield weights + 1


@pytest.mark.parametrize("seed", range(8))
def test_engines_agree_word_for_word_on_random_tables(seed):
    constriction_engine = pytest.importorskip("inr.coders.range_constriction")
    rng = np.random.default_rng(seed)
    writers = [PythonWriter(), constriction_engine.ConstrictionWriter()]
    written = []
    for table in random_tables(seed, 30):
        rare = rng.integers(0, table.size, 20)
        likely = rng.choice(table.size, 100, p=table / TOTAL)
        symbols = np.concatenate([rare, likely, [0, table.size - 1]]).astype(np.int32)
        written.append((symbols, table))
        for writer in writers:
            writer.put(symbols, table)
    words, reference = (writer.finish() for writer in writers)
    # constriction may add one zero word against data that follows; nothing follows here.
    assert words.tolist() == reference[: words.size].tolist()
    assert not reference[words.size :].any()
    readers = [PythonReader(words), constriction_engine.ConstrictionReader(words)]
    for symbols, table in written:
        for reader in readers:
            assert reader.take(symbols.size, table).tolist() == symbols.tolist()
    assert all(reader.is_finished() for reader in readers)


@pytest.mark.parametrize("k", [2, 17, 65])
def test_engines_agree_word_for_word_on_a_table_for_each_symbol(k):
    constriction_engine = pytest.importorskip("inr.coders.range_constriction")
    rng = np.random.default_rng(k)
    weights = rng.random((500, k)) ** rng.choice([0.1, 1, 30], (500, 1))
    rows = np.floor(weights / weights.sum(axis=1, keepdims=True) * (TOTAL - k))
    rows[:, 0] += TOTAL - k - rows.sum(axis=1)  # frequencies less one
    symbols = rng.integers(0, k, 500).astype(np.int32)
    shared = (rows[0] + 1).astype(np.int64)
    writers = [PythonWriter(), constriction_engine.ConstrictionWriter()]
    for writer in writers:
        writer.put_rows(symbols[:300], rows[:300])
        writer.put(symbols, shared)
        writer.put_rows(symbols[:0], rows[:0])
        writer.put_rows(symbols[300:], rows[300:])
    words, reference = (writer.finish() for writer in writers)
    assert words.tolist() == reference[: words.size].tolist()
    assert not reference[words.size :].any()
    readers = [PythonReader(words), constriction_engine.ConstrictionReader(words)]
    for reader in readers:
        assert reader.take_rows(rows[:300]).tolist() == symbols[:300].tolist()
        assert reader.take(500, shared).tolist() == symbols.tolist()
        assert reader.take_rows(rows[:0]).tolist() == []
        assert reader.take_rows(rows[300:]).tolist() == symbols[300:].tolist()
        assert reader.is_finished()


@pytest.mark.usefixtures("engine")
def test_equal_rows_are_one_table():
    table = uniform_table(8)
    symbols = np.arange(40, dtype=np.int32) % 8
    by_rows, by_table = range_coder.new_writer(), range_coder.new_writer()
    by_rows.put_rows(symbols, np.tile(table - 1.0, (40, 1)))
    by_table.put(symbols, table)
    assert by_rows.finish().tolist() == by_table.finish().tolist()


@pytest.mark.usefixtures("engine")
def test_rows_refuse_impossible_words():
    reader = range_coder.new_reader(np.full(2, 2**32 - 1, np.uint32))
    with pytest.raises(FormatError, match="does not fit its frequency tables"):
        reader.take_rows(np.array([[2.0**23 - 1, 2.0**23 - 1]] * 3))


@SLOW_MACHINE
@given(codes_and_bits())
def test_engines_give_the_same_bytes(case):
    pytest.importorskip("constriction")
    codes, bits = case
    with pytest.MonkeyPatch.context() as patch:
        files = []
        for has_constriction in (True, False):
            patch.setattr(range_coder, "HAS_CONSTRICTION", has_constriction)
            files.append(RangeCoder().encode(codes, bits))
    assert files[0] == files[1]


def test_python_writer_on_paper():
    writer = PythonWriter()
    writer.put(np.array([1], np.int32), uniform_table(2))
    # lower = (2**40 - 1) * 2**23 = 2**63 - 2**23, rounded up to a multiple of 2**32: 2**63.
    assert writer.finish().tolist() == [1 << 31]


def test_python_writer_carries_through_full_words():
    table = np.array([1, 1, TOTAL - 2], np.int64)
    symbols = np.array([1] * 48 + [2] * 48, np.int32)
    writer = PythonWriter()
    writer.put(symbols, table)
    assert PythonReader(writer.finish()).take(96, table).tolist() == symbols.tolist()


# The size.


@pytest.mark.parametrize("n", [4096, 20_000])
@pytest.mark.parametrize("sigma", [0.7, 2, 8, 20, 60])
@pytest.mark.parametrize("family", ["normal", "laplace"])
def test_size_is_within_the_entropy_bound(family, sigma, n):
    codes = [draw_codes(family, sigma, n, bits=8)]
    assert assert_round_trip(codes, 8) <= entropy_bound_bits(codes) / 8 * 1.015 + 16


def test_size_of_many_tensors_of_different_scale():
    codes = [
        draw_codes(family, sigma, n, bits=8, seed=seed)
        for seed, (family, sigma, n) in enumerate(
            [
                ("normal", 40, 80),
                ("normal", 20, 40),
                ("laplace", 22, 4000),
                ("normal", 3, 40),
                ("normal", 9, 4000),
                ("laplace", 2, 40),
                ("normal", 0.5, 4000),
                ("normal", 60, 4000),
            ]
        )
    ]
    assert assert_round_trip(codes, 8) <= entropy_bound_bits(codes) / 8 * 1.015 + 16


@pytest.mark.parametrize("keep", [0.2, 0.02])
def test_size_of_pruned_weights(keep):
    codes = draw_codes("normal", 20, 10_000, bits=8)
    codes *= np.random.default_rng(1).random(10_000) < keep
    assert assert_round_trip([codes], 8) <= entropy_bound_bits([codes]) / 8 * 1.015 + 16


def test_zeros_cost_next_to_nothing():
    assert assert_round_trip([np.zeros(17_000, np.int32)], 8) <= 8


@pytest.mark.parametrize("sigma", [100, 1000, 5000])
@pytest.mark.parametrize("family", ["normal", "laplace"])
def test_size_of_sixteen_bit_codes_is_near_the_differential_entropy(family, sigma):
    n = 20_000
    codes = [draw_codes(family, sigma, n, bits=16)]
    per_code = math.log2(sigma) + (
        0.5 * math.log2(2 * math.pi * math.e)
        if family == "normal"
        else math.log2(math.sqrt(2) * math.e)
    )
    assert assert_round_trip(codes, 16) <= n * per_code / 8 * 1.015 + 16


def test_outliers_escape_at_a_small_price():
    codes = draw_codes("normal", 8, 20_000, bits=16)
    without = assert_round_trip([codes], 16)
    codes[::1000] = 30_000  # 20 escapes of 16 bits, and 12 bits for the escape symbol
    assert assert_round_trip([codes], 16) <= without + 20 * 28 / 8 + 4


def test_entropy_bound_of_known_counts():
    assert entropy_bound_bits([]) == 0
    assert entropy_bound_bits([np.zeros(0, np.int32), np.zeros(9, np.int32)]) == 0
    assert entropy_bound_bits([np.array([0, 0, 1, 2], np.int32)]) == pytest.approx(6)


# The bytes.

GOLDEN_CODES = [
    np.array([[0, 1, -1, 0], [3, 0, 0, -2]], np.int32),
    np.zeros(0, np.int32),
    np.array([127, -127, 64, 5], np.int32),
]
GOLDEN_8_BITS = "e0c49231058f4ca3a059b8ca"
GOLDEN_16_BITS = "e0c452d0d23fc5d745a3110912abde5af07f0068b6fe"


@pytest.mark.usefixtures("engine")
def test_exact_bytes():
    """Changed bytes here make every stored file unreadable."""
    assert RangeCoder().encode(GOLDEN_CODES, 8).hex() == GOLDEN_8_BITS
    wide = [*GOLDEN_CODES, np.array([32767, -32767, 300, -20_000], np.int32)]
    assert RangeCoder().encode(wide, 16).hex() == GOLDEN_16_BITS


@pytest.mark.usefixtures("engine")
def test_stored_bytes_stay_readable():
    decoded = RangeCoder().decode(bytes.fromhex(GOLDEN_8_BITS), [8, 0, 4], 8)
    assert [t.tolist() for t in decoded] == [t.ravel().tolist() for t in GOLDEN_CODES]


# Wrong input.


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"codes\[0\] spans -128\.\.0, but bits=8"):
        RangeCoder().encode([np.array([0, -128], np.int32)], 8)
    with pytest.raises(ValueError, match="dtype float64"):
        RangeCoder().encode([np.zeros(2)], 8)
    with pytest.raises(ValueError, match=r"bits=1 is outside 2\.\.16"):
        RangeCoder().encode([], 1)
    with pytest.raises(ValueError, match=r"bits=17 is outside 2\.\.16"):
        RangeCoder().decode(b"", [], 17)
    with pytest.raises(ValueError, match="negative"):
        RangeCoder().decode(b"", [3, -1], 8)


@pytest.mark.usefixtures("engine")
def test_missing_and_trailing_bytes():
    codes = draw_codes("normal", 20, 500, bits=8)
    data = RangeCoder().encode([codes], 8)
    with pytest.raises(FormatError, match="2 bytes of models expected, 1 left"):
        RangeCoder().decode(data[:1], [500], 8)
    with pytest.raises(FormatError, match="trailing zero bytes"):
        RangeCoder().decode(data + b"\0", [500], 8)
    with pytest.raises(FormatError, match="end with its last symbol"):
        RangeCoder().decode(data + b"x", [500], 8)
    with pytest.raises(FormatError, match="end with its last symbol"):
        RangeCoder().decode(data + b"word", [500], 8)
    with pytest.raises(FormatError):
        RangeCoder().decode(data[:-4], [500], 8)
    with pytest.raises(FormatError):
        RangeCoder().decode(data, [501], 8)
    with pytest.raises(FormatError, match="no codes"):
        RangeCoder().decode(b"x", [0, 0], 8)


@pytest.mark.parametrize("bits", [7, 12])
def test_damaged_data_gives_codes_in_range_or_format_error(bits):
    rng = np.random.default_rng(bits)
    limit = 2 ** (bits - 1) - 1
    sizes = [300, 0, 20]
    data = RangeCoder().encode([draw_codes("laplace", limit / 6, n, bits) for n in sizes], bits)
    for _ in range(500):
        damaged = bytearray(data[: rng.integers(len(data) + 1)] if rng.random() < 0.3 else data)
        for _ in range(rng.integers(1, 4)):
            if damaged:
                damaged[rng.integers(len(damaged))] = rng.integers(256)
        outcomes = []
        for has_constriction in (range_coder.HAS_CONSTRICTION, False):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(range_coder, "HAS_CONSTRICTION", has_constriction)
                try:
                    decoded = RangeCoder().decode(bytes(damaged), sizes, bits)
                except FormatError as error:
                    outcomes.append(str(error))
                    continue
            assert [tensor.size for tensor in decoded] == sizes
            assert max(abs(tensor).max() for tensor in decoded if tensor.size) <= limit
            outcomes.append([tensor.tolist() for tensor in decoded])
        assert outcomes[0] == outcomes[1]
