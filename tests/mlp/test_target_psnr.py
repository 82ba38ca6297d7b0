"""rate_control.py: files of a given quality, from few fits."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.options import encode_options
from helpers.tiny_fits import Killed, fitted, kill_after, smooth, tiny

import inr
from inr.codec import decode_picture, encode_picture
from inr.errors import FitError, UsageError
from inr.image.metrics import psnr_db
from inr.image.read import from_array
from inr.kinds import open_file
from inr.mlp.file import read_codes
from inr.mlp.target_psnr import Trial, find_smallest, move_towards_zero, next_size
from inr.options import EncodeOptions, Target

FREE = tiny({"field.hidden": "none"})  # of a size that may be chosen
UNTRAINED = tiny({"fit.steps": "0", "field.hidden": "none"})


# ---------------------------------------------------------------- real fits


@pytest.mark.parametrize("target_psnr", [32.0, 28.0, 25.0, 15.0])
def test_a_fixed_network_is_brought_down_by_its_codes(plain, target_psnr):
    encoded = fitted(target_psnr=target_psnr)
    assert encoded.psnr_db == pytest.approx(target_psnr, abs=0.1)
    assert encoded.psnr_db == psnr_db(smooth(), decode_picture(encoded.data).pixels)
    assert len(encoded.data) <= len(plain.data)  # 32.3 dB
    assert target_psnr > 26 or len(encoded.data) < len(plain.data)
    assert encoded.n_steps == plain.n_steps  # no second fit


@pytest.mark.slow  # a compilation
def test_masked_weights_stay_zero_when_levels_become_coarser():
    settings = {"sparsify": "rigl", "sparsify.sparsity": "0.3", "sparsify.n_updates": "5"}
    settings |= {"field.hidden": "12"}
    whole, lowered = fitted(settings=settings), fitted(settings=settings, target_psnr=20.0)
    assert lowered.psnr_db == pytest.approx(20, abs=0.1)
    before, after = (read_codes(open_file(one.data).content) for one in (whole, lowered))
    for name in ("w0", "w1", "w2"):
        assert (after[name][before[name] == 0] == 0).all()


@pytest.mark.slow  # each size of network is a compilation
@pytest.mark.parametrize("target_psnr", [36.0, 20.0])
def test_a_network_is_found_for_the_quality(target_psnr):
    encoded = encode_picture(
        from_array(smooth()), FREE, EncodeOptions(target=Target(psnr_db=target_psnr))
    )
    assert encoded.psnr_db == pytest.approx(target_psnr, abs=0.1)
    assert encoded.n_steps % 60 == 0
    assert len(encoded.data) < 200


# ---------------------------------------------------------------- what cannot be


def test_a_fixed_network_that_is_not_good_enough_tells_what_it_reached(plain):
    reached = rf"{len(plain.data)} bytes {plain.psnr_db:.2f} dB; give more fit\.steps"
    with pytest.raises(FitError, match=rf"a PSNR of 50\.0 dB was not reached: {reached}"):
        fitted(target_psnr=50.0)


def test_a_quality_that_more_bytes_do_not_bring_is_given_up():
    # Without training no size is any better.
    with pytest.raises(FitError, match=r"a PSNR of 60\.0 dB was not reached: \d+ bytes .*, \d+"):
        encode_picture(from_array(smooth()), UNTRAINED, EncodeOptions(target=Target(psnr_db=60.0)))


def test_a_quality_that_every_file_has_is_met_by_the_smallest():
    pixels = np.full((16, 16, 3), 100, np.uint8)
    pixels[::3, 1::2] += 1  # whatever a field of that range draws is above 48 dB
    asked = EncodeOptions(target=Target(psnr_db=40.0))
    encoded = encode_picture(from_array(pixels), UNTRAINED, asked)
    assert encoded.psnr_db > 48
    assert encoded.missed is None
    assert len(encoded.data) <= 60  # header and a handful of weights


@pytest.mark.parametrize("options", [{}, {"target_psnr": 30.0}, {"target_bytes": 300}])
def test_a_file_that_is_no_checkpoint_is_refused_and_kept(tmp_path, options):
    path = tmp_path / "precious.txt"
    path.write_text("my notes")
    with pytest.raises(UsageError, match="is not a checkpoint"):
        encode_picture(from_array(smooth()), UNTRAINED, encode_options(checkpoint=path, **options))
    assert path.read_text() == "my notes"


@pytest.mark.slow  # each size of network is a compilation
def test_a_killed_search_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr("inr.fitting.checkpoint.SECONDS_BETWEEN_SAVES", -1.0)  # after every block
    picture, steps = from_array(smooth()), []
    asked = EncodeOptions(target=Target(psnr_db=36.0))
    whole = encode_picture(picture, FREE, asked, report=lambda p: steps.append(p.step))
    assert steps.count(60) > 1  # fits of 20 blocks
    asked = replace(asked, checkpoint=tmp_path / "fit.npz")
    with pytest.raises(Killed):
        encode_picture(picture, FREE, asked, report=kill_after(25))  # in the second fit
    told = []
    resumed = encode_picture(picture, FREE, asked, report=lambda p: told.append(p.step))
    assert resumed.data == whole.data
    assert resumed.n_steps == whole.n_steps
    assert told == steps[25:]  # it went on, it did not begin again


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_psnr": 30.0, "target_bytes": 500}, "target_bytes and target_psnr exclude each"),
        ({"target_psnr": 30.0, "target_bpp": 0.5}, "target_bpp and target_psnr exclude each"),
        ({"target_psnr": 4.9}, r"target_psnr=4\.9 is outside 5\.\.80 dB"),
        ({"target_psnr": 80.1}, r"target_psnr=80\.1 is outside 5\.\.80 dB"),
        ({"target_psnr": float("nan")}, r"target_psnr=nan is outside 5\.\.80 dB"),
    ],
)
def test_wishes_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        inr.encode(smooth(), tiny(), **options)


def test_one_colour_has_every_quality():
    encoded = encode_picture(
        from_array(np.full((9, 9, 3), 5, np.uint8)),
        tiny(),
        EncodeOptions(target=Target(psnr_db=30.0)),
    )
    assert encoded.psnr_db == np.inf
    assert encoded.n_steps == 0


# ---------------------------------------------------------------- the search, with made-up fits


class MadeUp:
    """Fits whose files have as many bytes as asked for, at least 3, and a PSNR that `quality` says
    of them."""

    def __init__(self, quality, target_db, can_lower):
        self.quality, self.target_db, self.can_lower = quality, target_db, can_lower
        self.sizes = []

    def fit(self, n_bytes, trials):
        if trials and n_bytes < 3:
            return None
        self.sizes.append(max(3, n_bytes))
        return Trial(bytes(self.sizes[-1]), self.quality(self.sizes[-1]) - self.target_db)

    def lower(self, trial):
        return Trial(b"low", 0.0) if self.can_lower else None

    def is_late(self):
        return False

    def find(self):
        return find_smallest(self, 461, n_fits=7, largest=14.0)[0]


@pytest.mark.parametrize("can_lower", [True, False])
@pytest.mark.parametrize("slope", [2.0, 2.6, 5.0])
@pytest.mark.parametrize("log2_bytes", [8.0, 9.5, 11.0])
def test_a_straight_line_is_met_within_seven_fits(log2_bytes, slope, can_lower):
    target_db = 33 + slope * (log2_bytes - 9)
    fits = MadeUp(lambda n_bytes: 33 + slope * (np.log2(n_bytes) - 9), target_db, can_lower)
    found = fits.find()
    if found.data == b"low":
        assert 0 < np.log2(fits.sizes[-1]) - log2_bytes < 0.8 / slope  # from just above
    else:
        assert found.excess_db == pytest.approx(0, abs=0.1)


def test_fits_of_unlike_luck_are_bracketed():
    luck = iter([0.0, 0.4, -0.5, 0.3, -0.2, 0.1, 0.0])
    fits = MadeUp(lambda n_bytes: 30 + 3 * np.log2(n_bytes / 300) + next(luck), 32.0, True)
    found = fits.find()
    assert found.data == b"low" or found.excess_db == pytest.approx(0, abs=0.1)


def test_a_fit_far_above_is_lowered_when_no_network_is_small_enough():
    fits = MadeUp(lambda n_bytes: 40.0, 20.0, can_lower=True)
    assert fits.find().data == b"low"
    assert sorted(fits.sizes, reverse=True) == fits.sizes  # smaller networks were tried first
    assert fits.sizes[-1] < fits.sizes[0]


def test_hand_worked_codes_that_move_towards_zero():
    codes = {"w": np.array([[5, -5], [1, 0]], np.int32), "b": np.array([-1, 2], np.int32)}
    moved = move_towards_zero(codes, np.array([1, 2, 3, 4, 5]))
    assert {name: tensor.tolist() for name, tensor in moved.items()} == {
        "w": [[5, -4], [1, 0]],  # the first has no place in the list; 1 and -1 stay
        "b": [-1, 1],
    }
    assert codes["w"].tolist() == [[5, -5], [1, 0]]
    assert move_towards_zero(codes, np.array([], int))["b"].tolist() == [-1, 2]


def sizes_after(tried, target_db, largest):
    trials = [Trial(bytes(round(2**size)), psnr_db - target_db) for size, psnr_db in tried]
    return next_size(trials, 0.0, largest)


def test_hand_worked_sizes():
    # 2.6 dB an octave until two fits tell better, and 3 octaves at most.
    assert sizes_after([(10.0, 30.0)], 32.6, 99.0) == pytest.approx(11)
    assert sizes_after([(10.0, 30.0)], 60.0, 99.0) == 13
    assert sizes_after([(10.0, 30.0)], 10.0, 99.0) == 7
    # Between a fit below and one above, in proportion.
    assert sizes_after([(10.0, 30.0), (12.0, 34.0)], 31.0, 99.0) == pytest.approx(10.5)
    assert sizes_after([(12.0, 34.0), (10.0, 30.0)], 33.9, 99.0) == pytest.approx(11.8)  # 0.9
    # Not beyond the pixels themselves, and no further where bytes bring nothing.
    assert sizes_after([(10.0, 30.0)], 60.0, 11.0) == 11
    assert sizes_after([(10.0, 30.0), (11.0, 31.0)], 60.0, 11.0) is None
    assert sizes_after([(10.0, 30.0), (13.0, 30.05)], 60.0, 99.0) is None
    assert sizes_after([(10.0, 30.0), (13.0, 30.5)], 60.0, 99.0) == 16


def test_a_time_budget_that_has_no_place_for_a_second_fit_is_kept():
    """It is shared by the fits; see also the command line's tests of budgets."""
    options = EncodeOptions(target=Target(psnr_db=60.0), time_budget=0.01)
    with pytest.raises(UsageError, match="time budget"):
        encode_picture(from_array(smooth()), FREE, options)
