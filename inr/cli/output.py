"""What all commands share: options, what they print, and checks before the work begins."""

import contextlib
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from inr.cli.streams import (
    STANDARD,
    check_stdout,
    input_name,
    open_input,
    path_of,
    tell,
    write_lines,
)
from inr.errors import FormatError, UsageError

if TYPE_CHECKING:
    from inr.image.picture import Picture

T = TypeVar("T")

Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="OUT",
        parser=path_of,
        help="File to write; - is standard output, and messages then go to standard error.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no warnings.")]
Force = Annotated[bool, typer.Option("-f", "--force", help="Overwrite an existing file.")]
MaxPixels = Annotated[
    int, typer.Option("--max-pixels", min=1, help="Refuse larger pictures before taking memory.")
]
MaxMacs = Annotated[
    float,
    typer.Option(
        "--max-macs", min=1, help="Refuse .inr files that take more multiply-adds, as in 1e14."
    ),
]


def fail(text: str) -> NoReturn:
    tell(f"error: {text}")
    sys.exit(1)


def warner(quiet: bool) -> Callable[[str], None]:
    """Return what writes warnings to standard error, or nothing where it is quiet."""
    return teller(quiet, "warning: ")


def teller(quiet: bool, prefix: str = "") -> Callable[[str], None]:
    """Return what writes a line to standard error, or nothing where it is quiet."""
    return lambda text: None if quiet else tell(prefix + text)


def print_result(
    result: dict[str, Any],
    lines: list[str],
    as_json: bool,
    quiet: bool,
    output: Path | None = None,
) -> None:
    """Print what a command did, as JSON or as lines; JSON escapes all but ASCII.

    Args:
      output: the file written. Where that is standard output, the result goes to standard error.
    """
    if as_json:
        lines = [json.dumps(result, allow_nan=False)]
    elif quiet:
        return
    if output == STANDARD:
        for line in lines:
            tell(line)
    else:
        write_lines(lines)


def finite(value: float) -> float | None:
    """JSON has no infinity: null stands for the PSNR of equal pictures."""
    return value if math.isfinite(value) else None


def of_file(function: Callable[..., T], path: Path, *arguments: Any) -> T:
    """Call a function of the bytes of an .inr file; its FormatError names the file."""
    from inr.format.container import MAX_FILE_BYTES

    with open_input(path) as file:
        data = file.read(MAX_FILE_BYTES + 1)
    return of_bytes(function, data, path, *arguments)


def of_bytes(function: Callable[..., T], data: bytes, path: Path, *arguments: Any) -> T:
    """`of_file` for a file that is read already."""
    try:
        return function(data, *arguments)
    except FormatError as error:
        raise FormatError(f"{input_name(path)}: {error}") from error


def models_folder() -> Path | None:
    """Return the folder of weights that are not shipped, which INR_MODELS names in the
    environment."""
    folder = os.environ.get("INR_MODELS")
    return Path(folder) if folder else None


def beside(path: Path, suffix: str) -> Path:
    """Return the output that belongs to an input where no -o is given."""
    if path == STANDARD:
        raise UsageError(
            "standard input has no name to name the output after; give -o FILE, or -o - for "
            "standard output"
        )
    if not path.name:
        raise UsageError(f"{path} is a folder; name a file")
    return path.with_suffix(suffix)


def picture_of(path: Path, max_pixels: int, warn: Callable[[str], None]) -> "Picture":
    """Read a picture from a file or from standard input."""
    from inr.image.read import load_bytes

    data = picture_bytes(path, max_pixels)
    return load_bytes(data, input_name(path), max_pixels=max_pixels, warn=warn)


def picture_bytes(path: Path, max_pixels: int) -> bytes:
    """Read the file of a picture, or standard input, which may have no end."""
    from inr.image.read import read_stream

    with open_input(path) as file:
        return read_stream(file, input_name(path), max_pixels=max_pixels)


def form_of(picture: "Picture") -> str:
    modes = ("grey", "grey with alpha", "RGB", "RGBA")
    mode = modes[picture.n_channels - 1]
    return f"{picture.width}x{picture.height} {mode} of {picture.bit_depth} bits"


def check_output(path: Path, force: bool, inputs: list[Path]) -> None:
    """Find out before the work what would stop the result from being written after it."""
    if path == STANDARD:
        check_stdout(force)
        return
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        path.lstat()  # a name that is too long, a folder that may not be looked into
    inputs = [other for other in inputs if other != STANDARD]
    if any(path.exists() and other.exists() and path.samefile(other) for other in inputs):
        raise UsageError(f"{path} would overwrite an input or another output; name another file")
    if path in inputs:
        raise UsageError(f"{path} is named twice; name another file")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not an ordinary file; name another, or - for standard output")
    if os.path.lexists(path) and not path.exists():
        raise UsageError(f"{path} is a link to nothing; remove it or name another file")
    if path.exists() and not force:
        raise UsageError(f"{path} exists; give -f to overwrite it or -o to name another file")
    folder = path.resolve().parent if path.is_symlink() else path.parent
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; name another file")
    if not folder.exists():
        raise UsageError(f"the folder {folder} does not exist")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"cannot write to the folder {folder}: {error.strerror}") from error


def assignments(texts: list[str]) -> dict[str, str]:
    assignments = {}
    for text in texts:
        path, equals, value = (part.strip() for part in text.partition("="))
        if not path or not equals:
            raise UsageError(f"--set {text!r}: expected PATH=VALUE, as in fit.steps=500")
        assignments[path] = value
    return assignments


def numbers_of(text: str, separator: str, n: int, option: str, example: str) -> Any:
    parts = text.lower().split(separator)
    try:
        values = tuple(int(part) for part in parts)
    except ValueError:
        values = ()
    if len(values) != n:
        raise UsageError(f"{option} {text}: expected {n} whole numbers, as in {example}")
    return values


def lines_of(facts: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *lines_of(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            rows = [", ".join(f"{key} {of}" for key, of in row.items()) for row in value]
            lines += [f"{indent}{name}:", *(f"{indent}  {row}" for row in rows)]
        else:
            lines.append(f"{indent}{name}: {value}")
    return lines
