"""The command line with the recipe cae and its files; `inr cae` itself is tested elsewhere."""

import csv
from pathlib import Path

import numpy as np
import pytest
from helpers.cae_coding_models import TINY, decode, models_folder, picture
from helpers.cli_runs import Ran, main_runner, names, opened, run_process
from PIL import Image

import inr
from inr.format.container import unpack

CAE = ("--recipe", "cae", "--set", f"model={models_folder() / 'tiny.npz'}")


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs main() here, with tiny models, in a folder with photo.png of 70 x 40 pixels."""
    monkeypatch.setenv("INR_MODELS", str(models_folder()))
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture(40, 70)).save("photo.png")
    return main_runner(monkeypatch, capsys)


def table(name="runs.csv"):
    with open(f"out/{name}", newline="") as file:
        return list(csv.DictReader(file))


def test_encode_decode_info_and_eval(run):
    told = run("encode", "photo.png", *CAE, "--json").json
    data = Path("photo.inr").read_bytes()
    assert (told["output"], told["recipe"], told["steps"]) == ("photo.inr", "cae", 0)
    assert (told["n_bytes"], told["bpp"]) == (len(data), 8 * len(data) / 2800)
    assert run("decode", "photo.inr", "-q") == Ran(0, "", "")
    np.testing.assert_array_equal(opened("photo.decoded.png"), decode(data))
    measured = run("eval", "photo.png", "photo.inr", "--json").json
    assert (measured["psnr_db"], measured["n_bytes"]) == (told["psnr_db"], len(data))
    facts = run("info", "photo.inr", "--json").json
    assert (facts["kind"], facts["model"], facts["model_sha256"]) == (
        *("cae", "tiny"),
        TINY["tiny"].sha256,
    )
    assert facts["sections"] == {"latents": len(unpack(data)[1][5])}
    text = run("info", "photo.inr").out
    assert "kind: cae\n" in text
    assert "model: tiny\n" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--set", "lambda=-1"), r"lambda=-1\.0: expected a number above 0"),
        (("--set", "lambda=1"), r"lambda=1\.0: the model tiny knows 0\.0002\.\.0\.0128"),
        (("--set", "lambda=much"), "lambda=much: expected a number"),
        (("--set", "model=big"), "model 'big': there are hyperprior, factorized, or give the path"),
        (("--set", "model=photo.png"), r"model 'photo\.png': there are"),
        (("--set", "width=4"), "width=4: the model tiny has only one, 0"),
        (("--set", "fit.steps=9"), r"unknown setting fit\.steps: CaeRecipe has "),
        (("--target-bytes", "5"), "target of 5 bytes is too small: at the largest lambda"),
        (("--target-psnr", "79"), r"a PSNR of 79\.0 dB was not reached: the best of this model"),
        (("--target-psnr", "30", "--target-bytes", "99"), "exclude each other"),
    ],
)
def test_wrong_settings_are_one_line_and_leave_no_file(run, options, message):
    run("encode", "photo.png", *CAE, *options).failed(message)
    assert names(Path()) == ["photo.png"]


def test_sixteen_bits_are_rounded_to_eight_with_a_warning(run):
    samples = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    Image.fromarray(samples).save("deep.png")
    Image.fromarray(np.rint(samples / 257).astype(np.uint8)).save("rounded.png")
    made = run("encode", "deep.png", *CAE)
    assert made.code == 0
    assert "8 bits a sample, to which the 16 of this picture are rounded" in made.err
    assert run("encode", "rounded.png", *CAE).code == 0
    assert Path("deep.inr").read_bytes() == Path("rounded.inr").read_bytes()


def test_own_weights_are_found_in_the_folder_that_inr_models_names(run, monkeypatch):
    assert run("encode", "photo.png", *CAE, "-q") == Ran(0, "", "")
    assert run("decode", "photo.inr", "-q") == Ran(0, "", "")
    monkeypatch.delenv("INR_MODELS")
    digest = TINY["tiny"].sha256[:32]
    run("decode", "photo.inr", "-f").failed(rf"SHA-256 {digest}\.\.\., which are not shipped")
    run("eval", "photo.png", "photo.inr").failed("which are not shipped")
    run("info", "photo.inr").failed("set INR_MODELS to it")


def test_recipes_list_lambda_and_model(run):
    settings = run("recipes", "--json").json["cae"]["settings"]
    assert settings == {"lambda": "0.002", "model": "hyperprior", "width": "0"}


# ---------------------------------------------------------------- studies


def test_a_sweep_over_lambda(run):
    sweep = ("sweep", "photo.png", *CAE, "--vary", "lambda=0.01,0.001", "-o", "out")
    dry = run(*sweep, "--dry-run")
    assert "photo.png cae lambda=0.01 seed 0" in dry.out
    assert run(*sweep, "-q", "--jobs", "1") == Ran(0, "", "")
    assert [row["lambda"] for row in table()] == ["0.01", "0.001"]
    sizes = [int(row["n_bytes"]) for row in table()]
    assert sizes == sorted(sizes)
    for row in table():
        assert (row["recipe"], row["sparsity"], row["steps"]) == ("cae", "", "0")
        made = run(
            *("encode", "photo.png", *CAE, "--set", f"lambda={row['lambda']}", "-f", "--json")
        ).json
        assert made["n_bytes"] == int(row["n_bytes"])
        assert made["psnr_db"] == pytest.approx(float(row["psnr_db"]), abs=1e-6)  # of the table
    again = run(*sweep, "--json").json
    assert (again["runs"], again["skipped"]) == (2, 2)


def test_a_comparison_beside_a_classical_codec(run):
    told = run(
        *("compare", "photo.png", "-o", "out", "--codec", "jpeg420", *CAE, "--json", "-q")
    ).json
    assert told["rows"] == 12 + 5
    of_cae = [row for row in table("rows.csv") if row["codec"] == "cae"]
    assert [float(row["setting"]) for row in of_cae] == [0.0128, 0.004, 0.0014, 0.0005, 0.0002]
    assert len({row["n_bytes"] for row in of_cae}) > 3
    assert Path("out/report.html").exists()


def test_a_comparison_at_given_lambdas(run):
    told = run(
        *("compare", "photo.png", "-o", "out", "--codec", "jpeg420", *CAE),
        *("--lambda", "0.01", "--lambda", "0.001", "--json", "-q"),
    ).json
    assert told["rows"] == 12 + 2


# ---------------------------------------------------------------- processes


def processes(tmp_path):
    """photo.png, and what a process says at its end of the libraries that it has loaded."""
    Image.fromarray(picture(40, 70)).save(tmp_path / "photo.png")
    return """
