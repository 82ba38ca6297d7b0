"""render.py: any part, any size, any number of threads draw the same function."""

import numpy as np
import pytest
from contracts.methods import FIELDS

from inr.image import coords
from inr.image.region import Region
from inr.mlp.decode import draw_signal, render
from inr.mlp.fields.siren import Siren

FULL = ((0, 255),) * 3
HEIGHT, WIDTH = 137, 301  # odd, several tiles of 64 or fewer rows and 128 columns


def fresh(net, n_channels=3):
    return net.init(np.random.default_rng(0), n_channels)


def drawn(net, params, height, width, ranges=FULL, bit_depth=8, **options):
    return render(net, params, ranges, bit_depth, height=height, width=width, **options)


@pytest.mark.parametrize("net", [*FIELDS, Siren(hidden=70, n_layers=2)])
def test_a_region_holds_exactly_the_pixels_of_the_whole(net):
    params = fresh(net)
    rng = np.random.default_rng(1)
    whole = drawn(net, params, HEIGHT, WIDTH)
    assert whole.shape == (HEIGHT, WIDTH, 3)
    for _ in range(8):
        x, y = int(rng.integers(0, WIDTH)), int(rng.integers(0, HEIGHT))
        region = Region(
            x, y, int(rng.integers(1, WIDTH - x + 1)), int(rng.integers(1, HEIGHT - y + 1))
        )
        part = drawn(net, params, HEIGHT, WIDTH, region=region)
        crop = whole[y : y + region.height, x : x + region.width]
        assert np.array_equal(part, crop)


@pytest.mark.parametrize("size", [(40, 30), (1, 1), (200, 129), (1, 400), (400, 1)])
def test_a_region_of_another_size_is_a_crop_of_that_size(size):
    net = FIELDS[1]
    params, (height, width) = fresh(net), size
    whole = drawn(net, params, height, width)
    for x, y, w, h in [(width - 1, height - 1, 1, 1), (0, 0, width, height), (width // 3, 0, 1, 1)]:
        part = drawn(net, params, height, width, region=Region(x, y, w, h))
        assert np.array_equal(part, whole[y : y + h, x : x + w])


def test_a_region_of_a_huge_picture_needs_little_memory():
    net = FIELDS[0]
    region = Region(1_048_570, 1_048_571, 6, 5)
    assert drawn(net, fresh(net), 1 << 20, 1 << 20, region=region).shape == (5, 6, 3)


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_the_number_of_threads_changes_nothing(bit_depth):
    net = Siren(hidden=33, n_layers=3)
    params, ranges = fresh(net), ((0, 2**bit_depth - 1),) * 3
    one, two = (drawn(net, params, HEIGHT, WIDTH, ranges, bit_depth, n_threads=n) for n in (1, 2))
    assert np.array_equal(one, two)
    assert one.dtype == {8: np.uint8, 16: np.uint16}[bit_depth]
    assert one.std() > 0


@pytest.mark.parametrize("net", FIELDS)
@pytest.mark.parametrize("factor", [1, 2])
def test_pixels_are_the_function_at_their_centres(net, factor):
    params, height, width = fresh(net), 45 * factor, 31 * factor
    points = coords.grid(coords.axis(height, 0, height), coords.axis(width, 0, width))
    signal = net.evaluate(params, points).astype(np.float64)
    samples = np.clip((signal + 1) * 127.5, 0, 255).reshape(height, width, 3)
    # Half a level of rounding; BLAS sums in another order for another shape, 1e-4 of signal.
    assert np.abs(drawn(net, params, height, width) - samples).max() <= 0.5 + 127.5e-4


@pytest.mark.parametrize("net", FIELDS)
def test_the_signal_is_what_pixels_are_rounded_from(net):
    params = fresh(net)
    signal = draw_signal(net, params, 3, height=HEIGHT, width=WIDTH)
    assert (signal.shape, signal.dtype) == ((HEIGHT, WIDTH, 3), np.float32)
    samples = np.rint((signal + 1) * np.float32(127.5))  # the same tiles, so bit for bit the same
    expected = np.clip(samples, 0, 255).astype(np.uint8)
    assert np.array_equal(drawn(net, params, HEIGHT, WIDTH), expected)


class PlaceInTile:
    """A field that tells points of one tile apart, as a BLAS might that sums by place."""

    hidden = n_layers = 1

    def evaluate(self, params, points):
        return np.linspace(-1, 1, len(points), dtype=np.float32)[:, None]


def test_a_region_is_drawn_from_the_tiles_of_the_whole():
    ranges = ((0, 65535),)
    whole = drawn(PlaceInTile(), {}, HEIGHT, WIDTH, ranges, 16)
    for x, y in [(1, 0), (0, 1), (127, 63), (128, 64), (290, 130)]:
        region = Region(x, y, 11, 7)
        part = drawn(PlaceInTile(), {}, HEIGHT, WIDTH, ranges, 16, region=region)
        assert np.array_equal(part, whole[y : y + 7, x : x + 11])


class Ramp:
    """A field that is its column coordinate times a factor, in every channel."""

    hidden = n_layers = 1

    def __init__(self, factor):
        self.factor = factor

    def evaluate(self, params, points):
        return self.factor * np.repeat(points[:, 1:], 2, axis=1)


def test_hand_worked_ramp_in_its_ranges():
    pixels = drawn(Ramp(1), {}, 1, 4, ranges=((0, 200), (100, 108)))
    # -0.75, -0.25, 0.25, 0.75 of 100 +- 100 and of 104 +- 4
    assert pixels[0].tolist() == [[25, 101], [75, 103], [125, 105], [175, 107]]


def test_samples_beyond_the_range_are_clipped():
    pixels = drawn(Ramp(1000), {}, 1, 4, ranges=((10, 200), (7, 7)))
    assert pixels[0].tolist() == [[10, 7], [10, 7], [200, 7], [200, 7]]


def test_16_bit_ranges():
    pixels = drawn(Ramp(1000), {}, 1, 2, ranges=((1, 65535), (40000, 40001)), bit_depth=16)
    assert pixels[0].tolist() == [[1, 40000], [65535, 40001]]


def test_a_constant_channel_is_exact():
    net = FIELDS[1]
    ranges = ((0, 255), (77, 77), (255, 255))
    pixels = drawn(net, fresh(net), 50, 60, ranges)
    assert (pixels[..., 1] == 77).all()
    assert (pixels[..., 2] == 255).all()
    assert pixels[..., 0].std() > 0


@pytest.mark.parametrize("net", FIELDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_weights_that_are_no_numbers_raise_nothing(net, value):
    params = {name: np.full_like(w, value) for name, w in fresh(net).items()}
    pixels = drawn(net, params, 40, 140, ((5, 9),) * 3)  # two tiles
    assert pixels.min() >= 5
    assert pixels.max() <= 9
