"""compare*.py: BD-rates by hand, runs that go on after a kill, and the command line."""

import csv
import dataclasses
import io
import json
import math
import re
import sys

import numpy as np
import pytest
from PIL import Image

from inr import cli, compare_inputs
from inr.baselines import CODECS, PictureCodec, codec_named
from inr.codec import Encoded
from inr.compare import _Clock, compare
from inr.compare_inputs import (
    NamedPicture,
    check_folder,
    choose_codecs,
    choose_recipes,
    load_pictures,
)
from inr.compare_plot import plot
from inr.compare_report import bd_rates, csv_text, mean_curves, means, summary
from inr.compare_rows import Ledger, Row
from inr.container import MAGIC
from inr.picture import Picture

ROW = Row("a.png", "jpeg", 50.0, 1000, 0.5, 30.0, None, 0.1, 0.2)


def rows_of(codec, rates, psnrs, picture="a.png", similarities=None):
    similarities = similarities or [None] * len(rates)
    return [
        dataclasses.replace(
            ROW, picture=picture, codec=codec, setting=i, bpp=bpp, psnr_db=psnr, ms_ssim=similarity
        )
        for i, (bpp, psnr, similarity) in enumerate(zip(rates, psnrs, similarities, strict=True))
    ]


RATES = [0.2, 0.4, 0.8, 1.6]
PSNRS = [26.0, 29.0, 32.0, 35.0]
HALF = [0.1, 0.2, 0.4, 0.8]


def noise(height=24, width=32, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height)))


# ---------------------------------------------------------------- BD-rates and means


def test_bd_rates_by_hand():
    rows = [
        *rows_of("jpeg", RATES, PSNRS, "a.png"),
        *rows_of("webp", HALF, PSNRS, "a.png"),
        *rows_of("jpeg", RATES, PSNRS, "b.png"),
        *rows_of("webp", [*RATES[1:], 3.2], [*PSNRS[1:], 38.0], "b.png"),
    ]
    mean, first, second = bd_rates(rows, "jpeg")
    assert (first.picture, second.picture, mean.picture) == ("a.png", "b.png", None)
    assert first.percent == pytest.approx(-50)  # everywhere half the bytes
    assert second.percent == pytest.approx(0)
    assert (first.low, first.high, second.low, second.high) == (26.0, 35.0, 29.0, 35.0)
    assert mean.percent == pytest.approx(-25)
    assert (mean.low, mean.high, mean.n_pictures, mean.reason) == (27.5, 35.0, 2, None)
    assert summary([mean, first, second], "jpeg", 2) == [
        "webp against jpeg, PSNR: -25.0 % over 27.5..35.0 dB"
    ]


def test_refusals_are_told_and_do_not_enter_the_mean():
    rows = [
        *rows_of("jpeg", RATES, PSNRS, "a.png"),
        *rows_of("webp", HALF, PSNRS, "a.png"),
        *rows_of("jpeg", RATES, PSNRS, "b.png"),
        *rows_of("webp", HALF[:3], PSNRS[:3], "b.png"),
    ]
    mean, _, second = bd_rates(rows, "jpeg")
    assert (second.percent, second.low, second.n_pictures) == (None, None, 0)
    assert second.reason.startswith("candidate: 3 points, BD-rate needs 4")
    assert mean.percent == pytest.approx(-50)
    assert mean.n_pictures == 1
    line = summary([mean], "jpeg", 2)[0]
    assert line.startswith(
        "webp against jpeg, PSNR: -50.0 % over 26.0..35.0 dB, 1 of 2 pictures (b"
    )
    only = bd_rates(rows[8:], "jpeg")[0]
    assert summary([only], "jpeg", 1)[0].startswith("webp against jpeg, PSNR: none (b.png: cand")


def test_points_that_nobody_would_choose_do_not_enter():
    rows = [
        *rows_of("jpeg", RATES, PSNRS),
        *rows_of("webp", [*HALF, 0.3, 0.2, 5.0], [*PSNRS, 28.0, 28.5, math.inf]),
    ]
    # 0.3 bpp buys less than 0.2 does, 28.5 dB is the worse of two at 0.2, and inf lies nowhere.
    assert bd_rates(rows, "jpeg")[0].percent == pytest.approx(-50)


