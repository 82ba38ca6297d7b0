"""`inr sweep` as a whole: the contract that scripts rely on."""

import csv
import json
import re
from pathlib import Path

import pytest
from helpers.sweep_runs import SWEEP, names, started, table

import inr

# ---------------------------------------------------------------- contract


@pytest.mark.usefixtures("folder", "instant")
def test_a_sweep_leaves_table_plot_report_and_files(run):
    code, out, err = run(*SWEEP, "--seed", 0, "--seed", 1)
    assert (code, err) == (0, "")
    assert re.fullmatch(r"out: 4 runs, 0 of them done before, \d+\.\d s\n", out)
    assert set(names()) >= {"files", "ledger.sqlite", "rd.png", "report.html", "runs.csv"}
    rows = table()
    wanted = {"picture", "recipe", "quantize.bits", "seed", "n_bytes", "bpp", "psnr_db", "ms_ssim"}
    assert set(rows[0]) >= wanted | {"seconds", "config_hash", "commit", "machine", "sparsity"}
    found = [
        (row["picture"], row["recipe"], row["quantize.bits"], row["seed"], float(row["psnr_db"]))
        for row in rows
    ]
    assert found == [
        ("a.png", "siren", "4", "0", 40.0),
        ("a.png", "siren", "4", "1", 41.0),
        ("a.png", "siren", "6", "0", 60.0),
        ("a.png", "siren", "6", "1", 61.0),
    ]
    for row in rows:
        data = Path(f"out/files/{row['config_hash']}.inr").read_bytes()
        assert len(data) == int(row["n_bytes"])
        assert inr.decode(data).shape == (12, 16, 3)


@pytest.mark.usefixtures("folder", "instant")
def test_json_is_one_object_and_quiet_is_silence(run):
    code, out, err = run(*SWEEP, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    told = json.loads(out)
    assert set(told) == {"output", "runs", "skipped", "failed", "seconds"}
    assert (told["output"], told["runs"], told["skipped"], told["failed"]) == ("out", 2, 0, 0)
    assert run(*SWEEP, "-q") == (0, "", "")


@pytest.mark.usefixtures("folder")
def test_batches_and_their_limit(run, instant):
    assert run(*SWEEP, "--seed", 0, "--seed", 1, "--batch", 3, "-q")[0] == 0
    assert instant == [[(4.0, 0), (4.0, 1), (6.0, 0)], [(6.0, 1)]]
    assert [row["n_together"] for row in table()] == ["3", "3", "3", "1"]


@pytest.mark.usefixtures("folder")
def test_without_batches(run, instant):
    assert run(*SWEEP, "--batch", 1, "-q")[0] == 0
    assert instant == [[(4.0, 0)], [(6.0, 0)]]


@pytest.mark.usefixtures("folder", "instant")
def test_targets_and_recipes_vary_too(run):
    options = ("--recipe", "siren", "--recipe", "siren_zstd", "--set", "fit.steps=5")
    assert run("a.png", *options, "--vary", "target_bpp=9,10", "-o", "out", "-q")[0] == 0
    assert [(row["recipe"], row["target_bpp"]) for row in table()] == [
        ("siren", "9"),
        ("siren", "10"),
        ("siren_zstd", "9"),
        ("siren_zstd", "10"),
    ]
    assert run("b.png", *options, "--target-bpp", 10, "-o", "out", "-q")[0] == 0
    assert "target_bpp" not in table()[0]


# ---------------------------------------------------------------- dry run


@pytest.mark.usefixtures("folder")
def test_a_dry_run_lists_and_writes_nothing(run, instant):
    code, out, err = run(*SWEEP, "--seed", 0, "--seed", 1, "--dry-run")
    assert code == 0
    assert re.fullmatch(
        r"a\.png siren quantize\.bits=4 seed 0  batch 0\n"
        r"a\.png siren quantize\.bits=4 seed 1  batch 0\n"
        r"a\.png siren quantize\.bits=6 seed 0  batch 0\n"
        r"a\.png siren quantize\.bits=6 seed 1  batch 0\n"
        r"out: 4 runs, 0 of them done before, about \d+ s for the others\n",
        out,
    )
    assert re.fullmatch(r"the estimate rests on [^\n]* no finished run[^\n]*\n", err)
    assert not Path("out").exists()
    assert instant == []


@pytest.mark.usefixtures("folder")
def test_a_dry_run_knows_what_is_done(run, instant):
    run(*SWEEP)
    code, out, err = run(*SWEEP, "--seed", 0, "--seed", 1, "--dry-run")
    assert (code, len(instant)) == (0, 1)
    states = [line.split("  ")[1] for line in out.splitlines()[:4]]
    assert states == ["done", "batch 0", "done", "batch 0"]
    assert "as 2 finished runs took" in err
    told = json.loads(run(*SWEEP, "--dry-run", "--json")[1])
    assert (told["runs"], told["skipped"], told["failed"], told["seconds"]) == (2, 2, 0, 0)


@pytest.mark.usefixtures("folder")
def test_a_dry_run_does_not_wait_for_jax():
    before = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(sorted({'jax', 'matplotlib'} & set(sys.modules))))"
    )
    process = started(*SWEEP, "--dry-run", "-q", before=before)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1] == "[]"


