"""cae_coding.py: latents to bytes and back, under densities that can be worked out by hand."""

import dataclasses
from functools import cache

import numpy as np
import pytest
from helpers.cae_coding_models import MODELS, SLIMMABLE, picture, weights_of
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.cae.codec import N_RATES, CaeCodec, Latents, _extended, _rounded
from inr.cae.density_tables import LIMIT
from inr.cae.exact.chain import analysed
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
        latents = own.latents_of(pixels, rate)
        assert latents.y.dtype == np.int32
        assert latents.y.shape == (-(-height // 16), -(-width // 16), 6)
        if latents.z is not None:
            assert latents.z.shape == (-(-height // 64), -(-width // 64), 4)
        data = own.write(latents, rate)
        assert data == own.write(latents, rate)
        assert not data.endswith(b"\0")
        assert equal(own.read(data, height, width, rate), latents)
        drawn = own.draw(latents, height, width, rate)
        assert (drawn.shape, drawn.dtype) == ((height, width, 3), np.uint8)


def test_a_higher_lambda_makes_smaller_files():
    pixels = picture(96, 80)
    sizes = [
        len(codec().write(codec().latents_of(pixels, rate), rate)) for rate in (0, 85, 170, 255)
    ]
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


def test_latents_are_rounded_halves_up_and_clipped():
    features = np.array([-8192, -0.5, -0.500244140625, 0.499755859375, 0.5, 8192])
    assert _rounded(features).tolist() == [-LIMIT, 0, -1, 0, 1, LIMIT]
    assert _rounded(features).dtype == np.int32


def test_latents_are_those_of_the_analysis():
    own, pixels = codec("factorized"), picture(20, 30)
    scales = {name: v[0].astype(np.float64) for name, v in own.weights.vectors.items()}
    expected = np.floor(analysed(own._chain("analysis"), pixels, scales) + 0.5)
    np.testing.assert_array_equal(own.latents_of(pixels, 0).y, expected)


def test_latents_are_extended_to_whole_hyperblocks():
    y = np.arange(1, 3, dtype=np.int32).reshape(1, 2, 1)
    assert _extended(y)[..., 0].tolist() == [[1, 2, 2, 2]] * 4
    whole = np.zeros((4, 8, 2), np.int32)
    assert _extended(whole).shape == whole.shape


def test_densities_that_a_constant_hyperprior_tells():
    weights = weights_of()
    told = {name: w * np.float16(0) for name, w in weights.tensors["hyper_synthesis"].items()}
    told["hs2_b"] = np.array([0.25] * 6 + [0.5] * 6, np.float16)  # log b, mean
    tensors = weights.tensors | {"hyper_synthesis": told}
    own = CaeCodec(dataclasses.replace(weights, tensors=tensors))
    z = np.zeros((1, 1, 4), np.int32)
    # The first latent's m is 16 at rate 0 and 2 at the last; float16 has 2.7734 and 0.6934 for log.
    for rate, log_m, m in ((0, 2.7734375, 16), (255, 0.693359375, 2)):
        mean, scale = own._told(z, (2, 3, 6), rate)
        assert mean.shape == scale.shape == (2, 3, 6)
        assert set(mean[..., 0].flat) == {m * 0.5 * 32}
        assert set(scale[..., 0].flat) == {round(80 + 16 * (0.25 + log_m))}
    assert scale[0, 0, 0] == 95


def test_scales_and_means_are_clipped():
    weights = weights_of()
    told = {name: w * np.float16(0) for name, w in weights.tensors["hyper_synthesis"].items()}
    told["hs2_b"] = np.array([8000, -8000, 9, -9, 0, 0, 8000, -8000, 0, 0, 0, 0], np.float16)
    tensors = weights.tensors | {"hyper_synthesis": told}
    own = CaeCodec(dataclasses.replace(weights, tensors=tensors))
    mean, scale = own._told(np.zeros((1, 1, 4), np.int32), (1, 1, 6), 0)
    assert scale[0, 0, :4].tolist() == [160, 0, 160, 0]
    assert mean[0, 0, :3].tolist() == [LIMIT * 32, -LIMIT * 32, 0]


def test_without_means_the_centre_is_zero():
    own = codec("scales_only")
    latents = own.latents_of(picture(65, 33), 0)
    mean, scale = own._told(latents.z, latents.y.shape, 0)
    assert not mean.any()
    assert np.unique(scale).size > 3


def test_scales_of_channels_lie_between_knots():
    own = codec()
    knots = own.weights.vectors["ma2"].astype(np.float64)
    np.testing.assert_array_equal(own._scales(0)["ma2"], knots[0])
    np.testing.assert_array_equal(own._scales(N_RATES - 1)["ma2"], knots[-1])
    # 100 * 32 / 255 = 12 + 140 / 255
    expected = knots[12] + (knots[13] - knots[12]) * (140 / 255)
    np.testing.assert_array_equal(own._scales(100)["ma2"], expected)


def test_densities_are_those_of_the_nearest_knot():
    found = [codec()._knot(rate) for rate in range(N_RATES)]
    assert found == [round(rate * (N_KNOTS - 1) / (N_RATES - 1)) for rate in range(N_RATES)]
    assert (found[0], found[-1]) == (0, N_KNOTS - 1)
    assert codec("slimmable")._knot(0) == 0


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
        latents = own.latents_of(pixels, 0)
        assert latents.y.shape == (3, 2, width)
        assert equal(own.read(own.write(latents, 0), 40, 24, 0), latents)


# ---------------------------------------------------------------- parts and damage


@pytest.mark.parametrize("name", ["hyperprior", "residual"])
def test_a_region_is_that_crop_of_the_whole(name):
    own = codec(name)
    latents = own.latents_of(picture(75, 90), 20)
    whole = own.draw(latents, 75, 90, 20)
    for x, y, width, height in ((0, 0, 1, 1), (17, 30, 40, 9), (89, 74, 1, 1), (3, 0, 87, 75)):
        part = own.draw(latents, 75, 90, 20, Region(x, y, width, height))
        np.testing.assert_array_equal(part, whole[y : y + height, x : x + width])


WHOLE = {
    name: codec(name).write(codec(name).latents_of(picture(40, 70), 50), 50)
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
        own.latents_of(picture(16, 16), 0)
