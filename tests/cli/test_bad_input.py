"""The command line under wrong options and files: one line, exit code 1; usage errors 2."""

import re

import pytest
from helpers.cli_runs import SMALL, Ran, names

from inr.errors import InrError

COMMANDS = ("encode", "decode", "info", "eval", "recipes")


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--recipe", "nothing"), "unknown recipe 'nothing'; there are siren, .*fourier"),
        (("--set", "fit.stepz=5"), r"unknown setting fit\.stepz: .* has steps, batch, "),
        (("--set", "nothing=5"), r"unknown setting nothing: .* has field\.\*, fit\.\*, sparsify"),
        (("--set", "fit=5"), r"unknown setting fit: "),
        (("--set", "fit.steps"), "expected PATH=VALUE"),
        (("--set", "fit.steps=many"), "fit.steps=many: expected"),
        (("--set", "fit.steps=-1"), "fit.steps=-1"),
        (("--set", "quantize.bits=40"), "quantize.bits=40"),
        (("--set", "fit.rate_term=perhaps"), "expected true or false"),
        (("--target-bpp", 1, "--target-bytes", 500), "exclude each other"),
        (("--target-psnr", 30, "--target-bytes", 500), "exclude each other"),
        (("--target-psnr", 30, "--target-bpp", 1), "exclude each other"),
        (("--target-psnr", 4), "target_psnr=4.0 is outside"),
        (("--target-psnr", "nan"), "target_psnr=nan is outside"),
        (("--set", "quantize=kmean"), "quantize=kmean: expected one of uniform, kmeans"),
        (("--set", "sparsify=rigl", "--set", "sparsify.drop=1"), "sparsify.drop=1.0: expected"),
        (("--set", "sparsify.sparsity=0.5"), "unknown setting sparsify.sparsity: Dense has none"),
        (("--target-bytes", 0), "target.bytes"),
        (("--target-bpp", "nan"), "target.bpp"),
        (("--time-budget", -1), "time.budget"),
        (("--seed", -1), "seed"),
        (("--max-pixels", 100), "100"),
    ],
)
def test_bad_encode_options(run, folder, arguments, text):
    run("encode", "photo.png", *arguments).failed(text)
    assert names(folder) == ["photo.png"]


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize("name", ["missing.png", "folder", "text.txt", "empty", "cut.png"])
def test_inputs_that_are_no_pictures(run, folder, name):
    (folder / "folder").mkdir()
    (folder / "text.txt").write_text("hello\n")
    (folder / "empty").write_bytes(b"")
    (folder / "cut.png").write_bytes((folder / "photo.png").read_bytes()[:100])
    before = names(folder)
    for arguments in (("encode", name), ("eval", "photo.png", name), ("eval", name, "photo.png")):
        run(*arguments).failed(re.escape(name))
    assert names(folder) == before


@pytest.mark.parametrize("command", ["decode", "info"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("missing.inr", "missing.inr: No such file"),
        ("folder", "folder: Is a directory"),
        ("text.txt", "not an .inr file"),
        ("empty", "not an .inr file"),
        ("photo.png", "not an .inr file"),
        ("cut.inr", "checksum"),
        ("head.inr", "cut short|checksum"),
        ("flipped.inr", "checksum"),
        ("new.inr", "version 9"),
    ],
)
def test_inputs_that_are_no_inr_files(run, folder, file, command, name, text):
    (folder / "folder").mkdir()
    (folder / "text.txt").write_text("hello\n")
    (folder / "empty").write_bytes(b"")
    (folder / "cut.inr").write_bytes(file[:-3])
    (folder / "head.inr").write_bytes(file[:6])
    (folder / "flipped.inr").write_bytes(file[:20] + bytes([file[20] ^ 1]) + file[21:])
    (folder / "new.inr").write_bytes(file[:4] + b"\x09" + file[5:])
    before = names(folder)
    run(command, name).failed(text)
    assert names(folder) == before


def test_a_damaged_candidate_of_eval_is_named(run, folder, file):
    (folder / "cut.inr").write_bytes(file[:-3])
    run("eval", "photo.png", "cut.inr").failed("checksum")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("encode",),
        ("nothing",),
        ("encode", "photo.png", "--nothing"),
        ("encode", "photo.png", "--seed", "x"),
        ("encode", "photo.png", "--target-bytes", "1.5"),
        ("encode", "photo.png", "--max-pixels", "0"),
        ("decode", "photo.inr", "--scale", "big"),
        ("eval", "photo.png"),
        ("info", "a.inr", "b.inr"),
    ],
)
def test_usage_errors_exit_with_2(run, folder, arguments):
    ran = run(*arguments)
    assert ran.code == 2
    assert re.search(r"Usage: .*inr", ran.err + ran.out)
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run, command):
    ran = run(command, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert re.search(rf"Usage: .*inr {command} ", ran.out)
    assert command in run("--help").out


@pytest.mark.parametrize("quantizer", ["uniform", "kmeans"])
def test_a_fit_that_runs_away_at_its_end_is_one_line(run, folder, quantizer):
    options = ("--set", f"quantize={quantizer}", "--set", "fit.optimizer.adam_learning_rate=1e30")
    run("encode", "photo.png", *SMALL, *options).failed(
        r"give a lower fit\.optimizer\.learning_rate"
    )
    assert names(folder) == ["photo.png"]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, ""),
        (MemoryError(), 1, "error: not enough memory; try a smaller picture, size or region\n"),
        (OSError(28, "No space left on device"), 1, "error: No space left on device\n"),
        (OSError(13, "Permission denied", "x\ny"), 1, "error: x\\ny: Permission denied\n"),
        (OSError("of a library"), 1, "error: of a library\n"),
        (OSError(), 1, "error: OSError\n"),
        (InrError("of\nours"), 1, "error: of\\nours\n"),
    ],
)
def test_what_ends_a_fit_early_is_told_in_one_line_at_most(
    run, folder, monkeypatch, error, code, line
):
    def encode_picture(*_, **__):
        raise error

    monkeypatch.setattr("inr.codec.encode_picture", encode_picture)
    assert run("encode", "photo.png") == Ran(code, "", line)
    assert names(folder) == ["photo.png"]
