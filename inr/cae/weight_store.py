"""Finds the weights that a recipe or a file names.

Shipped models stand in assets/cae, in an installed package in inr/assets/cae, with a manifest of
their hashes. Others are found by name where a recipe gives a path, and by their hash, where a file
was made with one, in the folder that the environment variable INR_MODELS names.
"""

import functools
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from inr.cae.weights import Weights, read_weights
from inr.errors import FormatError, UsageError

VARIABLE = "INR_MODELS"
MAX_FILE_BYTES = 1 << 28  # of weights; twenty times the largest that is shipped
_PACKAGE = Path(__file__).parents[1]


def shipped() -> dict[str, dict[str, Any]]:
    """The entries of the manifest by name; FormatError where the package is damaged."""
    try:
        text = (_folder() / "manifest.json").read_text(encoding="utf-8")
        return {entry["name"]: _checked(entry) for entry in json.loads(text)["models"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(
            f"the list of shipped models is damaged ({error!r}): install the package again"
        ) from error


def weights_named(name: str) -> tuple[Weights, int]:
    """The weights of a shipped model or of a file, and the model's number, 0 if it is not shipped.

    Raises:
      ValueError: there is no such model or file, or the file holds no weights.
    """
    models = shipped()
    if name in models:
        return _shipped_weights(name), int(models[name]["id"])
    data = _file_named(name)
    try:
        return read_weights(data), 0
    except FormatError as error:
        raise UsageError(f"{name}: {error}") from error


def hash_named(name: str) -> str:
    """The SHA-256, in hexadecimal, of the same weights file; raises ValueError likewise."""
    models = shipped()
    if name in models:
        return str(models[name]["sha256"])
    return hashlib.sha256(_file_named(name)).hexdigest()


def weights_of(number: int, sha256: bytes) -> Weights:
    """The weights that a file was made with; FormatError where they are not at hand."""
    for name, entry in shipped().items():
        if entry["id"] == number:
            if not entry["sha256"].startswith(sha256.hex()):
                raise FormatError(
                    f"the file was made with other weights of the model {name} than are here"
                )
            return _shipped_weights(name)
    if number:
        raise FormatError(f"model {number} is not known; the file needs a newer version")
    return _own_weights(sha256)


def _own_weights(sha256: bytes) -> Weights:
    """Those of that hash in the folder of the user; others there are passed over."""
    folder = os.environ.get(VARIABLE)
    unread = []
    try:
        names = sorted(os.listdir(folder)) if folder else []
    except OSError as error:
        names, unread = [], [f"{folder}: {error.strerror}"]
    for name in names:
        path = Path(folder or "", name)
        if path.suffix != ".npz":
            continue
        try:
            data = _read_file(path)
        except UsageError as error:
            unread.append(str(error))
            continue
        if not hashlib.sha256(data).digest().startswith(sha256):
            continue
        try:
            return read_weights(data)
        except FormatError as error:
            raise FormatError(f"{path}: {error}") from error
    passed_over = f" (not read: {'; '.join(unread[:3])})" if unread else ""
    raise FormatError(
        f"the file was made with weights of SHA-256 {sha256.hex()}..., which are not shipped; put "
        f"them into a folder and set {VARIABLE} to it{passed_over}"
    )


def _file_named(name: str) -> bytes:
    """The bytes of a weights file that a recipe names."""
    path = Path(name)
    if path.suffix != ".npz" or not os.path.lexists(path):
        raise UsageError(
            f"model {name!r}: there are {', '.join(shipped())}, or give the path of an .npz that "
            "`inr cae export` wrote"
        )
    return _read_file(path)


def _read_file(path: Path) -> bytes:
    """The bytes of an ordinary file; UsageError, which names it, for anything else.

    A pipe would be waited for, and a device has no end.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{path}: not an ordinary file")
        if found.st_size > MAX_FILE_BYTES:
            raise UsageError(f"{path}: more than the {MAX_FILE_BYTES} bytes that weights may have")
        with open(path, "rb") as file:
            return file.read(found.st_size)  # not all: a file may grow meanwhile
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


@functools.lru_cache(maxsize=2)
def _shipped_weights(name: str) -> Weights:
    entry = shipped()[name]
    path = _folder() / entry["file"]
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise FormatError(
            f"the weights {entry['file']} are damaged or missing: install the package again"
        )
    return read_weights(data)


def _checked(entry: dict[str, Any]) -> dict[str, Any]:
    """Other fields of an entry are for people."""
    for name, kind in (("id", int), ("file", str), ("sha256", str)):
        if not isinstance(entry[name], kind):
            raise TypeError(f"{name} is {entry[name]!r}")
    return entry


def _folder() -> Path:
    installed = _PACKAGE / "assets" / "cae"
    return installed if installed.is_dir() else _PACKAGE.parent / "assets" / "cae"
