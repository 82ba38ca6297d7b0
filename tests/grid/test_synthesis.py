"""The same bits from tiles, threads and Python's fractions."""

import numpy as np
import pytest
from helpers.grid_models import moderate, with_fractions, zeros
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.grid.fit import model as forward
from inr.grid.structure import Pyramid, Structure
from inr.grid.synthesis import synthesize
from inr.image.region import Region


def test_hand_worked_upsampling():
    pyramid = Pyramid(1, 16, 1, Structure(first_level=1, hidden=1))
    assert [level.width for level in pyramid.levels] == [8]  # one octave below 16
    params = zeros(pyramid)
    params["up0"] = np.array([0, 0.5, 0.5, 0])  # means of this and the last, or this and the next
    params["synth_linear"][:] = 1 / 16
    samples = synthesize([np.array([[0, 2, 4, 6, 8, 10, 12, 14]], np.int32)], params, pyramid, 8)
    sixteenths = np.array([0, 1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 14])
    assert samples[0, :, 0].tolist() == np.floor(sixteenths * 255 / 16 + 0.5).tolist()


def test_hand_worked_convolutions():
    pyramid = Pyramid(1, 3, 1, Structure(hidden=1))
    params = zeros(pyramid)
    params["synth_linear"][:] = 1 / 4  # colours 0, 1/4, 1/2
    params["conv_b0"][:] = -1  # nothing below 0 is added by the first
    params["conv_w1"][0, 5] = 1  # the pixel to the right is added: 1/4, 3/4, and the edge again 1
    samples = synthesize([np.array([[0, 1, 2]], np.int32)], params, pyramid, 8)
    assert samples.tolist() == [[[64], [191], [255]]]


def test_hand_worked_hidden_values():
    pyramid = Pyramid(1, 4, 1, Structure(hidden=2))
    params = zeros(pyramid)
    params["synth_w0"][:] = [[1.0], [-1.0]]
    params["synth_b0"][:] = [-1, -1]
    params["synth_w1"][:] = [[1 / 2, 1 / 8]]  # max(0, y - 1) / 2 + max(0, -y - 1) / 8
    samples = synthesize([np.array([[-3, 0, 1, 2]], np.int32)], params, pyramid, 16)
    assert samples[0, :, 0].tolist() == [16384, 0, 0, 32768]  # of 65535: halves are rounded up


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("size", [(1, 1), (5, 30), (26, 3)])
def test_fractions_draw_the_same(size, bit_depth):
    latents, params, pyramid = moderate(*size)
    samples = synthesize(latents, params, pyramid, bit_depth)
    assert np.array_equal(samples, with_fractions(latents, params, pyramid, bit_depth))


def test_the_float_model_of_the_fit_is_within_a_level():
    latents, params, pyramid = moderate(50, 75)
    signal = forward.synthesize(
        [y.astype(np.float32) for y in latents],
        {name: w.astype(np.float32) for name, w in params.items()},
        pyramid,
    )
    samples = synthesize(latents, params, pyramid, 8)
    assert samples.std() > 20
    difference = np.abs(np.asarray(signal).transpose(1, 2, 0) * 255 - samples)
    # Half a level, and features rounded to 2**-10 in each of three octaves.
    assert difference.max() <= 0.75


@pytest.fixture(scope="module")
def wide():
    """A picture of 2 x 3 tiles."""
    model = moderate(150, 290, structure=Structure(hidden=8))
    return model, synthesize(*model, 8)


@given(st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_region_is_a_crop(wide, data):
    model, whole = wide
    x, y = data.draw(st.integers(0, 289)), data.draw(st.integers(0, 149))
    width, height = data.draw(st.integers(1, 290 - x)), data.draw(st.integers(1, 150 - y))
    part = synthesize(*model, 8, Region(x, y, width, height))
    assert np.array_equal(part, whole[y : y + height, x : x + width])


def test_threads_draw_the_same_tiles(wide):
    model, whole = wide
    assert np.array_equal(synthesize(*model, 8, n_threads=1), whole)
    assert np.array_equal(synthesize(*model, 8, n_threads=2), whole)
