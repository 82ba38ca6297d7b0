"""cli/studies.py: what scripts rely on in `inr sweep` and `inr compare`.

The fits here have no step, or none is needed: pictures of one colour are stored as they are.
"""

import csv
import re
from pathlib import Path

import pytest
from helpers.cli_runs import UNTRAINED, names, run_process
from helpers.sweep_runs import save_noise
from PIL import Image

import inr
from inr.studies.compare.run import Comparison, Measured
from inr.studies.ledger import Ledger

SWEEP = ("sweep", "photo.png", "--recipe", "siren", *UNTRAINED, "--vary", "quantize.bits=4,6")
COMPARE = ("compare", "flat.png", "--codec", "jpeg420", "--target-bpp", "8")


@pytest.fixture(autouse=True)
def flat(folder):
    Image.new("RGB", (16, 12), (10, 200, 30)).save("flat.png")


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------- sweep


def test_a_sweep_leaves_table_plot_report_and_files(run):
    ran = run(*SWEEP, "--seed", 0, "--seed", 1, "-o", "out")
    assert (ran.code, ran.err) == (0, "")
    assert re.fullmatch(r"out: 4 runs, 0 of them done before, \d+\.\d s\n", ran.out)
    assert set(names(Path("out"))) >= {
        *("files", "ledger.sqlite", "rd.png", "report.html", "runs.csv")
    }
    table = rows("out/runs.csv")
    wanted = {"picture", "recipe", "quantize.bits", "seed", "n_bytes", "bpp", "psnr_db", "ms_ssim"}
    assert set(table[0]) >= wanted | {"seconds", "config_hash", "commit", "machine", "sparsity"}
    assert [(row["quantize.bits"], row["seed"], row["n_together"]) for row in table] == [
        *(("4", "0", "4"), ("4", "1", "4"), ("6", "0", "4"), ("6", "1", "4"))
    ]
    for row in table:
        data = Path(f"out/files/{row['config_hash']}.inr").read_bytes()
        assert len(data) == int(row["n_bytes"])
        assert inr.decode(data).shape == (12, 16, 3)
    told = run(*SWEEP, "--seed", 0, "--seed", 1, "-o", "out", "--json").json
    assert (told["runs"], told["skipped"]) == (4, 4)


def test_targets_and_recipes_vary_and_json_is_one_object(run):
    sweep = ("sweep", "flat.png", "--recipe", "siren", "--recipe", "siren_zstd", "-o", "out")
    told = run(*sweep, "--vary", "target_bpp=9,10", "--json").json
    assert list(told) == ["output", "runs", "skipped", "failed", "seconds"]
    assert (told["output"], told["runs"], told["skipped"], told["failed"]) == ("out", 4, 0, 0)
    assert [(row["recipe"], row["target_bpp"]) for row in rows("out/runs.csv")] == [
        *(("siren", "9"), ("siren", "10"), ("siren_zstd", "9"), ("siren_zstd", "10"))
    ]
    ran = run(*sweep, "--target-bpp", 10, "-q")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert "target_bpp" not in rows("out/runs.csv")[0]


def test_a_failed_run_is_told(run):
    sweep = ("sweep", "flat.png", "--recipe", "siren", "--vary", "target_bytes=3,300")
    ran = run(*sweep, "-o", "out", "--json")
    assert ran.code == 1
    assert '"failed": 1' in ran.out
    assert ran.err == (
        "error: 1 of 2 runs failed, first flat.png siren target_bytes=3 seed 0: a target of 3 "
        "bytes is too small: this picture takes 56; the same command tries them again\n"
    )


def test_a_dry_run_lists_and_writes_nothing(run):
    ran = run(*SWEEP, "-o", "out", "--dry-run")
    assert ran.code == 0
    assert re.fullmatch(
        r"photo\.png siren quantize\.bits=4 seed 0  batch 0\n"
        r"photo\.png siren quantize\.bits=6 seed 0  batch 0\n"
        r"out: 2 runs, 0 of them done before, about \d+ s for the others\n",
        ran.out,
    )
    assert re.fullmatch(r"the estimate rests on [^\n]* no finished run[^\n]*\n", ran.err)
    assert not Path("out").exists()


@pytest.mark.slow  # a process
def test_a_dry_run_does_not_wait_for_jax_and_prints_every_name(monkeypatch):
    name = "caf\udce9 画.png"
    try:
        save_noise(name)
    except (OSError, UnicodeError) as error:
        pytest.skip(f"this file system has no such names ({error})")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii:strict")
    before = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(sorted({'jax', 'matplotlib', 'scipy'} & set(sys.modules))))"
    )
    ran = run_process("sweep", name, *SWEEP[2:], "-o", "out", "--dry-run", "-q", before=before)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("caf\\xe9 \\u753b.png siren quantize.bits=4 seed 0  batch 0\n")
    assert ran.out.endswith("\n[]\n")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--vary", "quantize.bits"), "expected PATH=V1,V2"),
        (("--vary", "quantize.bits=4,99"), "bits=99"),
        (("--vary", "fit.steps=5", "--set", "fit.steps=5"), "both set and varied"),
        (("--target-bpp", 1, "--set", "target_bpp=2"), "target_bpp is given twice"),
        (("--target-bpp", 1, "--vary", "target_bpp=2"), "both set and varied"),
    ],
)
def test_bad_arguments_of_a_sweep_leave_nothing(run, arguments, text):
    run("sweep", "photo.png", "--recipe", "siren", *arguments, "-o", "out").failed(text)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "arguments", [("photo.png", "--recipe", "siren"), ("-o", "x"), ("photo.png", "-o", "x")]
)
def test_usage_errors(run, arguments):
    assert run("sweep", *arguments).code == 2


