"""What every quantizer promises, over the list in methods.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contracts.methods import CODERS, QUANTIZERS
from inr.errors import FormatError
from inr.format.wire import Reader, read_fields, write_fields
from inr.mlp.quantize.uniform import MAX_CODE

pytestmark = [
    pytest.mark.usefixtures("strict_jax"),
    pytest.mark.parametrize("quantizer", QUANTIZERS),
]

SHAPES = [(40, 25), (3,), (1, 1)]  # an 8-bit codebook is for the first of these


def drawn(shape, seed=0, scale=0.1):
    """Weights of several sizes, a third of them exact zeros."""
    rng = np.random.default_rng(seed)
    w = rng.normal(0, scale, shape) * 2.0 ** rng.integers(-4, 3, shape)
    return (w * rng.integers(0, 3, shape).clip(0, 1)).astype(np.float32)


def same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype == np.float32 and np.array_equal(a.view(np.int32), b.view(np.int32))


@pytest.mark.parametrize("shape", SHAPES)
def test_codes_are_small_integers_that_rise_with_the_weight(quantizer, shape):
    weights = drawn(shape)
    qparams = quantizer.fit_qparams(weights)
    codes = quantizer.quantize(weights, qparams)
    decoded = quantizer.dequantize(codes, qparams)
    assert (codes.dtype, decoded.dtype, qparams.dtype) == (np.int32, np.float32, np.float32)
    assert codes.shape == decoded.shape == shape
    assert np.abs(codes).max() <= MAX_CODE
    order = np.argsort(weights, axis=None)
    assert (np.diff(codes.ravel()[order]) >= 0).all()
    assert (np.diff(decoded.ravel()[order]) >= 0).all()
    assert np.array_equal(quantizer.quantize(decoded, qparams), codes)


@pytest.mark.parametrize("shape", SHAPES)
def test_zero_is_code_zero_and_back(quantizer, shape):
    zeros = np.array([0.0, -0.0], np.float32)
    for weights in (drawn(shape), np.zeros(shape, np.float32), np.ones(shape, np.float32)):
        qparams = quantizer.fit_qparams(weights)
        codes = quantizer.quantize(zeros, qparams)
        assert codes.tolist() == [0, 0]
        assert same_bits(quantizer.dequantize(codes, qparams), np.zeros(2, np.float32))
        assert same_bits(
            quantizer.round(jnp.asarray(zeros), jnp.asarray(qparams)), np.zeros(2, np.float32)
        )


@pytest.mark.parametrize("shape", SHAPES)
def test_jax_rounds_bit_for_bit_as_the_file(quantizer, shape):
    jitted = jax.jit(quantizer.round)
    many = jax.jit(jax.vmap(quantizer.round))
    for scale in (1e-7, 1e-3, 0.1, 30.0, 1e5):
        tensors = [drawn(shape, 1, scale), drawn(shape, 2, scale / 3)]
        qparams = [quantizer.fit_qparams(w) for w in tensors]
        codes = [quantizer.quantize(w, each) for w, each in zip(tensors, qparams, strict=True)]
        expected = [quantizer.dequantize(c, each) for c, each in zip(codes, qparams, strict=True)]
        assert same_bits(jitted(jnp.asarray(tensors[0]), jnp.asarray(qparams[0])), expected[0])
        together = many(jnp.asarray(np.stack(tensors)), jnp.asarray(np.stack(qparams)))
        assert same_bits(together, np.stack(expected))
    weights, qparams = jnp.asarray(tensors[0]), jnp.asarray(qparams[0])
    assert same_bits(quantizer.round(weights, qparams), expected[0])
    assert same_bits(quantizer.for_training().round(weights, qparams), expected[0])


def test_rounding_takes_part_in_a_straight_through_gradient(quantizer):
    weights = jnp.asarray(drawn((40, 25)))
    qparams = jnp.asarray(quantizer.fit_qparams(np.asarray(weights)))

    def loss(w):
        return jnp.sum((w + jax.lax.stop_gradient(quantizer.round(w, qparams) - w)) ** 2)

    rounded = quantizer.round(weights, qparams)
    np.testing.assert_array_equal(
        jax.jit(jax.grad(loss))(weights), 2 * (weights + (rounded - weights))
    )


@pytest.mark.parametrize("log2_factor", [-3.0, 0.0, 0.6, 4.0, 50.0])
def test_coarser_qparams_have_the_same_shape_and_no_more_codes(quantizer, log2_factor):
    for shape in SHAPES:
        weights = drawn(shape)
        fitted = quantizer.fit_qparams(weights)

        def spread(qparams, weights=weights):
            codes = quantizer.quantize(weights, qparams)
            return int(codes.max() - codes.min())

        for coarser in (
            quantizer.fit_qparams(weights, log2_factor),
            quantizer.scale_qparams(fitted, log2_factor, weights),
        ):
            assert coarser.shape == fitted.shape
            if log2_factor >= 0:
                assert spread(coarser) <= spread(fitted)


@pytest.mark.parametrize("coder", CODERS)
def test_tensors_come_back_from_bytes(quantizer, coder):
    tensors = [drawn(shape, seed) for seed, shape in enumerate(SHAPES)]
    qparams = [quantizer.fit_qparams(w) for w in tensors]
    codes = [quantizer.quantize(w, each) for w, each in zip(tensors, qparams, strict=True)]
    data = quantizer.pack(qparams) + coder.encode(codes)

    sizes = [w.size for w in tensors]
    reader = Reader(data, "the test")
    read = read_fields(type(quantizer), quantizer.WIRE, Reader(write_fields(quantizer), "the test"))
    read_qparams = read.unpack(reader, sizes)
    assert quantizer.pack(read_qparams) == quantizer.pack(qparams)
    flat = coder.decode(reader.take(reader.n_left), sizes)
    for i, w in enumerate(tensors):
        decoded = read.dequantize(flat[i].reshape(w.shape), read_qparams[i])
        assert same_bits(decoded, quantizer.dequantize(codes[i], qparams[i]))


def test_qparams_cut_short_anywhere(quantizer):
    data = quantizer.pack([quantizer.fit_qparams(drawn(shape)) for shape in SHAPES])
    for n in range(len(data)):
        with pytest.raises(FormatError, match=r"cut short|levels in"):
            quantizer.unpack(Reader(data[:n], "the test"), [1000, 3, 1])