# ---------------------------------------------------------------- refused


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--vary", "quantize.bits"), "expected PATH=V1,V2"),
        (("--vary", "fit.stepz=1"), r"unknown setting fit\.stepz"),
        (("--vary", "quantize.bits=4,99"), "bits=99"),
        (("--vary", "fit.steps=5", "--set", "fit.steps=5"), "both set and varied"),
        (("--target-bpp", 1, "--set", "target_bpp=2"), "target_bpp is given twice"),
        (("--target-bpp", 1, "--vary", "target_bpp=2"), "both set and varied"),
        (("--seed", 1, "--seed", 1), "two runs are the same"),
        (("--recipe", "nothing"), "unknown recipe"),
    ],
)
def test_bad_arguments_leave_nothing(run, arguments, text):
    code, out, err = run("a.png", "--recipe", "siren", *arguments, "-o", "out")
    assert (code, out) == (1, "")
    assert re.fullmatch(rf"error: [^\n]*{text}[^\n]*\n", err)
    assert not Path("out").exists()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "arguments", [("a.png", "--recipe", "siren"), ("-o", "x"), ("a.png", "-o", "out"), SWEEP[1:]]
)
def test_usage_errors(run, arguments):
    assert run(*arguments)[0] == 2


@pytest.mark.usefixtures("folder", "instant")
def test_a_folder_of_something_else_is_not_touched(run):
    Path("out").mkdir()
    Path("out/report.html").write_text("precious")
    code, _, err = run(*SWEEP)
    assert (code, names()) == (1, ["report.html"])
    assert "out holds report.html but no ledger.sqlite of a sweep" in err
    assert Path("out/report.html").read_text() == "precious"
    assert "not a folder" in run(*SWEEP[:-1], "a.png")[2]


# ---------------------------------------------------------------- fits


@pytest.mark.slow  # fits, one batch in this process and two in others
@pytest.mark.usefixtures("folder")
def test_batches_and_processes_fit_what_single_runs_fit(run):
    psnr_db = {}
    for out, options in (
        ("single", ("--batch", 1)),
        ("batch", ()),
        ("jobs", ("--jobs", 2)),
    ):
        told = run(*SWEEP[:-1], out, *options, "--json")
        assert told[0] == 0, told[2]
        with open(f"{out}/runs.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 2
        psnr_db[out] = [float(row["psnr_db"]) for row in rows]
    # Another order of sums in f32, through five steps.
    assert psnr_db["batch"] == pytest.approx(psnr_db["single"], abs=0.1)
    assert psnr_db["jobs"] == pytest.approx(psnr_db["single"], abs=0.1)
