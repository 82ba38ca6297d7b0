"""`inr sweep` as a whole: the contract that scripts rely on, resuming, and kills at any moment."""

import contextlib
import csv
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import inr
from inr import cli

TINY = ("--set", "fit.steps=5", "--set", "field.hidden=4", "--set", "field.n_layers=1")
SWEEP = ("a.png", "--recipe", "siren", *TINY, "--vary", "quantize.bits=4,6", "-o", "out")


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs main() here; returns (exit code, stdout, stderr)."""

    def run_main(*arguments):
        monkeypatch.setattr(sys, "argv", ["inr", "sweep", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return (end.value.code or 0, *capsys.readouterr())

    return run_main


def started(*arguments, before=""):
    """The same in a process of its own, which need not end."""
    code = f"{before}\nfrom inr.cli import main\nmain()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "sweep", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )


def table():
    with open("out/runs.csv", newline="") as file:
        return list(csv.DictReader(file))


def names(folder="out"):
    return sorted(path.name for path in Path(folder).iterdir())


def ledger_hashes():
    """Config hashes of all rows so far; [] where there is no table yet."""
    if not Path("out/ledger.sqlite").exists():
        return []
    connection = sqlite3.connect("out/ledger.sqlite", timeout=10)
    try:
        return [row[0] for row in connection.execute("SELECT config_hash FROM runs")]
    except sqlite3.OperationalError:  # between the file and its table
        return []
    finally:
        connection.close()


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


# ---------------------------------------------------------------- again


@pytest.mark.usefixtures("folder")
def test_what_is_done_is_not_run_again(run, instant):
    run(*SWEEP)
    before = table()
    told = json.loads(run(*SWEEP, "--json")[1])
    assert (told["runs"], told["skipped"]) == (2, 2)
    assert len(instant) == 1
    assert table() == before


@pytest.mark.usefixtures("folder")
def test_other_arguments_add_rows_and_the_table_is_that_of_the_last_sweep(run, instant):
    run(*SWEEP)
    wider = (*SWEEP[:-4], "--vary", "quantize.bits=6,8", "-o", "out", "--json")
    told = json.loads(run(*wider)[1])
    assert (told["runs"], told["skipped"]) == (2, 1)
    assert instant[-1] == [(8.0, 0)]
    assert [row["quantize.bits"] for row in table()] == ["6", "8"]
    assert len(ledger_hashes()) == 3


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"short")])
def test_a_lost_file_is_made_again(run, instant, damage):
    run(*SWEEP)
    whole = {path: path.read_bytes() for path in Path("out/files").iterdir()}
    damage(next(iter(whole)))
    assert json.loads(run(*SWEEP, "--json")[1])["skipped"] == 1
    assert {path: path.read_bytes() for path in Path("out/files").iterdir()} == whole
    assert len(ledger_hashes()) == 2


@pytest.mark.usefixtures("folder", "instant")
def test_a_lost_file_that_cannot_be_made_again_is_a_failure(run, monkeypatch):
    run(*SWEEP)
    Path(f"out/files/{table()[0]['config_hash']}.inr").unlink()

    def encode_picture(*_, **__):
        raise inr.FitError("not a number")

    monkeypatch.setattr("inr.codec.encode_picture", encode_picture)
    code, out, _ = run(*SWEEP, "--json")
    assert (code, json.loads(out)["failed"]) == (1, 1)
    assert [row["quantize.bits"] for row in table()] == ["6"]


@pytest.mark.usefixtures("folder", "instant")
def test_a_failed_run_is_told_and_tried_again(run, monkeypatch):
    original = inr.codec.encode_picture

    def encode_picture(picture, recipe, wish, **rest):
        if recipe.quantize.bits == 4:
            raise inr.FitError("the loss stopped being a number")
        return original(picture, recipe, wish, **rest)

    with monkeypatch.context() as patch:
        patch.setattr("inr.codec.encode_picture", encode_picture)
        code, out, err = run(*SWEEP, "--batch", 1, "--json")
    assert code == 1
    assert err == (
        "error: 1 of 2 runs failed, first a.png siren quantize.bits=4 seed 0: the loss stopped "
        "being a number; the same command tries them again\n"
    )
    assert json.loads(out)["failed"] == 1
    assert [row["quantize.bits"] for row in table()] == ["6"]
    assert "the loss stopped being a number" in Path("out/report.html").read_text()
    told = json.loads(run(*SWEEP, "--json")[1])
    assert (told["skipped"], told["failed"]) == (1, 0)
    assert [row["quantize.bits"] for row in table()] == ["4", "6"]


@pytest.mark.usefixtures("folder", "instant")
def test_ctrl_c_says_how_to_go_on(run, monkeypatch):
    original = inr.codec.encode_picture

    def encode_picture(picture, recipe, wish, **rest):
        if recipe.quantize.bits == 6:
            raise KeyboardInterrupt
        return original(picture, recipe, wish, **rest)

    with monkeypatch.context() as patch:
        patch.setattr("inr.codec.encode_picture", encode_picture)
        code, out, err = run(*SWEEP, "--batch", 1)
    assert (code, out) == (1, "")
    assert err == (
        "error: interrupted with 1 of 2 runs finished; the same command goes on from there\n"
    )
    assert json.loads(run(*SWEEP, "--json")[1])["skipped"] == 1


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
    assert "out holds report.html but no ledger of a sweep" in err
    assert Path("out/report.html").read_text() == "precious"
    assert "not a folder" in run(*SWEEP[:-1], "a.png")[2]


# ---------------------------------------------------------------- kills


def wait_for_rows(process, n, seconds=60):
    give_up_at = time.monotonic() + seconds
    while len(ledger_hashes()) < n and process.poll() is None and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()[1]


@pytest.mark.slow  # two processes, one of which sleeps in each run
@pytest.mark.usefixtures("folder")
def test_a_killed_sweep_goes_on_to_the_same_table(run):
    options = ("flat.png", "--recipe", "siren", "--batch", 1, "-o", "out")
    options = (*options, *(f"--seed={seed}" for seed in range(6)))
    slowly = (
        "import time, inr.codec as c\n"
        "original = c.encode_picture\n"
        "def encode_picture(*a, **k):\n    time.sleep(0.5)\n    return original(*a, **k)\n"
        "c.encode_picture = encode_picture"
    )
    process = started(*options, before=slowly)
    wait_for_rows(process, 2)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    rows_before = ledger_hashes()
    assert 2 <= len(rows_before) < 6
    assert "runs.csv" not in names()
    told = json.loads(run(*options, "--json")[1])
    assert told["skipped"] == len(rows_before)
    assert [row["seed"] for row in table()] == ["0", "1", "2", "3", "4", "5"]
    assert len(ledger_hashes()) == 6
    assert [row["config_hash"] for row in table()][: len(rows_before)] == sorted(
        rows_before, key=[row["config_hash"] for row in table()].index
    )


@pytest.mark.slow  # three processes that load jax
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds children in /proc")
@pytest.mark.usefixtures("folder")
def test_workers_end_with_a_killed_parent(run):
    options = ("flat.png", "--recipe", "siren", "--batch", 1, "-o", "out")
    options = (*options, *(f"--seed={seed}" for seed in range(400)))
    process = started(*options, "--jobs", 2)
    wait_for_rows(process, 2)
    children = [
        int(child)
        for task in Path(f"/proc/{process.pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    process.kill()
    process.communicate()
    assert len(children) >= 2

    def alive():
        found = []
        for pid in children:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if Path(f"/proc/{pid}/cmdline").read_bytes():  # empty: ended, not yet waited for
                    found.append(pid)
        return found

    give_up_at = time.monotonic() + 20
    while alive() and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert alive() == []
    n_rows = len(ledger_hashes())
    assert 2 <= n_rows < 400
    assert json.loads(run(*options, "--dry-run", "--json")[1])["skipped"] == n_rows


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
