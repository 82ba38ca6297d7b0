"""RangeCoder: close to the entropy, the same in both engines. See also contracts/test_coder.py."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from inr.coders import range_engine
from inr.coders.costs import entropy_bound_bits
from inr.coders.protocol import MAX_CODE
from inr.coders.range_coder import RangeCoder, read_tensor, write_tensor
from inr.coders.range_python import PythonReader, PythonWriter
from inr.coders.tensor_model import TensorModel
from inr.errors import FormatError

SLOW_MACHINE = settings(deadline=None, max_examples=40)  # the encoder tries 100 tables a tensor


@pytest.fixture(params=["constriction", "python"])
def engine(request, monkeypatch):
    if request.param == "constriction":
        pytest.importorskip("constriction")
    monkeypatch.setattr(range_engine, "HAS_CONSTRICTION", request.param == "constriction")


def in_every_engine(call):
    """What a call gives in each engine, or the text of its FormatError."""
    outcomes = []
    for has_constriction in sorted({range_engine.HAS_CONSTRICTION, False}):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(range_engine, "HAS_CONSTRICTION", has_constriction)
            try:
                outcomes.append(call())
            except FormatError as error:
                outcomes.append(str(error))
    return outcomes


def size_of(codes):
    return len(RangeCoder().encode(codes))


def draw_codes(family, sigma, shape, limit=MAX_CODE, seed=0):
    rng = np.random.default_rng(seed)
    spread = sigma if family == "normal" else sigma / math.sqrt(2)
    samples = getattr(rng, family)(0, spread, shape)
    return np.clip(np.rint(samples), -limit, limit).astype(np.int32)


def tensors(limit):
    shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9)
    return hnp.arrays(np.int32, shapes, elements=st.integers(-limit, limit))


ANY_CODES = st.sampled_from([1, 127, 300, MAX_CODE]).flatmap(
    lambda limit: st.lists(tensors(limit), max_size=2)
)


@SLOW_MACHINE
@given(ANY_CODES, st.data())
def test_round_trip_under_any_model(codes, data):
    """A chosen model never shows the worst tables; a reader must follow every one."""
    fields = st.tuples(st.integers(0, 7), st.integers(0, 127), st.integers(0, 63))
    for tensor in codes:
        model = TensorModel(*data.draw(fields))
        writer = PythonWriter()
        write_tensor(writer, tensor.ravel(), model)
        if tensor.size:
            reader = PythonReader(writer.finish())
            assert read_tensor(reader, tensor.size, model).tolist() == tensor.ravel().tolist()


@SLOW_MACHINE
@given(ANY_CODES)
def test_engines_give_the_same_bytes(codes):
    files = in_every_engine(lambda: RangeCoder().encode(codes))
    assert len(set(files)) == 1


# The size.


@pytest.mark.parametrize("n", [4096, 20_000])
@pytest.mark.parametrize("sigma", [0.7, 2, 8, 20, 60])
@pytest.mark.parametrize("family", ["normal", "laplace"])
def test_size_is_within_the_entropy_bound(family, sigma, n):
    codes = [draw_codes(family, sigma, n)]
    assert size_of(codes) <= entropy_bound_bits(codes) / 8 * 1.015 + 16


def test_size_of_many_tensors_of_different_scale():
    codes = [
        draw_codes(family, sigma, n, seed=seed)
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
    assert size_of(codes) <= entropy_bound_bits(codes) / 8 * 1.015 + 16


@pytest.mark.parametrize("keep", [0.2, 0.02])
def test_size_of_pruned_weights(keep):
    codes = draw_codes("normal", 20, 10_000)
    codes *= np.random.default_rng(1).random(10_000) < keep
    assert size_of([codes]) <= entropy_bound_bits([codes]) / 8 * 1.015 + 16


@pytest.mark.parametrize("sigma", [100, 1000, 5000])
@pytest.mark.parametrize("family", ["normal", "laplace"])
def test_size_of_sixteen_bit_codes_is_near_the_differential_entropy(family, sigma):
    n = 20_000
    codes = [draw_codes(family, sigma, n)]
    per_code = math.log2(sigma) + (
        0.5 * math.log2(2 * math.pi * math.e)
        if family == "normal"
        else math.log2(math.sqrt(2) * math.e)
    )
    assert size_of(codes) <= n * per_code / 8 * 1.015 + 16


def test_outliers_escape_at_a_small_price():
    codes = draw_codes("normal", 8, 20_000)
    without = size_of([codes])
    codes[::1000] = 30_000  # 20 escapes of 16 bits, and 12 bits for the escape symbol
    assert size_of([codes]) <= without + 20 * 28 / 8 + 4


# The bytes.

GOLDEN_CODES = [
    np.array([[0, 1, -1, 0], [3, 0, 0, -2]], np.int32),
    np.zeros(0, np.int32),
    np.array([127, -127, 64, 5], np.int32),
    np.array([32767, -32767, 300, -20_000], np.int32),
]
GOLDEN = "e0c452d0d23fc5d745a3110912abde5af07f0068b6fe"


@pytest.mark.usefixtures("engine")
def test_stored_bytes_stay_readable():
    """Changed bytes here make every stored file unreadable."""
    assert RangeCoder().encode(GOLDEN_CODES).hex() == GOLDEN
    decoded = RangeCoder().decode(bytes.fromhex(GOLDEN), [8, 0, 4, 4])
    assert [t.tolist() for t in decoded] == [t.ravel().tolist() for t in GOLDEN_CODES]


# Wrong input.


@pytest.mark.usefixtures("engine")
def test_missing_and_trailing_bytes():
    data = RangeCoder().encode([draw_codes("normal", 20, 500)])
    with pytest.raises(FormatError, match="2 bytes of models expected, 1 left"):
        RangeCoder().decode(data[:1], [500])
    with pytest.raises(FormatError, match="trailing zero bytes"):
        RangeCoder().decode(data + b"\0", [500])
    for damaged, size in [(data + b"x", 500), (data + b"word", 500), (data, 501)]:
        with pytest.raises(FormatError, match="end with its last symbol"):
            RangeCoder().decode(damaged, [size])
    with pytest.raises(FormatError):
        RangeCoder().decode(data[:-4], [500])
    with pytest.raises(FormatError, match="no codes"):
        RangeCoder().decode(b"x", [0, 0])


def test_an_escape_beyond_the_largest_code():
    writer, model = range_engine.new_writer(), TensorModel(0, 0, 32)
    write_tensor(writer, np.array([-32768], np.int32), model)
    data = model.to_u16().to_bytes(2, "little") + range_engine.words_to_bytes(writer.finish())
    with pytest.raises(FormatError, match=r"a code lies outside -32767\.\.32767"):
        RangeCoder().decode(data, [1])


@pytest.mark.parametrize("limit", [63, 2047])
def test_engines_read_damaged_data_alike(limit):
    rng, sizes = np.random.default_rng(limit), [300, 0, 20]
    data = RangeCoder().encode([draw_codes("laplace", limit / 6, n, limit) for n in sizes])
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        outcomes = in_every_engine(
            lambda damaged=bytes(damaged): [
                tensor.tolist() for tensor in RangeCoder().decode(damaged, sizes)
            ]
        )
        assert outcomes[0] == outcomes[-1]
