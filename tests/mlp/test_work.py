"""work.py: the work of a drawing is counted before it begins, and refused above a limit."""

import tracemalloc

import numpy as np
import pytest
from contracts.methods import FIELDS
from helpers.built_files import built_file, stages_of
from helpers.cli_runs import main_runner

import inr
from inr.codec import decode_picture, describe
from inr.coders.huffman import Huffman
from inr.errors import FormatError, UsageError
from inr.format.container import DEFAULT_MAX_MACS
from inr.image.region import Region, Size
from inr.image.resample import resampling_macs
from inr.mlp.decode import render
from inr.mlp.fields.feathermap import FeathermapSiren
from inr.mlp.fields.fourier import Fourier
from inr.mlp.fields.siren import Siren
from inr.mlp.file import PictureInfo, write_file
from inr.mlp.quantize.uniform import Uniform
from inr.mlp.splits.wavelet import Wavelet
from inr.mlp.splits.whole import Whole
from inr.mlp.tags import Stages
from inr.mlp.work import rendering_macs
from inr.options import NO_LIMITS, DecodeOptions, describe_heavy_decoding

LARGE = Siren(hidden=1400, n_layers=8)  # 13.7 million weights


def zeros(net, height, width, split=Whole()):  # noqa: B008, frozen
    """A file whose codes are all zero, which takes next to nothing."""
    stages = Stages(split, net, Uniform(), Huffman())
    field_set = stages.field_set(height, width, 3)
    codes = {name: np.zeros(shape, np.int32) for name, shape in field_set.shapes().items()}
    qparams = dict.fromkeys(field_set.trained_shapes(), np.ones((), np.float32))
    peaks = tuple((1.0,) * part.n_channels for part in field_set.parts) if split.HAS_BANDS else ()
    info = PictureInfo(height, width, 3, 8, ((0, 255),) * 3, None, peaks)
    return write_file(info, stages, codes, qparams)


def macs(stages, height, width, size=None, region=None):
    """Those of drawing a region, all if not given, of a picture of three channels."""
    own_size = Size(height, width)
    size = own_size if size is None else Size(*size)
    part = Region.whole(size) if region is None else Region(*region)
    return rendering_macs(stages, own_size, 3, size, part)


@pytest.fixture(scope="module")
def bomb():
    return zeros(LARGE, 10_000, 10_000)


# ---------------------------------------------------------------- what is counted


def test_hand_worked_network():
    # w0 2x2, b0 2, w1 2x1, b1 1: 9 weights and 2 sines, each of them 64 multiply-adds
    assert Siren(hidden=2, n_layers=1).macs(1, 10) == 10 * (9 + 64 * 2)
    # 2x3 frequencies, w0 6x2, b0 2, w1 2x1, b1 1: 23; 12 for the frequencies and 2 of ReLU
    net = Fourier(hidden=2, n_layers=1, n_frequencies=3)
    assert net.macs(1, 10) == 10 * (23 + 64 * (12 + 2))
    # the 3x3 matrix of 6 weights comes from rank 5, once for however many points
    mixed = FeathermapSiren(Siren(hidden=2, n_layers=1), rank=5)
    assert mixed.macs(1, 10) == 9 * 5 + Siren(hidden=2, n_layers=1).macs(1, 10)


class Recorded(Siren):
    """Tells how many points each call evaluates."""

    def evaluate(self, params, coords):
        params["calls"].append(len(coords))
        return super().evaluate(params, coords)


@pytest.mark.parametrize(
    "region", [(0, 0, 300, 200), (0, 0, 1, 1), (299, 199, 1, 1), (127, 63, 2, 2), (0, 64, 300, 1)]
)
def test_what_is_counted_is_what_is_evaluated(region):
    net = Recorded(hidden=20, n_layers=2)
    params = net.init(np.random.default_rng(0), 3) | {"calls": []}
    part = Region(*region)
    render(net, params, ((0, 255),) * 3, 8, height=200, width=300, region=part)
    stages = stages_of(field=Siren(hidden=20, n_layers=2))
    one_tile = macs(stages, 200, 300, (64, 128), (0, 0, 1, 1))  # that of every drawing
    per_tile = macs(stages, 200, 300, (64, 256), (127, 0, 2, 1)) - one_tile
    assert set(params["calls"]) == {64 * 128}
    n_tiles = len(params["calls"])
    counted = macs(stages, 200, 300, region=region)
    assert counted == one_tile + (n_tiles - 1) * per_tile
    assert n_tiles * net.macs(3, 64 * 128) <= counted


