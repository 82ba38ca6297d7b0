"""progress.py: bars on stderr, and clocks."""

import pytest

from inr.options import Progress
from inr.progress import clock, progress_bar, sweep_bar


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # stderr is no terminal here
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0:00"), (59.6, "1:00"), (180, "3:00"), (5400, "1:30:00"), (3661, "1:01:01")],
)
def test_clocks(seconds, text):
    assert clock(seconds) == text


@pytest.mark.usefixtures("terminal")
def test_the_bar_of_a_fit_tells_step_quality_and_time_left(capsys):
    with progress_bar(show=True) as report:
        report(Progress(step=3, n_steps=10, psnr_db=31.25, seconds_left=75))
    out, err = capsys.readouterr()
    assert out == ""
    assert all(text in err for text in ("fitting", "step 3/10 31.25 dB", "1:15 left"))


@pytest.mark.usefixtures("terminal")
def test_the_bar_of_a_sweep_counts_runs(capsys):
    with sweep_bar({"a": 0.5, "b": 0.25, "c": 0.25}, n_done_before=2, show=True) as report:
        report(["b", "c"], 0.5)
        report(["b", "c"], 1.0)
        report(["b"], 0.9)  # told before its end
    out, err = capsys.readouterr()
    assert out == ""
    assert "run 4/5" in err
    assert err.rstrip().rpartition("run ")[2].startswith("4/5")


def test_what_is_not_shown_says_nothing(capsys):
    with progress_bar(show=False) as report:
        assert report is None
    with sweep_bar({"a": 1.0}, n_done_before=2, show=False) as report:
        report(["a"], 1.0)
    assert capsys.readouterr().err == ""
