"""splits/wavelet.py: the transform, its energy, its sizes, its fields and its bytes."""

import itertools
import subprocess
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
import pywt
from hypothesis import given, settings

from inr.errors import FormatError
from inr.format.wire import Reader, read_fields, write_fields
from inr.mlp.fields.fourier import Fourier
from inr.mlp.fields.protocol import n_weights
from inr.mlp.fields.siren import Siren
from inr.mlp.splits.protocol import Grid
from inr.mlp.splits.wavelet import Wavelet, known_wavelets, max_levels

TINY = [(1, 1), (2, 3), (1, 2), (1, 9), (17, 1), (5, 12), (13, 8)]


def picture(height, width, n_channels, seed=0):
    return np.random.default_rng(seed).random((height, width, n_channels))


def squares(bands):
    return sum(float((band**2).sum()) for band in bands)


def test_haar_of_a_hand_worked_grey_square():
    samples = np.array([[1.0, 0.75], [0.5, 0.25]])[..., None]  # minus 0.5: .5 .25 / 0 -.25
    low, details = Wavelet("haar").forward(samples)
    assert low.ravel() == pytest.approx([0.25])  # half the sum of all four
    # Half of: top minus bottom, left minus right, one diagonal minus the other.
    assert details.ravel() == pytest.approx([0.5, 0.25, 0.0])


def test_colours_of_a_hand_worked_flat_picture():
    flat = np.broadcast_to([0.8, 0.5, 0.2, 0.9], (2, 2, 4))  # RGB and alpha
    low, details = Wavelet("haar").forward(flat)
    # Twice (0.3, 0, -0.3, 0.4) along (1, 1, 1), (1, 0, -1) and (1, -2, 1); alpha as it is.
    assert low.ravel() == pytest.approx([0.0, 1.2 / np.sqrt(2), 0.0, 0.8])
    assert details.shape == (1, 1, 12)
    assert abs(details).max() < 1e-15


def test_grey_in_three_channels_has_no_colour():
    grey = np.repeat(picture(6, 6, 1), 3, axis=2)
    bands = Wavelet().forward(grey)
    alone = Wavelet().forward(grey[..., :1])
    assert bands[0][..., 0] == pytest.approx(np.sqrt(3) * alone[0][..., 0])
    assert abs(bands[0][..., 1:]).max() < 1e-14


def test_one_channel_beside_alpha_passes_through():
    both = picture(6, 7, 2)
    for c in range(2):
        for band, alone in zip(
            Wavelet().forward(both), Wavelet().forward(both[..., c : c + 1]), strict=True
        ):
            assert band[..., c::2] == pytest.approx(alone)