def test_what_is_the_users_stays(run):
    Path("out").mkdir()
    Path("out/report.html").write_text("precious")
    run(*SWEEP, "-o", "out").failed("out holds report.html but no ledger.sqlite of a sweep")
    assert Path("out/report.html").read_text() == "precious"
    run(*SWEEP, "-o", "photo.png").failed("not a folder")
    before = Path("photo.png").read_bytes()
    assert run("sweep", "flat.png", "--recipe", "siren", "-o", ".", "-q").code == 0
    assert Path("photo.png").read_bytes() == before
    Path("photo.png").rename("rd.png")
    run("sweep", "rd.png", "--recipe", "siren", "-o", ".").failed(
        "rd.png would be overwritten, an input; name another folder"
    )
    assert Path("rd.png").read_bytes() == before


@pytest.mark.parametrize("command", [("sweep", "--recipe", "siren"), ("compare",)])
def test_standard_streams_are_refused(run, command):
    run(*command, "-", "-o", "out").failed("standard input has no name for the tables")
    run(*command, "photo.png", "-o", "-").failed("-o -: the results are several files; name a fol")


# ---------------------------------------------------------------- compare


def test_a_comparison_as_json(run):
    told = run(*COMPARE, "-o", "out", "--json", "-q").json
    assert list(told) == ["output", "rows", "bd_rates"]
    assert (told["output"], told["rows"]) == ("out", 12 + 1)
    mean, of_picture = told["bd_rates"]
    assert (mean["codec"], mean["measure"], mean["picture"]) == ("siren", "psnr_db", None)
    assert mean["percent"] is None
    assert of_picture["reason"].startswith("anchor: 3 points")
    assert names(Path("out")) == ["encoded", "ledger.sqlite", "rd.png", "report.html", "rows.csv"]
    (kept,) = Path("out/encoded").iterdir()
    last = rows("out/rows.csv")[-1]
    assert (last["codec"], last["setting"], last["psnr_db"]) == ("siren", "8.0", "inf")
    assert int(last["n_bytes"]) == kept.stat().st_size
    assert "flat.png, siren at 8: " in Path("out/report.html").read_text()


def test_a_comparison_tells_progress_and_bd_rates(run):
    ran = run(
        *("compare", "photo.png", "-o", "out", "--codec", "webp", *UNTRAINED, "--seed", 5),
        *("--target-bpp", 4, "--target-bpp", 3),
    )
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].startswith("webp against jpeg420, PSNR: ")
    assert lines[1].startswith("siren against jpeg420, PSNR: none (photo.png: candidate: ")
    assert lines[2] == "out: 25 rows, 0 skipped"
    assert len(ran.err.splitlines()) == 25
    assert ran.err.splitlines()[0].startswith("1/25, at least 0:00 left: photo.png, jpeg420 at 3: ")
    assert ran.err.splitlines()[-1].startswith("25/25, 0:00 left: photo.png, siren at 4: ")


def test_names_of_every_kind_in_a_comparison(run):
    given = ["Ba$$in.png", "_a\\frac{_^%.png", "画像.png", "<script>&'.png", "two\nlines.png"]
    for i, name in enumerate([*given, "caf\udce9.png"]):
        Image.new("RGB", (16, 12), (i, 200, 30)).save("saved.png")
        Path("saved.png").rename(name)
    ran = run("compare", *given, "caf\udce9.png", *COMPARE[2:], "-o", "out")
    assert ran.code == 0, ran.err
    shown = [*given[:-1], "two\\nlines.png", "caf\\xe9.png"]
    assert list(dict.fromkeys(row["picture"] for row in rows("out/rows.csv"))) == shown
    assert ": caf\\xe9.png, siren at 8: " in ran.err
    assert Path("out/rd.png").exists()
    page = Path("out/report.html").read_text()
    assert "<td>caf\\xe9.png</td>" in page
    assert "<td>&lt;script&gt;&amp;&#x27;.png</td>" in page


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
def test_errors_of_a_comparison_come_before_the_work(run, arguments, message):
    arguments = [*arguments, *(() if "--codec" in arguments else ("--codec", "jpeg420"))]
    run("compare", *arguments, "-o", "out").failed(message)
    assert not Path("out").exists()


def test_bugs_of_a_comparison_end_it_with_an_error(run, monkeypatch):
    done = Comparison((), (), ("a.png, siren at 1: IndexError: ours",) * 5, n_bugs=2)
    monkeypatch.setattr("inr.studies.compare.run.compare", lambda *_, **__: done)
    ran = run(*COMPARE, "-o", "out", "--json")
    assert ran.code == 1
    assert ran.out.startswith('{"output": "out", "rows": 0')
    assert ran.err == (
        "error: 2 of the 5 encodings skipped met a bug of inr, whose traceback was shown; the same "
        "command tries them again\n"
    )


def test_ctrl_c_keeps_what_is_measured(run, monkeypatch):
    def encode_picture(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("inr.studies.compare.inputs.encode_picture", encode_picture)
    ran = run("compare", "photo.png", "--codec", "jpeg420", "-o", "out", "-q")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "error: interrupted; what is measured stays, and the same command goes on from there\n"
    )
    assert len(measured()) == 12


def measured():
    return Ledger(Path("out"), "rows", Measured).rows()
