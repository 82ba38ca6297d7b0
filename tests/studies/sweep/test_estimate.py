"""estimate.py, bar.py and listing.py: how long it takes, and what is left."""

import numpy as np
import pytest

from inr import recipes
from inr.image.picture import Picture
from inr.kinds import kind_of
from inr.options import EncodeOptions, Job, Target
from inr.settings import with_settings
from inr.studies.sweep import estimate
from inr.studies.sweep.bar import progress_bar, shares, time_left
from inr.studies.sweep.estimate import Speed, measured_speed, total_seconds


def small(**settings):
    named = {"field.hidden": "4", "field.n_layers": "1", "fit.steps": "5"} | settings
    return with_settings(recipes.siren(), named)


def noise(height=12, width=16):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Picture(pixels)


def fit_work(picture, recipe, options):
    return kind_of(recipe).work(Job(picture, recipe, options))


def test_the_work_of_a_hand_counted_network():
    # 2*4 + 4 + 4*3 + 3 = 27 weights, 12 * 16 = 192 pixels, 5 steps, 6 operations each
    assert fit_work(noise(), small(), EncodeOptions()) == 6 * 27 * 192 * 5
    assert fit_work(noise(), small(**{"fit.batch": "100"}), EncodeOptions()) == 6 * 27 * 100 * 5
    assert fit_work(noise(128, 128), small(), EncodeOptions()) == 6 * 27 * 4096 * 5
    starts = {"fit.n_seeds": "3", "fit.seed_trial": "0.1"}
    assert fit_work(noise(), small(**starts), EncodeOptions()) == pytest.approx(
        1.2 * 6 * 27 * 192 * 5
    )


def test_the_work_of_a_hand_counted_grid():
    settings = {"structure.hidden": "2", "structure.n_taps": "1", "structure.n_features": "1"}
    settings |= {"fit.steps": "5", "fit.n_starts": "3", "fit.trial": "0.1"}
    recipe = with_settings(recipes.grid(), settings)
    # One level of 8 x 10. Context: 2*2 + 2*2 + 2*2 + 2*2 + 2 + 2 + 2 numbers; synthesis of grey:
    # 2*1 + 2 + 1*2 + 1*1 + 1, and two convolutions of 9 + 1
    grey = Picture(noise(8, 10).pixels[..., :1])
    products = 80 * 22 + 80 * (8 + 20)
    n_steps = 5 * (1.2 + 0.14) + 80  # with the search for codes of the networks
    expected = 6 * products * n_steps * 6
    assert fit_work(grey, recipe, EncodeOptions()) == pytest.approx(expected)


def test_a_target_that_cannot_be_met_is_no_work():
    assert fit_work(noise(), recipes.siren(), EncodeOptions(target=Target(n_bytes=3))) == 0


def test_nothing_is_fitted_in_kind_cae():
    assert fit_work(noise(), recipes.cae(), EncodeOptions()) == 0


def test_seconds_of_hand_counted_groups(make_run, monkeypatch):
    speed = Speed(core_flops=1e9)
    # 7 s to compile, 1 s a run, and 6e8 operations at 60 % of 1e9 a second
    assert speed.seconds([6e8], cores=1) == pytest.approx(7 + 1 + 1)
    assert speed.seconds([6e8, 6e8], cores=1) == pytest.approx(7 + 2 + 2)
    assert speed.seconds([6e8], cores=2) == pytest.approx(7 + 1 + 0.5)

    monkeypatch.setattr(estimate, "available_cores", lambda: 2)
    run = make_run()  # 1e9 operations: 8 s and 5 / 3 s on one core, 5 / 6 s on two
    assert total_seconds([(run,)] * 2, speed, jobs=1) == pytest.approx(2 * (8 + 5 / 6))
    assert total_seconds([(run,)] * 2, speed, jobs=2) == pytest.approx(8 + 5 / 3)
    assert total_seconds([(run,)] * 3, speed, jobs=2) == pytest.approx(1.5 * (8 + 5 / 3))
    assert total_seconds([(run,)], speed, jobs=8) == pytest.approx(8 + 5 / 6)
    assert total_seconds([], speed, jobs=2) == 0


def test_earlier_runs_correct_the_estimate(make_result, monkeypatch):
    monkeypatch.setattr(estimate, "_probed_flops", lambda: 1e9)
    assert measured_speed([]) == Speed(1e9)
    reckoned = 7 + 1 + 5 / 3
    speed = measured_speed([make_result(seconds=2 * reckoned), make_result(seconds=4 * reckoned)])
    assert speed.correction == pytest.approx(3)
    assert speed.seconds([1e9], cores=1) == pytest.approx(3 * reckoned)
    # In a batch of two, each has half of the compilation.
    together = make_result(seconds=7 / 2 + 1 + 5 / 3, n_together=2)
    assert measured_speed([together]).correction == pytest.approx(1)


def test_the_estimate_says_what_it_rests_on():
    assert "5 billion operations a second" in Speed(5e9).told()
    assert "no finished run" in Speed(5e9).told()
    assert "times 1.50 as 7 finished runs took" in Speed(5e9, 1.5, 7).told()


def test_the_probe_finds_a_speed_that_can_be():
    assert 1e8 < estimate._probed_flops() < 1e13


@pytest.mark.parametrize(
    ("elapsed", "done", "text"),
    [
        (5.0, 0.0, "compiling"),
        (60.0, 0.25, "3:00 left"),
        (60.0, 1.0, "0:00 left"),
        (600.0, 0.1, "1:30:00 left"),
        (3661.0, 0.5, "1:01:01 left"),
    ],
)
def test_time_left(elapsed, done, text):
    assert time_left(elapsed, done) == text


def test_shares_add_up(make_run):
    found = shares([(make_run(),), (make_run(), make_run())])
    assert sum(found) == pytest.approx(1)
    assert found[0] < found[1]


def test_the_bar_counts_runs(make_run, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # stderr is no terminal here
    monkeypatch.setenv("COLUMNS", "120")
    groups = [(make_run(),), (make_run(), make_run())]
    with progress_bar(groups, n_skipped=2, show=True) as report:
        report(1, 0.5)
        report(1, 1.0)
    out, err = capsys.readouterr()
    assert out == ""
    assert "4/5" in err
    with progress_bar(groups, n_skipped=2, show=False) as report:
        report(0, 1.0)
    assert capsys.readouterr().err == ""
