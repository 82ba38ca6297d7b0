"""What codebooks share: nearest levels, small tensors, the bytes of the levels, wrong bytes."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from inr.coders.range_coder import RangeCoder
from inr.coders.zstd import Zstd
from inr.errors import FormatError
from inr.format.wire import Reader, varint
from inr.mlp.quantize import codebook
from inr.mlp.quantize.distribution import Distribution
from inr.mlp.quantize.kmeans import KMeans


def f32(*values):
    return np.array(values, np.float32)


def filled(*values, length=15):
    return f32(*values, *[np.inf] * (length - len(values)))


def unpacked(text, n_tensors=1):
    reader = Reader(bytes.fromhex(text), "the test")
    levels = codebook.unpack_levels(reader, n_tensors)
    reader.finish()
    return levels


def test_hand_worked_codes():
    levels = filled(-2, 0, 1, 4)
    weights = f32(-9, -2, -1.25, -1, 0.5, 0.75, 2.5, 2.75, 9)
    codes = codebook.quantize(weights, levels)
    # -1, 0.5 and 2.5 are half-way: all three go to the level nearer to 0.
    assert codes.tolist() == [-1, -1, -1, 0, 0, 1, 1, 2, 2]
    assert codes.dtype == np.int32
    assert codebook.dequantize(codes, levels).tolist() == [-2, -2, -2, 0, 0, 1, 1, 4, 4]
    rounded = codebook.round_to_levels(jnp.asarray(weights), jnp.asarray(levels))
    assert rounded.tolist() == [-2, -2, -2, 0, 0, 1, 1, 4, 4]


LEVELS = st.sets(st.integers(-200, 200), max_size=14).map(lambda s: sorted(s | {0}))


@given(LEVELS, st.lists(st.integers(-500, 500), min_size=1, max_size=30))
def test_nearest_levels_by_comparing_with_all(levels, weights):
    """The second implementation, in integers; half-way of two levels are whole numbers too."""
    doubled = [2 * level for level in levels]
    nearest = [min(doubled, key=lambda level: (abs(w - level), abs(level))) for w in weights]
    array = filled(*doubled)
    codes = codebook.quantize(f32(*weights), array)
    assert codes.tolist() == [doubled.index(level) - doubled.index(0) for level in nearest]
    assert codebook.dequantize(codes, array).tolist() == nearest


@settings(deadline=None)  # the first example compiles
@given(st.data())
def test_jax_finds_the_same_levels_next_to_all_bounds(data):
    """Halves of any size, whose middles float32 may have to round."""
    halves = st.floats(-65504, 65504, width=16)
    levels = filled(*sorted({0.0, *data.draw(st.lists(halves, max_size=14))}))
    real = levels[np.isfinite(levels)]
    middles = (real[1:] + real[:-1]) / 2
    weights = np.zeros(60, np.float32)  # of one length, so that jax compiles once
    near = [np.nextafter(middles, f32(end)) for end in (-1e9, 1e9)]
    weights[: 4 * real.size - 3] = np.concatenate([real, middles, *near])
    expected = codebook.dequantize(codebook.quantize(weights, levels), levels)
    rounded = np.asarray(codebook.round_to_levels(jnp.asarray(weights), jnp.asarray(levels)))
    assert np.array_equal(rounded.view(np.int32), expected.view(np.int32))
    assert np.array_equal(expected[: real.size], real)


def test_the_filling_is_never_chosen():
    weights = f32(3e38, -3e38, 1e30)
    for levels in (filled(0), filled(-1, 0, 65504)):
        codes = codebook.quantize(weights, levels)
        assert np.isfinite(codebook.dequantize(codes, levels)).all()
        rounded = jax.jit(codebook.round_to_levels)(jnp.asarray(weights), jnp.asarray(levels))
        assert np.isfinite(rounded).all()


@pytest.mark.parametrize("cls", [KMeans, Distribution])
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_tensors_below_two_weights_a_level_are_float16(cls, bits):
    weights = np.random.default_rng(0).normal(0, 0.1, 2 * 2**bits).astype(np.float32)
    large, small = cls(bits=bits).fit_qparams(weights), cls(bits=bits).fit_qparams(weights[:-1])
    assert large.shape == (2**bits - 1,)
    assert small.shape == (0,)
    assert cls(bits=bits).pack([small]) == b"\0"
    codes = cls(bits=bits).quantize(weights[:-1], small)
    assert np.array_equal(
        cls(bits=bits).dequantize(codes, small), weights[:-1].astype(np.float16).astype(np.float32)
    )
    assert cls(bits=bits).fit_qparams(weights[:-1], log2_factor=3.0).shape == (0,)
    assert cls(bits=bits).scale_qparams(small, 3.0, weights[:-1]).shape == (0,)


@pytest.mark.parametrize("cls", [KMeans, Distribution])
def test_levels_are_halves_with_one_zero_and_as_many_as_asked(cls):
    # Widely spread, so that no two of the levels fall on the same half.
    weights = np.random.default_rng(0).laplace(0, 0.1, (80, 50)).astype(np.float32)
    for log2_factor, n_levels in [(0, 255), (-2, 255), (1, 128), (2, 64), (4.5, 11), (20, 3)]:
        levels = cls().fit_qparams(weights, log2_factor)
        real = levels[np.isfinite(levels)]
        assert levels.shape == (255,)
        assert real.size == n_levels
        assert (np.diff(real) > 0).all()
        assert (real == 0).sum() == 1
        assert (real < 0).sum() == (n_levels - 1) // 2  # so 8-bit codes fit int8
        assert np.array_equal(real.astype(np.float16).astype(np.float32), real)


@pytest.mark.parametrize("cls", [KMeans, Distribution])
def test_scaled_levels_count_from_those_given(cls):
    weights = np.random.default_rng(0).normal(0, 0.1, 2000).astype(np.float32)
    once = cls().scale_qparams(cls().fit_qparams(weights), 1.0, weights)
    assert np.array_equal(once, cls().fit_qparams(weights, 1.0))
    assert np.array_equal(cls().scale_qparams(once, 1.0, weights), cls().fit_qparams(weights, 2.0))
    assert np.array_equal(
        cls().scale_qparams(once, -1.0, weights), cls().fit_qparams(weights)
    )  # 256 is cut
    assert np.array_equal(cls().scale_qparams(once, -9.0, weights), cls().fit_qparams(weights))


@pytest.mark.parametrize("cls", [KMeans, Distribution])
def test_few_distinct_weights_are_kept_as_they_are(cls):
    values = f32(-0.75, 0, 0.25, 3)
    weights = np.repeat(values, 200)
    levels = cls().fit_qparams(weights)
    assert levels[np.isfinite(levels)].tolist() == values.tolist()
    assert np.array_equal(cls().dequantize(cls().quantize(weights, levels), levels), weights)
    tiny = np.full(600, 1e-9, np.float32)  # no half but 0 is near
    assert np.isfinite(cls().fit_qparams(tiny)).sum() == 1
    huge = np.linspace(-1e9, 1e9, 600, dtype=np.float32)
    assert cls().fit_qparams(huge)[0] == -65504


@pytest.mark.parametrize("cls", [KMeans, Distribution])
@pytest.mark.parametrize("bits", [1, 13, 0, -8, 7.5])
def test_bits_outside_the_range(cls, bits):
    with pytest.raises(ValueError, match=rf"quantize.bits={bits} is not a whole number in 2\.\.12"):
        cls(bits=bits)


@pytest.mark.parametrize("cls", [KMeans, Distribution])
@pytest.mark.parametrize("bits", range(2, 13))
def test_the_bytes_of_levels_are_known_beforehand(cls, bits):
    weights = np.random.default_rng(0).normal(0, 0.05, 3 * 2**bits).astype(np.float32)
    quantizer = cls(bits=bits)
    n_bytes = len(quantizer.pack([quantizer.fit_qparams(weights)]))
    assert quantizer.qparam_bytes(weights.size) == pytest.approx(n_bytes, rel=0.15)


@pytest.mark.parametrize("coder", [RangeCoder(), Zstd()])
def test_the_bytes_of_small_tensors_are_known_beforehand(coder):
    weights = np.random.default_rng(0).normal(0, 0.05, 500).astype(np.float32)
    quantizer = KMeans()
    levels = quantizer.fit_qparams(weights)
    n_bytes = len(quantizer.pack([levels])) + len(
        coder.encode([quantizer.quantize(weights, levels)])
    )
    assert 500 + quantizer.qparam_bytes(500) == pytest.approx(n_bytes, rel=0.05)


def test_exact_bytes():
    # -2 is the half 0x4000 and 4 is 0x4400, 16384 and 17408 above 0: 16383 and 17407 as varints.
    assert codebook.pack_levels([filled(-2, 0, 4)]).hex(" ") == "03 01 ff 7f ff 87 01"
    # 2**-24, 2**-23 and 3 * 2**-24 are the smallest halves.
    smallest = filled(-(2**-23), -(2**-24), 0, 3 * 2**-24)
    assert codebook.pack_levels([smallest]).hex(" ") == "04 02 00 00 02"
    assert codebook.pack_levels([filled(0)]).hex(" ") == "01 00"
    assert codebook.pack_levels([f32(), filled(0), f32()]).hex(" ") == "00 01 00 00"


@given(st.lists(LEVELS | st.just([]), max_size=4))
def test_levels_come_back_without_their_filling(levels):
    arrays = [f32(*values) / 64 for values in levels]
    data = codebook.pack_levels([filled(*a) if a.size else a for a in arrays])
    reader = Reader(data, "the test")
    read = codebook.unpack_levels(reader, len(levels))
    assert reader.n_left == 0
    assert all(a.dtype == np.float32 for a in read)
    assert [a.tolist() for a in read] == [a.tolist() for a in arrays]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("80 20 00", "a codebook of 4096 levels, more than the 4095 allowed"),
        ("ff ff ff ff 0f", "a codebook of 4294967295 levels, more than"),
        ("02 02 00", "2 of 2 levels below 0 leave no place for 0"),
        ("01 01", "1 of 1 levels below 0"),
        ("05 00 01 01 01", "a codebook of 5 levels in 3 bytes"),
        ("02 00 ff f7 01", "a level is above 65504"),
        ("02 01 ff f7 01", "a level is above 65504"),
        ("03 00 00 ff ff ff ff 0f", "a level is above 65504"),
        ("03 01 00 80", "cut short"),
        ("03", "cut short"),
        ("", "cut short"),
    ],
)
def test_wrong_bytes(text, message):
    with pytest.raises(FormatError, match=message):
        unpacked(text)


def test_the_largest_half_and_the_longest_codebook_are_read():
    assert unpacked("02 00 fe f7 01")[0].tolist() == [0, 65504]
    (longest,) = codebook.unpack_levels(Reader(varint(4095) + b"\0" * 4095, "the test"), 1)
    assert longest.tolist() == np.arange(4095, dtype=np.uint16).view(np.float16).tolist()


@given(st.binary(max_size=40))
def test_any_bytes_are_levels_or_a_format_error(data):
    try:
        levels = codebook.unpack_levels(Reader(data, "the test"), 2)
    except FormatError:
        return
    for each in levels:
        assert each.size == 0 or (each == 0).sum() == 1
        assert np.isfinite(each).all()
        assert (np.diff(each) > 0).all()


@pytest.mark.parametrize("code", [-2, 3, 2**15 - 1, -(2**31), 2**31 - 1])
def test_codes_without_a_level(code):
    for levels in (filled(-1, 0, 1, 2), f32(-1, 0, 1, 2)):
        with pytest.raises(FormatError, match=rf"code {code} is outside -1\.\.2, the levels"):
            codebook.dequantize(np.array([0, code], np.int32), levels)
