"""The command line with recipes and files of kind grid."""

import csv

import numpy as np
import pytest
from helpers.built_files import GRID_WITH_RATE, SMALL_GRID, built_grid
from helpers.cli_runs import Ran, main_runner, names, noise, opened, run_process
from PIL import Image

import inr

TINY = ("--recipe", "grid_fast", "--set", "structure.hidden=4", "--set", "structure.n_taps=3")


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs main() here, in a folder with photo.png of 24 x 16 pixels."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(noise(16, 24)).save("photo.png")
    return main_runner(monkeypatch, capsys)


def table(name="runs.csv"):
    with open(f"out/{name}", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("unfitted")
def test_encode_decode_info_and_eval(run, tmp_path):
    told = run("encode", "photo.png", *TINY, "--json").json
    data = (tmp_path / "photo.inr").read_bytes()
    assert (told["recipe"], told["steps"], told["n_bytes"]) == ("grid_fast", 7, len(data))
    assert told["bpp"] == 8 * len(data) / (16 * 24)
    assert run("decode", "photo.inr", "-q") == Ran(0, "", "")
    np.testing.assert_array_equal(opened("photo.decoded.png"), inr.decode(data))
    assert run("eval", "photo.png", "photo.inr", "--json").json["psnr_db"] == told["psnr_db"]
    facts = run("info", "photo.inr", "--json").json
    assert (facts["kind"], facts["structure"]["n_taps"]) == ("grid", 3)
    assert list(facts["sections"]) == ["networks", "latents"]
    text = run("info", "photo.inr").out
    assert "kind: grid\n" in text
    assert "exponent 0, is_hyper False, height 16, width 24, bits " in text
    # Features of 5 x 6 numbers and two layers of 9 x 9.
    assert "name context0_w, q_step 0.00390625, n_weights 192, " in text


def test_other_sizes_and_regions(run, tmp_path):
    data = built_grid(height=16, width=24)
    (tmp_path / "a.inr").write_bytes(data)
    for options, view in (
        (("--scale", "2"), {"scale": 2}),
        (("--size", "30x11"), {"size": (30, 11)}),
        (("--region", "5,4,10,8"), {"region": (5, 4, 10, 8)}),
        (("--scale", "0.5", "--region", "1,2,3,4"), {"scale": 0.5, "region": (1, 2, 3, 4)}),
    ):
        assert run("decode", "a.inr", "-o", "a.png", "-f", "-q", *options).code == 0
        np.testing.assert_array_equal(opened("a.png"), inr.decode(data, **view))


def test_damaged_and_huge_files(run, tmp_path):
    data = built_grid(height=16, width=24)
    (tmp_path / "a.inr").write_bytes(data[:-9] + bytes(9))
    run("decode", "a.inr").failed(r"a\.inr: the checksum does not match: the file is damaged")
    run("info", "a.inr").failed(r"a\.inr: the checksum does not match")
    (tmp_path / "a.inr").write_bytes(data)
    run("decode", "a.inr", "--max-pixels", 383).failed("24x16 pixels, more than the limit of 383")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--set", "lambda=-1"), r"lambda=-1\.0: expected a number above 0"),
        (("--set", "lambda=much"), "lambda=much: expected a number"),
        (("--set", "fit.batch=9"), r"unknown setting fit\.batch: GridFit has steps, "),
        (("--set", "quantize.bits=6"), r"unknown setting quantize\.bits: GridRecipe has structure"),
        (("--set", "structure.hidden=0"), r"structure\.hidden=0 is outside 1\.\.256"),
        (("--recipe", "grids"), r"unknown recipe 'grids'; there are .*grid_fast, grid, grid_best"),
    ],
)
def test_wrong_settings(run, unfitted, tmp_path, options, message):
    run("encode", "photo.png", *TINY, *options).failed(message)
    assert unfitted == []
    assert names(tmp_path) == ["photo.png"]


def test_recipes_list_lambda(run):
    listed = run("recipes", "--json").json
    assert listed["grid"]["settings"]["lambda"] == "0.001"
    assert listed["grid_fast"]["settings"]["structure.hidden"] == "48"
    assert "\n    lambda=0.001\n" in run("recipes").out


# ---------------------------------------------------------------- studies


