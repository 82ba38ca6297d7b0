"""export.py: what the weights file holds, and that files take the bits that training counts."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.cae_models import PLAIN, QUICK, SLIM, TINY, first_params, in_memory, photo

from inr.cae import latent_coder
from inr.cae.codec import CaeCodec
from inr.cae.entropy_models import PRIOR_SCALE, Factorized
from inr.cae.model import Model
from inr.cae.training import gdn
from inr.cae.training.autoencoder import forward, vectors
from inr.cae.training.configs import Config
from inr.cae.training.entropy_models import factorized_bits
from inr.cae.training.export import export_file, export_weights
from inr.cae.training.loop import train
from inr.cae.training.networks import Network
from inr.cae.weights import LOG_LATENT_SCALE, N_KNOTS, read_weights

FACTORIZED = Model(TINY.transform, Factorized())
PICTURE = np.ascontiguousarray(photo(height=128, width=128))
TRAINED = Config("tiny", FACTORIZED, dataclasses.replace(QUICK, steps=6, learning_rate=1e-3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A short training of a small model with a factorized prior."""
    found = tmp_path_factory.mktemp("trained")
    train(TRAINED, in_memory(photo(), photo("prose_page")), found)
    return found


@pytest.fixture(scope="module")
def params(folder):
    from inr.cae.training.loop import load_state

    return load_state(folder)[1].mean


@pytest.fixture(scope="module")
def weights(folder):
    return read_weights(export_file(folder)[0])


def latents(params, position):
    """Rounded, of PICTURE, by the float network."""
    scales = vectors(FACTORIZED, params, jnp.full(1, position))
    analysis = jax.jit(Network(FACTORIZED.chains()["analysis"]).apply)
    x = jnp.asarray(PICTURE[None] / 255 - 0.5, jnp.float32)
    y = analysis({"params": params["analysis"]}, x, scales)
    return np.rint(np.asarray(y)).astype(np.int32), scales


@pytest.mark.parametrize("knot", [0, N_KNOTS // 2, N_KNOTS - 1])
def test_tables_take_the_bits_that_training_counts(params, weights, knot):
    position = -1 + 2 * knot / (N_KNOTS - 1)
    y, scales = latents(params, position)
    assert len(np.unique(y)) > 3
    estimate = factorized_bits(params["prior"], jnp.asarray(y, jnp.float32), scales[PRIOR_SCALE])
    tables = latent_coder.factorized_bits(y[0], weights.densities[0], knot)
    assert tables == pytest.approx(float(estimate.sum()), rel=0.01)


@pytest.mark.parametrize("rate", [0, 255])
def test_bytes_and_pixels_of_a_file_are_those_of_training(params, weights, rate):
    """Float16 weights, integer tables and exact arithmetic change next to nothing."""
    codec = CaeCodec(weights)
    scales = vectors(FACTORIZED, params, jnp.full(1, 2 * rate / 255 - 1))
    x = jnp.asarray(PICTURE[None] / 255, jnp.float32)
    drawn, bits = jax.jit(forward, static_argnums=0)(FACTORIZED, params, x, scales, None)
    found = codec.analyse(PICTURE, rate)
    n_bytes = len(codec.write(found, rate))
    assert 8 * n_bytes == pytest.approx(float(bits[0]), rel=0.02, abs=64)  # a word at the end
    pixels = codec.synthesize(found, 128, 128, rate).astype(float)
    expected = np.clip(np.asarray(drawn[0]), 0, 1) * 255
    error = np.square(pixels - expected).mean()
    assert error < 0.1 * np.square(expected - PICTURE).mean() + 1 / 12


def test_what_the_file_says_of_its_training(folder):
    data, told = export_file(folder)
    weights = read_weights(data)
    assert told == {"name": "tiny", "sha256": weights.sha256, "step": 6}
    assert weights.model == FACTORIZED
    assert weights.metadata["steps_done"] == 6
    assert weights.metadata["config"] == json.loads(TRAINED.to_json())
    assert weights.metadata["validation"] == []
    assert weights.metadata["train_seconds"] > 0
    renamed, _ = export_file(folder, "other")
    assert read_weights(renamed).name == "other"
    assert read_weights(renamed).vectors.keys() == weights.vectors.keys()


def test_tensors_are_the_running_mean_and_gdn_in_plain(params, weights):
    for name in ("a0_w", "a_short_w", "a1_b"):
        expected = np.asarray(params["analysis"][name]).astype(np.float16)
        np.testing.assert_array_equal(weights.tensors["analysis"][name], expected)
    beta = np.asarray(gdn.from_trainable(params["analysis"]["ga0_beta"], gdn.BETA_LEAST))
    gamma = np.asarray(gdn.from_trainable(params["analysis"]["ga0_gamma"], 0.0))
    assert np.abs(beta - 1).max() < 0.1  # near the start, hence no square root of it
    np.testing.assert_array_equal(weights.tensors["analysis"]["ga0_beta"], beta.astype(np.float16))
    found = weights.tensors["analysis"]["ga0_gamma"]
    np.testing.assert_array_equal(found, gamma.astype(np.float16))
    assert found.min() >= 0


def test_vectors_are_those_of_evenly_spaced_positions(params, weights):
    positions = jnp.asarray(np.linspace(-1, 1, N_KNOTS), jnp.float32)
    for name, expected in vectors(FACTORIZED, params, positions).items():
        # Rounded to 11 bits.
        np.testing.assert_allclose(weights.vectors[name], expected, rtol=2**-11 + 1e-6)
    logs = np.log(weights.vectors["ma2"].astype(np.float64))
    np.testing.assert_allclose(weights.vectors[LOG_LATENT_SCALE], logs, atol=2e-3)


def test_a_model_of_one_rate_has_one_table():
    weights = export_weights("plain", PLAIN, first_params(PLAIN), {})
    assert weights.vectors == {}
    assert weights.densities[0].firsts.shape == (1, 4)


def test_a_slimmable_model_has_tables_of_each_width():
    weights = export_weights("slim", SLIM, first_params(SLIM), {})
    assert {width: t.firsts.shape for width, t in weights.densities.items()} == {
        **{2: (1, 2), 4: (1, 4)}
    }
    assert {name for name in weights.tensors["analysis"] if name.startswith("ga0@")} == {
        *(f"ga0@{width}_{part}" for width in (2, 4) for part in ("beta", "gamma"))
    }
    narrow = CaeCodec(weights.at_width(2))
    assert narrow.analyse(PICTURE[:32, :48], 0).y.shape == (2, 3, 2)


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e6])
def test_numbers_that_float16_does_not_hold_are_refused(number):
    params = first_params(PLAIN)
    params["synthesis"]["s1_w"] = params["synthesis"]["s1_w"].at[0, 0, 0, 0].set(number)
    with pytest.raises(ValueError, match="tensor s1_w has numbers that float16 does not hold"):
        export_weights("plain", PLAIN, params, {})


def test_a_prior_that_is_not_finite_is_refused():
    params = first_params(PLAIN)
    params["prior"]["offset1"] = params["prior"]["offset1"].at[0, 0].set(np.nan)
    with pytest.raises(ValueError, match="cumulative"):
        export_weights("plain", PLAIN, params, {})


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 20.0])
def test_vectors_that_float16_does_not_hold_are_refused(number):
    params = first_params(TINY)
    params["modulation"]["ma2_b1"] = params["modulation"]["ma2_b1"].at[0].set(number)
    with pytest.raises(
        ValueError, match=r"tensor (ma2|log_m) has numbers that float16 does not hold"
    ):
        export_weights("tiny", TINY, params, {})
