"""`inr compare` as a whole, with quick fits."""

import csv
import json
import re
import sys

import numpy as np
import pytest
from helpers.compare_samples import noise, saved

from inr.cli import main as cli
from inr.format.container import MAGIC
from inr.image.picture import Picture
from inr.options import EncodeResult
from inr.studies.baselines import codec_named
from inr.studies.compare import inputs as compare_inputs


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

    def encode_picture(picture, recipe, options, *, report):
        wishes.append((recipe.name, recipe.fit.steps, options.target_bpp, options.seed, report))
        data = codec_named("jpeg420").encode(picture.pixels, 100 * options.target_bpp)
        return EncodeResult(data, 0.0, 1, 0.0)

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
        (["photo.png", "--set", "fit.steps"], r"--set '?fit\.steps'?: expected PATH=VALUE"),
        (["photo.png", "--target-bpp", "0"], r"target_bpp=0"),
        (["photo.png", "--seed", "-1"], r"seed=-1 is outside"),
        (["photo.png", "--recipe", "grid", "--lambda", "0"], r"lambda=0\.0: expected a number ab"),
        (["photo.png", "--recipe", "grid", "--set", "lambda=1"], r"give --lambda, not --set lambd"),
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


@pytest.mark.usefixtures("quick_fits")
def test_cli_names_of_every_kind(run_cli, tmp_path):
    names = ["Ba$$in.png", "_a\\frac{_^%.png", "画像.png", "<script>&'.png", "two\nlines.png"]
    for i, name in enumerate([*names, "caf\udce9.png"]):
        saved(tmp_path / "a.png", noise(seed=i))
        (tmp_path / "a.png").rename(tmp_path / name)
    code, _, err = run_cli(*names, "caf\udce9.png", "-o", "out", "--codec", "jpeg420")
    assert code == 0, err
    shown = [*names[:-1], "two\\nlines.png", "caf\\xe9.png"]
    with open(tmp_path / "out/rows.csv", newline="") as file:
        assert list(dict.fromkeys(row["picture"] for row in csv.DictReader(file))) == shown
    assert "17/102, " in err
    assert ": caf\\xe9.png, siren at 0.6: " in err
    assert (tmp_path / "out/rd.png").exists()
    page = (tmp_path / "out/report.html").read_text()
    assert "<td>caf\\xe9.png</td>" in page
    assert "<td>&lt;script&gt;&amp;&#x27;.png</td>" in page


@pytest.mark.usefixtures("quick_fits")
def test_cli_a_bug_ends_with_an_error(run_cli, monkeypatch):
    def encode_picture(picture, recipe, options, *, report):
        raise IndexError("our own mistake")

    monkeypatch.setattr("inr.codec.encode_picture", encode_picture)
    code, out, err = run_cli("photo.png", "-o", "out", "--codec", "jpeg420", "--json", "-q")
    assert (code, json.loads(out)["rows"]) == (1, 12)
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.count("Traceback") == 1
    assert err.splitlines()[-1] == (
        "error: 5 of the 5 encodings skipped met a bug of inr, whose traceback was shown; the same "
        "command tries them again"
    )


def test_cli_ctrl_c_is_one_line(run_cli, monkeypatch, tmp_path):
    def encode_picture(picture, recipe, options, *, report):
        raise KeyboardInterrupt

    monkeypatch.setattr("inr.codec.encode_picture", encode_picture)
    code, out, err = run_cli("photo.png", "-o", "out", "--codec", "jpeg420", "-q")
    assert (code, out) == (1, "")
    assert err == (
        "error: interrupted; what is measured stays, and the same command goes on from there\n"
    )
    assert len((tmp_path / "out/rows.jsonl").read_text().splitlines()) == 12


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("-", "-o", "out"), "has no name for the tables"),
        (("photo.png", "-o", "-"), "name a folder"),
    ],
)
def test_cli_standard_streams_are_refused(run_cli, arguments, text):
    code, out, err = run_cli(*arguments)
    assert (code, out) == (1, "")
    assert text in err


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
    assert (
        f"flat.png, siren at 4: {float(last['bpp']):.4f} bpp"
        in (tmp_path / "out/report.html").read_text()
    )