def test_a_sweep_over_lambda(run, unfitted, tmp_path):
    sweep = ("sweep", "photo.png", *TINY, "--vary", "lambda=0.01,0.001", "-o", "out")
    dry = run(*sweep, "--dry-run")
    assert "photo.png grid_fast lambda=0.01 seed 0  batch 0\n" in dry.out
    assert run(*sweep, "-q") == Ran(0, "", "")
    assert [jobs[0].lambda_ for jobs, *_ in unfitted] == [0.01, 0.001]
    assert [row["lambda"] for row in table()] == ["0.01", "0.001"]
    for row in table():
        assert (row["recipe"], row["sparsity"], row["steps"]) == ("grid_fast", "", "7")
        data = (tmp_path / f"out/files/{row['config_hash']}.inr").read_bytes()
        assert len(data) == int(row["n_bytes"])
    assert (tmp_path / "out/report.html").exists()
    again = run(*sweep, "--json").json
    assert (again["runs"], again["skipped"]) == (2, 2)


@pytest.mark.usefixtures("unfitted")
def test_kinds_in_one_sweep(run):
    ran = run(
        *("sweep", "photo.png", "--recipe", "grid_fast", "--recipe", "grid", "-o", "out"),
        *("--set", "structure.hidden=3", "--set", "fit.steps=5", "-q"),
    )
    assert ran == Ran(0, "", "")
    assert [row["recipe"] for row in table()] == ["grid_fast", "grid"]


@pytest.mark.usefixtures("unfitted")
def test_a_comparison_along_lambda(run, tmp_path):
    told = run(
        *("compare", "photo.png", "-o", "out", "--codec", "jpeg420", *TINY),
        *("--lambda", "0.01", "--lambda", "0.001", "--json", "-q"),
    ).json
    assert told["rows"] == 12 + 2
    rows = table("rows.csv")
    assert [(row["codec"], row["setting"]) for row in rows[-2:]] == [
        ("grid_fast", "0.01"),
        ("grid_fast", "0.001"),
    ]
    kept = [name.rsplit("-", 1)[0] for name in names(tmp_path / "out/encoded")]
    assert sorted(kept) == ["grid_fast-0.001", "grid_fast-0.01"]
    page = (tmp_path / "out/report.html").read_text()
    shown = min(rows[-2:], key=lambda row: float(row["bpp"]))  # both are far above a usual rate
    assert f"photo.png, grid_fast at {shown['setting']}: {float(shown['bpp']):.4f} bpp" in page


# ---------------------------------------------------------------- processes


@pytest.mark.parametrize("structure", [SMALL_GRID, GRID_WITH_RATE])
def test_reading_loads_no_jax_and_threads_change_nothing(tmp_path, structure):
    data = built_grid(height=140, width=150, seed=3, structure=structure)  # four tiles
    (tmp_path / "a.inr").write_bytes(data)
    before = """
import atexit, os, sys
os.cpu_count = lambda: {}
atexit.register(lambda: print("loaded", sorted({{"jax", "optax", "flax"}} & set(sys.modules))))
"""
    for n_threads in (1, 2):
        out = tmp_path / f"{n_threads}.png"
        ran = run_process(
            "decode", tmp_path / "a.inr", "-o", out, "-q", before=before.format(n_threads)
        )
        assert ran == Ran(0, "loaded []\n", "")
        np.testing.assert_array_equal(opened(out), inr.decode(data))
    ran = run_process("info", tmp_path / "a.inr", before=before.format(2))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith("loaded []\n")


@pytest.mark.slow  # starts jax and compiles a fit in another process
def test_a_real_process_encodes_and_decodes(tmp_path):
    picture, file, out = (tmp_path / name for name in ("photo.png", "photo.inr", "out.png"))
    Image.fromarray(noise(16, 24)).save(picture)
    told = run_process("encode", picture, *TINY, "--set", "fit.steps=10", "--json", timeout=400)
    assert (told.json["steps"], told.err) == (10, "")
    assert run_process("decode", file, "-o", out, "-q") == Ran(0, "", "")
    again = run_process("eval", picture, out, "--json").json
    assert again["psnr_db"] == pytest.approx(told.json["psnr_db"], abs=1e-9)  # the same pixels