@pytest.mark.parametrize("net", FIELDS)
def test_more_points_and_channels_are_more_work(net):
    assert 0 < net.macs(1, 100) < net.macs(3, 100) < net.macs(3, 1000) <= 10 * net.macs(3, 100)


def test_resampling_counts_what_the_kernel_reaches():
    # from 8 to 4: 8 taps along both axes; the 2 columns asked for are made of 2 * 2 + 8 > 8
    shrunk = resampling_macs(Size(8, 8), 1, Size(4, 4), Region(0, 0, 2, 4))
    assert shrunk == 64 * 4 * (8 * 8 + 2 * 8)
    # one column of a picture that is far higher than wide still reaches all 1000 columns
    thin = resampling_macs(Size(10, 1000), 1, Size(10**6, 1), Region(0, 0, 1, 10**6))
    assert thin == 64 * 10**6 * (1000 * 4 + 4000)
    assert resampling_macs(Size(8, 9), 1, Size(8, 9), Region(0, 0, 2, 4)) == 0


def test_bands_count_the_whole_picture_whatever_is_drawn():
    stages, point = stages_of(Wavelet()), (5, 5, 1, 1)
    whole = macs(stages, 400, 300)
    assert macs(stages, 400, 300, region=point) == whole
    assert macs(stages, 400, 300, (40, 30), point) > whole
    assert macs(stages_of(), 400, 300, region=point) < whole


# ---------------------------------------------------------------- what is refused


def test_hours_of_work_in_a_few_bytes_are_refused_before_any_of_it(bomb):
    assert len(bomb) == 77
    tracemalloc.start()
    with pytest.raises(
        FormatError, match=r"1\.\d+e\+15 multiply-adds, more .* 1e\+13; .* --max-macs .* trust"
    ):
        inr.decode(bomb)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1e6


def test_a_part_of_it_may_be_drawn(bomb):
    assert inr.decode(bomb, region=(9000, 9000, 3, 2)).shape == (2, 3, 3)
    assert inr.decode(bomb, size=(3, 2)).shape == (2, 3, 3)


def test_a_size_that_makes_it_too_much_is_an_argument_not_a_file():
    data = built_file(stages_of(), height=21, width=18)
    assert inr.decode(data, scale=2, max_macs=1e9).shape == (42, 36, 3)
    with pytest.raises(UsageError, match=r"more than the limit of 1e\+09; draw a smaller size"):
        inr.decode(data, scale=99, max_macs=1e9)
    with pytest.raises(FormatError, match=r"limit of 1e\+03"):
        inr.decode(data, max_macs=1000)
    with pytest.raises(FormatError, match="if you trust the file"):
        inr.decode(data, scale=99, max_macs=1000)


@pytest.mark.parametrize("limit", [None, float("inf"), 10**13, 1e300])
def test_limits_that_refuse_nothing(limit):
    data = built_file(stages_of(), height=21, width=18)
    assert inr.decode(data, max_macs=limit).shape == (21, 18, 3)
    assert decode_picture(data, NO_LIMITS).height == 21


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_limits_that_are_none(limit):
    with pytest.raises(UsageError, match=r"max_macs=.*expected a number above 0"):
        DecodeOptions(max_macs=limit)


def test_sides_that_cannot_be_counted():
    with pytest.raises(UsageError, match="each side may have 1099511627776 pixels"):
        DecodeOptions(size=(1, 10**13), region=(0, 0, 1, 1))


@pytest.mark.parametrize(
    "net",
    [
        Siren(hidden=24, n_layers=64),  # sines, not products
        Fourier(hidden=1, n_layers=1, n_frequencies=4096),
        FeathermapSiren(
            Siren(hidden=200, n_layers=2), rank=2000
        ),  # 8e7 multiply-adds for each tile
    ],
)
def test_work_that_few_weights_ask_for_counts(net):
    stages = stages_of(field=net)
    assert macs(stages, 9999, 9999) > DEFAULT_MAX_MACS > macs(stages, 99, 99)


