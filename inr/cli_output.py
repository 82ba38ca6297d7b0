"""What all commands share: options, what they print, and checks before the work begins."""

import json
import math
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from inr.errors import UsageError

if TYPE_CHECKING:
    from inr.picture import Picture

T = TypeVar("T")

Output = Annotated[Path | None, typer.Option("-o", "--output", help="File to write.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no warnings.")]
Force = Annotated[bool, typer.Option("-f", "--force", help="Overwrite an existing file.")]
MaxPixels = Annotated[
    int, typer.Option("--max-pixels", min=1, help="Refuse larger pictures before taking memory.")
]


def fail(text: str) -> NoReturn:
    print("error:", " ".join(text.split()), file=sys.stderr)
    sys.exit(1)


def warner(quiet: bool) -> Any:
    def warn(text: str) -> None:
        if not quiet:
            print("warning:", text, file=sys.stderr)

    return warn


def print_result(result: dict[str, Any], text: str, as_json: bool, quiet: bool) -> None:
    if as_json:
        print(json.dumps(result, allow_nan=False))
    elif not quiet:
        print(text)


def finite(value: float) -> float | None:
    """JSON has no infinity: null stands for the PSNR of equal pictures."""
    return value if math.isfinite(value) else None


def of_file(function: Callable[..., T], path: Path, *arguments: Any) -> T:
    """Calls a function of the bytes of an .inr file; its FormatError names the file."""
    from inr.container import MAX_FILE_BYTES
    from inr.errors import FormatError

    with open(path, "rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    try:
        return function(data, *arguments)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def kind_of(picture: "Picture") -> str:
    modes = ("grey", "grey with alpha", "RGB", "RGBA")
    mode = modes[picture.n_channels - 1]
    return f"{picture.width}x{picture.height} {mode} of {picture.bit_depth} bits"


def check_output(path: Path, force: bool, inputs: list[Path]) -> None:
    """Finds out before the work what would stop the result from being written after it."""
    if any(path.exists() and other.exists() and path.samefile(other) for other in inputs):
        raise UsageError(f"{path} would overwrite an input or another output; name another file")
    if path in inputs:
        raise UsageError(f"{path} is named twice; name another file")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not an ordinary file; name another")
    if os.path.lexists(path) and not path.exists():
        raise UsageError(f"{path} is a link to nothing; remove it or name another file")
    if path.exists() and not force:
        raise UsageError(f"{path} exists; give -f to overwrite it or -o to name another file")
    if not path.parent.is_dir():
        raise UsageError(f"the folder {path.parent} does not exist")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UsageError(f"cannot write to the folder {path.parent}: {error.strerror}") from error


def assignments(texts: list[str]) -> dict[str, str]:
    assignments = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}: expected PATH=VALUE, as in fit.steps=500")
        assignments[path.strip()] = value.strip()
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
