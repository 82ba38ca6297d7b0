"""Uniform: hand-worked codes, laws, the two bytes of a step."""

import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from inr.errors import FormatError
from inr.format.wire import Reader
from inr.mlp.quantize.uniform import MAX_CODE, Uniform, pack_steps, unpack_steps, wire_step


def f32(*values):
    return np.array(values, np.float32)


def test_hand_worked_codes():
    weights = f32(0, 0.24, 0.26, -0.26, 0.75, 1.25, -1.0)
    codes = Uniform().quantize(weights, 0.5)
    assert codes.dtype == np.int32
    assert codes.tolist() == [0, 0, 1, -1, 2, 2, -2]  # 1.5 and 2.5 steps both go to the even 2
    assert Uniform().dequantize(codes, 0.5).tolist() == [0, 0, 0.5, -0.5, 1, 1, -1]


def test_codes_are_clipped_at_the_largest():
    codes = Uniform().quantize(f32(1e9, -1e9, 40000, 32767), 1.0)
    assert codes.tolist() == [MAX_CODE, -MAX_CODE, MAX_CODE, 32767]
    assert MAX_CODE == 32767


@pytest.mark.parametrize("quantizer", [Uniform(), Uniform(bits=2)])
@pytest.mark.parametrize("q_step", [1e-3, 0.037, 1.0, 250.0])
def test_laws(quantizer, q_step):
    q_step = wire_step(q_step)
    weights = np.random.default_rng(0).normal(0, 20 * q_step, (40, 25)).astype(np.float32)
    codes = quantizer.quantize(weights, q_step)
    decoded = quantizer.dequantize(codes, q_step)
    assert codes.shape == decoded.shape == weights.shape
    assert decoded.dtype == np.float32
    # A code of up to 15 bits times a step of 8 is exact in float32.
    assert np.abs(decoded.astype(np.float64) - weights).max() <= q_step / 2
    assert np.array_equal(quantizer.quantize(decoded, q_step), codes)
    assert np.array_equal(quantizer.quantize(-weights, q_step), -codes)
    zeros = np.zeros(3, np.float32)
    assert quantizer.quantize(zeros, q_step).tolist() == [0, 0, 0]
    assert quantizer.dequantize(np.zeros(3, np.int32), q_step).tolist() == [0, 0, 0]


def test_a_fitted_step_costs_about_bits():
    """Entropy of the codes of a Gaussian, counted, against the rule that chose the step."""
    weights = np.random.default_rng(0).normal(0, 0.3, 200_000).astype(np.float32)
    for bits in (3, 5, 7):
        codes = Uniform(bits=bits).quantize(weights, Uniform(bits=bits).fit_qparams(weights))
        share = np.unique(codes, return_counts=True)[1] / weights.size
        # wire_step moves the step by up to 2**-8; at 3 bits the high-rate rule is 0.01 off.
        assert -(share @ np.log2(share)) == pytest.approx(bits, abs=0.015)


def test_hand_worked_fitted_step():
    # The root mean square is 1 (the floor of 1e-4 is lost in rounding), sqrt(2 pi e) is 4.13.
    assert Uniform(bits=4).fit_qparams(f32(1, -1, 1, -1)) == wire_step(4.1327 / 16)
    assert Uniform(bits=4).fit_qparams(f32(1, -1, 1, -1), log2_factor=2.0) == wire_step(4.1327 / 4)
    assert Uniform(bits=4).fit_qparams(np.zeros(5, np.float32)) == wire_step(1e-4 * 4.1327 / 16)


def test_scaled_steps_keep_all_codes_below_the_largest():
    weights = f32(0.5, -3, 2)
    for qparams in (0.25, np.float32(0.25), np.array(0.25, np.float32)):
        assert Uniform().scale_qparams(qparams, 1.0, weights) == 0.5
        assert Uniform().scale_qparams(qparams, -0.5, weights) == wire_step(0.25 * 2**-0.5)
        finest = Uniform().scale_qparams(qparams, -20.0, weights)
        assert finest.dtype == np.float32
        assert 0.98 * MAX_CODE < -Uniform().quantize(weights, finest).min() <= MAX_CODE
    finest = Uniform(bits=16).fit_qparams(f32(*[1e-3] * 99, 1))  # one weight of 10 times the rms
    assert Uniform().quantize(f32(1), finest) <= MAX_CODE


