"""codec.py: latents to bytes and back, under densities that can be worked out by hand."""

import dataclasses
from functools import cache

import numpy as np
import pytest
from helpers.cae_coding_models import MODELS, SLIMMABLE, picture, weights_of
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.cae.codec import N_RATES, CaeCodec
from inr.cae.density_tables import LIMIT
from inr.cae.entropy_models import Latents
from inr.cae.exact.chain import ExactChain, analyse
from inr.cae.weights import N_KNOTS
from inr.errors import FormatError
from inr.image.region import Region

SIZES = [(1, 2), (15, 17), (16, 16), (64, 64), (65, 33), (300, 20)]


@cache
def codec(name="hyperprior", width=0):
    return CaeCodec(weights_of(MODELS[name]).at_width(width or max(MODELS[name].widths, default=0)))


def equal(a, b):
    return np.array_equal(a.y, b.y) and (a.z is None) == (b.z is None) and same(a.z, b.z)


def same(a, b):
    return a is b is None or np.array_equal(a, b)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("name", MODELS)
def test_latents_come_back(name, height, width):
    own = codec(name)
    pixels = picture(height, width)
    for rate in sorted({0, 100 % own.n_rates, own.n_rates - 1}):
        latents = own.analyse(pixels, rate)
        assert latents.y.dtype == np.int32
        assert latents.y.shape == (-(-height // 16), -(-width // 16), 6)
        if latents.z is not None:
            assert latents.z.shape == (-(-height // 64), -(-width // 64), 4)
        data = own.write(latents, rate)
        assert data == own.write(latents, rate)
        assert not data.endswith(b"\0")
        assert equal(own.read(data, height, width, rate), latents)
        drawn = own.synthesize(latents, height, width, rate)
        assert (drawn.shape, drawn.dtype) == ((height, width, 3), np.uint8)


def test_a_higher_lambda_makes_smaller_files():
    pixels = picture(96, 80)
    sizes = [len(codec().write(codec().analyse(pixels, rate), rate)) for rate in (0, 85, 170, 255)]
    assert sizes == sorted(set(sizes), reverse=True)


def test_latents_far_outside_of_what_densities_expect_come_back():
    rng = np.random.default_rng(0)
    for name in ("hyperprior", "scales_only", "factorized"):
        for values in (LIMIT, -LIMIT, None):
            y = rng.integers(-LIMIT, LIMIT + 1, (5, 3, 6), np.int32)
            z = None if name == "factorized" else rng.integers(-90, 91, (2, 1, 4), np.int32)
            latents = Latents(y if values is None else np.full_like(y, values), z)
            data = codec(name).write(latents, 9)
            assert equal(codec(name).read(data, 70, 40, 9), latents)


# ---------------------------------------------------------------- hand-worked


def test_latents_are_those_of_the_analysis():
    own, pixels = codec("factorized"), picture(20, 30)
    weights = own.weights
    chain = ExactChain.of(weights.model.chains()["analysis"], weights.tensors["analysis"])
    scales = {name: v[0].astype(np.float64) for name, v in weights.vectors.items()}
    expected = np.floor(analyse(chain, pixels, scales) + 0.5)
    np.testing.assert_array_equal(own.analyse(pixels, 0).y, expected)


def test_scales_of_channels_lie_between_knots():
    own = codec()
    knots = own.weights.vectors["ma2"].astype(np.float64)
    np.testing.assert_array_equal(own.tools(0).latent_scale, knots[0])
    np.testing.assert_array_equal(own.tools(N_RATES - 1).latent_scale, knots[-1])
    # 100 * 32 / 255 = 12 + 140 / 255
    expected = knots[12] + (knots[13] - knots[12]) * (140 / 255)
    np.testing.assert_array_equal(own.tools(100).latent_scale, expected)


def test_densities_are_those_of_the_nearest_knot():
    found = [codec().tools(rate).knot for rate in range(N_RATES)]
    assert found == [round(rate * (N_KNOTS - 1) / (N_RATES - 1)) for rate in range(N_RATES)]
    assert (found[0], found[-1]) == (0, N_KNOTS - 1)
    assert codec("slimmable").tools(0).knot == 0


# ---------------------------------------------------------------- lambda


def test_rates_run_evenly_over_the_logarithms_of_lambda():
    own = codec()
    assert own.n_rates == N_RATES
    assert own.lambda_of(0) == pytest.approx(2e-4)
    assert own.lambda_of(255) == pytest.approx(1.28e-2)
    assert own.lambda_of(85) / own.lambda_of(0) == pytest.approx(64 ** (1 / 3))
    assert [own.rate_of(own.lambda_of(rate)) for rate in range(N_RATES)] == [*range(N_RATES)]
    assert own.rate_of(2e-4) == 0
    assert own.rate_of(1.28e-2) == 255


@pytest.mark.parametrize("lambda_", [1.9e-4, 1.29e-2, 0.0, -1.0, np.nan, np.inf])
def test_lambdas_outside_of_the_range(lambda_):
    with pytest.raises(ValueError, match=r"lambda=.*: the model tiny knows 0\.0002\.\.0\.0128"):
        codec().rate_of(lambda_)


def test_a_model_without_modulation_has_one_rate():
    own = codec("slimmable")
    assert own.n_rates == 1
    assert own.rate_of(5e-3) == 0
    with pytest.raises(ValueError, match=r"knows 0\.001\.\.0\.01"):
        own.rate_of(2e-2)


def test_widths_are_models_of_their_own():
    pixels = picture(40, 24)
    for width in SLIMMABLE.widths:
        own = codec("slimmable", width)
        latents = own.analyse(pixels, 0)
        assert latents.y.shape == (3, 2, width)
        assert equal(own.read(own.write(latents, 0), 40, 24, 0), latents)


# ---------------------------------------------------------------- parts and damage


@pytest.mark.parametrize("name", ["hyperprior", "residual"])
def test_a_region_is_that_crop_of_the_whole(name):
    own = codec(name)
    latents = own.analyse(picture(75, 90), 20)
    whole = own.synthesize(latents, 75, 90, 20)
    for x, y, width, height in ((0, 0, 1, 1), (17, 30, 40, 9), (89, 74, 1, 1), (3, 0, 87, 75)):
        part = own.synthesize(latents, 75, 90, 20, Region(x, y, width, height))
        np.testing.assert_array_equal(part, whole[y : y + height, x : x + width])


WHOLE = {
    name: codec(name).write(codec(name).analyse(picture(40, 70), 50), 50)
    for name in ("hyperprior", "factorized")
}


@pytest.mark.parametrize("name", WHOLE)
def test_bytes_too_many(name):
    for extra in (b"\1", b"\0\0\0\1", bytes(range(1, 60))):
        with pytest.raises(FormatError, match=r"does not end with its last symbol|range coder"):
            codec(name).read(WHOLE[name] + extra, 40, 70, 50)
    with pytest.raises(FormatError, match="trailing zero bytes"):
        codec(name).read(WHOLE[name] + b"\0", 40, 70, 50)


@pytest.mark.parametrize("name", WHOLE)
@settings(deadline=None, max_examples=60)
@given(st.data())
def test_damaged_bytes_are_other_latents_or_a_format_error(name, data):
    given_bytes = bytearray(WHOLE[name])
    at = data.draw(st.integers(0, len(given_bytes) - 1))
    if data.draw(st.booleans()):
        del given_bytes[at:]
    else:
        given_bytes[at] ^= data.draw(st.integers(1, 255))
    try:
        latents = codec(name).read(bytes(given_bytes), 40, 70, 50)
    except FormatError:
        return
    assert latents.y.shape == (3, 5, 6)
    assert np.abs(latents.y).max() <= LIMIT


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=80), st.sampled_from(sorted(MODELS)), st.integers(0, N_RATES - 1))
def test_any_bytes_are_latents_or_a_format_error(data, name, rate):
    own = codec(name)
    try:
        latents = own.read(data, 33, 20, rate % own.n_rates)
    except FormatError:
        return
    # What is read can be written, and is read again; it need not be the same bytes.
    again = own.read(own.write(latents, rate % own.n_rates), 33, 20, rate % own.n_rates)
    assert equal(again, latents)


def test_weights_of_another_transform_are_refused():
    weights = weights_of()
    short = {name: w[..., :3] for name, w in weights.tensors["analysis"].items()}
    own = CaeCodec(dataclasses.replace(weights, tensors=weights.tensors | {"analysis": short}))
    with pytest.raises(ValueError, match=r"is it another width\?"):
        own.analyse(picture(16, 16), 0)
