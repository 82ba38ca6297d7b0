"""inr encode: what it prints, what it writes, and what becomes of the checkpoint."""

import errno
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.cli_runs import SMALL, UNTRAINED, Ran, names, noise, opened
from PIL import Image

import inr

# ---------------------------------------------------------------- encode


def test_encode_writes_beside_the_picture_and_tells_what_it_did(run, folder):
    ran = run("encode", "photo.png", *UNTRAINED)
    n_bytes = (folder / "photo.inr").stat().st_size
    assert (ran.code, ran.err) == (0, "")  # stderr is no terminal: no progress
    assert re.fullmatch(
        rf"photo\.inr: {n_bytes} bytes, {8 * n_bytes / 192:.4f} bpp, "
        r"\d+\.\d\d dB, 0 steps in \d+\.\d s\n",
        ran.out,
    )
    assert names(folder) == ["photo.inr", "photo.png"]


def test_encode_json_has_the_promised_keys(run, folder):
    told = run(
        "encode", "photo.png", "-o", "out.inr", "--recipe", "siren_zstd", *UNTRAINED, "--json"
    )
    assert set(told.json) >= {"output", "n_bytes", "bpp", "psnr_db", "recipe", "steps", "seconds"}
    n_bytes = (folder / "out.inr").stat().st_size
    assert told.json["output"] == "out.inr"
    assert told.json["n_bytes"] == n_bytes
    assert told.json["bpp"] == 8 * n_bytes / 192
    assert (told.json["recipe"], told.json["steps"]) == ("siren_zstd", 0)
    assert told.err == ""


def test_the_psnr_of_an_exact_file_is_null_in_json(run, folder):
    Image.new("RGB", (5, 4), (1, 2, 3)).save("flat.png")
    assert run("encode", "flat.png", "--json").json["psnr_db"] is None
    assert run("eval", "flat.png", "flat.inr", "--json").json["psnr_db"] is None
    assert "inf dB" in run("eval", "flat.png", "flat.inr").out


def test_quiet_prints_nothing(run, folder):
    assert run("encode", "photo.png", "-q", *UNTRAINED) == Ran(0, "", "")
    assert run("decode", "photo.inr", "-q") == Ran(0, "", "")


@pytest.mark.parametrize("options", [("--target-bytes", 1500), ("--target-bpp", 1.5)])
def test_targets_are_met(run, folder, options):
    Image.fromarray(noise(100, 80)).save("large.png")  # 1.5 bpp are 1500 bytes
    told = run("encode", "large.png", "--set", "fit.steps=0", "--json", *options)
    assert 0.975 * 1500 <= told.json["n_bytes"] <= 1500


def test_the_seed_and_the_budget_reach_the_fit(run, folder, monkeypatch):
    wishes = []
    original = inr.codec.encode_picture

    def spy(picture, recipe, options, **rest):
        wishes.append((recipe, options))
        return original(picture, recipe, options, **rest)

    monkeypatch.setattr("inr.codec.encode_picture", spy)
    options = ("--seed", 7, "--time-budget", 300, "--checkpoint", "c.npz", "--recipe", "fourier")
    assert run("encode", "photo.png", *options, *UNTRAINED).code == 0
    ((recipe, options),) = wishes
    assert (options.seed, options.time_budget, options.checkpoint) == (7, 300, Path("c.npz"))
    assert (recipe.name, recipe.fit.steps, recipe.field.hidden) == ("fourier", 0, 4)


def test_animations_are_warned_of_on_stderr(run, folder):
    frames = [Image.fromarray(noise()[..., i % 3]) for i in range(3)]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:])
    ran = run("encode", "moving.gif", *UNTRAINED, "--json")
    assert ran.err == "warning: moving.gif: holds several frames; only the first is used\n"
    assert ran.json["output"] == "moving.inr"
    assert run("encode", "moving.gif", *UNTRAINED, "-q", "-f").err == ""


# ---------------------------------------------------------------- outputs


@pytest.mark.usefixtures("no_fit")
def test_an_existing_output_is_refused_before_the_fit(run, folder):
    (folder / "photo.inr").write_bytes(b"precious")
    run("encode", "photo.png", *SMALL).failed(r"photo\.inr exists; give -f .* or -o")
    assert (folder / "photo.inr").read_bytes() == b"precious"


