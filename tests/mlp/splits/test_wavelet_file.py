"""Wavelet bands from the picture to bytes and back: one field a group, inverted, then resampled."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.built_files import built_file, stages_of
from helpers.tiny_fits import fitted, smooth, tiny

import inr
from inr.errors import FormatError
from inr.format.container import SECTION_BANDS, pack, unpack
from inr.image.read import from_array
from inr.kinds import open_file
from inr.mlp.encode import prepare
from inr.mlp.fields.siren import Siren
from inr.mlp.file import PictureInfo, write_file
from inr.mlp.fit.data import shuffle
from inr.mlp.fit.program import MlpProgram
from inr.mlp.quantize.uniform import pack_steps, wire_step
from inr.mlp.splits.wavelet import Wavelet
from inr.mlp.tags import read_stages, write_stages
from inr.options import Job
from inr.settings import with_settings

SHAPES = [(37, 22, 3), (22, 37, 1), (9, 5, 4), (3, 50, 2)]
WAVELETS = [Wavelet(), Wavelet(wavelet="haar"), Wavelet(wavelet="bior2.2", levels=2)]


def noise(height, width, n_channels, bit_depth=8):
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    rng = np.random.default_rng(0)
    return rng.integers(100, 2**bit_depth - 50, (height, width, n_channels), dtype=dtype)


def recipe(**settings):
    return with_settings(
        inr.recipes.siren_wavelet(),
        {"fit.steps": "0", "field.hidden": "6", "field.n_layers": "1"} | settings,
    )


def with_bands(data, payload):
    header, sections = unpack(data)
    sections.pop(SECTION_BANDS, None)
    return pack(header, sections if payload is None else sections | {SECTION_BANDS: payload})


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("levels", ["1", "2"])
def test_pictures_of_every_kind_come_back(shape, bit_depth, levels):
    picture = noise(*shape, bit_depth)
    data = inr.encode(picture, recipe(**{"split.levels": levels}))
    assert open_file(data).content.stages.split.levels == int(levels)
    decoded = inr.decode(data)
    assert decoded.dtype == picture.dtype
    samples = decoded.reshape(picture.shape)
    low, high = picture.min((0, 1)), picture.max((0, 1))
    assert np.all((samples >= low) & (samples <= high))  # each channel keeps to its own range


@pytest.mark.slow  # a compilation each
@pytest.mark.parametrize(("shape", "dtype"), [((33, 26, 3), np.uint8), ((26, 31, 1), np.uint16)])
def test_bands_are_learned(shape, dtype):
    picture = smooth(*shape).astype(dtype) * (1 if dtype is np.uint8 else 257)
    settings = {"split": "wavelet", "fit.steps": "240", "fit.rounding": "0.05"}
    encoded = fitted(picture, settings)
    mean_db = inr.image.metrics.psnr_db(
        picture, np.broadcast_to(np.rint(picture.mean((0, 1))).astype(dtype), picture.shape)
    )
    assert encoded.psnr_db > mean_db + 8
    assert encoded.psnr_db == inr.image.metrics.psnr_db(
        picture, inr.decode(encoded.data).reshape(picture.shape)
    )


def test_constant_channels_come_back_exactly():
    picture = noise(12, 9, 4)
    picture[..., 1], picture[..., 3] = 77, 1  # nearly transparent: colours under 0 are forgotten
    decoded = inr.decode(inr.encode(picture, recipe()))
    assert (decoded[..., 1] == 77).all()
    assert (decoded[..., 3] == 1).all()


def test_too_many_levels_for_a_picture_are_refused_before_the_fit():
    with pytest.raises(ValueError, match="levels=4 is too deep for a picture of 5x40 pixels"):
        inr.encode(noise(40, 5, 3), recipe(**{"split.levels": "4"}))


# ---------------------------------------------------------------- what is fitted


@pytest.mark.parametrize("n_channels", [1, 4])
def test_the_loss_of_bands_is_that_of_the_picture(n_channels):
    """Fields of zeros draw grey. For haar and even sides the transform is orthonormal, so that
    the loss has to be the mean squared error of grey."""
    picture = noise(16, 24, n_channels)
    settings = {"split": "wavelet", "split.wavelet": "haar", "split.levels": "2"}
    prepared = prepare(Job(from_array(picture), tiny(settings)))
    program = MlpProgram([prepared.problem], tiny(settings).fit)
    zeros = {name: jnp.zeros(shape) for name, shape in program.shapes.items()}
    sizes = tuple(signal.height * signal.width for signal in prepared.problem.signals)
    data = tuple(
        shuffle(signal, n, 0) for signal, n in zip(prepared.problem.signals, sizes, strict=True)
    )
    error = jax.jit(program.stepper.error, static_argnums=3)
    loss = error(zeros, data, jnp.zeros(3, jnp.int32), sizes)
    expected = np.mean((picture / 255 - 0.5) ** 2)
    assert float(loss) == pytest.approx(expected, rel=1e-5)  # sums in float32


def test_signals_span_minus_one_to_one():
    picture = noise(21, 18, 3)
    prepared = prepare(Job(from_array(picture), tiny({"split": "wavelet"})))
    for signal, peaks in zip(prepared.problem.signals, prepared.info.band_peaks, strict=True):
        largest = np.abs(signal.samples).max(0)
        # The file holds peaks with 8 significant bits.
        np.testing.assert_allclose(largest, peaks, rtol=2**-8)
        assert signal.ranges == tuple((-peak, peak) for peak in peaks)
        assert not signal.has_alpha


def test_bands_without_any_detail_have_a_peak_all_the_same():
    picture = np.repeat(noise(8, 1, 1), 8, axis=1)  # horizontal stripes: no vertical edges
    settings = {"split": "wavelet", "split.wavelet": "haar"}
    prepared = prepare(Job(from_array(picture), tiny(settings)))
    details = prepared.info.band_peaks[1]
    assert sorted(details)[1:] == [1.0, 1.0]  # of three bands two are zero
    assert details.count(1.0) == 2


# ---------------------------------------------------------------- drawing


def test_hand_worked_drawing_of_a_flat_band():
    """Grey, haar: an approximation of 0.5 * 0.75 everywhere is a picture of 0.5 + 0.375 / 2."""
    stages = stages_of(Wavelet(wavelet="haar"), Siren(hidden=4, n_layers=1))
    field_set = stages.field_set(6, 4, 1)
    codes = {name: np.zeros(shape, np.int32) for name, shape in field_set.shapes().items()}
    codes["0/b1"][:] = 3
    qparams = {name: np.float32(0.25) for name in codes}  # the field is 0.75
    peaks = ((0.5,), (1.0, 1.0, 1.0))
    info = PictureInfo(6, 4, 1, 16, ((0, 65535),), None, peaks)
    drawn = inr.decode(write_file(info, stages, codes, qparams))
    assert (drawn == round(0.6875 * 65535)).all()
    # Half the vertical detail on top: the rows of each pair differ by it.
    codes["1/b1"][0] = 2
    drawn = inr.decode(write_file(info, stages, codes, qparams)).astype(int)
    up, down = drawn[0::2], drawn[1::2]
    assert (up + down == 2 * drawn.mean()).all()
    assert np.abs(up - down).max() == pytest.approx(0.5 * 65535, abs=1)  # 2 * 0.5 / 2


@pytest.mark.parametrize("split", WAVELETS, ids=repr)
@pytest.mark.parametrize("n_channels", [1, 3, 4])
@pytest.mark.parametrize("how", [{}, {"scale": 3}, {"scale": 0.6}, {"size": (50, 90)}])
def test_a_region_holds_the_pixels_of_a_crop(split, n_channels, how):
    data = built_file(stages_of(split), height=37, width=22, n_channels=n_channels, peak=1.0)
    whole = inr.decode(data, **how)
    assert whole.std() > 3  # there is something to see
    height, width = whole.shape[:2]
    rng = np.random.default_rng(0)
    for _ in range(4):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        w, h = int(rng.integers(1, width - x + 1)), int(rng.integers(1, height - y + 1))
        part = inr.decode(data, region=(x, y, w, h), **how)
        np.testing.assert_array_equal(part, whole[y : y + h, x : x + w])


def test_sizes_and_scales_agree():
    data = built_file(stages_of(Wavelet()), height=37, width=22, bit_depth=16)
    np.testing.assert_array_equal(inr.decode(data, scale=2), inr.decode(data, size=(44, 74)))
    np.testing.assert_array_equal(inr.decode(data), inr.decode(data, size=(22, 37)))
    assert inr.decode(data, scale=1e-3).shape == (1, 1, 3)


def test_a_picture_drawn_larger_looks_the_same():
    net = Siren(hidden=6, n_layers=1, first_omega_0=4)
    built = built_file(stages_of(Wavelet(), net), height=24, width=36)
    data = with_bands(built, pack_steps([wire_step(0.7)] * 3 + [wire_step(0.01)] * 9))
    fine = inr.decode(data, scale=4).astype(float).reshape(24, 4, 36, 4, 3).mean((1, 3))
    drawn = inr.decode(data)
    assert drawn.std() > 10
    assert np.abs(fine - drawn).mean() < 0.35  # rounding alone makes 0.25; half a pixel off 0.57


# ---------------------------------------------------------------- damaged files


@pytest.fixture(scope="module")
def data():
    return built_file(stages_of(Wavelet()), height=21, width=18)


def test_the_bands_section_holds_one_peak_a_band_and_channel(data):
    _, sections = unpack(data)
    assert len(sections[SECTION_BANDS]) == 2 * (3 + 9)
    assert open_file(data).content.info().band_peaks == ((0.5,) * 3, (0.5,) * 9)
    step = wire_step(0.7)
    _, sections = unpack(built_file(stages_of(Wavelet(levels=2)), n_channels=1, peak=0.7))
    assert len(sections[SECTION_BANDS]) == 2 * (1 + 3 + 3)
    other = open_file(built_file(stages_of(Wavelet()), n_channels=1, peak=0.7)).content
    assert other.info().band_peaks == ((step,), (step,) * 3)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (None, "section of bands does not go with the split"),
        (b"", "the bands section is cut short at byte 0: 2 bytes expected, 0 left"),
        (b"\x00\x3f" * 11 + b"\x00", "the bands section is cut short at byte 22"),
        (b"\x00\x3f" * 13, "the bands section has 2 bytes too many"),
        (b"\x00\x3f" * 11 + b"\x00\x00", r"q_step=0.0 is outside 0\.\."),
        (b"\x00\xbf" + b"\x00\x3f" * 11, r"q_step=-0.5 is outside 0\.\."),
        (b"\xc0\x7f" + b"\x00\x3f" * 11, r"q_step=nan is outside 0\.\."),
    ],
)
def test_damaged_bands_are_refused(data, payload, message):
    with pytest.raises(FormatError, match=message):
        inr.decode(with_bands(data, payload))


def test_a_file_without_a_split_has_no_bands():
    whole = built_file(stages_of())
    with pytest.raises(FormatError, match="section of bands does not go with the split"):
        inr.decode(with_bands(whole, b"\x00\x3f" * 12))


def test_peaks_of_any_size_draw_something(data):
    huge = with_bands(data, b"\x7f\x6f" * 12)  # 2**96, nearly: what is no number is clipped
    with np.errstate(all="raise"):
        assert inr.decode(huge).shape == (21, 18, 3)


def test_levels_too_deep_for_the_header_are_a_format_error(data):
    header, sections = unpack(data)
    small = pack(dataclasses.replace(header, height=2, width=2), sections)
    stages = read_stages(header.stages)
    deep = dataclasses.replace(stages, split=Wavelet(levels=3))
    with pytest.raises(FormatError, match="levels=3 is too deep for a picture of 2x2 pixels"):
        inr.decode(pack(dataclasses.replace(unpack(small)[0], stages=write_stages(deep)), sections))


def test_one_flipped_byte_anywhere_is_refused(data):
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 0x10
        with pytest.raises(FormatError):
            inr.decode(bytes(flipped))
