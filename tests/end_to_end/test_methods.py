"""Every quantizer and every coder, from a picture to bytes and back."""

from dataclasses import replace

import numpy as np
import pytest
from contracts.methods import CODERS, FIELDS, QUANTIZERS, SPLITS
from helpers.built_files import built_file, stages_of
from helpers.options import encode_options
from helpers.tiny_fits import fitted, smooth, tiny

import inr
from inr.codec import decode_picture, encode_picture
from inr.format.container import unpack
from inr.image.metrics import psnr_db
from inr.image.read import from_array
from inr.kinds import open_file
from inr.mlp.file import read_codes, read_weights
from inr.mlp.quantize.float16 import Float16
from inr.mlp.quantize.uniform import Uniform
from inr.mlp.tags import Stages
from inr.options import EncodeOptions, Target


def encoded_with(quantizer=None, coder=None, settings=None, **options):
    recipe = tiny(settings)
    recipe = replace(recipe, quantize=quantizer or recipe.quantize, coder=coder or recipe.coder)
    return encode_picture(from_array(smooth()), recipe, encode_options(**options))


def float_psnr_db():
    """What the weights can do before any rounding, about."""
    return fitted(settings={"quantize.bits": "16"}).psnr_db


# ---------------------------------------------------------------- quantizers


@pytest.mark.slow  # a compilation each
@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=repr)
def test_every_quantizer_fits_a_picture_down_to_bytes(quantizer):
    encoded = encoded_with(quantizer)
    assert encoded.psnr_db == psnr_db(smooth(), decode_picture(encoded.data).pixels)
    assert type(open_file(encoded.data).content.stages.quantizer) is type(quantizer)
    # 3 to 15 levels are too few for a SIREN; with 8 bits most of what 16 bits reach is left.
    least_db = float_psnr_db() - 6 if quantizer.bits > 4 else 10
    assert encoded.psnr_db > least_db


@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=repr)
@pytest.mark.parametrize("target_bytes", [700, 3000])
def test_every_quantizer_meets_a_target(quantizer, target_bytes):
    recipe = replace(tiny({"fit.steps": "0", "field.hidden": "none"}), quantize=quantizer)
    encoded = encode_picture(
        from_array(smooth()), recipe, EncodeOptions(target=Target(n_bytes=target_bytes))
    )
    assert len(encoded.data) <= target_bytes
    # Widths are whole, and halves cannot be made finer or coarser to fill what they leave.
    least = 0.975 if quantizer.LEARNS_STEPS else 0.75
    assert len(encoded.data) >= least * target_bytes


@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=repr)
def test_the_weights_in_the_file_are_the_rounded_ones_of_the_fit(quantizer):
    data = encoded_with(quantizer, settings={"fit.steps": "0"}).data
    opened = open_file(data).content
    first = opened.field_set.init(np.random.default_rng([0, 1]))  # as a fit begins
    weights, codes = read_weights(opened), read_codes(opened)
    assert list(weights) == list(codes) == list(first)
    for name, w in first.items():
        assert codes[name].dtype == np.int32
        assert weights[name].dtype == np.float32
        nearest = np.abs(weights[name].ravel()[:, None] - weights[name].ravel()).min(1)
        assert (nearest == 0).all()
        if isinstance(quantizer, Float16):
            np.testing.assert_array_equal(weights[name], w.astype(np.float16))
        elif isinstance(quantizer, Uniform):
            q_step = np.abs(weights[name][codes[name] != 0] / codes[name][codes[name] != 0])
            assert np.abs(weights[name] - w).max() <= q_step.max() * 0.5001  # f32 quotients
        else:  # no level of the file is nearer
            levels = np.unique(weights[name])
            best = np.abs(w[..., None] - levels).min(-1)
            np.testing.assert_array_equal(np.abs(w - weights[name]), best)


# ---------------------------------------------------------------- coders


@pytest.mark.parametrize("coder", CODERS, ids=repr)
def test_every_coder_holds_the_same_codes(plain, coder):
    """The codes of a real fit, written again with another coder."""
    encoded = encoded_with(coder=coder)
    opened, expected = open_file(encoded.data).content, open_file(plain.data).content
    assert type(opened.stages.coder) is type(coder)
    assert encoded.psnr_db == plain.psnr_db
    codes, plain_codes = read_codes(opened), read_codes(expected)
    for name, c in plain_codes.items():
        np.testing.assert_array_equal(codes[name], c)


@pytest.mark.parametrize("coder", CODERS, ids=repr)
def test_every_coder_meets_a_target(coder):
    recipe = replace(tiny({"fit.steps": "0", "field.hidden": "none"}), coder=coder)
    encoded = encode_picture(
        from_array(smooth()), recipe, EncodeOptions(target=Target(n_bytes=1500))
    )
    assert 0.975 * 1500 <= len(encoded.data) <= 1500


# ---------------------------------------------------------------- any combination


@pytest.mark.parametrize("split", SPLITS, ids=repr)
@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=repr)
def test_every_combination_is_drawn(split, quantizer):
    for field in FIELDS:
        for coder in (CODERS[0], CODERS[2]):
            data = built_file(stages_of(split, field, quantizer, coder), height=9, width=14)
            pixels = inr.decode(data)
            assert pixels.shape == (9, 14, 3)
            assert pixels.std() > 0
            opened = open_file(data).content
            assert isinstance(opened.stages, Stages)
            assert sum(len(payload) for payload in unpack(data)[1].values()) < len(data)
