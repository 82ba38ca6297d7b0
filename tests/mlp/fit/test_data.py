"""fit_data.py: batches, slices, blocks, and the shuffled pixels that they read."""

import dataclasses

import jax
import numpy as np
import pytest
from helpers.tiny_fits import smooth

from inr.mlp.fields.joint import FieldPart, FieldSet
from inr.mlp.fields.siren import Siren
from inr.mlp.fit.data import batch_pixels, block_steps, shuffle, signal_of, slices_of
from inr.mlp.fit.problem import Signal
from inr.mlp.fit.settings import FitSettings


def signal(height=5, width=7, n_channels=3, **changes):
    pixels = smooth(height, width, n_channels)
    ranges = tuple((int(c.min()), int(c.max())) for c in np.moveaxis(pixels, -1, 0))
    made = Signal(pixels.reshape(-1, n_channels), height, width, ranges, peak=255.0)
    return dataclasses.replace(made, **changes)


def batch_of(*signals, batch=None):
    field_set = FieldSet(tuple(FieldPart(Siren(64), 3) for _ in signals))
    return batch_pixels(FitSettings(batch=batch), field_set, signals)


# ---------------------------------------------------------------- sizes


def test_hand_worked_batches():
    assert batch_of(signal(10, 10), batch=30) == (30,)
    assert batch_of(signal(10, 10), batch=1000) == (100,)  # not more than there are
    assert batch_of(signal(10, 10), signal(10, 30), batch=40) == (10, 30)  # by their sizes
    assert batch_of(signal(1, 1), signal(40, 40), batch=10) == (1, 10)  # each has one at least
    assert batch_of(signal(10, 10)) == (100,)
    assert sum(batch_of(signal(400, 300), signal(400, 300))) < 120_000  # slices fit the cache


def test_hand_worked_slices():
    assert slices_of((8192,)) == ((8192,), 1)
    assert slices_of((12288,)) == ((6144,), 2)
    assert slices_of((16385,)) == ((16385,), 1)  # an odd batch stays in one piece
    assert slices_of((8000, 4000)) == ((4000, 2000), 2)
    assert slices_of((8000, 4001)) == ((8000, 4001), 1)


@pytest.mark.parametrize(
    ("n_weights", "batch", "n_last", "expected"),
    [
        (100, 1000, 1000, 200),  # small: as many as may be
        (100, 1000, 100, 25),  # four blocks round, for corrections of the size
        (100, 1000, 7, 1),
        (100, 1000, 1, 1),
        (20_000, 12_288, 1000, 67),  # 1e11 / (6 * 20000 * 12288) = 67.8
        (10**7, 12_288, 1000, 1),
    ],
)
def test_hand_worked_blocks(n_weights, batch, n_last, expected):
    assert block_steps(n_weights, batch, n_last) == expected


# ---------------------------------------------------------------- shuffled pixels


def test_every_pixel_stands_once_and_the_head_again_at_the_end():
    one = signal()
    data = shuffle(one, 10, seed=3)
    position = np.asarray(data.position)
    assert position.shape == (35 + 10,)
    assert sorted(position[:35]) == list(range(35))
    np.testing.assert_array_equal(position[35:], position[:10])
    np.testing.assert_array_equal(np.asarray(data.samples), one.samples[position])
    assert np.asarray(data.size).tolist() == [5, 7]


def test_the_order_is_that_of_the_seed():
    first, same, other = (shuffle(signal(), 10, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.position, same.position)
    assert not np.array_equal(first.position, other.position)


def test_any_batch_is_a_run_of_the_shuffled_pixels():
    """A batch that goes over the end continues with the first pixels, as steps * n % size does."""
    data, batch = shuffle(signal(), 10, seed=0), 10
    position = np.asarray(data.position)
    seen = np.zeros(35, int)
    for step in range(7):  # 70 pixels: twice the picture
        start = step * batch % 35
        seen[position[start : start + batch]] += 1
    assert (seen == 2).all()


def test_hand_worked_signal_and_weights():
    samples = np.array([[10, 7], [60, 7], [110, 7]], np.uint8)
    one = Signal(samples, 1, 3, ((10, 110), (7, 7)), peak=200.0, share=0.25)
    data = shuffle(one, 1, seed=0)
    in_order = np.argsort(np.asarray(data.position)[:3])
    values = np.asarray(signal_of(data.samples, data.low, data.span))[:3][in_order]
    assert values.tolist() == [[-1, 0], [0, 0], [1, 0]]  # a constant channel becomes 0
    # The error of a channel counts as its span does in the peak, squared, times the share.
    np.testing.assert_allclose(np.asarray(data.weight), [0.25 * 0.5**2, 0])
    assert float(data.peak) == 200


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_samples_keep_their_type(dtype):
    one = signal()
    data = shuffle(dataclasses.replace(one, samples=one.samples.astype(dtype)), 4, seed=0)
    assert data.samples.dtype == dtype
    values = jax.jit(signal_of)(data.samples, data.low, data.span)
    assert values.dtype == np.float32
    assert float(np.abs(values).max()) == 1
