"""synthesis.py at sizes above the picture's own: against the float model, and part by part."""

import numpy as np
import pytest
from helpers import grid_loops
from helpers.grid_models import SMALL, SMALL_WITH_RATE, moderate

from inr.grid.synthesis import synthesize
from inr.image.region import Region
from inr.image.resample import resample

SIZES = [((20, 30), (40, 60)), ((20, 30), (20, 31)), ((9, 7), (100, 7)), ((1, 1), (3, 2))]


def in_floats(latents, params, pyramid, height, width):
    """u8, of features that are interpolated, all in float64."""
    if not pyramid.structure.has_rate:
        features = grid_loops.features_repeated(latents, params, pyramid)
        wide = resample(features.transpose(1, 2, 0), height, width).transpose(2, 0, 1)
        colours = grid_loops.colours_of_repeated(wide, params)
    else:
        # Along an axis that stays as it is the picture goes on; what is interpolated has edges.
        grows = height > pyramid.height, width > pyramid.width
        features = grid_loops.features(latents, params, pyramid, margin=2)
        rows, cols = (slice(2, -2) if grown else slice(None) for grown in grows)
        size = (height + 4 * (not grows[0]), width + 4 * (not grows[1]))
        inside = features[:, rows, cols].transpose(1, 2, 0)
        colours = grid_loops.mixed(resample(inside, *size).transpose(2, 0, 1), params)
        edges = [(0, 0), *((int(grown), int(grown)) for grown in grows)]
        for i in range(2):
            colours = grid_loops.convolved(np.pad(colours, edges, mode="edge"), params, i)
    return np.rint(255 * np.clip(colours.transpose(1, 2, 0), 0, 1))


@pytest.mark.parametrize(("own", "size"), SIZES)
@pytest.mark.parametrize("n_channels", [1, 3, 4])
@pytest.mark.parametrize("structure", [SMALL, SMALL_WITH_RATE])
def test_against_a_float_model(own, size, n_channels, structure):
    latents, params, pyramid = moderate(*own, n_channels, structure=structure)
    drawn = synthesize(latents, params, pyramid, 8, size=size)
    assert drawn.shape == (*size, n_channels)
    assert drawn.dtype == np.uint8
    difference = np.abs(drawn - in_floats(latents, params, pyramid, *size))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02


@pytest.mark.parametrize("structure", [SMALL, SMALL_WITH_RATE])
def test_regions_and_threads_give_the_same_pixels(structure):
    latents, params, pyramid = moderate(150, 170, structure=structure)
    size = (400, 333)
    whole = synthesize(latents, params, pyramid, 16, size=size, n_threads=1)
    assert whole.dtype == np.uint16
    assert np.array_equal(whole, synthesize(latents, params, pyramid, 16, size=size, n_threads=3))
    for region in (Region(0, 0, 333, 400), Region(130, 121, 50, 200), Region(332, 399, 1, 1)):
        part = synthesize(latents, params, pyramid, 16, region, size=size)
        rows = slice(region.y, region.y + region.height)
        assert np.array_equal(part, whole[rows, region.x : region.x + region.width])


@pytest.mark.parametrize("structure", [SMALL, SMALL_WITH_RATE])
def test_its_own_size_is_the_usual_picture(structure):
    latents, params, pyramid = moderate(40, 50, structure=structure)
    usual = synthesize(latents, params, pyramid, 8)
    assert np.array_equal(synthesize(latents, params, pyramid, 8, size=(40, 50)), usual)
