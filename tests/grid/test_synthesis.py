"""The same bits from tiles, threads and Python's fractions."""

import numpy as np
import pytest
from helpers import grid_loops
from helpers.grid_models import SMALL, SMALL_WITH_RATE, moderate, with_fractions, zeros
from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_hand_worked_endless_upsampling():
    pyramid = Pyramid(1, 8, 1, Structure(prior=2, first_level=1, hidden=1))
    params = zeros(pyramid)
    params["up0"] = np.array([0, 0.5, 0.5, 0])  # means of this and the last, or this and the next
    params["synth_linear"][:] = 1 / 4
    latents = [np.zeros((level.height, level.width), np.int32) for level in pyramid.levels]
    latents[0][:] = 32  # a single one, which counts 1 everywhere: a quarter of the range
    latents[-1][:] = [[0, 4, 0, 4]]  # which count 2
    samples = synthesize(latents, params, pyramid, 8)
    quarters = 1 + np.array([0, 1, 1, 1, 1, 1, 1, 2])
    assert samples[0, :, 0].tolist() == np.floor(quarters * 255 / 4 + 0.5).tolist()


def test_hand_worked_endless_edges():
    """Colours beyond the picture are no copies of its edge, but follow from latents that are."""
    pyramid = Pyramid(1, 3, 1, Structure(prior=2, hidden=1))
    params = zeros(pyramid)
    params["synth_linear"][0, -1] = 1 / 16
    params["conv_w0"][0, 3] = 1  # the pixel to the left is added: 1, 1 + 2, 2 + 4 after a 1 + 1
    params["conv_w1"][0, 5] = 1  # then that to the right, beyond the picture 4 + 4
    latents = [np.zeros((level.height, level.width), np.int32) for level in pyramid.levels]
    latents[-1][:] = [[1, 2, 4]]
    samples = synthesize(latents, params, pyramid, 8)[0, :, 0]
    assert samples.tolist() == np.floor(np.array([5, 9, 14]) * 255 / 16 + 0.5).tolist()


def test_hand_worked_context_of_hyper_levels_is_not_drawn():
    pyramid = Pyramid(4, 4, 1, Structure(prior=2, n_hyper=6, hidden=1))
    params = zeros(pyramid)
    params["synth_linear"][:] = 1
    latents = [
        np.full((level.height, level.width), 100 if level.is_hyper else 0, np.int32)
        for level in pyramid.levels
    ]
    assert not synthesize(latents, params, pyramid, 8).any()


STRUCTURES = [
    SMALL,
    SMALL_WITH_RATE,
    Structure(prior=2, hidden=2, first_level=2, n_hyper=3, rate=9),
    Structure(prior=3, hidden=5, rate=40),
]


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("size", [(1, 1), (5, 30), (26, 3)])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_fractions_draw_the_same(size, bit_depth, structure):
    latents, params, pyramid = moderate(*size, structure=structure)
    samples = synthesize(latents, params, pyramid, bit_depth)
    assert samples.std() > 0
    assert np.array_equal(samples, with_fractions(latents, params, pyramid, bit_depth))


@pytest.mark.parametrize("n_channels", [1, 2, 4])
def test_fractions_draw_the_same_of_other_channels(n_channels):
    latents, params, pyramid = moderate(5, 9, n_channels, structure=SMALL_WITH_RATE)
    samples = synthesize(latents, params, pyramid, 16)
    assert np.array_equal(samples, with_fractions(latents, params, pyramid, 16))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_float_model_is_within_a_level(structure):
    latents, params, pyramid = moderate(150, 75, structure=structure)
    signal = grid_loops.colours(latents, params, pyramid)
    samples = synthesize(latents, params, pyramid, 8)
    assert samples.std() > 20
    difference = np.abs(np.clip(signal, 0, 1).transpose(1, 2, 0) * 255 - samples)
    # Half a level, and features rounded to 2**-10 in each octave.
    assert difference.max() <= 0.8


@pytest.fixture(scope="module", params=[Structure(hidden=8), Structure(prior=2, hidden=8)])
def wide(request):
    """A picture of 2 x 3 tiles."""
    model = moderate(150, 290, structure=request.param)
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
