"""work.py of kind cae: what a file of a few bytes may ask of its decoder."""

import pytest
from helpers.cae_coding_models import (
    FACTORIZED,
    HYPERPRIOR,
    RESIDUAL,
    decode,
    picture,
    recipe,
)

import inr
from inr.cae.transforms import Balle2017
from inr.cae.weight_store import find_weights, shipped_models
from inr.cae.work import rendering_macs
from inr.errors import FormatError, UsageError
from inr.format.container import DEFAULT_MAX_MACS
from inr.image.region import Region, Size


def macs(model, height, width, region=None, drawn=None, n_channels=3):
    size = Size(*(drawn or (height, width)))
    part = Region(*region) if region else Region.whole(size)
    return rendering_macs(model, Size(height, width), n_channels, size, part)


def test_shipped_models_stay_below_the_limit_at_all_pixels_that_may_be_decoded():
    for name in shipped_models():
        weights, _ = find_weights(name)
        for sides in ((10_000, 10_000), (6_100, 16_384)):
            assert macs(weights.model, *sides, n_channels=4) < DEFAULT_MAX_MACS


@pytest.mark.parametrize("model", [HYPERPRIOR, FACTORIZED, RESIDUAL])
def test_latents_count_whatever_the_region(model):
    whole = macs(model, 2000, 3000)
    one = macs(model, 2000, 3000, (9, 9, 1, 1))
    few = macs(model, 2000, 3000, (0, 0, 3000, 9))
    assert one < few < whole
    assert one > (2000 // 16) * (3000 // 16) * model.n_latents * 1000
    assert macs(model, 2000, 3000, (9, 9, 1, 1), (200, 300)) > whole
    assert macs(model, 2000, 3000, n_channels=4) > whole


def test_a_larger_model_is_more_work():
    small = macs(FACTORIZED, 512, 768)
    model = type(FACTORIZED)(Balle2017(hidden=192, n_latents=192))
    assert macs(model, 512, 768) > 5 * small


def test_what_is_above_the_limit_is_refused():
    data = inr.encode(picture(40, 70), recipe())
    assert decode(data, max_macs=1e9).shape == (40, 70, 3)
    with pytest.raises(FormatError, match=r"multiply-adds, more than the limit of 1e\+05"):
        decode(data, max_macs=1e5)
    with pytest.raises(UsageError, match=r"limit of 1e\+09"):
        decode(data, max_macs=1e9, scale=60)