@settings(deadline=None)  # the first example compiles
@given(st.integers(-MAX_CODE, MAX_CODE - 1), st.integers(128, 255), st.integers(-12, 3))
def test_rounded_tells_ties_from_their_neighbours(code, step_bits, exponent):
    q_step = np.float32(step_bits * 2.0**exponent)
    tie = np.float32((code + 0.5) * q_step)  # at most 24 bits: exact
    weights = np.array([np.nextafter(tie, np.float32(sign * 1e9)) for sign in (-1, 1)] + [tie])
    codes = Uniform().quantize(weights, q_step)
    assert codes.tolist() == [code, code + 1, code + code % 2]
    rounded = Uniform().round(jnp.asarray(weights), jnp.asarray(q_step))
    np.testing.assert_array_equal(np.asarray(rounded), Uniform().dequantize(codes, q_step))


@pytest.mark.parametrize("bits", [1.9, 16.1, 0, -3, float("nan"), float("inf")])
def test_bits_outside_the_range(bits):
    with pytest.raises(ValueError, match=r"quantize.bits=.* is outside 2\.\.16"):
        Uniform(bits=bits)


@pytest.mark.parametrize("bits", [2, 7.5, 16])
def test_bits_inside_the_range(bits):
    assert Uniform(bits=bits).bits == bits


def test_hand_worked_steps():
    assert wire_step(0.5) == 0.5
    assert wire_step(1 + 2**-7) == 1 + 2**-7  # eight significant bits
    assert wire_step(1 + 2**-8 + 2**-20) == 1 + 2**-7  # above the middle
    assert wire_step(1 + 2**-9) == 1
    assert pack_steps([1.0, 0.5, 1 + 2**-7]).hex() == "803f" + "003f" + "813f"


@given(st.floats(1e-37, 7e28))
def test_wire_steps_are_near_stable_and_come_back(q_step):
    rounded = wire_step(q_step)
    assert abs(rounded / q_step - 1) <= 2**-8 + 2**-24  # half of the last bit, and float32
    assert wire_step(rounded) == rounded
    reader = Reader(pack_steps([rounded]), "the test")
    assert unpack_steps(reader, 1) == [rounded]
    assert reader.n_left == 0


def test_every_step_that_a_file_can_hold_comes_back():
    for high in range(1, 0x7F80, 97):
        data = high.to_bytes(2, "little")
        try:
            steps = unpack_steps(Reader(data, "the test"), 1)
        except FormatError:
            assert high > 0x6F80  # above 2**96
            continue
        assert pack_steps(steps) == data
        assert wire_step(steps[0]) == steps[0]


@pytest.mark.parametrize(
    "text", ["0000", "0080", "80bf", "807f", "80ff", "c07f"], ids="0 -0 -1 inf -inf nan".split()
)
def test_steps_that_are_no_steps(text):
    with pytest.raises(FormatError, match=r"q_step=.* is outside"):
        unpack_steps(Reader(bytes.fromhex(text), "the test"), 1)


def test_steps_that_are_cut_short():
    with pytest.raises(FormatError, match="cut short"):
        unpack_steps(Reader(b"\x80\x3f\x80", "the test"), 2)


@pytest.mark.parametrize("q_step", [float("nan"), -1.0, 0.0, float("inf")])
def test_wire_step_refuses_what_is_no_step(q_step):
    with pytest.raises(ValueError, match="q_step="):
        wire_step(q_step)


def test_no_file_can_make_weights_overflow():
    """Infinite weights would draw nothing, and numpy warns of the overflow."""
    data = bytes.fromhex("7f7f")  # 3.4e38, the largest float32 of eight bits
    codes = np.array([MAX_CODE, -MAX_CODE], np.int32)
    try:
        (q_step,) = unpack_steps(Reader(data, "the test"), 1)
    except FormatError:
        return
    assert np.isfinite(Uniform().dequantize(codes, q_step)).all()
