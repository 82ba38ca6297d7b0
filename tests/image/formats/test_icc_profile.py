"""icc_profile.py: profiles against littlecms and the definitions."""

import io

import numpy as np
import pytest
from helpers.image_files import (
    SRGB_PROFILE,
    in_srgb,
    noise,
)
from PIL import ImageCms

from inr.image.formats.icc_profile import Curve, Primaries, grey_profile, rgb_profile

BT2020 = Primaries((0.3127, 0.329), (0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
SRGB = Primaries((0.3127, 0.329), (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))


def test_profile_of_srgb_is_that_of_littlecms():
    curve = Curve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    profile = rgb_profile(SRGB, curve)
    ours = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
    theirs = ImageCms.ImageCmsProfile(io.BytesIO(SRGB_PROFILE)).profile
    for name in ("red_colorant", "green_colorant", "blue_colorant"):
        xyz, reference = getattr(ours, name)[0], getattr(theirs, name)[0]
        np.testing.assert_allclose(xyz, reference, atol=3e-5)  # two roundings to 1 / 65536
    for colour in noise(4, 4, 3).reshape(-1, 3):
        assert in_srgb(profile, colour.tolist()).tolist() == colour.tolist()


def test_profile_of_linear_bt2020_against_the_definition():
    """ITU-R BT.2087, table 4: the matrix from BT.2020 to BT.709."""
    matrix = np.array(
        [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    )
    profile = rgb_profile(BT2020, Curve(1.0))
    for colour in ([100, 120, 140], [255, 255, 255], [90, 100, 90], [10, 12, 14]):
        light = (matrix @ np.array(colour) / 255).clip(0, 1)
        samples = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        # One for the rounding, one for the matrix, which has four digits.
        np.testing.assert_allclose(in_srgb(profile, colour), samples * 255, atol=2)


def test_profile_of_grey():
    profile = ImageCms.ImageCmsProfile(io.BytesIO(grey_profile(Curve(1.0)))).profile
    assert profile.xcolor_space == "GRAY"


@pytest.mark.parametrize(
    ("primaries", "curve", "match"),
    [
        (SRGB, Curve(0.001), "gamma"),
        (SRGB, Curve(float("nan")), "gamma"),
        (Primaries((0.3, 0.3), (0.1, 0.1), (0.2, 0.2), (0.3, 0.3)), Curve(1.0), "line"),
        (Primaries((0.3, 0.0), *((0.1, 0.1),) * 3), Curve(1.0), "no colour"),
        (Primaries((0.01, 0.01), (0.64, 0.33), (0.3, 0.6), (0.15, 0.06)), Curve(1.0), "white"),
    ],
)
def test_profile_of_no_colours_is_refused(primaries, curve, match):
    with pytest.raises(ValueError, match=match):
        rgb_profile(primaries, curve)
