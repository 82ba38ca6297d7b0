"""latent_coder.py: on paper, by a second implementation, exact, of the size foretold."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from inr.cae import latent_coder
from inr.cae.density_tables import LIMIT, DensityTables, tables_of
from inr.cae.latent_coder import (
    MEAN_LIMIT,
    encode_factorized,
    encode_laplace,
    factorized_bits,
    laplace_bits,
    read_factorized,
    read_laplace,
)
from inr.coders import range_engine
from inr.coders.laplace_tables import NARROW_HALF, WIDE_HALF, frequencies
from inr.coders.range_engine import new_reader, new_writer, words_from_bytes, words_to_bytes
from inr.coders.range_python import PythonReader, PythonWriter
from inr.coders.tensor_model import TOTAL, uniform_table
from inr.errors import FormatError

SEVEN_BITS = uniform_table(128)
QUICK = settings(deadline=None, max_examples=50)  # the first example loads and builds tables


@pytest.fixture(params=["constriction", "python"])
def engine(request, monkeypatch):
    if request.param == "constriction":
        pytest.importorskip("constriction")
    monkeypatch.setattr(range_engine, "HAS_CONSTRICTION", request.param == "constriction")


def logistic_tables(stretches):
    return tables_of(lambda x: 0.5 + 0.5 * np.tanh(x / 2), np.asarray(stretches, np.float64))


def factorized_bytes(y, tables, knot=0):
    writer = new_writer()
    encode_factorized(writer, y, tables, knot)
    return words_to_bytes(writer.finish())


def laplace_bytes(y, mean, scale):
    writer = new_writer()
    encode_laplace(writer, y, mean, scale)
    return words_to_bytes(writer.finish())


def decoded(data, read):
    """What read makes of a reader, which must then be finished."""
    reader = new_reader(words_from_bytes(data))
    y = read(reader)
    if not reader.is_finished():
        raise FormatError("the data does not end with its last symbol")
    return y


def random_densities(shape, seed=0, scales=(0, 161)):
    rng = np.random.default_rng(seed)
    mean = np.rint(rng.normal(0, 60, shape)).astype(np.int64)
    scale = rng.integers(*scales, shape)
    y = mean / 32 + rng.laplace(size=shape) * np.exp((scale - 80) / 16)
    return np.clip(np.rint(y), -LIMIT, LIMIT).astype(np.int32), mean, scale


def logistic_latents(stretch, shape, seed=0):
    rng = np.random.default_rng(seed)
    return np.rint(rng.logistic(0, stretch, (*shape, len(stretch)))).astype(np.int32)


# On paper.

PAPER = DensityTables(
    np.array([[0, -1]], np.int16),
    np.array([[1, 2]], np.uint16),
    np.array([TOTAL // 2, TOTAL // 2, TOTAL // 4, TOTAL // 2, TOTAL // 4], np.uint32),
)


@pytest.mark.usefixtures("engine")
def test_two_channels_on_paper():
    """0 is the first half of all; -1, 0 are the first quarter, the half behind it."""
    y = np.array([[[0, -1], [0, 0]]], np.int32)  # 1 x 2 latents of 2 channels
    # The interval is 2**64 long, all but a little that rounding up to a word makes good. Channel 0
    # is 0, 0: 2**62 are left; channel 1 is -1, which leaves 2**60, then 0, which begins behind a
    # quarter of these: at 2**58, a word of 2**26.
    data = factorized_bytes(y, PAPER)
    assert data == (2**26).to_bytes(4, "little")
    assert factorized_bits(y, PAPER, 0) == 2 + 2 + 1
    back = decoded(data, lambda reader: read_factorized(reader, 1, 2, 2, PAPER, 0))
    assert back.tolist() == y.tolist()


@pytest.mark.usefixtures("engine")
def test_an_escape_on_paper():
    """Of each channel the symbols come first, then the high halves, then the low ones."""
    y = np.array([[[4095, 7], [0, 0], [-4095, -2]]], np.int32)
    writer = PythonWriter()
    for symbols, row in (([1, 0, 1], PAPER.row(0, 0)), ([2, 1, 2], PAPER.row(0, 1))):
        writer.put(np.array(symbols, np.int32), row)
        # 4095 + 8192 = 95 * 128 + 127 and -4095 + 8192 = 32 * 128 + 1;
        # 7 + 8192 = 64 * 128 + 7 and -2 + 8192 = 63 * 128 + 126.
        high, low = ([95, 32], [127, 1]) if len(row) == 2 else ([64, 63], [7, 126])
        writer.put(np.array(high, np.int32), SEVEN_BITS)
        writer.put(np.array(low, np.int32), SEVEN_BITS)
    assert factorized_bytes(y, PAPER) == words_to_bytes(writer.finish())
    assert factorized_bits(y, PAPER, 0) == 3 * 1 + (2 + 1 + 2) + 4 * 14


@pytest.mark.usefixtures("engine")
def test_laplace_on_paper():
    """b = 1/148 around -1/2: half of the mass is on -1, but for 15 * 256."""
    mean, scale = np.full((1, 1, 1), -16), np.zeros((1, 1, 1), np.int64)
    nothing = laplace_bytes(np.zeros((1, 1, 1), np.int32), mean, scale)
    # -1/2 is centre 0 with frac -16. The interval of 0 begins at 0, that of -1 at 2**23 - 15 * 256
    # of 2**24, in steps of 2**40 - 1; rounded up to a word.
    assert nothing == b""
    minus = np.full((1, 1, 1), -1, np.int32)
    assert laplace_bytes(minus, mean, scale) == (2**31 - 15 * 2**16).to_bytes(4, "little")
    assert laplace_bits(minus, mean, scale) == 1


# A second implementation: one latent at a time, straight from the head of the file.


def write_laplace_slowly(writer, latents):
    """Writes one piece: (value, mean, scale) of each latent; says what kinds there were."""
    kinds = set()
    for is_wide, half in ((False, NARROW_HALF), (True, WIDE_HALF)):
        raws, rests = [], []
        for y, mean, scale in latents:
            if (scale > 80) != is_wide:
                continue
            n_raw = max(0, int(np.ceil((scale - 80) / 16 / np.log(2))) - 2)
            centre = (mean + 16) // 32
            h = -(-abs(y - centre) // 2**n_raw)
            if h > half:
                h = half + 1
                rests.append(abs(y - centre) - half * 2**n_raw - 1)
                kinds.add((is_wide, "escape"))
            elif h and n_raw:
                raws.append(((abs(y - centre) - 1) % 2**n_raw, n_raw))
                kinds.add((is_wide, "raw"))
            row = frequencies(np.array([scale]), half)[0, mean - 32 * centre + 16]
            writer.put(np.array([2 * h - (y < centre)], np.int32), row)
        for raw, n_raw in raws:
            row = [(2**24 - 64 + 2**n_raw) // 2**n_raw] * 2**n_raw + [1] * (64 - 2**n_raw)
            writer.put(np.array([raw], np.int32), np.array(row, np.int64))
        for shift in (7, 0):
            writer.put(np.array([rest >> shift & 127 for rest in rests], np.int32), SEVEN_BITS)
    return kinds


def test_a_second_implementation_writes_the_same_bytes(monkeypatch):
    monkeypatch.setattr(latent_coder, "_PIECE", 50)
    y, mean, scale = random_densities((4, 5, 6))
    y[0, :, 0] = 4095  # a few escapes
    latents = list(zip(*(each.ravel().tolist() for each in (y, mean, scale)), strict=True))
    writer, kinds = PythonWriter(), set()
    for start in range(0, len(latents), 50):
        kinds |= write_laplace_slowly(writer, latents[start : start + 50])
    assert kinds == {(False, "escape"), (True, "escape"), (True, "raw")}  # all that there are
    data = words_to_bytes(writer.finish())
    assert laplace_bytes(y, mean, scale) == data
    back = decoded(data, lambda reader: read_laplace(reader, mean, scale))
    assert back.tolist() == y.tolist()


# Round trips.

SIDES = st.tuples(*[st.integers(1, 5)] * 3)
VALUES = st.one_of(st.integers(-3, 3), st.integers(-LIMIT, LIMIT))


@QUICK
@given(st.data(), SIDES)
def test_factorized_round_trip(data, shape):
    y = data.draw(hnp.arrays(np.int32, shape, elements=VALUES))
    knot = data.draw(st.integers(0, 1))
    stretches = data.draw(hnp.arrays(float, (2, shape[2]), elements=st.floats(0.1, 200)))
    tables = logistic_tables(stretches)
    coded = factorized_bytes(y, tables, knot)
    back = decoded(coded, lambda reader: read_factorized(reader, *shape, tables, knot))
    assert back.dtype == np.int32
    assert back.tolist() == y.tolist()
    # The last words are whole. No lower bound: trailing zero bytes are left out, however many.
    assert 8 * len(coded) <= factorized_bits(y, tables, knot) + 96


@QUICK
@given(st.data(), SIDES)
def test_laplace_round_trip(data, shape):
    y = data.draw(hnp.arrays(np.int32, shape, elements=VALUES))
    means = st.one_of(st.integers(-40, 40), st.integers(-MEAN_LIMIT, MEAN_LIMIT))
    mean = data.draw(hnp.arrays(np.int64, shape, elements=means))
    scale = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 160)))
    coded = laplace_bytes(y, mean, scale)
    back = decoded(coded, lambda reader: read_laplace(reader, mean, scale))
    assert back.dtype == np.int32
    assert back.tolist() == y.tolist()
    assert 8 * len(coded) <= laplace_bits(y, mean, scale) + 96


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_farthest_residuals(sign):
    """LIMIT under a mean of -LIMIT, by the narrowest and the widest of both alphabets."""
    scale = np.array([[[0, 80, 81, 160]]])
    mean = np.full((1, 1, 4), -sign * MEAN_LIMIT)
    y = np.full((1, 1, 4), sign * LIMIT, np.int32)
    back = decoded(laplace_bytes(y, mean, scale), lambda reader: read_laplace(reader, mean, scale))
    assert back.tolist() == y.tolist()


@pytest.mark.parametrize("size", [2**16 - 1, 2**16, 2**16 + 1])
def test_laplace_at_the_edge_of_a_piece(size):
    y, mean, scale = random_densities((1, size, 1), scales=(20, 90))
    data = laplace_bytes(y, mean, scale)
    assert np.array_equal(decoded(data, lambda reader: read_laplace(reader, mean, scale)), y)


def test_several_calls_write_to_one_stream():
    tables = logistic_tables([[1.0, 5.0, 30.0]])
    z = logistic_latents([1.0, 5.0, 30.0], (2, 3))
    y, mean, scale = random_densities((4, 6, 2))
    writer = new_writer()
    encode_factorized(writer, z, tables, 0)
    encode_laplace(writer, y, mean, scale)
    reader = new_reader(words_from_bytes(words_to_bytes(writer.finish())))
    assert read_factorized(reader, 2, 3, 3, tables, 0).tolist() == z.tolist()
    assert read_laplace(reader, mean, scale).tolist() == y.tolist()
    assert reader.is_finished()


def test_no_latents_are_no_bytes():
    tables = logistic_tables([[1.0, 5.0]])
    assert factorized_bytes(np.zeros((0, 3, 2), np.int32), tables) == b""
    assert factorized_bits(np.zeros((0, 3, 2), np.int32), tables, 0) == 0
    none = np.zeros((0, 3, 2), np.int64)
    assert laplace_bytes(none.astype(np.int32), none, none) == b""
    assert laplace_bits(none.astype(np.int32), none, none) == 0
    assert decoded(b"", lambda reader: read_laplace(reader, none, none)).shape == (0, 3, 2)
    empty = decoded(b"", lambda reader: read_factorized(reader, 0, 3, 2, tables, 0))
    assert empty.shape == (0, 3, 2)


def test_memory_order_does_not_matter():
    y, mean, scale = random_densities((4, 5, 6))
    turned = [np.asfortranarray(each) for each in (y, mean, scale)]
    data = laplace_bytes(y, mean, scale)
    assert laplace_bytes(*turned) == data
    back = decoded(data, lambda reader: read_laplace(reader, *turned[1:]))
    assert back.tolist() == y.tolist()
    tables = logistic_tables(np.full((1, 6), 3.0))
    assert factorized_bytes(turned[0], tables) == factorized_bytes(y, tables)


# Both engines.


def test_engines_write_the_same_words_and_read_them():
    fast = pytest.importorskip("inr.coders.range_constriction")
    tables = logistic_tables([[0.3, 2.0, 40.0]])
    z = logistic_latents([0.6, 4.0, 80.0], (5, 6))  # twice as wide as told: escapes
    y, mean, scale = random_densities((5, 6, 4))
    written = []
    for writer in (fast.ConstrictionWriter(), PythonWriter()):
        encode_factorized(writer, z, tables, 0)
        encode_laplace(writer, y, mean, scale)
        written.append(words_to_bytes(writer.finish()))
    assert written[0] == written[1]
    words = words_from_bytes(written[0])
    for reader in (fast.ConstrictionReader(words), PythonReader(words)):
        assert read_factorized(reader, 5, 6, 3, tables, 0).tolist() == z.tolist()
        assert read_laplace(reader, mean, scale).tolist() == y.tolist()
        assert reader.is_finished()


# The size.


@pytest.mark.parametrize("stretch", [0.2, 1.0, 10.0, 30.0])
def test_factorized_size_is_that_of_the_tables_and_near_the_density(stretch):
    stretches = np.array([stretch, 2 * stretch])
    y = logistic_latents(stretches, (60, 80))
    tables = logistic_tables(stretches[None])
    n_bytes = len(factorized_bytes(y, tables))
    bits = factorized_bits(y, tables, 0)
    assert n_bytes <= bits / 8 * 1.005 + 8
    mass = np.sinh(0.5 / stretches) / (np.cosh(y / stretches) + np.cosh(0.5 / stretches))
    # LEAST_FREQUENCY for all is 0.01 bit of 9 in a table of 673 values; escapes cost more than
    # their density says.
    assert bits == pytest.approx(-np.log2(mass).sum(), rel=0.005)


def test_laplace_size_is_that_of_the_tables_and_near_the_density():
    y, mean, scale = random_densities((30, 40, 8), scales=(30, 120))
    n_bytes = len(laplace_bytes(y, mean, scale))
    bits = laplace_bits(y, mean, scale)
    assert n_bytes <= bits / 8 * 1.005 + 8
    b, d = np.exp((scale - 80) / 16), np.abs(y - mean / 32)
    outside = np.exp(-d / b) * np.sinh(0.5 / b)
    inside = 1 - np.exp(-0.5 / b) * np.cosh(d / b)
    mass = np.where(d > 0.5, outside, inside)
    assert bits == pytest.approx(-np.log2(mass).sum(), rel=0.002)  # wide bins are steps


# Wrong input.


@pytest.mark.usefixtures("engine")
def test_an_escape_beyond_the_limit_is_refused():
    for value, is_good in ((4095, True), (4096, False), (-4095, True), (-4096, False)):
        writer = PythonWriter()
        writer.put(np.array([1], np.int32), PAPER.row(0, 0))
        writer.put(np.array([value + 2**13 >> 7], np.int32), SEVEN_BITS)
        writer.put(np.array([value + 2**13 & 127], np.int32), SEVEN_BITS)
        writer.put(np.array([0], np.int32), PAPER.row(0, 1))
        data = words_to_bytes(writer.finish())
        if is_good:
            back = decoded(data, lambda reader: read_factorized(reader, 1, 1, 2, PAPER, 0))
            assert back.tolist() == [[[value, -1]]]
        else:
            with pytest.raises(FormatError, match=r"lies outside \+-4095"):
                decoded(data, lambda reader: read_factorized(reader, 1, 1, 2, PAPER, 0))


@pytest.mark.usefixtures("engine")
def test_a_residual_beyond_the_limit_is_refused():
    """1 beyond a mean of LIMIT; symbol 2 is one to the right."""
    writer = PythonWriter()
    writer.put(np.array([2], np.int32), frequencies(np.array([80]), NARROW_HALF)[0, 16])
    data = words_to_bytes(writer.finish())
    mean, scale = np.full((1, 1, 1), MEAN_LIMIT), np.full((1, 1, 1), 80)
    back = decoded(data, lambda reader: read_laplace(reader, mean - 32, scale))
    assert back.tolist() == [[[LIMIT]]]
    with pytest.raises(FormatError, match=r"lies outside \+-4095"):
        decoded(data, lambda reader: read_laplace(reader, mean, scale))


def outcomes(data, read):
    """What both engines make of bytes: latents in range, or a FormatError."""
    found = []
    for has_constriction in sorted({range_engine.HAS_CONSTRICTION, False}):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(range_engine, "HAS_CONSTRICTION", has_constriction)
            try:
                y = decoded(data, read)
            except FormatError as error:
                found.append(str(error))
                continue
        assert np.abs(y).max() <= LIMIT
        found.append(y.tolist())
    return found


BYTES = st.binary(max_size=60)


@QUICK
@given(BYTES, st.sampled_from([0.1, 1.0, 100.0]))
def test_any_bytes_give_factorized_latents_or_format_error(data, stretch):
    tables = logistic_tables([[stretch, 5.0]])
    found = outcomes(data, lambda reader: read_factorized(reader, 4, 5, 2, tables, 0))
    assert found[0] == found[-1]


@QUICK
@given(BYTES, st.integers(0, 3))
def test_any_bytes_give_laplace_latents_or_format_error(data, seed):
    _, mean, scale = random_densities((4, 5, 2), seed)
    found = outcomes(data, lambda reader: read_laplace(reader, mean, scale))
    assert found[0] == found[-1]


def test_truncated_and_damaged_data():
    rng = np.random.default_rng(0)
    tables = logistic_tables([[0.5, 4.0, 60.0]])
    z = logistic_latents([1.0, 8.0, 120.0], (6, 7))
    y, mean, scale = random_densities((6, 7, 3))
    cases = [
        (z, factorized_bytes(z, tables), lambda r: read_factorized(r, 6, 7, 3, tables, 0)),
        (y, laplace_bytes(y, mean, scale), lambda r: read_laplace(r, mean, scale)),
    ]
    for latents, data, read in cases:
        assert outcomes(data, read)[0] == latents.tolist()
        for cut in range(0, len(data), 3):
            found = outcomes(data[:cut], read)
            assert found[0] == found[-1] != latents.tolist()
        for _ in range(30):
            damaged = bytearray(data)
            damaged[rng.integers(len(data))] ^= 1 << rng.integers(8)
            found = outcomes(bytes(damaged), read)
            assert found[0] == found[-1] != latents.tolist()


def test_wrong_latents():
    tables = logistic_tables([[1.0, 1.0]])
    good = np.zeros((1, 1, 2), np.int32)
    mean = scale = np.zeros((1, 1, 2), np.int64)
    for wrong, text in (
        (good.astype(np.int64), r"latents are int64\[1, 1, 2\]; expected is int32\[h, w, n\]"),
        (good[0], r"latents are int32\[1, 2\]; expected is int32\[h, w, n\]"),
        (good + np.int32(4096), r"latents span 4096\.\.4096, outside -4095\.\.4095; clip them"),
        (good - np.int32(4096), r"latents span -4096\.\.-4096, outside -4095\.\.4095"),
    ):
        with pytest.raises(ValueError, match=text):
            encode_factorized(PythonWriter(), wrong, tables, 0)
        with pytest.raises(ValueError, match=text):
            encode_laplace(PythonWriter(), wrong, mean, scale)
        with pytest.raises(ValueError, match=text):
            laplace_bits(wrong, mean, scale)


def test_wrong_tables():
    tables = logistic_tables([[1.0, 1.0], [2.0, 2.0]])
    for n, knot in ((3, 0), (2, 2), (2, -1)):
        text = f"n={n} channels under knot={knot}, but the tables are of 2 .* the knots 0..1"
        with pytest.raises(ValueError, match=text):
            factorized_bits(np.zeros((1, 1, n), np.int32), tables, knot)
        with pytest.raises(ValueError, match=text):
            read_factorized(PythonReader(np.zeros(0, np.uint32)), 1, 1, n, tables, knot)


def test_wrong_densities():
    y = np.zeros((1, 1, 2), np.int32)
    mean = scale = np.zeros((1, 1, 2), np.int64)
    reader = PythonReader(np.zeros(0, np.uint32))
    for wrong_mean, wrong_scale, text in (
        (mean.astype(float), scale, r"mean is float64\[1, 1, 2\] and scale int64\[1, 1, 2\]; exp"),
        (mean, scale[..., :1], r"and scale int64\[1, 1, 1\]; expected are two int64\[h, w, n\]"),
        (mean + MEAN_LIMIT + 1, scale, r"mean span 131041\.\.131041, outside -131040\.\.131040"),
        (mean, scale + 161, r"scale span 161\.\.161, outside 0\.\.160; clip them first"),
        (mean, scale - 1, r"scale span -1\.\.-1, outside 0\.\.160"),
    ):
        with pytest.raises(ValueError, match=text):
            encode_laplace(PythonWriter(), y, wrong_mean, wrong_scale)
        with pytest.raises(ValueError, match=text):
            read_laplace(reader, wrong_mean, wrong_scale)
    with pytest.raises(ValueError, match=r"shape \(1, 1, 2\) under densities of shape \(2, 1, 1\)"):
        encode_laplace(PythonWriter(), y, mean.reshape(2, 1, 1), scale.reshape(2, 1, 1))


# The bytes.

LAPLACE_BYTES = "e8fff1ff8842c6864c99c119e07ab4fe"


@pytest.mark.usefixtures("engine")
def test_exact_bytes():
    """Changed bytes here make every stored file unreadable."""
    index = np.arange(24).reshape(2, 4, 3)
    y = np.where(index % 5 == 0, index * index % 7, 0).astype(np.int32)
    y[0, 1, 1] = -900
    mean, scale = index * 3 - 20, index * 6
    assert laplace_bytes(y, mean, scale).hex() == LAPLACE_BYTES
    stored = bytes.fromhex(LAPLACE_BYTES)
    assert decoded(stored, lambda r: read_laplace(r, mean, scale)).tolist() == y.tolist()
