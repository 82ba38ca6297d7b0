"""Finds the weights that a recipe or a file names.

Shipped models have a name and a number (see format/shipped.py). Others are found by their path
where a recipe gives one, and by their hash, where a file was made with them, in a folder that the
caller names; the command line takes it from the environment variable INR_MODELS.
"""

import functools
import hashlib
import os
import stat
from pathlib import Path

from inr.cae.weights import Weights, read_weights
from inr.errors import FormatError, UsageError
from inr.format.container import MAX_FILE_BYTES  # of weights: forty times the largest shipped
from inr.format.shipped import SHIPPED, Entry, Shipped

_GROUP = "cae"


def shipped_models(assets: Shipped = SHIPPED) -> dict[str, Entry]:
    """List the shipped models by name; raises FormatError where the package is damaged."""
    return {entry.name: entry for entry in assets.entries(_GROUP)}


def find_weights(name: str, assets: Shipped = SHIPPED) -> tuple[Weights, int]:
    """Read the weights of a shipped model or of a file.

    Args:
      name: of a shipped model, or the path of an .npz.
    Returns:
      The weights, and the model's number, 0 if it is not shipped.
    Raises:
      UsageError: there is no such model or file, or the file holds no weights.
    """
    entry = shipped_models(assets).get(name)
    if entry is not None:
        return _read_shipped(entry, assets), entry.id
    data = _read_named(name, assets)
    try:
        return read_weights(data), 0
    except FormatError as error:
        raise UsageError(f"{name}: {error}") from error


def find_hash(name: str, assets: Shipped = SHIPPED) -> str:
    """Return the SHA-256, in hexadecimal, of the same weights file; raises UsageError likewise."""
    entry = shipped_models(assets).get(name)
    return hashlib.sha256(_read_named(name, assets)).hexdigest() if entry is None else entry.sha256


def find_folder(name: str, assets: Shipped = SHIPPED) -> Path | None:
    """Return the folder of a weights file; None for a shipped model."""
    return None if name in shipped_models(assets) else Path(name).parent


def weights_of(
    number: int, sha256: bytes, models: Path | None, assets: Shipped = SHIPPED
) -> Weights:
    """Find the weights that a file was made with.

    Args:
      number: of the shipped model; 0 for others.
      sha256: the first bytes of the hash of the weights file.
      models: folder of weights that are not shipped; None if there is none.
    Raises:
      FormatError: they are not at hand.
    """
    for name, entry in shipped_models(assets).items():
        if entry.id == number:
            if not entry.sha256.startswith(sha256.hex()):
                raise FormatError(
                    f"the file was made with other weights of the model {name} than are here"
                )
            return _read_shipped(entry, assets)
    if number:
        raise FormatError(f"model {number} is not known; the file needs a newer version")
    return _find_own(sha256, models)


def _find_own(sha256: bytes, models: Path | None) -> Weights:
    """Find those of that hash in the folder; others there are passed over."""
    unread: list[str] = []
    try:
        names = sorted(os.listdir(models)) if models is not None else []
    except OSError as error:
        names, unread = [], [f"{models}: {error.strerror}"]
    for name in names:
        path = Path(models or "", name)
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
        "them into a folder and set INR_MODELS to it, or give it to inr.decode as `models`"
        f"{passed_over}"
    )


def _read_named(name: str, assets: Shipped) -> bytes:
    """Read the bytes of a weights file that a recipe names."""
    path = Path(name)
    if path.suffix != ".npz" or not os.path.lexists(path):
        raise UsageError(
            f"model {name!r}: there are {', '.join(shipped_models(assets))}, or give the path of "
            "an .npz that `inr cae export` wrote"
        )
    return _read_file(path)


def _read_file(path: Path) -> bytes:
    """Read an ordinary file; UsageError, which names it, for anything else.

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
def _read_shipped(entry: Entry, assets: Shipped) -> Weights:
    return read_weights(assets.read(entry))