import atexit, sys
heavy = {"jax", "optax", "flax", "matplotlib", "pyarrow"}
atexit.register(lambda: print("loaded", sorted(heavy & set(sys.modules))))
"""


def test_processes_threads_and_jit_change_nothing_and_no_jax_is_loaded(tmp_path, monkeypatch):
    before = processes(tmp_path)
    made = []
    for n_threads, no_jit in (("1", "0"), ("2", "1")):
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            monkeypatch.setenv(name, n_threads)
        monkeypatch.setenv("JAX_DISABLE_JIT", no_jit)
        cores = f"import os\nos.cpu_count = lambda: {n_threads}"
        file, out = tmp_path / f"{n_threads}.inr", tmp_path / f"{n_threads}.png"
        ran = run_process(
            *("encode", tmp_path / "photo.png", "-o", file, *CAE[:2], "-q"), before=before + cores
        )
        assert ran == Ran(0, "loaded []\n", "")
        ran = run_process("decode", file, "-o", out, "-q", before=before + cores)
        assert ran == Ran(0, "loaded []\n", "")
        made.append((file.read_bytes(), out.read_bytes()))
    assert made[0] == made[1]
    here = inr.encode(picture(40, 70), inr.recipes.cae())
    assert made[0][0] == here
    np.testing.assert_array_equal(opened(tmp_path / "1.png"), inr.decode(here))


def test_killed_half_way_leaves_no_output(tmp_path):
    processes(tmp_path)
    before = """
import os
import inr.cae.encode
inr.cae.encode.render_content = lambda *_, **__: os.kill(os.getpid(), 9)
"""
    ran = run_process("encode", tmp_path / "photo.png", *CAE[:2], before=before)
    assert ran.code == -9
    assert names(tmp_path) == ["photo.png"]
