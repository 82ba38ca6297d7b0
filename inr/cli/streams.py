"""The three standard streams: closed, full, or unable to print a name, and `-` as a file.

Standard error carries messages only, so what cannot be written there is left out. What cannot be
written to standard output is an OSError, for it is what the caller asked for.
"""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from inr.errors import InrError, UsageError
from inr.files import write_whole
from inr.printable import printable

STANDARD = Path("-")  # standard input or output; a file of that name is reached as ./-


def prepare() -> None:
    """Make the standard streams safe to write to, whatever the caller handed over.

    A descriptor that is closed would be given to the next file opened, which then would get what
    is meant for the stream. `sys.__stdin__` and `sys.__stdout__` stay None where one was closed.
    Python's warnings are kept quiet unless -W or PYTHONWARNINGS asks for them: they are lines of
    the sources of libraries, where a caller expects ours, or with -q none.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)  # so that child processes have them too
    os.close(descriptor)
    if sys.stdin is None:
        sys.stdin = open(os.devnull)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not sys.warnoptions:
        warnings.showwarning = lambda *_, **__: None


def path_of(text: str) -> Path:
    """Turn an argument into a path; `./-` stays apart from `-`, which pathlib takes for one.

    Raises:
      InrError: no path at all.
    """
    if not text:  # pathlib would take it for the current folder
        raise InrError("a file name is empty; name a file")
    if "\0" in text:
        raise InrError(f"{text}: a file name cannot hold a zero byte; name another file")
    path = Path(text)
    return path.absolute() if path == STANDARD and text != "-" else path


def input_name(path: Path) -> str:
    """What messages call an input."""
    return "standard input" if path == STANDARD else str(path)


def output_name(path: Path) -> str:
    """What messages call an output."""
    return "standard output" if path == STANDARD else str(path)


def tell(text: str) -> None:
    """Write one line to standard error; where that is impossible, nothing."""
    try:
        print(printable(text), file=sys.stderr, flush=True)
    except OSError:
        drop(sys.stderr)


def write_lines(lines: list[str]) -> None:
    """Write lines to standard output at once.

    Raises:
      OSError: they cannot be written; BrokenPipeError where the reader went away.
    """
    with _name_stdout():
        print("\n".join(map(printable, lines)), flush=True)


def flush_stdout() -> None:
    """Write what standard output still holds; raises as `write_lines`."""
    with _name_stdout():
        sys.stdout.flush()


def drop(stream: TextIO) -> None:
    """Let what the stream still holds go nowhere; else the interpreter would complain at exit."""
    with contextlib.suppress(OSError):  # not a stream with a descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def check_stdout(force: bool) -> None:
    """Refuses, before the work, a standard output that no file can be written to."""
    if sys.__stdout__ is None:
        raise UsageError("standard output is closed; redirect it to a file, or name one with -o")
    if sys.stdout.isatty() and not force:
        raise UsageError(
            "a picture is not written to a terminal; redirect standard output, name a file with "
            "-o, or give -f"
        )


@contextlib.contextmanager
def open_input(path: Path) -> Iterator[BinaryIO]:
    """Open a file or standard input; errors of reading name it."""
    if path == STANDARD and sys.__stdin__ is None:
        raise UsageError("standard input is closed; redirect a file to it, or name one")
    try:
        if path == STANDARD:
            yield sys.stdin.buffer
        else:
            with open(path, "rb") as file:
                yield file
    except OSError as error:
        error.filename = error.filename or input_name(path)
        raise


@contextlib.contextmanager
def written(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Open an output that appears whole or not at all: `write_whole`, or standard output."""
    if path != STANDARD:
        with write_whole(path, overwrite=overwrite) as file:
            yield file
        return
    whole = io.BytesIO()
    yield whole
    with _name_stdout():
        sys.stdout.buffer.write(whole.getbuffer())
        sys.stdout.buffer.flush()


@contextlib.contextmanager
def _name_stdout() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        drop(sys.stdout)
        error.filename = "standard output"
        raise
