"""coords.py: where pixels lie."""

import jax.numpy as jnp
import numpy as np
import pytest

from inr.image import coords


def test_hand_worked_centres():
    assert coords.axis(4, 0, 4).tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert coords.axis(2, 0, 2).tolist() == [-0.5, 0.5]
    assert coords.axis(1, 0, 1).tolist() == [0]
    assert np.allclose(coords.axis(3, 0, 3), [-2 / 3, 0, 2 / 3], atol=1e-7)  # float32


def test_a_part_of_an_axis_holds_the_same_numbers():
    whole = coords.axis(999, 0, 999)
    assert np.array_equal(coords.axis(999, 123, 456), whole[123:456])
    assert coords.axis(999, 5, 5).shape == (0,)
    assert whole.dtype == np.float32


def test_pixels_beyond_the_edge_go_on():
    assert coords.axis(2, -1, 4).tolist() == [-1.5, -0.5, 0.5, 1.5, 2.5]


@pytest.mark.parametrize("n_pixels", [1, 2, 7, 768, 1 << 20])
def test_axes_are_symmetric_and_end_half_a_pixel_inside(n_pixels):
    axis = coords.axis(n_pixels, 0, n_pixels)
    assert np.array_equal(axis, -axis[::-1])
    assert axis[0] == np.float32(1 / n_pixels - 1)
    if n_pixels > 1:
        assert (np.diff(axis) > 0).all()  # neighbours stay apart, even 2**20 of them


def test_three_times_the_size_keeps_every_centre():
    # The middle one of three new pixels; float32 of the same fraction.
    assert np.allclose(coords.axis(15, 1, 15)[::3], coords.axis(5, 0, 5), atol=1e-7)


def test_twice_the_size_puts_the_old_centre_between_two_new_ones():
    fine, coarse = coords.axis(10, 0, 10), coords.axis(5, 0, 5)
    assert np.allclose((fine[::2] + fine[1::2]) / 2, coarse, atol=1e-7)  # float32


def test_grid_runs_row_by_row():
    points = coords.grid(np.array([1, 2], np.float32), np.array([5, 6, 7], np.float32))
    assert points.tolist() == [[1, 5], [1, 6], [1, 7], [2, 5], [2, 6], [2, 7]]
    assert points.dtype == np.float32
    assert coords.grid(np.zeros(0, np.float32), np.zeros(3, np.float32)).shape == (0, 2)


def test_the_same_centres_in_jax():
    pixels = jnp.arange(768, dtype=jnp.float32)
    fitted = coords.centre(pixels, jnp.float32(768))
    # The fit works in float32 throughout, the decoder rounds once at the end.
    assert np.allclose(fitted, coords.axis(768, 0, 768), atol=1.5e-7)