def test_bands_of_a_thin_picture_are_refused_as_its_pixels_are():
    # 62 taps: each of the two bands of a row of pixels has 31 rows
    data = zeros(Siren(hidden=4, n_layers=1), 1, 3000, Wavelet("dmey"))
    assert inr.decode(data, max_pixels=100_000).shape == (1, 3000, 3)
    with pytest.raises(FormatError, match=r"to draw 3000x1 pixels it takes 18\d+ others"):
        inr.decode(data, max_pixels=3000)


def test_thousands_of_frequencies_take_no_more_memory_than_a_wide_network():
    net = Fourier(hidden=1, n_layers=1, n_frequencies=4096)
    params = net.init(np.random.default_rng(0), 3)
    points = np.random.default_rng(0).uniform(-1, 1, (8192, 2)).astype(np.float32)
    tracemalloc.start()
    drawn = net.evaluate(params, points)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 30e6  # 800 MB at once
    few = net.evaluate(params, points[:100])
    np.testing.assert_allclose(drawn[:100], few, atol=1e-3)  # sums of 8192 in another order


# ---------------------------------------------------------------- command line


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    return main_runner(monkeypatch, capsys)


def test_decode_and_eval_refuse_it_in_one_line(run, bomb, tmp_path):
    (tmp_path / "bomb.inr").write_bytes(bomb)
    run("decode", "bomb.inr", "-o", "a.png").failed(r"bomb\.inr: .*multiply-adds.*--max-macs")
    run("eval", "bomb.inr", "bomb.inr").failed(r"multiply-adds.*--max-macs")
    run("decode", "bomb.inr", "-o", "a.png", "--max-macs", "1e15").failed(r"limit of 1e\+15")
    assert not (tmp_path / "a.png").exists()


def test_the_limit_may_be_raised_and_lowered(run, tmp_path):
    (tmp_path / "a.inr").write_bytes(built_file(stages_of()))
    run("decode", "a.inr", "-o", "a.png", "--max-macs", "1000").failed("limit of 1e")
    assert run("decode", "a.inr", "-o", "a.png", "--max-macs", "1e12", "--json").json["width"] == 18
    run("eval", "a.inr", "a.inr", "--max-macs", "1000").failed("limit of 1e")


# ---------------------------------------------------------------- other readers


def test_info_of_such_files_stays_short(bomb):
    info = describe(bomb)
    assert info["n_zeros"] == info["n_weights"] == 13_738_203
    assert sum(tensor["n_bytes"] for tensor in info["tensors"]) + info["level_bytes"] == 44
    untold = describe(bomb, DecodeOptions(max_macs=1e9))
    assert untold["n_weights"] == 13_738_203
    assert untold["n_zeros"] is untold["tensors"] is untold["sparsity"] is None


def test_a_thousand_tensors_share_the_bytes_by_their_entropy():
    stages = stages_of(Wavelet(levels=7), field=Siren(4, 64), coder=Huffman())
    data = built_file(stages, height=128, width=128)
    info = describe(data)
    assert len(info["tensors"]) == 8 * 2 * 65
    n_bytes = sum(tensor["n_bytes"] for tensor in info["tensors"])
    assert n_bytes + info["level_bytes"] == info["sections"]["weights"]
    sizes = [np.prod(tensor["shape"]) for tensor in info["tensors"]]
    assert info["tensors"][int(np.argmax(sizes))]["n_bytes"] > n_bytes / len(sizes)


def test_encoders_hear_of_it_before_the_fit():
    large = stages_of(field=LARGE)
    assert describe_heavy_decoding(macs(stages_of(field=Siren(hidden=64)), 512, 768)) is None
    assert describe_heavy_decoding(macs(large, 100, 100)) is None
    text = describe_heavy_decoding(macs(large, 3000, 4000))
    assert (
        "multiply-adds, more than the 1e+13 that decoders do unless --max-macs says otherwise"
        in text
    )
    assert "\n" not in text
