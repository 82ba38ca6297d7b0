"""Float16: hand-worked patterns, every half, and Python's own packing as the second opinion."""

import struct

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from inr.errors import FormatError
from inr.mlp.quantize.float16 import LARGEST_CODE, NO_QPARAMS, Float16, round_to_halves


def test_hand_worked_codes():
    weights = np.array([0, -0.0, 1, -2, 2**-24, 1e-8, 65504, 1e9, -1e9, 1 + 2**-11], np.float32)
    codes = Float16().quantize(weights, NO_QPARAMS)
    # 1 has exponent 15, -2 has 16; 1 + 2**-11 is half-way and goes to the even mantissa 0.
    assert codes.tolist() == [0, 0, 15 << 10, -16 << 10, 1, 0, 0x7BFF, 0x7BFF, -0x7BFF, 15 << 10]
    decoded = Float16().dequantize(codes, NO_QPARAMS)
    assert decoded.tolist() == [0, 0, 1, -2, 2**-24, 0, 65504, 65504, -65504, 1]


def test_every_half_is_its_own_code_and_stays():
    codes = np.arange(-LARGEST_CODE, LARGEST_CODE + 1, dtype=np.int32)
    halves = Float16().dequantize(codes, NO_QPARAMS)
    assert (np.diff(halves) > 0).all()
    assert np.array_equal(Float16().quantize(halves, NO_QPARAMS), codes)
    kept = np.asarray(jax.jit(round_to_halves)(jnp.asarray(halves)))
    assert np.array_equal(kept.view(np.int32), halves.view(np.int32))


@given(st.lists(st.floats(-65519, 65519, width=32), min_size=1, max_size=50))
def test_the_nearest_half_as_struct_packs_it(values):
    weights = np.array(values, np.float32)
    decoded = Float16().dequantize(Float16().quantize(weights, NO_QPARAMS), NO_QPARAMS)
    n = len(values)
    assert decoded.tolist() == list(struct.unpack(f"<{n}e", struct.pack(f"<{n}e", *values)))


def test_jax_rounds_all_magnitudes_as_numpy_does():
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 1 << 32, 400_000, dtype=np.uint32).view(np.float32)
    codes = np.arange(-LARGEST_CODE, LARGEST_CODE, dtype=np.int32)
    halves = Float16().dequantize(np.append(codes, LARGEST_CODE), NO_QPARAMS)
    ties = (halves[1:] + halves[:-1]) / 2  # exact: 12 bits
    near = np.concatenate([ties, np.nextafter(ties, np.float32(0)), np.nextafter(ties, ties * 2)])
    weights = np.concatenate([patterns[np.isfinite(patterns)], near])
    expected = Float16().dequantize(Float16().quantize(weights, NO_QPARAMS), NO_QPARAMS)
    rounded = np.asarray(jax.jit(round_to_halves)(jnp.asarray(weights)))
    assert np.array_equal(rounded.view(np.int32), expected.view(np.int32))


@pytest.mark.parametrize("code", [LARGEST_CODE + 1, -LARGEST_CODE - 1, 2**15 - 1, -(2**31)])
def test_codes_of_infinity_and_beyond(code):
    with pytest.raises(FormatError, match=rf"code {code} is outside -31743\.\.31743"):
        Float16().dequantize(np.array([0, code], np.int32), NO_QPARAMS)


def test_halves_cost_16_bits_and_nothing_beside():
    weights = np.ones((50, 50), np.float32)
    assert Float16().bits == 16
    assert Float16().fit_qparams(weights).shape == (0,)
    assert Float16().pack([NO_QPARAMS] * 3) == b""
