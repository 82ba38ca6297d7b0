"""`inr cae train` and `inr cae export`, and files made with what they write."""

import json
import shutil

import numpy as np
import pytest
from helpers.cae_models import PLAIN, QUICK, photo
from helpers.cli_runs import Ran, main_runner, names, opened, run_process
from helpers.paths import PICTURES
from PIL import Image

from inr.cae.training.configs import Config

CONFIG = Config("plain", PLAIN, QUICK)
STEPS = ("--set", "train.steps=3")


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs main() here, in a folder with a picture to train on and one to measure on."""
    monkeypatch.chdir(tmp_path)
    for folder, name in (("data", "flower_foveon_down3"), ("held", "prose_page")):
        (tmp_path / folder).mkdir()
        Image.fromarray(photo(name)).save(tmp_path / folder / "a.png")
    (tmp_path / "plain.json").write_text(CONFIG.to_json())
    return main_runner(monkeypatch, capsys)


TRAIN = ("cae", "train", "--data", "data", "-o", "out", "--config", "plain.json", *STEPS)


@pytest.mark.slow  # two trainings to compile, and a process that decodes
def test_train_export_encode_and_decode(run, tmp_path, monkeypatch):
    told = run(*TRAIN, "--validation", "held", "--time-budget", "1e-9", "--json").json
    assert (told["output"], told["config"]) == ("out", "plain")
    assert (told["step"], told["steps"]) == (1, 3)
    assert [set(point) for point in told["points"]] == [{"lambda", "bpp", "psnr_db"}]
    ran = run(*TRAIN, "--validation", "held")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("out: step 3 of 3; validation 0.")
    assert names(tmp_path / "out") == ["checkpoint.npz", "config.json", "log.jsonl"]
    assert run(*TRAIN, "-q") == Ran(0, "", "")

    exported = run("cae", "export", "out", "-o", "own.npz", "--name", "mine", "--json").json
    assert (exported["name"], exported["step"]) == ("mine", 3)
    assert exported["n_bytes"] == (tmp_path / "own.npz").stat().st_size
    run("cae", "export", "out", "-o", "own.npz").failed("exists")
    assert run("cae", "export", "out", "-o", "own.npz", "-q", "-f") == Ran(0, "", "")

    for log in ("", "{", '{"step": 3}\n', "[]\n"):
        (tmp_path / "out" / "log.jsonl").write_text(log)
        ran = run("cae", "export", "out", "-o", "own.npz", "-f")
        ran.failed(r"log\.jsonl does not end in a record of a training")

    (tmp_path / "models").mkdir()
    shutil.move("own.npz", "models/own.npz")
    monkeypatch.setenv("INR_MODELS", str(tmp_path / "models"))
    encode = ("encode", "held/a.png", "--recipe", "cae", "--set", "model=models/own.npz")
    made = run(*encode, "--set", "lambda=0.001", "-o", "a.inr", "--json").json
    decoded = run_process("decode", tmp_path / "a.inr", "-o", tmp_path / "a.png", "-q")
    assert decoded == Ran(0, "", "")
    error = opened("a.png").astype(float) - opened("held/a.png")
    psnr = 10 * np.log10(255**2 / np.square(error).mean())
    assert made["psnr_db"] == pytest.approx(psnr, abs=1e-9)
    monkeypatch.delenv("INR_MODELS")
    run("decode", "a.inr", "-o", "b.png").failed("set INR_MODELS to it")


@pytest.mark.slow  # a training to compile
def test_a_folder_of_data_that_grew_is_refused(run, tmp_path):
    assert run(*TRAIN, "--time-budget", "1e-9", "-q").code == 0
    Image.fromarray(photo("code_editor")).save(tmp_path / "data" / "b.png")
    run(*TRAIN).failed(r"out was trained on 1 pictures, and the 2 given .*-o OTHER --start out")
    shutil.move("data/b.png", "b.png")
    shutil.move("data", "moved")
    assert run(*TRAIN, "--data", "moved", "-q").code == 1  # data is not there any more
    assert run(*TRAIN[:2], "--data", "moved", *TRAIN[4:], "-q") == Ran(0, "", "")


def test_pictures_of_the_test_sets_are_refused(run, tmp_path):
    shutil.copy(PICTURES / "kodim15.png", tmp_path / "data" / "b.png")
    run(*TRAIN).failed(r"data/b\.png is the test picture .*remove it from the training pictures")
    assert not (tmp_path / "out").exists()


def test_pictures_of_the_test_sets_are_refused_turned_too(run, tmp_path):
    with Image.open(PICTURES / "kodim05.png") as image:
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "data" / "b.png")
    run(*TRAIN).failed("is the test picture")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--config", "big"), "config 'big': there are hyperprior, factorized, "),
        (("--set", "train.stpes=3"), r"unknown setting train\.stpes: TrainSettings has steps, "),
        (("--set", "train.side=100"), "side=100: expected a multiple of 64 pixels"),
        (("--set", "train.side=192"), "side=192: none of the 1 pictures is that large"),
        (("--set", "train.warmup_steps=3"), "warmup_steps=3: expected 0 or more, and fewer"),
        (("--data", "nowhere"), r"nowhere is neither a folder nor a \.zip archive"),
        (("--start", "data"), r"data"),
        (("-o", "plain.json"), r"plain\.json is a file; name a folder"),
    ],
)
def test_wrong_input(run, tmp_path, options, message):
    run(*TRAIN, *options).failed(message)
    assert not (tmp_path / "out" / "checkpoint.npz").exists()


def test_no_pictures(run, tmp_path):
    (tmp_path / "data" / "a.png").unlink()
    run(*TRAIN).failed("no pictures in data")


def test_exports_of_nothing(run, tmp_path):
    (tmp_path / "out").mkdir()
    run("cae", "export", "out", "-o", "own.npz").failed("out")
    (tmp_path / "out" / "config.json").write_text(CONFIG.to_json())
    run("cae", "export", "out", "-o", "own.npz").failed("out holds no checkpoint; train first")
    run("cae", "export", "out", "-o", "own.bin").failed(r"own\.bin: name a file that ends in \.npz")
    assert not (tmp_path / "own.npz").exists()


@pytest.mark.parametrize("seconds", ["nan", "0", "-1"])
def test_a_time_that_is_none(run, tmp_path, seconds):
    before = names(tmp_path)
    run(*TRAIN, "--time-budget", seconds).failed("time_budget=.*: expected seconds above 0")
    assert names(tmp_path) == before


def test_a_config_that_is_none(run, tmp_path):
    (tmp_path / "plain.json").write_text(json.dumps({"name": "plain"}))
    run(*TRAIN).failed(r"plain\.json is no configuration of a training")
