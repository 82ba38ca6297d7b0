"""Standard streams: closed, full, without a reader; `-` as a file; names that are hard to print."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers.cli_runs import Ran, names, opened, run_process, run_shell
from PIL import Image

import inr
from inr.cli import main as cli

pytestmark = pytest.mark.skipif(os.name == "nt", reason="written for the shell of POSIX")


@pytest.fixture
def flat(folder):
    """flat.png in the current folder, of one colour: encoded in no time. Returns its .inr file."""
    pixels = np.full((12, 16, 3), [10, 200, 30], np.uint8)
    Image.fromarray(pixels).save("flat.png")
    (folder / "photo.png").unlink()
    return inr.encode(pixels)


@pytest.fixture
def filtered(monkeypatch, capsysbinary):
    """A function that runs main() in this process with bytes as standard input and output."""

    def run_main(data, *arguments):
        monkeypatch.setattr("sys.argv", ["inr", *arguments])
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Ran(end.value.code or 0, *capsysbinary.readouterr())

    return run_main


# ---------------------------------------------------------------- streams that are no good


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_like_a_quiet_one(folder, flat, closed):
    ran = run_shell(f"inr encode flat.png -o x.inr {closed} && inr info missing.inr {closed}")
    told = b"x.inr: " if closed == "2>&-" else b""
    error = b"error: missing.inr: No such file or directory\n" if closed == ">&-" else b""
    assert (ran.returncode, ran.stdout[:7], ran.stderr) == (1, told, error)
    assert (folder / "x.inr").read_bytes() == flat
    assert names(folder) == ["flat.png", "x.inr"]


def test_reading_goes_on_without_streams(folder, flat):
    (folder / "flat.inr").write_bytes(flat)
    for command in ("decode flat.inr", "info flat.inr", "eval flat.png flat.inr"):
        ran = run_shell(f"inr {command} <&- >&- 2>&-")
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
    assert opened("flat.decoded.png").shape == (12, 16, 3)


@pytest.mark.parametrize("command", ["encode flat.png", "encode flat.png -o -", "recipes"])
def test_a_full_standard_output_is_an_error_in_one_line(folder, flat, command):
    ran = run_shell(f"inr {command} >/dev/full")
    assert ran.returncode == 1
    assert ran.stderr == b"error: standard output: No space left on device\n"


def test_messages_that_cannot_be_written_are_left_out(folder, flat):
    ran = run_shell("inr encode flat.png -o - 2>/dev/full")
    assert (ran.returncode, ran.stdout) == (0, flat)
    assert run_shell("inr info missing.inr 2>/dev/full").returncode == 1


def test_a_reader_of_the_file_that_goes_away_ends_the_command_without_a_word(folder, flat):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "inr",
            "encode",
            "flat.png",
            "-o",
            "-",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()  # long before the file is written
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


# ---------------------------------------------------------------- - as a file


def test_a_pipeline_of_processes(folder, flat):
    picture = (folder / "flat.png").read_bytes()
    ran = run_shell("inr encode - -o - | inr decode - -o - --scale 2", data=picture)
    assert ran.returncode == 0
    assert (
        sorted(line.split(b":")[0] for line in ran.stderr.splitlines()) == [b"standard output"] * 2
    )
    with Image.open(io.BytesIO(ran.stdout)) as image:
        assert (image.format, image.size) == ("PNG", (32, 24))
        np.testing.assert_array_equal(image, inr.decode(flat, scale=2))
    assert names(folder) == ["flat.png"]


def test_encode_and_decode_as_filters(filtered, folder, flat):
    picture = (folder / "flat.png").read_bytes()
    ran = filtered(picture, "encode", "-", "-o", "-")
    assert (ran.code, ran.out) == (0, flat)
    assert ran.err.startswith(b"standard output: 56 bytes, ")
    ran = filtered(flat, "decode", "-", "-o", "-")
    assert ran.err == b"standard output: 16x12 pixels\n"
    with Image.open(io.BytesIO(ran.out)) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(image, inr.decode(flat))
    assert filtered(picture, "encode", "-", "-o", "-", "-q") == Ran(0, flat, b"")


def test_one_end_may_be_a_file(filtered, folder, flat):
    ran = filtered((folder / "flat.png").read_bytes(), "encode", "-", "-o", "x.inr")
    assert (ran.code, ran.out[:7], ran.err) == (0, b"x.inr: ", b"")
    assert (folder / "x.inr").read_bytes() == flat
    assert filtered(b"", "encode", "flat.png", "-o", "-").out == flat
    assert filtered(flat, "decode", "-", "-o", "x.ppm", "-q") == Ran(0, b"", b"")
    np.testing.assert_array_equal(opened("x.ppm"), inr.decode(flat))


def test_json_goes_where_the_file_does_not(filtered, folder, flat):
    ran = filtered(b"", "encode", "flat.png", "-o", "-", "--json")
    assert ran.out == flat
    assert json.loads(ran.err)["output"] == "-"
    ran = filtered(flat, "decode", "-", "-o", "-", "--json")
    assert json.loads(ran.err) == {"output": "-", "width": 16, "height": 12}


def test_info_and_eval_read_standard_input(filtered, folder, flat):
    assert json.loads(filtered(flat, "info", "-", "--json").out)["width"] == 16
    picture = (folder / "flat.png").read_bytes()
    (folder / "flat.inr").write_bytes(flat)
    expected = {"psnr_db": None, "ms_ssim": None, "n_bytes": len(flat), "bpp": 8 * len(flat) / 192}
    for arguments, data in {("flat.png", "-"): flat, ("-", "flat.inr"): picture}.items():
        assert json.loads(filtered(data, "eval", *arguments, "--json").out) == expected


@pytest.mark.parametrize("data", [b"", b"no picture"])
def test_what_is_wrong_with_standard_input_is_said_of_it(filtered, folder, flat, data):
    for command in ("encode - -o x.inr", "decode - -o x.png", "info -", "eval flat.png -"):
        ran = filtered(data, *command.split())
        assert (ran.code, ran.out, ran.err.count(b"\n")) == (1, b"", 1)
        assert ran.err.startswith(b"error: standard input: ")
    assert names(folder) == ["flat.png"]


def test_a_closed_stream_is_no_file(folder, flat):
    ran = run_shell("inr info - <&-")
    assert (ran.returncode, ran.stderr[:33]) == (1, b"error: standard input is closed; ")
    ran = run_shell("inr encode flat.png -o - >&-")
    assert (ran.returncode, ran.stderr[:34]) == (1, b"error: standard output is closed; ")


@pytest.mark.parametrize("command", ["encode - -o x.inr", "info -", "eval flat.png -"])
def test_input_without_an_end_is_refused(run, folder, flat, monkeypatch, command):
    with open("/dev/zero") as endless:
        monkeypatch.setattr("sys.stdin", endless)
        run(*command.split()).failed("^error: standard input: ")


def test_uses_of_minus_that_make_no_sense(run, file, no_fit):
    run("encode", "-").failed("standard input has no name .*; give -o FILE, or -o -")
    run("decode", "-").failed("standard input has no name .*; give -o FILE, or -o -")
    run("eval", "-", "-").failed("once only; name a file for one of the two")
    run("encode", "photo.png", "-f", "--checkpoint", "-").failed("--checkpoint -: ")


def test_a_file_called_minus_is_reached_by_its_folder(run, folder, flat):
    (folder / "-").write_bytes(flat)
    assert run("info", "./-", "--json").json["n_bytes"] == len(flat)
    assert run("decode", "./-", "-o", "./-.png").code == 0
    run("decode", "./-", "-o", "./-", "-f").failed("would overwrite an input")
    (folder / "-").unlink()
    assert run("encode", "flat.png", "-o", "./-").code == 0
    assert (folder / "-").read_bytes() == flat


@pytest.mark.parametrize("command", ["encode flat.png -o -", "decode flat.inr -o -"])
def test_no_file_is_written_to_a_terminal(folder, flat, command):
    pty = pytest.importorskip("pty")
    (folder / "flat.inr").write_bytes(flat)
    ours, theirs = pty.openpty()
    ran = [
        subprocess.run(
            [
                sys.executable,
                "-m",
                "inr",
                *command.split(),
                *more,
            ],
            stdout=theirs,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        for more in ((), ("-f", "-q"))
    ]
    os.close(theirs)
    assert ran[0].returncode == 1
    assert ran[0].stderr.startswith(b"error: a picture is not written to a terminal; ")
    assert ran[1].returncode == 0
    assert b"INR" in os.read(ours, 1000) or "decode" in command
    os.close(ours)


def test_inputs_that_can_be_read_once(run, folder, flat):
    (folder / "flat.inr").write_bytes(flat)
    os.mkfifo("pipe")

    def feed(name):
        with open("pipe", "wb") as pipe:
            pipe.write((folder / name).read_bytes())

    for name, *command in (
        ("flat.png", "encode", "pipe", "-o", "x.inr"),
        ("flat.inr", "decode", "pipe", "-o", "x.png"),
        ("flat.inr", "info", "pipe"),
        ("flat.inr", "eval", "flat.png", "pipe"),
        ("flat.png", "eval", "pipe", "flat.inr"),
    ):
        feeder = threading.Thread(target=feed, args=(name,), daemon=True)
        feeder.start()
        ran = run(*command)
        assert (ran.code, ran.err) == (0, "")
        feeder.join()
    assert (folder / "x.inr").read_bytes() == flat
    ran = run_shell("cat flat.png | inr encode /dev/stdin -o y.inr && cmp y.inr flat.inr")
    assert (ran.returncode, ran.stderr) == (0, b"")


# ---------------------------------------------------------------- names


@pytest.fixture(params=[b"caf\xe9.png", "é📷.png".encode()])
def hard_name(request, flat):
    try:
        os.rename(b"flat.png", request.param)
    except OSError as error:
        pytest.skip(f"not on this file system: {error}")
    return os.fsdecode(request.param)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp437"])
def test_names_that_a_stream_cannot_print(run, hard_name, monkeypatch, encoding):
    out = io.TextIOWrapper(io.BytesIO(), encoding, "strict")
    monkeypatch.setattr("sys.stdout", out)
    assert run("encode", hard_name).code == 0
    assert out.buffer.getvalue().count(b"\n") == 1
    assert run("encode", hard_name, "-f", "--json").code == 0
    told = json.loads(out.buffer.getvalue().splitlines()[-1])
    assert told["output"] == hard_name.replace(".png", ".inr")
    assert Path(told["output"]).exists()
    ran = run("encode", hard_name)
    assert (ran.code, ran.err.count("\n")) == (1, 1)


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_a_process_that_cannot_print_a_name(hard_name, encoding):
    ran = run_shell(f"inr encode {hard_name}", PYTHONIOENCODING=encoding)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.count(b"\n") == 1


def test_names_that_steer_the_terminal_or_end_the_line(run, folder, flat):
    name = "a\nb\x1b[31m\x9b\u2028\u202ec"  # the last two: a line's end, and from right to left
    os.rename("flat.png", name + ".png")
    printed = r"a\nb\x1b[31m\u009b\u2028\u202ec"
    ran = run("encode", name + ".png")
    assert (ran.code, ran.out.count("\n")) == (0, 1)
    assert ran.out.startswith(f"{printed}.inr: ")
    assert run("encode", name + ".png", "-f", "--json").json["output"] == name + ".inr"
    assert run("encode", name + ".png").err.startswith(f"error: {printed}.inr exists")
    assert run("info", name + ".png").err.startswith(f"error: {printed}.png: this is not an .inr")
    assert run("info", name).err == f"error: {printed}: No such file or directory\n"
    (folder / f"{name}.inr").unlink()
    assert run("encode", name).err.startswith(f"error: {printed}: ")
    (folder / f"{name}.inr").write_bytes(flat)
    assert run("decode", name + ".inr").out == f"{printed}.decoded.png: 16x12 pixels\n"
    typed = "a\nb\x1b[31m"
    for arguments in (
        (typed,),
        ("info", "x", typed),
        ("info", f"--{typed}"),
        ("encode", "--seed", typed),
    ):
        ran = run(*arguments)
        assert ran.code == 2
        assert "\x1b" not in ran.err
        assert ran.err.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_names_that_are_none(run, folder, flat, name):
    before = names(folder)
    for arguments in (
        ("encode", name),
        ("encode", "flat.png", "-o", name),
        ("encode", "flat.png", "--checkpoint", name),
        ("decode", name),
        ("info", name),
        ("eval", "flat.png", name),
        ("sweep", name, "--recipe", "cae", "-o", "sweep"),
        ("compare", "flat.png", "-o", name),
        ("cae", "train", "--data", name, "-o", "train"),
    ):
        run(*arguments).failed("a file name is empty|cannot hold a zero byte")
    assert names(folder) == before


@pytest.mark.parametrize("name", [".", "/", "folder", "flat.png/x", "missing/x", "n" * 300])
def test_names_that_lead_nowhere(run, folder, flat, name):
    (folder / "folder").mkdir()
    before = names(folder)
    for arguments in (
        ("encode", name),
        ("encode", "flat.png", "-f", "-o", name),
        ("decode", name),
        ("info", name),
        ("eval", "flat.png", name),
    ):
        run(*arguments).failed(
            "is a folder|Is a directory|does not exist|not a folder|Not a directory|No such file|"
            "File name too long"
        )
    assert names(folder) == before


@pytest.mark.parametrize(
    "name", ["n" * 251, "ends in a space ", "ends in a dot.", ".png", "...", "é"]
)
def test_odd_names_of_outputs(run, folder, flat, name):
    assert run("encode", "flat.png", "-o", name).code == 0
    assert (folder / name).read_bytes() == flat
    assert names(folder) == sorted([name, "flat.png"])


# ---------------------------------------------------------------- warnings


@pytest.mark.parametrize(("options", "lines"), [("", 0), ("default", 1)])
def test_warnings_of_libraries_are_shown_to_those_who_ask(folder, monkeypatch, options, lines):
    monkeypatch.setenv("PYTHONWARNINGS", options)
    before = """