def analysis_matrix(n, taps):
    """coefficient[k] = sum over j of taps[j] * x[2k + 1 - j], x mirrored beyond its ends."""
    matrix = np.zeros(((n + len(taps) - 1) // 2, n))
    for k, (j, tap) in itertools.product(range(len(matrix)), enumerate(taps)):
        at = (2 * k + 1 - j) % (2 * n)
        matrix[k, at if at < n else 2 * n - 1 - at] += tap
    return matrix


@pytest.mark.parametrize(("height", "width"), [(7, 10), (2, 3), (1, 1)])
def test_bands_are_those_of_plain_matrices(height, width):
    samples = picture(height, width, 1)
    filters = pywt.Wavelet("db3")
    low_rows, high_rows = (analysis_matrix(height, f) for f in filters.filter_bank[:2])
    low_cols, high_cols = (analysis_matrix(width, f) for f in filters.filter_bank[:2])
    x = samples[..., 0] - 0.5
    low, details = Wavelet("db3").forward(samples)
    assert low[..., 0] == pytest.approx(low_rows @ x @ low_cols.T)
    horizontal, vertical, diagonal = np.moveaxis(details, 2, 0)
    assert horizontal == pytest.approx(high_rows @ x @ low_cols.T)
    assert vertical == pytest.approx(low_rows @ x @ high_cols.T)
    assert diagonal == pytest.approx(high_rows @ x @ high_cols.T)


@pytest.mark.parametrize("wavelet", ["db3", "haar", "bior4.4", "sym8"])
@settings(deadline=None, max_examples=60)
@given(st.data())
def test_pictures_come_back(wavelet, data):
    size = data.draw(st.one_of(st.sampled_from(TINY), st.tuples(*[st.integers(1, 40)] * 2)))
    n_channels = data.draw(st.integers(1, 4))
    split = Wavelet(wavelet, levels=data.draw(st.integers(1, max_levels(*size))))
    samples = picture(*size, n_channels)
    bands = split.forward(samples)
    assert [Grid(*band.shape) for band in bands] == list(split.grids(*size, n_channels))
    assert all(band.dtype == np.float64 for band in bands)
    back = split.inverse(bands, *size)
    assert back.shape == samples.shape
    assert abs(back - samples).max() < 1e-10


def test_every_wavelet_gives_the_picture_back():
    samples = picture(13, 20, 3)
    for name in known_wavelets():
        split = Wavelet(name, levels=2)
        error = abs(split.inverse(split.forward(samples), 13, 20) - samples).max()
        assert error < (0.02 if name == "dmey" else 1e-9), name  # dmey's filters are cut off
    assert len(known_wavelets()) > 100


def test_bands_of_float32_are_joined_in_float64():
    bands = [band.astype(np.float32) for band in Wavelet(levels=2).forward(picture(9, 6, 3))]
    assert Wavelet(levels=2).inverse(bands, 9, 6).dtype == np.float64


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_haar_keeps_the_squares_of_even_sides_exactly(levels):
    samples = picture(16, 24, 4)
    assert squares(Wavelet("haar", levels).forward(samples)) == pytest.approx(
        squares([samples - 0.5]), rel=1e-13
    )


@pytest.mark.parametrize("wavelet", ["haar", "db3", "sym8"])
def test_a_change_inside_keeps_its_squares_exactly(wavelet):
    split = Wavelet(wavelet, levels=2)
    before, after = picture(101, 120, 3), picture(101, 120, 3)
    # Two levels mirror nothing from 3 * (filter length - 1) = 45 samples off the edge.
    after[45:-45, 45:-45] = picture(11, 30, 3, seed=1)
    changes = [a - b for a, b in zip(split.forward(after), split.forward(before), strict=True)]
    assert squares(changes) == pytest.approx(squares([after - before]), rel=1e-12)


@pytest.mark.parametrize("wavelet", ["haar", "db3"])
@pytest.mark.parametrize("levels", [1, 2])
def test_squares_of_whole_pictures_differ_by_their_edges_only(wavelet, levels):
    samples = picture(64, 97, 3)
    picture_squares = squares([samples - 0.5])
    ratio = squares(Wavelet(wavelet, levels).forward(samples)) / picture_squares
    # At each end level 1 counts filter length - 2 samples a second time (haar: 1 of an odd side),
    # level 2 twice as many.
    twice = 2 * max(1, pywt.Wavelet(wavelet).dec_len - 2) * (2**levels - 1)
    assert 1 - 1e-12 < ratio < (1 + twice / 64) * (1 + twice / 97)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(["haar", "db3", "sym8"]), st.integers(1, 30), st.integers(1, 30), st.data())
def test_errors_of_bands_bound_those_of_the_picture(wavelet, height, width, data):
    split = Wavelet(wavelet, data.draw(st.integers(1, max_levels(height, width))))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    errors = [
        rng.normal(size=(grid.height, grid.width, grid.n_channels))
        for grid in split.grids(height, width, 3)
    ]
    drawn = split.inverse(errors, height, width) - 0.5
    assert squares([drawn]) <= squares(errors) * (1 + 1e-12)


def test_grids_of_a_wide_picture():
    # A side n has (n + 6 - 1) // 2 coefficients: 100 -> 52 -> 28 and 31 -> 18 -> 11.
    assert Wavelet("db3", levels=2).grids(31, 100, 3) == (
        Grid(11, 28, 3),
        Grid(11, 28, 9),
        Grid(18, 52, 9),
    )
    assert Wavelet("haar").grids(31, 100, 1) == (Grid(16, 50, 1), Grid(16, 50, 3))


@pytest.mark.parametrize(
    ("height", "width", "most"),
    [(1, 1, 1), (1, 5000, 1), (2, 3, 2), (7, 4, 3), (127, 127, 7), (128, 900, 8), (5000, 5000, 8)],
)
def test_the_shorter_side_limits_the_levels(height, width, most):
    assert max_levels(height, width) == most
    Wavelet("haar", levels=most).grids(height, width, 3)
    if most < 8:
        with pytest.raises(ValueError, match=rf"levels={most + 1} is too deep.*use levels={most}"):
            Wavelet("haar", levels=most + 1).grids(height, width, 3)


def test_forward_and_inverse_refuse_too_many_levels():
    message = r"levels=4 is too deep for a picture of 9x7 pixels; use levels=3 or less"
    split = Wavelet(levels=4)
    with pytest.raises(ValueError, match=message):
        split.forward(picture(7, 9, 3))
    with pytest.raises(ValueError, match=message):
        split.inverse([picture(7, 9, 3)] * 5, 7, 9)


def test_inverse_refuses_bands_of_another_picture():
    bands = Wavelet("haar").forward(picture(6, 8, 1))
    with pytest.raises(ValueError, match=r"expected \[\(4, 3, 1\), \(4, 3, 3\)\] from `forward`"):
        Wavelet("haar").inverse(bands, 8, 6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("db99",), r"wavelet='db99' is none of the \d+ known, such as db9, db\d"),
        (("morl",), "wavelet='morl' is none of"),  # continuous
        (("",), "wavelet='' is none of"),
        (("DB3",), "wavelet='DB3' is none of"),
        (("db3", 0), r"levels=0 is outside 1\.\.8"),
        (("db3", 9), r"levels=9 is outside 1\.\.8"),
        (("db3", 1, 0.0), r"low_share=0\.0 is outside"),
        (("db3", 1, 1.0), r"low_share=1\.0 is outside"),
        (("db3", 1, float("nan")), "low_share=nan is outside"),
    ],
)
def test_values_that_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Wavelet(*values)


