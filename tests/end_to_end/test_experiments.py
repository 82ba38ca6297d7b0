"""Every experiment runs with --tiny, says what it asks, and shares a lab that reads and writes."""

import json
import os
import runpy
import subprocess
import sys

import numpy as np
import pytest
from helpers.paths import ROOT
from PIL import Image

sys.path.append(str(ROOT / "experiments"))
import charts
import lab

EXPERIMENTS = lab.HERE
SCRIPTS = sorted(EXPERIMENTS.glob("*/run.py"))
HEADINGS = ["Question", "Command", "Minutes", "What is measured", "Finding"]
# Figures of our own recipes: a README of its own shape, and all eight recipes would take minutes.
OF_OUR_OWN = EXPERIMENTS / "readme_table" / "run.py"
# Sweeps and no more, as `quantizers` is, which is run: of these the plan is tested.
PLANNED = ["rate_aware", "siren_vs_fourier", "wavelet_vs_direct", "weight_removal"]


def ids(scripts):
    return sorted(script.parent.name for script in scripts)


def test_there_are_experiments():
    assert {"weight_removal", "readme_table"} <= set(ids(SCRIPTS))


RUN = [script for script in SCRIPTS if script.parent.name not in PLANNED]


@pytest.mark.slow
@pytest.mark.parametrize("script", RUN, ids=ids(RUN))
def test_runs_tiny_and_leaves_the_results_alone(script):
    results = {path: path.read_bytes() for path in script.parent.glob("*.*") if path.is_file()}
    options = ["--recipe", "siren"] if script == OF_OUR_OWN else ["--jobs", "1"]
    done = subprocess.run(
        [sys.executable, script, "--tiny", *options],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("|") > 10, "a table on stdout"
    if script == OF_OUR_OWN:
        assert "| siren | 0.2" in done.stdout
        assert "| jpeg at siren's bytes | 0.2" in done.stdout
    after = {path: path.read_bytes() for path in script.parent.glob("*.*") if path.is_file()}
    assert after == results


class Planned(lab.Run):
    """Sweeps whose settings `inr` accepts, and whose rows are those of results.csv."""

    def sweep(self, name, recipe, *, settings, vary=None, pictures=None):
        settings, vary = self.scale.settings() | settings, vary or {}
        command = self.command(name, recipe, settings, vary, pictures)
        done = subprocess.run([*command, "--dry-run"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        n_runs = json.loads(done.stdout)["runs"]
        rows = [row for row in lab.load(EXPERIMENTS / self.folder.name) if row["sweep"] == name]
        if not self.is_tiny:
            assert n_runs == len(rows)
            assert all({*vary, *settings} <= row.keys() for row in rows)
        return rows[:n_runs]


@pytest.mark.parametrize("name", PLANNED)
@pytest.mark.parametrize("is_tiny", [False, True])
def test_the_sweeps_are_those_of_the_results(name, is_tiny, tmp_path):
    experiment = runpy.run_path(str(EXPERIMENTS / name / "run.py"))["EXPERIMENT"]
    folder = tmp_path / name
    scale = lab.TINY if is_tiny else experiment.scale
    pictures = [experiment.resize(path, scale, folder / "work") for path in experiment.pictures]
    rows = experiment.fit(Planned(folder, pictures, scale, jobs=1))
    if is_tiny:
        assert len(rows) == experiment.n_tiny_rows
    else:
        assert rows == lab.load(EXPERIMENTS / name)
    assert experiment.table(rows).count("|") > 10
    experiment.plot(folder / "plot.png", rows)
    assert (folder / "plot.png").exists()


@pytest.mark.parametrize("name", ids(set(SCRIPTS) - {OF_OUR_OWN}))
def test_readme_has_its_headings(name):
    lines = (EXPERIMENTS / name / "README.md").read_text().splitlines()
    headings = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert [heading for heading in headings if heading in HEADINGS] == HEADINGS


def test_crop_takes_the_middle(tmp_path):
    pixels = np.arange(4 * 6, dtype=np.uint8).reshape(4, 6)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    path = lab.crop(tmp_path / "a.png", 2, tmp_path / "work")
    assert path.name == "a_2x2.png"
    assert np.asarray(Image.open(path)).tolist() == [[8, 9], [14, 15]]
    whole = lab.crop(tmp_path / "a.png", 5, tmp_path / "work")  # as high as there is
    assert np.asarray(Image.open(whole)).tolist() == pixels[:, :5].tolist()


def test_half_averages_two_by_two(tmp_path):
    Image.fromarray(np.array([[0, 2, 8, 8], [4, 6, 8, 8]], np.uint8)).save(tmp_path / "a.png")
    path = lab.halve(tmp_path / "a.png", tmp_path)
    assert path.name == "a_2x1.png"
    assert np.asarray(Image.open(path)).tolist() == [[3, 8]]


def test_rows_come_back_from_csv_as_they_were(tmp_path):
    rows = [
        {"sweep": "a", "sparsify": "rigl", "n_bytes": 12, "psnr_db": float("inf"), "commit": "1e4"},
        {"sweep": "b", "n_bytes": 12, "psnr_db": 0.1 + 0.2, "target_bytes": 600},
    ]
    lab.save(tmp_path, rows)
    assert lab.load(tmp_path) == rows
    header = (tmp_path / "results.csv").read_text().splitlines()[0]
    assert header == "sweep,sparsify,n_bytes,psnr_db,commit,target_bytes"


def test_points_are_means_in_order():
    rows = [{"n_bytes": 20, "psnr_db": 30.0}, {"n_bytes": 10, "psnr_db": 25.0}]
    rows.append({"n_bytes": 20, "psnr_db": 32.0})
    assert charts.points(rows, "n_bytes") == [(10, 25.0), (20, 31.0)]


def test_series_name_the_picture_where_there_are_several():
    rows = [
        {"picture": "kodim05_8x8.png", "method": "rigl", "n_bytes": 10, "psnr_db": 30.0},
        {"picture": "kodim08_8x8.png", "method": "rigl", "n_bytes": 11, "psnr_db": 28.0},
    ]
    one = charts.series(rows[:1], lambda row: row["method"], "n_bytes")
    assert one == {"rigl": [(10, 30.0)]}
    two = charts.series(rows, lambda row: row["method"], "n_bytes")
    assert two == {"rigl, kodim05": [(10, 30.0)], "rigl, kodim08": [(11, 28.0)]}


def test_table_is_markdown():
    expected = "| method | dB |\n| --- | --- |\n| rigl | 30.46 |\n| dense |  |"
    assert charts.table(["method", "dB"], [["rigl", 30.456], ["dense", None]]) == expected


def test_plot_draws_up_to_three_panels(tmp_path):
    lines = {f"line {i}": [(2.0, i), (1.0, float("inf")), (3.0, i)] for i in range(12)}
    panel = charts.Panel("title", "x", "PSNR, dB", lines, log_x=True)
    charts.plot(tmp_path / "plot.png", [panel] * 3)
    with Image.open(tmp_path / "plot.png") as image:
        assert image.width > 3 * image.height / 2


def test_two_scales_at_once_are_refused():
    given = lab.parser("Title.", full=True).parse_args(["--tiny", "--full"])
    with pytest.raises(SystemExit, match="exclude each other"):
        lab.choose_scale(given, lab.FULL)


def test_an_experiment_gets_small_pictures_and_shows_the_rows_of_results_csv(
    tmp_path, monkeypatch, capsys
):
    Image.fromarray(np.zeros((50, 60), np.uint8)).save(tmp_path / "a.png")
    seen = []

    def fit(run):
        assert (run.scale, run.jobs, run.is_tiny) == (lab.TINY, 3, True)
        return [{"picture": picture.name, "codec": None, "n_bytes": 12} for picture in run.pictures]

    def plot(path, rows):
        seen.extend(rows)
        charts.plot(path, [charts.Panel("title", "x", "y", {"line": [(1.0, 2.0)]})])

    def table(rows):
        return charts.table(["bytes"], [[row["n_bytes"]] for row in rows])

    monkeypatch.setattr("sys.argv", ["run.py", "--tiny", "--jobs", "3"])
    pictures = [tmp_path / "a.png"]
    lab.Experiment(tmp_path, "Title.", pictures, lab.FULL, fit, plot, table, n_tiny_rows=1).main()
    assert seen == [{"picture": "a_48x48.png", "n_bytes": 12}]
    assert capsys.readouterr().out == "| bytes |\n| --- |\n| 12 |\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]


def test_a_failed_sweep_is_told(tmp_path, capfd):
    run = lab.Run(tmp_path, [tmp_path / "none.png"], lab.TINY, jobs=1)
    with pytest.raises(RuntimeError, match="sweep broken failed"):
        run.sweep("broken", "siren")
    assert "none.png" in capfd.readouterr().err
