"""resample.py: cubic resampling against hand-worked taps, Pillow, and itself in parts."""

import tracemalloc

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image

from inr.image import coords
from inr.image.region import Region
from inr.image.resample import resample

SIDES = st.integers(1, 24)


def picture(height, width, n_channels=3, dtype=np.float64):
    return np.random.default_rng(0).random((height, width, n_channels)).astype(dtype)


def impulse(n_pixels, at, value):
    row = np.zeros((1, n_pixels, 1))
    row[0, at] = value
    return row


def test_doubling_draws_the_taps_of_keys():
    # Keys at distances 1/4, 3/4, 5/4 and 7/4: 111, 29, -9 and -3 parts of 128.
    doubled = resample(impulse(7, 3, 128.0), 1, 14)
    assert doubled.ravel().tolist() == [0, 0, 0, -3, -9, 29, 111, 111, 29, -9, -3, 0, 0, 0]


def test_doubling_leaves_out_taps_beyond_the_edge():
    # Output 0 lies at -1/4: -3 and 29 fall outside, 111 and -9 are left, 102 in all.
    assert resample(impulse(7, 0, 102.0), 1, 14).ravel()[0] == pytest.approx(111)
    assert resample(impulse(7, 1, 102.0), 1, 14).ravel()[0] == pytest.approx(-9)


def test_halving_widens_the_kernel():
    # The same taps in 256 parts at twice the distance: output i lies at 2 i + 1/2, so that sample
    # 8 is 7/2, 3/2, 1/2 and 5/2 away from outputs 2 to 5.
    halved = resample(impulse(16, 8, 256.0), 1, 8)
    assert halved.ravel().tolist() == [0, 0, -3, 29, 111, -9, 0, 0]


def test_columns_and_rows_are_treated_alike():
    image = picture(9, 14)
    turned = resample(image.transpose(1, 0, 2), 20, 5).transpose(1, 0, 2)
    assert resample(image, 5, 20) == pytest.approx(turned, abs=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_own_size_changes_nothing(dtype):
    image = picture(5, 8, dtype=dtype)
    same = resample(image, 5, 8)
    assert same.dtype == dtype
    assert same.tobytes() == image.tobytes()
    part = resample(image, 5, 8, Region(2, 1, 3, 4))
    assert part.tobytes() == image[1:5, 2:5].tobytes()


@settings(deadline=None, max_examples=50)
@given(SIDES, SIDES, SIDES, SIDES)
def test_pillow_draws_the_same(h, w, height, width):
    image = picture(h, w, 1, np.float32)
    expected = Image.fromarray(image[..., 0]).resize((width, height), Image.Resampling.BICUBIC)
    # Pillow rounds to float32 between columns and rows, we at every tap.
    assert resample(image, height, width)[..., 0] == pytest.approx(np.asarray(expected), abs=5e-6)


@settings(deadline=None, max_examples=50)
@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from([np.float32, np.float64]), st.data())
def test_a_region_is_bit_for_bit_the_crop(h, w, height, width, dtype, data):
    image = picture(h, w, dtype=dtype)
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    part = Region(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    crop = resample(image, height, width)[y : y + part.height, x : x + part.width]
    drawn = resample(image, height, width, part)
    assert drawn.dtype == dtype
    assert drawn.tobytes() == crop.tobytes()


def test_a_region_of_a_picture_of_many_blocks_is_the_crop():
    image = picture(90, 70, dtype=np.float32)
    whole = resample(image, 411, 397)  # blocks of 55 rows
    part = resample(image, 411, 397, Region(5, 100, 3, 250))  # one block
    assert part.tobytes() == whole[100:350, 5:8].tobytes()


def test_a_ramp_over_the_coordinates_stays_one():
    small = coords.axis(16, 0, 16).astype(np.float64)[None, :, None]
    large = resample(small, 1, 40)
    # Cubic convolution keeps straight lines where no tap is missing; coords.py rounds to float32.
    assert large.ravel()[5:-5] == pytest.approx(coords.axis(40, 5, 35), abs=1e-7)


@given(SIDES, SIDES, st.integers(1, 60), st.integers(1, 60))
def test_flat_pictures_stay_flat(h, w, height, width):
    flat = np.full((h, w, 2), 0.7)
    assert abs(resample(flat, height, width) - 0.7).max() < 1e-14


def test_shrinking_does_not_alias():
    stripes = np.zeros((1, 512, 1))
    stripes[:, ::2] = 1
    assert abs(resample(stripes, 1, 50)[:, 2:-2] - 0.5).max() < 2e-3


@pytest.mark.parametrize(("height", "width"), [(1200, 1600), (40, 1600)])
def test_memory_is_a_few_times_the_output(height, width):
    image = picture(50, 64)
    tracemalloc.start()
    out = resample(image, height, width)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < out.nbytes * 1.5 + 4e6


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((2, 2, 3), np.uint8), r"image of uint8 \[2, 2, 3\]: expected float32 or"),
        (np.zeros((2, 2)), r"image of float64 \[2, 2\]: expected"),
        (np.zeros((2, 0, 3)), "not empty"),
    ],
)
def test_images_that_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        resample(image, 4, 4)


def test_sizes_and_regions_that_are_refused():
    image = picture(4, 4)
    with pytest.raises(ValueError, match="does not lie inside the picture of 5x0 pixels"):
        resample(image, 0, 5)
    for region in [Region(-1, 0, 2, 2), Region(0, 4, 2, 3), Region(5, 0, 2, 2), Region(0, 0, 0, 2)]:
        with pytest.raises(ValueError, match="does not lie inside the picture of 6x6 pixels"):
            resample(image, 6, 6, region)