def test_decode_refuses_an_existing_output(run, folder, file):
    (folder / "photo.decoded.png").write_bytes(b"precious")
    run("decode", "photo.inr").failed("exists; give -f")
    assert (folder / "photo.decoded.png").read_bytes() == b"precious"
    assert run("decode", "photo.inr", "-f").code == 0
    np.testing.assert_array_equal(opened("photo.decoded.png"), inr.decode(file))


def test_force_overwrites(run, folder):
    (folder / "photo.inr").write_bytes(b"old")
    assert run("encode", "photo.png", "-f", *UNTRAINED).code == 0
    assert inr.decode((folder / "photo.inr").read_bytes()).shape == (12, 16, 3)


@pytest.mark.parametrize("force", [True, False])
def test_a_failing_write_leaves_nothing_and_touches_nothing(run, folder, monkeypatch, force):
    if force:
        (folder / "photo.inr").write_bytes(b"precious")
    before = names(folder)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("inr.files.os.fsync", full)
    run("encode", "photo.png", *UNTRAINED, *["-f"] * force).failed(
        "^error: photo.inr: No space left"
    )
    assert names(folder) == before
    assert not force or (folder / "photo.inr").read_bytes() == b"precious"


def test_a_failing_decode_leaves_nothing(run, folder, file, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("inr.files.os.fsync", full)
    run("decode", "photo.inr").failed("^error: photo.decoded.png: No space left")
    assert names(folder) == ["photo.inr", "photo.png"]


@pytest.mark.parametrize("suffix", [".gif", "", ".inr", ".jpg"])
def test_a_failing_decode_with_force_keeps_the_old_output(run, folder, suffix):
    data = inr.encode(np.full((12, 16, 4), [10, 200, 30, 99], np.uint8))
    (folder / "photo.inr").write_bytes(data)
    (folder / f"old{suffix}").write_bytes(b"precious")
    run("decode", "photo.inr", "-f", "-o", f"old{suffix}").failed("error: ")
    assert (folder / f"old{suffix}").read_bytes() == b"precious"


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(
    ("output", "text"),
    [
        (".", "is a folder"),
        ("missing/out.inr", "folder missing does not exist"),
        ("photo.png/out.inr", "photo.png"),
    ],
)
def test_outputs_that_cannot_be_are_refused_before_the_fit(run, folder, output, text):
    run("encode", "photo.png", "-o", output, *SMALL).failed(text)


@pytest.mark.usefixtures("no_fit")
@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder closed to root too")
def test_a_folder_closed_to_writing_is_refused_before_the_fit(run, folder):
    run("encode", "photo.png", "-o", "/proc/out.inr", *SMALL).failed(r"/proc")


@pytest.mark.parametrize("command", ["encode flat.png -o out", "decode flat.inr -o out.ppm"])
def test_a_file_that_is_replaced_keeps_its_mode(run, folder, command):
    Image.new("RGB", (5, 4)).save("flat.png")
    assert run("encode", "flat.png").code == 0
    output = folder / command.split()[-1]
    assert run(*command.split()).code == 0
    for mode in (0o600, 0o640, 0o400):
        output.chmod(mode)
        assert run(*command.split(), "-f").code == 0
        assert stat.S_IMODE(output.stat().st_mode) == mode


def test_a_link_is_followed_to_the_file_that_is_overwritten(run, folder):
    Image.new("RGB", (5, 4)).save("flat.png")
    (folder / "real").mkdir()
    (folder / "real" / "flat.inr").write_bytes(b"old")
    (folder / "flat.inr").symlink_to("real/flat.inr")
    run("encode", "flat.png").failed("flat.inr exists; give -f")
    assert (folder / "real" / "flat.inr").read_bytes() == b"old"
    assert run("encode", "flat.png", "-f").out.startswith("flat.inr: ")
    assert (folder / "flat.inr").is_symlink()
    assert inr.decode((folder / "real" / "flat.inr").read_bytes()).shape == (4, 5, 3)
    assert names(folder / "real") == ["flat.inr"]
    (folder / "picture.inr").symlink_to("flat.png")
    run("encode", "flat.png", "-f", "-o", "picture.inr").failed("would overwrite an input")


@pytest.mark.usefixtures("no_fit")
def test_only_ordinary_files_are_overwritten(run, folder):
    # As root, -f -o /dev/null would put a file in the place of the device.
    os.mkfifo("pipe")
    run("encode", "photo.png", "-f", "-o", "pipe", *SMALL).failed("pipe")
    assert (folder / "pipe").is_fifo()


@pytest.mark.usefixtures("no_fit")
def test_the_picture_itself_is_not_overwritten(run, folder):
    before = (folder / "photo.png").read_bytes()
    run("encode", "photo.png", "-f", "-o", "photo.png", *SMALL).failed("photo.png")
    assert (folder / "photo.png").read_bytes() == before


@pytest.mark.usefixtures("no_fit")
def test_a_link_to_nowhere_is_refused_before_the_fit(run, folder):
    (folder / "photo.inr").symlink_to("nowhere")
    run("encode", "photo.png", *SMALL).failed("photo.inr")


# ---------------------------------------------------------------- checkpoint


def test_the_checkpoint_is_removed_after_success(run, folder, monkeypatch):
    monkeypatch.setattr("inr.fitting.checkpoint.SECONDS_BETWEEN_SAVES", -1.0)
    assert run("encode", "photo.png", "--checkpoint", "c.npz", *SMALL).code == 0
    assert names(folder) == ["photo.inr", "photo.png"]


def test_the_checkpoint_stays_when_the_result_cannot_be_written(run, folder, monkeypatch):
    monkeypatch.setattr("inr.fitting.checkpoint.SECONDS_BETWEEN_SAVES", -1.0)
    original, calls = os.link, []

    def link(source, target):
        calls.append(target)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("inr.files.os.link", link)
    run("encode", "photo.png", "--checkpoint", "c.npz", *SMALL).failed("No space left")
    assert names(folder) == ["c.npz", "photo.png"]
    monkeypatch.setattr("inr.files.os.link", original)
    assert run("encode", "photo.png", "--checkpoint", "c.npz", *SMALL).code == 0


def test_a_disk_that_is_full_for_the_checkpoint_is_said_of_it(run, folder, monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr("inr.fitting.checkpoint.SECONDS_BETWEEN_SAVES", -1.0)
    assert run("encode", "photo.png", *SMALL).code == 0  # compiles, which writes files too
    Path("photo.inr").unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        ran = run("encode", "photo.png", "--checkpoint", "c.npz", *SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    ran.failed("^error: c.npz: File too large")
    assert names(folder) == ["photo.png"]


def test_only_a_checkpoint_is_removed_after_success(run, folder):
    """A picture of one colour needs no fit, so nothing has looked at the file."""
    Image.new("RGB", (5, 4)).save("flat.png")
    before = (folder / "flat.png").read_bytes()
    assert run("encode", "flat.png", "--checkpoint", "not-yet.npz").code == 0
    for name in ("letter.txt", "flat.png"):
        (folder / "letter.txt").write_text("precious")
        run("encode", "flat.png", "-f", "--checkpoint", name)
        assert (folder / "letter.txt").read_text() == "precious"
        assert (folder / "flat.png").read_bytes() == before


@pytest.mark.usefixtures("no_fit")
def test_the_checkpoint_and_the_output_are_two_files(run, folder):
    run("encode", "photo.png", "--checkpoint", "photo.inr", *SMALL).failed(
        "photo.inr is named twice"
    )


@pytest.mark.usefixtures("no_fit")
def test_a_checkpoint_in_a_missing_folder_is_refused_before_the_fit(run, folder):
    run("encode", "photo.png", "--checkpoint", "missing/c.npz", *SMALL).failed("missing")


@pytest.mark.slow  # two processes and a fit of seconds
def test_a_process_killed_half_way_goes_on(run, folder):
    steps = 3000
    options = (
        *("--set", f"fit.steps={steps}", "--set", f"fit.rounding={36 / steps}"),  # blocks of 9
        *("--set", "field.hidden=4", "--set", "field.n_layers=1", "--checkpoint", "c.npz"),
    )
    code = "import inr.fitting.checkpoint as c\nc.SECONDS_BETWEEN_SAVES = -1\n"
    code += "from inr.cli.main import main\nmain()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "encode", "photo.png", *options],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    give_up_at = time.monotonic() + 100
    while not Path("c.npz").exists() and process.poll() is None and time.monotonic() < give_up_at:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert "c.npz" in names(folder)
    assert "photo.inr" not in names(folder)
    assert run("encode", "photo.png", *options).code == 0
    assert not Path("c.npz").exists()
    assert run("encode", "photo.png", "-o", "whole.inr", *options).code == 0
    assert Path("photo.inr").read_bytes() == Path("whole.inr").read_bytes()