def test_exact_bytes_of_a_wavelet():
    data = write_fields(Wavelet("db3", levels=2, low_share=0.75))
    assert data.hex() == "03 646233 02 0000403f".replace(" ", "")  # "db3", 2, 0.75
    assert read_fields(Wavelet, Wavelet.WIRE, Reader(data, "the test")) == Wavelet("db3", 2, 0.75)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("03 646239 01 0000403f", None),  # db9
        ("04 64623939 01 0000403f", "wavelet='db99' is not known"),
        ("04 6d6f726c 01 0000403f", "wavelet='morl' is not known"),
        ("00 01 0000403f", "wavelet='' is not known"),
        ("03 6462ff 01 0000403f", r"wavelet='db\\\\xff' is not known"),
        ("11 6462 01 0000403f", "wavelet has 17 characters, more than the 16 allowed"),
        ("03 6462", "cut short"),
        ("03 646233 00 0000403f", r"levels=0 is outside 1\.\.8"),
        ("03 646233 09 0000403f", r"levels=9 is outside 1\.\.8"),
        ("03 646233 01 0000803f", r"low_share=1\.0 is outside"),
        ("03 646233 01 0000c07f", "low_share=nan is outside"),
    ],
)
def test_wrong_bytes_of_a_wavelet(text, message):
    reader = Reader(bytes.fromhex(text), "the test")
    if message is None:
        assert read_fields(Wavelet, Wavelet.WIRE, reader) == Wavelet("db9", 1, 0.75)
        return
    with pytest.raises(FormatError, match=message):
        read_fields(Wavelet, Wavelet.WIRE, reader)


def test_widths_of_hand_worked_shares():
    net = Siren(hidden=64, n_layers=5, first_omega_0=22.5)
    # 64 * sqrt(.8) = 57.24, 64 * sqrt(.2) = 28.62
    assert Wavelet(low_share=0.8).fields(net, 3) == (
        Siren(hidden=57, n_layers=5, first_omega_0=22.5),
        Siren(hidden=29, n_layers=5, first_omega_0=22.5),
    )
    # 64 * sqrt(.5) = 45.25, and twice 64 * sqrt(.25) = 32
    widths = [part.hidden for part in Wavelet(levels=2, low_share=0.5).fields(net, 3)]
    assert widths == [45, 32, 32]


def test_no_field_is_narrower_than_4():
    fields = Wavelet(levels=8, low_share=0.9).fields(Fourier(hidden=5), 3)
    assert [part.hidden for part in fields] == [5, *[4] * 8]


@given(st.integers(24, 300), st.integers(1, 3), st.floats(0.2, 0.9), st.integers(1, 4))
def test_the_fields_have_about_as_many_weights_as_one(hidden, levels, low_share, n_channels):
    net = Siren(hidden=hidden)
    split = Wavelet(levels=levels, low_share=low_share)
    fields = split.fields(net, n_channels)
    channels = [n_channels, *[3 * n_channels] * levels]
    together = sum(n_weights(f.shapes(c)) for f, c in zip(fields, channels, strict=True))
    # Rounded widths, and the first and last layers, which grow with the width, not its square.
    assert 0.9 < together / n_weights(net.shapes(n_channels)) < 1 + 10 / hidden + 0.1


@given(st.integers(1, 4096), st.integers(1, 8), st.floats(1 / 64, 63 / 64))
def test_a_read_wavelet_derives_the_same_widths(hidden, levels, low_share):
    written = Wavelet("db3", levels, low_share)
    reader = Reader(write_fields(written), "the test")
    read = read_fields(Wavelet, Wavelet.WIRE, reader)
    assert read.fields(Siren(hidden=hidden), 3) == written.fields(Siren(hidden=hidden), 3)


def test_pywavelets_is_loaded_only_when_asked():
    code = "import sys, inr.mlp.splits.wavelet; assert 'pywt' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