def test_ms_ssim_is_compared_in_decibels_where_pictures_have_it():
    similarities = [0.9, 0.95, 0.98, 0.99]  # 10 to 20 dB
    rows = [
        *rows_of("jpeg", RATES, PSNRS, "a.png", similarities),
        *rows_of("webp", HALF, PSNRS, "a.png", similarities),
        *rows_of("jpeg", RATES, PSNRS, "small.png"),
        *rows_of("webp", HALF, PSNRS, "small.png"),
    ]
    by_ms_ssim = [one for one in bd_rates(rows, "jpeg") if one.measure == "ms_ssim"]
    assert [one.picture for one in by_ms_ssim] == [None, "a.png"]
    mean = by_ms_ssim[0]
    assert (mean.percent, mean.low, mean.high) == pytest.approx((-50, 10, 20))
    assert all(one.measure == "psnr_db" for one in bd_rates(rows[8:], "jpeg"))


def test_means_by_hand():
    rows = [
        dataclasses.replace(ROW, picture="a.png", bpp=0.4, psnr_db=20.0, ms_ssim=0.9),
        dataclasses.replace(ROW, picture="b.png", bpp=0.6, psnr_db=40.0, ms_ssim=0.8),
        dataclasses.replace(ROW, picture="b.png", setting=70.0),  # a.png lacks it
    ]
    (point,) = means(rows)
    assert (point.codec, point.setting) == ("jpeg", 50.0)
    assert (point.bpp, point.psnr_db, point.ms_ssim) == pytest.approx((0.5, 30.0, 0.85))
    # Mean squared errors 0.01 and 0.0001 of peak 1: their mean is 0.00505.
    assert point.psnr_of_mean_mse_db == pytest.approx(-10 * math.log10(0.00505))
    (curve,) = mean_curves([point])
    assert (curve.name, curve.points[0].label) == ("jpeg", "setting 50")


def test_means_of_lossless_pictures():
    (point,) = means([dataclasses.replace(ROW, psnr_db=math.inf)])
    assert point.psnr_db == point.psnr_of_mean_mse_db == math.inf


def test_csv_has_a_column_a_field():
    text = csv_text([ROW, dataclasses.replace(ROW, psnr_db=math.inf, ms_ssim=0.5)])
    assert text.splitlines()[:2] == [
        "picture,codec,setting,n_bytes,bpp,psnr_db,ms_ssim,encode_seconds,decode_seconds",
        "a.png,jpeg,50.0,1000,0.5,30.0,,0.1,0.2",
    ]
    assert "inf,0.5" in text.splitlines()[2]


@pytest.mark.parametrize(("similarities", "n_charts"), [(None, 1), ([0.8, 0.9, 0.95, 1.0], 2)])
def test_the_plot_is_a_png(similarities, n_charts):
    rows = rows_of("jpeg", RATES, [*PSNRS[:3], math.inf], similarities=similarities)
    buffer = io.BytesIO()
    plot(mean_curves(means(rows)), buffer)
    with Image.open(buffer) as image:
        assert (image.format, image.width) == ("PNG", 840 * n_charts)


# ---------------------------------------------------------------- the ledger


def test_rows_come_back(tmp_path):
    ledger = Ledger(tmp_path / "rows.jsonl")
    lossless = dataclasses.replace(ROW, psnr_db=math.inf)
    ledger.add("k1", ROW)
    ledger.add("k2", lossless)
    again = Ledger(tmp_path / "rows.jsonl")
    assert (again.get("k1"), again.get("k2"), again.get("k3")) == (ROW, lossless, None)


def test_a_torn_last_line_is_dropped_and_the_next_row_is_whole(tmp_path):
    path = tmp_path / "rows.jsonl"
    ledger = Ledger(path)
    ledger.add("k1", ROW)
    ledger.add("k2", ROW)
    path.write_bytes(path.read_bytes()[:-20])
    again = Ledger(path)
    assert (again.get("k1"), again.get("k2")) == (ROW, None)
    again.add("k2", ROW)
    assert Ledger(path).get("k2") == ROW


