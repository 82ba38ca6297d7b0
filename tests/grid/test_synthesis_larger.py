"""draw.py at sizes above the picture's own: against the float model, and part by part."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers.grid_models import moderate

from inr.grid.fit.model import features_of, synthesis
from inr.grid.synthesis import synthesize
from inr.image.region import Region
from inr.image.resample import resample

SIZES = [((20, 30), (40, 60)), ((20, 30), (20, 31)), ((9, 7), (100, 7)), ((1, 1), (3, 2))]


def in_floats(latents, params, pyramid, height, width):
    """u8, of features interpolated in float64 and drawn in float32."""
    p = {name: jnp.asarray(w, jnp.float32) for name, w in params.items()}
    features = features_of([jnp.asarray(y, jnp.float32) for y in latents], p, pyramid)
    wide = resample(np.asarray(features, np.float64).transpose(1, 2, 0), height, width)
    colours = synthesis(jnp.asarray(wide.transpose(2, 0, 1), jnp.float32), p)
    return np.rint(255 * np.clip(np.asarray(colours).transpose(1, 2, 0), 0, 1))


@pytest.mark.parametrize(("own", "size"), SIZES)
@pytest.mark.parametrize("n_channels", [1, 3, 4])
def test_against_the_float_model(own, size, n_channels):
    latents, params, pyramid = moderate(*own, n_channels)
    drawn = synthesize(latents, params, pyramid, 8, size=size)
    assert drawn.shape == (*size, n_channels)
    assert drawn.dtype == np.uint8
    difference = np.abs(drawn - in_floats(latents, params, pyramid, *size))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02


def test_regions_and_threads_give_the_same_pixels():
    latents, params, pyramid = moderate(150, 170)
    size = (400, 333)
    whole = synthesize(latents, params, pyramid, 16, size=size, n_threads=1)
    assert whole.dtype == np.uint16
    assert np.array_equal(whole, synthesize(latents, params, pyramid, 16, size=size, n_threads=3))
    for region in (Region(0, 0, 333, 400), Region(130, 121, 50, 200), Region(332, 399, 1, 1)):
        part = synthesize(latents, params, pyramid, 16, region, size=size)
        rows = slice(region.y, region.y + region.height)
        assert np.array_equal(part, whole[rows, region.x : region.x + region.width])


def test_its_own_size_is_the_usual_picture():
    latents, params, pyramid = moderate(40, 50)
    usual = synthesize(latents, params, pyramid, 8)
    assert np.array_equal(synthesize(latents, params, pyramid, 8, size=(40, 50)), usual)
