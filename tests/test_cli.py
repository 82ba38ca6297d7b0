"""cli.py: the contract that scripts rely on. Most tests call main() in this process, to be fast."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import inr
from inr import cli

SMALL = ("--set", "fit.steps=5", "--set", "field.hidden=4", "--set", "field.n_layers=1")
COMMANDS = ("encode", "decode", "info", "eval", "recipes")
SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self):
        assert self.code == 0, self.err
        assert self.out.count("\n") == 1
        return json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))

    def failed(self, pattern: str) -> None:
        """One line on stderr that begins with error:, nothing on stdout, exit code 1."""
        assert (self.code, self.out) == (1, ""), self.err
        assert re.fullmatch(r"error: [^\n]+\n", self.err)
        assert "Traceback" not in self.err
        assert re.search(pattern, self.err), self.err


@pytest.fixture
def run(monkeypatch, capsys):
    def run_main(*arguments) -> Ran:
        monkeypatch.setattr(sys, "argv", ["inr", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return Ran(end.value.code or 0, out, err)

    return run_main


def run_process(*arguments, before="", timeout=120) -> Ran:
    code = f"{before}\nfrom inr.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def no_fit(monkeypatch):
    def encode_picture(*_, **__):
        pytest.fail("the fit began; this should have failed before it")

    monkeypatch.setattr("inr.codec.encode_picture", encode_picture)


def noise(height=12, width=16, n_channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, n_channels), np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with photo.png in it (16 x 12 pixels)."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(noise()).save("photo.png")
    return tmp_path


@pytest.fixture
def file(folder):
    """photo.inr in the current folder: 16 x 12 pixels of one colour."""
    data = inr.encode(np.full((12, 16, 3), [10, 200, 30], np.uint8))
    (folder / "photo.inr").write_bytes(data)
    return data


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- encode


@pytest.mark.usefixtures("untrained")
def test_encode_writes_beside_the_picture_and_tells_what_it_did(run, folder):
    ran = run("encode", "photo.png", *SMALL)
    n_bytes = (folder / "photo.inr").stat().st_size
    assert (ran.code, ran.err) == (0, "")  # stderr is no terminal: no progress
    assert re.fullmatch(
        rf"photo\.inr: {n_bytes} bytes, {8 * n_bytes / 192:.4f} bpp, "
        r"\d+\.\d\d dB, 5 steps in \d+\.\d s\n",
        ran.out,
    )
    assert names(folder) == ["photo.inr", "photo.png"]


@pytest.mark.usefixtures("untrained")
def test_encode_json_has_the_promised_keys(run, folder):
    told = run("encode", "photo.png", "-o", "out.inr", "--recipe", "siren_zstd", *SMALL, "--json")
    assert set(told.json) >= {"output", "n_bytes", "bpp", "psnr_db", "recipe", "steps", "seconds"}
    n_bytes = (folder / "out.inr").stat().st_size
    assert told.json["output"] == "out.inr"
    assert told.json["n_bytes"] == n_bytes
    assert told.json["bpp"] == 8 * n_bytes / 192
    assert (told.json["recipe"], told.json["steps"]) == ("siren_zstd", 5)
    assert told.err == ""


def test_the_psnr_of_an_exact_file_is_null_in_json(run, folder):
    Image.new("RGB", (5, 4), (1, 2, 3)).save("flat.png")
    assert run("encode", "flat.png", "--json").json["psnr_db"] is None
    assert run("eval", "flat.png", "flat.inr", "--json").json["psnr_db"] is None
    assert "inf dB" in run("eval", "flat.png", "flat.inr").out


@pytest.mark.usefixtures("untrained")
def test_quiet_prints_nothing(run, folder):
    assert run("encode", "photo.png", "-q", *SMALL) == Ran(0, "", "")
    assert run("decode", "photo.inr", "-q") == Ran(0, "", "")


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("options", [("--target-bytes", 1500), ("--target-bpp", 1.5)])
def test_targets_are_met(run, folder, options):
    Image.fromarray(noise(100, 80)).save("large.png")  # 1.5 bpp are 1500 bytes
    told = run("encode", "large.png", "--set", "fit.steps=2", "--json", *options)
    assert 0.95 * 1500 <= told.json["n_bytes"] <= 1500


@pytest.mark.usefixtures("untrained")
def test_the_seed_and_the_budget_reach_the_fit(run, folder, monkeypatch):
    wishes = []
    original = inr.codec.encode_picture

    def spy(picture, recipe, wish, **rest):
        wishes.append((recipe, wish))
        return original(picture, recipe, wish, **rest)

    monkeypatch.setattr("inr.codec.encode_picture", spy)
    options = ("--seed", 7, "--time-budget", 30, "--checkpoint", "c.npz", "--recipe", "fourier")
    assert run("encode", "photo.png", *options, *SMALL).code == 0
    ((recipe, wish),) = wishes
    assert (wish.seed, wish.time_budget, wish.checkpoint) == (7, 30, Path("c.npz"))
    assert (recipe.name, recipe.fit.steps, recipe.field.hidden) == ("fourier", 5, 4)
    assert recipe.fixed_size


@pytest.mark.usefixtures("untrained")
def test_animations_are_warned_of_on_stderr(run, folder):
    frames = [Image.fromarray(noise()[..., i % 3]) for i in range(3)]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:])
    ran = run("encode", "moving.gif", *SMALL, "--json")
    assert ran.err == "warning: moving.gif: holds several frames; only the first is used\n"
    assert ran.json["output"] == "moving.inr"
    assert run("encode", "moving.gif", *SMALL, "-q", "-f").err == ""


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


@pytest.mark.usefixtures("untrained")
def test_force_overwrites(run, folder):
    (folder / "photo.inr").write_bytes(b"old")
    assert run("encode", "photo.png", "-f", *SMALL).code == 0
    assert inr.decode((folder / "photo.inr").read_bytes()).shape == (12, 16, 3)


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("force", [True, False])
def test_a_failing_write_leaves_nothing_and_touches_nothing(run, folder, monkeypatch, force):
    if force:
        (folder / "photo.inr").write_bytes(b"precious")
    before = names(folder)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("inr.files.os.fsync", full)
    run("encode", "photo.png", *SMALL, *["-f"] * force).failed("No space left")
    assert names(folder) == before
    assert not force or (folder / "photo.inr").read_bytes() == b"precious"


def test_a_failing_decode_leaves_nothing(run, folder, file, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("inr.files.os.fsync", full)
    run("decode", "photo.inr").failed("No space left")
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


@pytest.mark.usefixtures("untrained")
def test_the_checkpoint_is_removed_after_success(run, folder, monkeypatch):
    monkeypatch.setattr("inr.fitting._SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    assert run("encode", "photo.png", "--checkpoint", "c.npz", *SMALL).code == 0
    assert names(folder) == ["photo.inr", "photo.png"]


@pytest.mark.usefixtures("untrained")
def test_the_checkpoint_stays_when_the_result_cannot_be_written(run, folder, monkeypatch):
    monkeypatch.setattr("inr.fitting._SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    original, calls = os.link, []

    def link(source, target):
        calls.append(target)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("inr.files.os.link", link)
    run("encode", "photo.png", "--checkpoint", "c.npz", *SMALL).failed("No space left")
    assert names(folder) == ["c.npz", "photo.png"]
    monkeypatch.setattr("inr.files.os.link", original)
    assert run("encode", "photo.png", "--checkpoint", "c.npz", *SMALL).code == 0


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
        *("--set", f"fit.steps={steps}", "--set", f"fit.rounding={9 / steps}"),  # blocks of 9
        *("--set", "field.hidden=4", "--set", "field.n_layers=1", "--checkpoint", "c.npz"),
    )
    code = "import inr.fitting as f\nf._SECONDS_BETWEEN_CHECKPOINTS = -1\n"
    code += "from inr.cli import main\nmain()"
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


# ---------------------------------------------------------------- bad input


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--recipe", "nothing"), "unknown recipe 'nothing'; there are siren, .*fourier"),
        (("--set", "fit.stepz=5"), r"unknown setting fit\.stepz: .* has steps, batch, "),
        (("--set", "nothing=5"), r"unknown setting nothing: .* has field\.\*, fit\.\*, quantize"),
        (("--set", "fit=5"), r"unknown setting fit: "),
        (("--set", "fit.steps"), "expected PATH=VALUE"),
        (("--set", "fit.steps=many"), "fit.steps=many: expected"),
        (("--set", "fit.steps=0"), "fit.steps=0"),
        (("--set", "quantize.bits=40"), "quantize.bits=40"),
        (("--set", "fixed_size=perhaps"), "expected true or false"),
        (("--target-bpp", 1, "--target-bytes", 500), "exclude each other"),
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


def test_a_fit_that_fails_is_one_line(run, folder, monkeypatch):
    from inr.fitting import Fitting, NotANumberError

    def advance(self, run):
        raise NotANumberError(run.step)

    monkeypatch.setattr(Fitting, "advance", advance)
    run("encode", "photo.png", *SMALL).failed("stopped being a number at step 0, .*learning_rate")
    assert names(folder) == ["photo.png"]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, ""),
        (MemoryError(), 1, "error: not enough memory; try a smaller picture, size or region\n"),
        (RuntimeError("XLA\nsays no"), 1, "error: XLA says no\n"),
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


# ---------------------------------------------------------------- decode


def opened(name):
    with Image.open(name) as image:
        return np.asarray(image)


def test_decode_names_its_output_after_the_input(run, folder, file):
    assert run("decode", "photo.inr") == Ran(0, "photo.decoded.png: 16x12 pixels\n", "")
    np.testing.assert_array_equal(opened("photo.decoded.png"), inr.decode(file))


def test_decode_json(run, folder, file):
    told = run("decode", "photo.inr", "-o", "x.png", "--scale", 2.5, "--json").json
    assert told == {"output": "x.png", "width": 40, "height": 30}


@pytest.mark.usefixtures("untrained")
def test_scale_size_and_region_agree_with_each_other(run, folder):
    run("encode", "photo.png", *SMALL)
    for name, options in {
        "scale.png": ("--scale", 3),
        "size.png": ("--size", "48x36"),
        "size2.png": ("--size", "48X36"),
        "part.png": ("--scale", 3, "--region", "10,20,5,6"),
    }.items():
        assert run("decode", "photo.inr", "-o", name, *options).code == 0
    np.testing.assert_array_equal(opened("scale.png"), opened("size.png"))
    np.testing.assert_array_equal(opened("scale.png"), opened("size2.png"))
    np.testing.assert_array_equal(opened("scale.png")[20:26, 10:15], opened("part.png"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--scale", 2, "--size", "4x4"), "exclude each other"),
        (("--size", "4"), r"--size 4: expected 2 whole numbers, as in 768x512"),
        (("--size", "4x4x4"), "--size 4x4x4: expected"),
        (("--size", "4,4"), "--size 4,4: expected"),
        (("--size", "axb"), "--size axb: expected"),
        (("--size", "1.5x2"), "--size 1.5x2: expected"),
        (("--size", "0x4"), "size 0x4"),
        (("--size", ""), "--size"),
        (("--size", "99999999999999999999x1"), "more than the limit|--size"),
        (("--region", "1,2,3"), "--region 1,2,3: expected 4 whole numbers, as in 0,0,64,64"),
        (("--region", "0,0,17,12"), "does not lie inside the picture of 16x12"),
        (("--region", "-1,0,4,4"), "does not lie inside"),
        (("--region", "0,0,0,4"), "does not lie inside"),
        (("--scale", 0), "scale=0"),
        (("--scale", "nan"), "scale=nan"),
        (("--scale", "inf"), "scale=inf"),
        (("--scale", 1e9), "scale|limit"),
        (("--max-pixels", 191), "limit of 191; .*--max-pixels"),
        (("-o", "out.xyz"), r"cannot write '\.xyz' files; choose one of \.png"),
        (("-o", "out"), "cannot write '' files"),
    ],
)
def test_bad_decode_options(run, folder, file, options, text):
    before = names(folder)
    run("decode", "photo.inr", *options).failed(text)
    assert names(folder) == before


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ".webp", ".tiff", ".bmp", ".ppm"])
def test_the_suffix_chooses_the_format(run, folder, file, suffix):
    assert run("decode", "photo.inr", "-o", f"out{suffix}").code == 0
    decoded = opened(f"out{suffix}")
    # One colour: JPEG at quality 95 is off by a rounding or two of YCbCr.
    assert np.abs(decoded.astype(int) - inr.decode(file)).max() <= (2 if suffix == ".jpg" else 0)


@pytest.mark.parametrize(
    ("pixel", "dtype", "text"),
    [
        ((1, 2, 3, 4), np.uint8, r"\.jpg holds no alpha, .*; choose \.png"),
        ((1, 2), np.uint8, r"\.jpg holds no alpha, .*; choose \.png"),
        ((1, 2, 3), np.uint16, r"\.jpg holds 8 bits, the picture has 16; choose \.png"),
        ((1,), np.uint16, r"\.jpg holds 8 bits, the picture has 16; choose \.png"),
    ],
)
def test_jpeg_refuses_what_it_cannot_hold(run, folder, pixel, dtype, text):
    data = inr.encode(np.full((4, 5, len(pixel)), pixel, dtype))
    (folder / "photo.inr").write_bytes(data)
    run("decode", "photo.inr", "-o", "out.jpg").failed(text)
    assert "out.jpg" not in names(folder)


def test_the_colour_profile_goes_into_the_decoded_file(run, folder):
    Image.new("RGB", (5, 4), (1, 2, 3)).save("flat.png", icc_profile=SRGB_PROFILE)
    assert run("encode", "flat.png").code == 0
    assert run("decode", "flat.inr").code == 0
    with Image.open("flat.decoded.png") as image:
        assert image.info["icc_profile"] == SRGB_PROFILE


# ---------------------------------------------------------------- info, eval, recipes


@pytest.mark.usefixtures("untrained")
def test_info_accounts_for_every_byte(run, folder):
    run("encode", "photo.png", "--recipe", "fourier", *SMALL, "--set", "field.n_frequencies=5")
    told = run("info", "photo.inr", "--json").json
    n_bytes = (folder / "photo.inr").stat().st_size
    assert told["n_bytes"] == n_bytes == sum(told["sections"].values()) + told["overhead_bytes"]
    assert (told["height"], told["width"], told["n_channels"], told["bit_depth"]) == (12, 16, 3, 8)
    assert told["bpp"] == 8 * n_bytes / 192
    assert told["field"]["name"] == "fourier"
    assert (told["field"]["hidden"], told["field"]["n_frequencies"]) == (4, 5)
    assert told["coder"]["name"] == "rangecoder"
    text = run("info", "photo.inr").out
    for key in ("height: 12", "field:", "  hidden: 4", "sections:", "  weights: "):
        assert f"{key}" in text


def test_eval_json_has_the_promised_keys(run, folder, file):
    told = run("eval", "photo.png", "photo.inr", "--json").json
    assert set(told) == {"psnr_db", "ms_ssim", "n_bytes", "bpp"}
    assert told["n_bytes"] == len(file)
    assert told["bpp"] == 8 * len(file) / 192
    assert told["ms_ssim"] is None  # 16 x 12 pixels are too few for its five scales
    assert told["psnr_db"] == inr.metrics.psnr_db(noise(), inr.decode(file))


def test_eval_of_two_pictures_tells_no_size(run, folder):
    Image.fromarray(noise() ^ 1).save("other.png")
    told = run("eval", "photo.png", "other.png", "--json").json
    assert set(told) == {"psnr_db", "ms_ssim"}
    assert told["psnr_db"] == pytest.approx(20 * np.log10(255))  # every sample is off by one
    assert run("eval", "photo.png", "other.png").out.startswith("PSNR 48.1308 dB, MS-SSIM needs")


def test_eval_of_large_pictures_has_ms_ssim(run, folder):
    Image.fromarray(noise(161, 161)).save("large.png")
    told = run("eval", "large.png", "large.png", "--json").json
    assert told == {"psnr_db": None, "ms_ssim": pytest.approx(1)}


@pytest.mark.parametrize("shape", [(12, 15, 3), (16, 12, 3), (12, 16, 4)])
def test_eval_refuses_pictures_of_other_sizes(run, folder, shape):
    Image.fromarray(noise(*shape)).save("other.png")
    run("eval", "photo.png", "other.png").failed(
        r"photo.png is 16x12 RGB of 8 bits, other.png is \d+x\d+"
    )


def test_recipes_are_listed_with_their_settings(run):
    listed = run("recipes", "--json").json
    assert list(listed) == list(inr.recipes.RECIPES)
    assert listed["siren"]["settings"]["fit.steps"] == str(inr.recipes.siren().fit.steps)
    assert all(facts["summary"] for facts in listed.values())
    text = run("recipes").out
    for name in inr.recipes.RECIPES:
        assert f"\n{name}: " in "\n" + text


@pytest.mark.parametrize("name", inr.recipes.RECIPES)
def test_every_setting_that_is_listed_can_be_set(run, name):
    from inr.settings import with_settings

    recipe = inr.recipes.named(name)
    for path, value in run("recipes", "--json").json[name]["settings"].items():
        changed = with_settings(recipe, {path: value})
        assert path == "field.hidden" or changed == recipe


# ---------------------------------------------------------------- processes


def test_reading_never_loads_jax(folder, file):
    before = """
import atexit, sys
atexit.register(lambda: print("loaded", sorted({"jax", "optax", "flax"} & set(sys.modules))))
"""
    for arguments in (("info", "photo.inr"), ("decode", "photo.inr", "-q"), ("recipes",)):
        ran = run_process(*arguments, before=before)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.endswith("loaded []\n")


@pytest.mark.skipif(os.name == "nt", reason="no such thing as a broken pipe there")
def test_a_reader_that_goes_away_is_no_error(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", "from inr.cli import main; main()", "recipes"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()  # long before the first line is printed
    err = process.stderr.read()
    process.stderr.close()
    process.wait()
    assert err == b""


def test_a_failing_process_prints_one_line(folder):
    run_process("info", "missing.inr").failed("missing.inr: No such file")


@pytest.mark.slow  # starts jax and compiles a fit in another process
def test_a_real_process_encodes_and_decodes(folder):
    told = run_process("encode", "photo.png", *SMALL, "--json")
    assert told.json["steps"] == 5
    assert told.err == ""
    assert run_process("decode", "photo.inr", "--json").json["width"] == 16
    assert run_process("eval", "photo.png", "photo.inr", "--json").json["psnr_db"] == pytest.approx(
        told.json["psnr_db"]
    )