@pytest.mark.parametrize("line", ["{}", "[1]", "text", '{"key": "k", "row": {"psnr_db": 1}}'])
def test_other_lines_are_refused(tmp_path, line):
    path = tmp_path / "rows.jsonl"
    Ledger(path).add("k1", ROW)
    with open(path, "a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=r"rows\.jsonl line 2 is not a row of inr compare \("):
        Ledger(path)


# ---------------------------------------------------------------- runs, with quick codecs


@dataclasses.dataclass
class Calls:
    """What a quick codec was asked for; fails or ends the run where it is told to."""

    asked: list = dataclasses.field(default_factory=list)
    failing: tuple = ()
    killed_at: float | None = None

    def encode(self, pixels, quality):
        self.asked.append(quality)
        if quality == self.killed_at:
            raise KeyboardInterrupt
        if quality in self.failing:
            raise RuntimeError("the encoder gave up")
        return codec_named("jpeg420").encode(pixels, quality)


def quick(name="quick", settings="as it is; quality", qualities=(10, 30, 60, 90)):
    calls = Calls()
    decode = codec_named("jpeg420").decode
    codec = PictureCodec(
        name, settings, qualities, calls.encode, decode, lambda: None, lambda: "quick 1"
    )
    return codec, calls


def run(folder, codecs, *, recipes=(), pictures=None, anchor="quick"):
    told = []
    pictures = pictures or [NamedPicture("a.png", noise())]
    done = compare(pictures, codecs, recipes, folder, anchor=anchor, tell=told.append)
    return done, told


def test_a_run_writes_rows_plot_and_report(tmp_path):
    first, _ = quick()
    second, _ = quick("<other>")
    done, told = run(tmp_path / "out", [first, second])
    assert len(done.rows) == len(told) == 8
    assert told[0].startswith("1/8, at least 0:0")
    assert ": a.png, quick at 10: " in told[0]
    assert told[-1].startswith("8/8, 0:00 left: a.png, <other> at 90: ")
    with open(tmp_path / "out/rows.csv", newline="") as file:
        table = list(csv.DictReader(file))
    data = first.encode(noise(), 10)
    assert int(table[0]["n_bytes"]) == len(data)
    assert float(table[0]["bpp"]) == 8 * len(data) / (24 * 32)
    page = (tmp_path / "out/report.html").read_text()
    assert "&lt;other&gt;" in page
    assert "<other>" not in page
    assert "as it is; quality" in page
    assert done.bd_rates[0].codec == "<other>"
    assert done.bd_rates[0].percent == pytest.approx(0)  # the same files
    with Image.open(tmp_path / "out/rd.png") as image:
        assert image.format == "PNG"


def test_nothing_is_measured_twice(tmp_path):
    codec, calls = quick()
    before, _ = run(tmp_path, [codec])
    calls.asked.clear()
    after, told = run(tmp_path, [codec])
    assert (calls.asked, told) == ([], [])
    assert after == before


def test_a_killed_run_goes_on(tmp_path):
    codec, calls = quick()
    calls.killed_at = 60
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [codec])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoded", "rows.jsonl"]
    calls.asked.clear()
    calls.killed_at = None
    done, _ = run(tmp_path, [codec])
    assert calls.asked == [60, 90]
    assert [row.setting for row in done.rows] == [10, 30, 60, 90]


@pytest.mark.parametrize(
    ("changed", "pictures"),
    [
        ({"settings": "slower; quality"}, None),
        ({}, [NamedPicture("a.png", noise(seed=1))]),
        ({}, [NamedPicture("b.png", noise())]),
        ({}, [NamedPicture("a.png", noise().reshape(32, 24, 3))]),
    ],
)
def test_what_changes_the_result_is_measured_again(tmp_path, changed, pictures):
    run(tmp_path, [quick()[0]])
    codec, calls = quick(**changed)
    done, _ = run(tmp_path, [codec], pictures=pictures)
    assert calls.asked == [10, 30, 60, 90]
    assert len(done.rows) == 4


def test_more_qualities_cost_only_themselves(tmp_path):
    run(tmp_path, [quick()[0]])
    codec, calls = quick(qualities=(10, 20, 30))
    done, _ = run(tmp_path, [codec])
    assert calls.asked == [20]
    assert [row.setting for row in done.rows] == [10, 20, 30]  # 60 and 90 were not asked for


def test_failures_are_skipped_and_told(tmp_path):
    codec, calls = quick()
    calls.failing = (30,)
    done, told = run(tmp_path, [codec])
    assert [row.setting for row in done.rows] == [10, 60, 90]
    assert done.skipped == ("a.png, quick at 30: the encoder gave up",)
    assert told[1] == "skipped a.png, quick at 30: the encoder gave up"
    assert (
        "Skipped: a.png, quick at 30: the encoder gave up" in (tmp_path / "report.html").read_text()
    )


def test_a_run_without_a_row_fails(tmp_path):
    codec, calls = quick()
    calls.failing = codec.qualities
    with pytest.raises(ValueError, match=r"nothing could be coded; a\.png, quick at 10: the enc"):
        run(tmp_path, [codec])


def test_an_unknown_anchor_fails_before_the_work(tmp_path):
    codec, calls = quick()
    with pytest.raises(ValueError, match="the anchor 'png' is not compared; there are quick"):
        run(tmp_path / "out", [codec], anchor="png")
    assert calls.asked == []
    assert not (tmp_path / "out").exists()


def test_files_of_recipes_are_kept_and_shown(tmp_path):
    codec, _ = quick()
    recipe, calls = quick("siren", qualities=(20, 50))
    done, _ = run(tmp_path, [codec], recipes=[recipe])
    kept = {path.name.rsplit("-", 1)[0]: path for path in (tmp_path / "encoded").iterdir()}
    assert sorted(kept) == ["siren-20bpp", "siren-50bpp"]
    assert kept["siren-50bpp"].stat().st_size == done.rows[-1].n_bytes
    page = (tmp_path / "report.html").read_text()
    assert "a.png, siren at 20 bpp" in page  # next to 0.3
    assert page.count("data:image/png") == 2
    kept["siren-20bpp"].unlink()
    calls.asked.clear()
    run(tmp_path, [codec], recipes=[recipe])
    assert calls.asked == []
    assert "a.png, siren at 50 bpp" in (tmp_path / "report.html").read_text()


def test_ms_ssim_is_measured_from_161_pixels_on(tmp_path):
    codec, _ = quick(qualities=(50,))
    small, large = NamedPicture("s", noise(160, 200)), NamedPicture("l", noise(164, 164))
    done, _ = run(tmp_path, [codec], pictures=[small, large])
    assert done.rows[0].ms_ssim is None
    assert 0.5 < done.rows[1].ms_ssim < 1


def test_time_left_by_hand():
    clock = _Clock(["a", "a", "b", "b"])
    assert clock.took("a", 10.0) == "1/4, at least 0:10 left"
    assert clock.took("b", 60.0) == "2/4, 1:10 left"
    assert clock.took("b", 120.0) == "3/4, 0:10 left"
    assert clock.took("a", 30.0) == "4/4, 0:00 left"


# ---------------------------------------------------------------- what a run is given


def saved(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


def test_pictures_become_rgb(tmp_path):
    grey = saved(tmp_path / "grey.png", noise()[..., 0])
    colour = saved(tmp_path / "colour.png", noise())
    loaded = load_pictures([grey, colour], max_pixels=10**6, warn=pytest.fail)
    assert [picture.name for picture in loaded] == ["grey.png", "colour.png"]
    np.testing.assert_array_equal(loaded[0].pixels, noise()[..., :1].repeat(3, axis=2))
    np.testing.assert_array_equal(loaded[1].pixels, noise())


def test_pictures_that_not_every_codec_can_store(tmp_path):
    alpha = saved(tmp_path / "alpha.png", noise()[..., [0, 1, 2, 0]])
    deep = saved(tmp_path / "deep.png", noise()[..., 0].astype(np.uint16) * 257)
    with pytest.raises(
        ValueError, match=r"alpha\.png has alpha, which not every codec.* 8-bit RGB"
    ):
        load_pictures([alpha], max_pixels=10**6, warn=pytest.fail)
    with pytest.raises(ValueError, match=r"deep\.png has 16 bits"):
        load_pictures([deep], max_pixels=10**6, warn=pytest.fail)


def test_two_pictures_of_one_name(tmp_path):
    (tmp_path / "sub").mkdir()
    paths = [saved(tmp_path / "a.png", noise()), saved(tmp_path / "sub/a.png", noise())]
    with pytest.raises(ValueError, match=r"two pictures are called a\.png; rename"):
        load_pictures(paths, max_pixels=10**6, warn=pytest.fail)


@pytest.fixture
def without_vvc(monkeypatch):
    codecs = [
        dataclasses.replace(codec, missing=lambda: "no ffmpeg") if codec.name == "vvc" else codec
        for codec in CODECS
    ]
    monkeypatch.setattr(compare_inputs, "CODECS", tuple(codecs))
    monkeypatch.setattr(
        compare_inputs,
        "codec_named",
        lambda name: next(codec for codec in codecs if codec.name == name),
    )


@pytest.mark.usefixtures("without_vvc")
def test_codecs_that_are_not_there():
    left_out = []
    chosen = choose_codecs([], "jpeg420", warn=left_out.append)
    assert "vvc" not in [codec.name for codec in chosen]
    assert "vvc is left out: no ffmpeg" in left_out
    with pytest.raises(ValueError, match="vvc cannot run here: no ffmpeg"):
        choose_codecs(["webp", "vvc"], "jpeg420", warn=pytest.fail)
    with pytest.raises(ValueError, match="vvc cannot run here: no ffmpeg"):
        choose_codecs([], "vvc", warn=left_out.append)


@pytest.mark.parametrize(
    ("names", "anchor", "chosen"),
    [
        (["webp", "avif", "webp"], "jpeg420", ["jpeg420", "webp", "avif"]),
        (["webp", "jpeg420"], "jpeg420", ["webp", "jpeg420"]),
        (["webp"], "siren", ["webp"]),
    ],
)
def test_the_anchor_is_always_there(names, anchor, chosen):
    codecs = choose_codecs(names, anchor, warn=pytest.fail)
    assert [codec.name for codec in codecs] == chosen


def test_recipes_become_codecs():
    first, second = choose_recipes(
        ["siren", "fourier", "siren"],
        {"fit.steps": "7"},
        [0.5, 0.25, 0.5],
        seed=3,
        show_progress=False,
    )
    assert (first.name, second.name) == ("siren", "fourier")
    assert first.qualities == (0.25, 0.5)
    assert "steps=7" in first.settings
    assert first.settings.endswith("seed 3; target in bits per pixel")
    assert first.library().startswith("inr ")
    with pytest.raises(ValueError, match="target_bpp=0"):
        choose_recipes(["siren"], {}, [0], seed=0, show_progress=False)
    with pytest.raises(ValueError, match="unknown recipe 'sirene'"):
        choose_recipes(["sirene"], {}, [0.5], seed=0, show_progress=False)


def test_folders_that_hold_something_else(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file; name a folder"):
        check_folder(tmp_path / "file")
    with pytest.raises(ValueError, match=r"the folder .*missing does not exist"):
        check_folder(tmp_path / "missing/out")
    (tmp_path / "report.html").touch()
    with pytest.raises(ValueError, match=r"report\.html exists, and no rows\.jsonl"):
        check_folder(tmp_path)
    (tmp_path / "rows.jsonl").touch()
    check_folder(tmp_path)


# ---------------------------------------------------------------- the command line


@pytest.fixture
def run_cli(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "photo.png", noise())

    def run_main(*arguments):
        monkeypatch.setattr(sys, "argv", ["inr", "compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run_main


@pytest.fixture
def quick_fits(monkeypatch):
    """encode_picture and decode_picture by way of JPEG; returns what was wished for."""
    wishes = []

    def encode_picture(picture, recipe, wish, *, report):
        wishes.append((recipe.name, recipe.fit.steps, wish.target_bpp, wish.seed, report))
        data = codec_named("jpeg420").encode(picture.pixels, 100 * wish.target_bpp)
        return Encoded(data, 0.0, 1, 0.0)

    def decode_picture(data, view):
        assert view.max_pixels is None
        return Picture(codec_named("jpeg420").decode(data))

    monkeypatch.setattr("inr.codec.encode_picture", encode_picture)
    monkeypatch.setattr("inr.codec.decode_picture", decode_picture)
    return wishes


def test_cli_json_is_one_object(run_cli, quick_fits, tmp_path):
    code, out, err = run_cli(
        *("photo.png", "-o", "out", "--codec", "webp", "--seed", "5", "--set", "fit.steps=9"),
        *("--target-bpp", "0.5", "--target-bpp", "0.2", "--json", "-q"),
    )
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    told = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert list(told) == ["output", "rows", "bd_rates"]
    assert (told["output"], told["rows"]) == ("out", 12 + 11 + 2)
    mean = told["bd_rates"][0]
    assert (mean["codec"], mean["measure"], mean["picture"]) == ("webp", "psnr_db", None)
    assert told["bd_rates"][-1]["reason"].startswith("candidate: 2 points")
    assert quick_fits == [("siren", 9, 0.2, 5, None), ("siren", 9, 0.5, 5, None)]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["encoded", "rd.png", "report.html", "rows.csv", "rows.jsonl"]


@pytest.mark.usefixtures("quick_fits")
def test_cli_tells_progress_and_bd_rates(run_cli):
    code, out, err = run_cli("photo.png", "-o", "out", "--codec", "webp", "--recipe", "fourier")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("webp against jpeg420, PSNR: ")
    assert lines[1].startswith("fourier against jpeg420, PSNR: ")
    assert lines[2] == "out: 28 rows, 0 skipped"
    assert len(err.splitlines()) == 28
    assert err.splitlines()[-1].startswith("28/28, 0:00 left: photo.png, fourier at 0.6: ")


@pytest.mark.usefixtures("quick_fits", "without_vvc")
def test_cli_leaves_out_what_is_not_there(run_cli, tmp_path, monkeypatch):
    kept = [codec for codec in compare_inputs.CODECS if codec.name in ("jpeg420", "vvc")]
    monkeypatch.setattr(compare_inputs, "CODECS", tuple(kept))
    code, out, err = run_cli("photo.png", "-o", "out")
    assert code == 0
    assert err.startswith("warning: vvc is left out: no ffmpeg\n")
    assert out.endswith("out: 17 rows, 0 skipped\n")
    assert "vvc is left out: no ffmpeg" in (tmp_path / "out/report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photo.png", "--codec", "gif"], r"unknown codec 'gif'; there are jpeg420, "),
        (["photo.png", "--recipe", "gif"], r"unknown recipe 'gif'; there are siren"),
        (["photo.png", "--anchor", "gif"], r"the anchor 'gif' is not compared; there are jpeg420"),
        (["photo.png", "--set", "fit.stops=1"], r"unknown setting fit\.stops"),
        (["photo.png", "--set", "fit.steps"], r"--set fit\.steps: expected PATH=VALUE"),
        (["photo.png", "--target-bpp", "0"], r"target_bpp=0"),
        (["photo.png", "--seed", "-1"], r"seed=-1 is outside"),
        (["none.png"], r"none\.png: cannot be read"),
        (["photo.png", "photo.png"], r"two pictures are called photo\.png"),
        (["photo.png", "--max-pixels", "9"], r"over the limit of 9 pixels"),
    ],
)
@pytest.mark.usefixtures("quick_fits")
def test_cli_errors_are_one_line_before_the_work(run_cli, tmp_path, arguments, message):
    code, out, err = run_cli(*arguments, "-o", "out")
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(message, err)
    assert not (tmp_path / "out").exists()


def test_cli_with_a_real_recipe_and_a_picture_of_one_colour(run_cli, tmp_path):
    saved(tmp_path / "flat.png", np.full((24, 32, 3), [40, 200, 90], np.uint8))  # needs no fit
    code, out, _ = run_cli(
        *("flat.png", "-o", "out", "--codec", "jpeg420", "--target-bpp", "4", "--json", "-q")
    )
    assert code == 0
    told = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert told["rows"] == 13
    (kept,) = (tmp_path / "out/encoded").iterdir()
    assert kept.read_bytes().startswith(MAGIC)
    with open(tmp_path / "out/rows.csv", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert (last["codec"], last["psnr_db"]) == ("siren", "inf")
    assert int(last["n_bytes"]) == kept.stat().st_size
    assert "flat.png, siren at 4 bpp" in (tmp_path / "out/report.html").read_text()
