"""work.py of kind grid: what a file of a few bytes may ask of its decoder."""

import numpy as np
import pytest

import inr
from inr.codec import describe
from inr.errors import FormatError, UsageError
from inr.format import container
from inr.format.container import DEFAULT_MAX_MACS, Header
from inr.grid.network_coding import CodedNetworks, write_networks
from inr.grid.structure import Pyramid, Structure, write_structure
from inr.grid.work import latents_macs, rendering_macs
from inr.image.region import Region, Size
from inr.options import DecodeOptions

USUAL = Structure(prior=2)
OLDER = Structure(prior=1)


def claim(height, width, structure=USUAL):
    """A whole file of that size, of networks that are the prior and without any latents."""
    pyramid = Pyramid(height, width, 3, structure)
    codes = {name: np.zeros(shape, np.int32) for name, shape in pyramid.shapes.items()}
    networks = write_networks(CodedNetworks(dict.fromkeys(pyramid.groups, 8), codes), pyramid)
    stages = write_structure(structure) + bytes(4)
    header = Header(height, width, 3, 8, ((0, 255),) * 3, stages, 1)
    sections = {container.SECTION_NETWORKS: networks, container.SECTION_LATENTS: b""}
    return container.pack(header, sections)


def macs(height, width, structure=USUAL, drawn=None, region=None):
    size = Size(*(drawn or (height, width)))
    part = Region(*region) if region else Region.whole(size)
    return rendering_macs(Pyramid(height, width, 3, structure), size, part)


def test_recipes_stay_below_the_limit_at_all_pixels_that_may_be_decoded():
    for sides in ((10_000, 10_000), (6_000, 16_384), (16_384, 6_000)):
        assert macs(*sides) < DEFAULT_MAX_MACS
        assert macs(*sides, structure=OLDER) < DEFAULT_MAX_MACS


def test_latents_count_whatever_the_region():
    least = latents_macs(Pyramid(900, 700, 3, USUAL))
    assert least < macs(900, 700, region=(5, 5, 1, 1)) < macs(900, 700, region=(0, 0, 700, 9))
    assert macs(900, 700, region=(0, 0, 700, 9)) < macs(900, 700)
    # other sizes are made of the whole picture
    assert macs(900, 700, drawn=(90, 70), region=(5, 5, 1, 1)) > macs(900, 700)
    assert macs(900, 700, drawn=(1800, 1400), region=(5, 5, 1, 1)) > macs(900, 700)
    # the picture itself once, and four times as many pixels
    own, wider, larger = (macs(900, 700, drawn=size) for size in (None, (900, 701), (1800, 1400)))
    assert 3.5 * (wider - own) < larger - own < 4.5 * (wider - own)


def test_a_thin_picture_has_a_front_for_each_of_its_latents():
    square, thin = Pyramid(128, 128, 3, USUAL), Pyramid(16_384, 1, 3, USUAL)
    assert square.n_latents == pytest.approx(thin.n_latents, rel=0.5)
    assert latents_macs(thin) > 20 * latents_macs(square)


def test_claims_above_the_limit_are_refused_and_those_below_drawn():
    data = claim(16_384, 1)
    with pytest.raises(FormatError, match=r"multiply-adds, more than the limit of 1e\+10"):
        inr.decode(data, max_macs=1e10)
    with pytest.raises(FormatError, match="limit"):
        inr.decode(data, max_macs=1e10, region=(0, 0, 1, 1))
    with pytest.raises(FormatError, match=r"pixels do not match their checksum|latents: the data"):
        inr.decode(claim(20, 30), max_macs=1e10)
    with pytest.raises(UsageError, match=r"limit of 1e\+10"):
        inr.decode(claim(20, 30), max_macs=1e10, scale=50)


def test_info_does_not_decode_latents_that_take_minutes():
    data = claim(10_000, 10_000)
    assert len(data) < 100
    facts = describe(data)
    assert facts["n_latents"] > 10**8
    assert {level["bits"] for level in facts["levels"]} == {None}
    assert facts["n_weights"] > 1000
    assert describe(data, DecodeOptions(max_macs=1))["structure"]["hidden"] == 48