import warnings
import inr.codec
inr.codec.describe = lambda data, options: warnings.warn("of a library") or {"n_bytes": len(data)}
"""
    ran = run_process("info", "photo.png", before=before)
    assert (ran.code, ran.out[:9]) == (0, "n_bytes: ")
    assert ran.err.count("\n") == ran.err.count("of a library") == lines


# ---------------------------------------------------------------- signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_command_without_a_word(folder, number, code):
    os.mkfifo("pipe")
    # Who runs these tests in the background of a shell ignores Ctrl-C, and children with it.
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heeds}; from inr.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "encode", "pipe", "-o", "x.inr"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with open("pipe", "wb"):  # as soon as the command reads from it
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (code, b"", b"")
    assert names(folder) == ["photo.png", "pipe"]


# ---------------------------------------------------------------- bugs


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("XLA\nsays no"),
        ValueError("operands could not be broadcast"),
        KeyError("lost"),
        EOFError(),
        RecursionError("too deep"),
    ],
)
def test_a_bug_shows_its_traceback_and_asks_to_be_reported(run, folder, monkeypatch, error):
    def encode_picture(*_, **__):
        raise error

    monkeypatch.setattr("inr.codec.encode_picture", encode_picture)
    ran = run("encode", "photo.png", "-q")
    assert (ran.code, ran.out) == (1, "")
    *lines, last = ran.err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert any(line.startswith(type(error).__name__) for line in lines)
    assert last.startswith("error: this is a bug of inr, please report it with the lines above: ")
    assert names(folder) == ["photo.png"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(7)])
def test_what_is_no_error_is_not_reported(run, folder, monkeypatch, error):
    def encode_picture(*_, **__):
        raise error

    monkeypatch.setattr("inr.codec.encode_picture", encode_picture)
    code = 130 if isinstance(error, KeyboardInterrupt) else 7
    assert run("encode", "photo.png") == Ran(code, "", "")
