"""A half-done fit on disk, from which a killed run goes on.

One .npz file, written aside and renamed, so that a kill while saving leaves the one before. It
begins with a fingerprint of picture, recipe, seed and version: a checkpoint of another run is
refused, as is any other file. No file is replaced or deleted that was not found to be a checkpoint
of this very run, or written here.
"""

import hashlib
import json
import os
import stat
import time
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from inr.errors import UsageError
from inr.files import write_whole

SECONDS_BETWEEN_SAVES = 3.0
_PROGRAM = "inr checkpoint 2"  # what all of them begin with; the number is that of their layout

Numbers = dict[str, Any]  # what JSON can hold
State = tuple[Numbers, list[np.ndarray]]


class StateStore(Protocol):
    """Where a fit keeps its state: a checkpoint, or its part in one of several fits."""

    def load(self) -> State | None:
        """Return what was saved last, or None where there is nothing yet."""

    def save(self, numbers: Numbers, arrays: list[np.ndarray]) -> None:
        """Replace what was saved before."""

    def save_when_due(self, state: Callable[[], State]) -> None:
        """Save if the last save was so many seconds ago; `state` is called only then."""


def checkpoint_of(path: Path | None, pixels: np.ndarray, settings: object) -> "Checkpoint | None":
    """Return the checkpoint under a path; None where no path is given.

    Args:
      path: of the file, which need not exist.
      pixels: of the picture that is fitted.
      settings: all else that decides the fit, with a repr that says it.
    """
    if path is None:
        return None
    versions = [(name, metadata.version(name)) for name in ("inr", "jax")]
    fingerprint = hashlib.sha256(repr((pixels.shape, pixels.dtype.name)).encode())
    fingerprint.update(pixels.tobytes())
    fingerprint.update(repr((settings, versions)).encode())
    return Checkpoint(path, fingerprint.hexdigest())


class Checkpoint:
    """Saves and loads arrays and a few numbers under one path."""

    def __init__(
        self, path: Path, fingerprint: str, seconds_between_saves: float | None = None
    ) -> None:
        """seconds_between_saves: of `save_when_due`; None: SECONDS_BETWEEN_SAVES."""
        self._path = path
        self._fingerprint = fingerprint
        self._seconds = seconds_between_saves
        self._saved_at = time.monotonic()
        self._own: tuple[int, ...] | None = None  # the file as we wrote or verified it
        self._is_checked = False

    def save(self, numbers: Numbers, arrays: list[np.ndarray]) -> None:
        """Write the file anew.

        Raises:
          UsageError: there is another file under that path.
        """
        if not self._is_checked:
            self.load()
        meta = json.dumps(
            {
                "program": _PROGRAM,
                "fingerprint": self._fingerprint,
                "n_arrays": len(arrays),
                "numbers": numbers,
            }
        )
        with write_whole(self._path, overwrite=True) as file:
            np.savez(file, np.array(meta), *arrays)
        self._own, self._saved_at = self._identity(), time.monotonic()

    def save_when_due(self, state: Callable[[], State]) -> None:
        """Save if the last save was so many seconds ago; `state` is called only then."""
        seconds = SECONDS_BETWEEN_SAVES if self._seconds is None else self._seconds
        if time.monotonic() - self._saved_at >= seconds:
            self.save(*state())

    def load(self) -> State | None:
        """Return what was saved last, or None where there is no checkpoint yet.

        Raises:
          UsageError: the file is no checkpoint, damaged, or of another picture, recipe or seed.
        """
        if self._path.is_symlink():
            raise UsageError(f"checkpoint {self._path} is a link; name an ordinary file")
        identity = self._identity()
        if identity is None:
            self._is_checked = True
            return None
        meta, arrays = self._read()
        if meta["fingerprint"] != self._fingerprint:
            raise UsageError(
                f"checkpoint {self._path} belongs to another picture, recipe, seed or version; "
                "delete it or name another file"
            )
        self._own, self._is_checked = identity, True
        return meta["numbers"], arrays

    def remove(self) -> None:
        """Delete the file, if it is still the one that was verified or written here."""
        if self._own is not None and self._identity() == self._own:
            self._path.unlink(missing_ok=True)
        self._own = None

    def _read(self) -> tuple[Numbers, list[np.ndarray]]:
        foreign = UsageError(
            f"{self._path} is not a checkpoint, or a damaged one; it is left as it is: name "
            "another file for --checkpoint"
        )
        if not self._path.is_file():
            raise foreign
        # Opened here, because np.load leaves damaged archives open.
        with open(self._path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise foreign
            file.seek(0)
            try:
                with np.load(file, allow_pickle=False) as stored:
                    text = str(stored["arr_0"])
                    arrays = [stored[f"arr_{1 + i}"] for i in range(len(stored.files) - 1)]
            except Exception as error:  # numpy and zipfile raise a dozen kinds for damaged files
                raise foreign from error
        try:
            meta = json.loads(text)
        except ValueError as error:
            raise foreign from error
        if not isinstance(meta, dict):
            raise foreign
        # Those of trainings have always looked like this, at first without the program's name.
        if meta.get("program") != _PROGRAM and meta.get("fingerprint") != self._fingerprint:
            raise foreign
        if meta["n_arrays"] != len(arrays):
            raise foreign
        return meta, arrays

    def _identity(self) -> tuple[int, ...] | None:
        """What tells the file from one that has taken its name; None where there is none."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return None
        kind = stat.S_IFMT(found.st_mode)
        return (kind, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class SeveralFits:
    """A checkpoint of fits that follow one another: results of those done, state of the next.

    It stands in the place of the checkpoint for the fit at hand.
    """

    def __init__(self, checkpoint: Checkpoint | None) -> None:
        """Load what is there; raises as `Checkpoint.load`."""
        self._checkpoint = checkpoint
        self._results: list[State] = []
        self._state: State | None = None
        stored = None if checkpoint is None else checkpoint.load()
        if stored is None:
            return
        numbers, arrays = stored
        for result in numbers["results"]:
            n = result["n_arrays"]
            self._results.append((result["numbers"], arrays[:n]))
            arrays = arrays[n:]
        self._state = None if numbers["fit"] is None else (numbers["fit"], arrays)

    def result(self, i: int) -> State | None:
        """Return what the i-th fit ended in; None if it is still to be done."""
        return self._results[i] if i < len(self._results) else None

    def add_result(self, numbers: Numbers, arrays: list[np.ndarray]) -> None:
        """Save what the fit at hand ended in; the next one begins without a state."""
        self._results.append((numbers, arrays))
        self._state = None
        if self._checkpoint is not None:
            self._checkpoint.save(*self._join(None))

    def load(self) -> State | None:
        """Return the state of the fit at hand, as far as it was saved."""
        return self._state

    def save(self, numbers: Numbers, arrays: list[np.ndarray]) -> None:
        """Save the state of the fit at hand beside the results."""
        if self._checkpoint is not None:
            self._checkpoint.save(*self._join((numbers, arrays)))

    def save_when_due(self, state: Callable[[], State]) -> None:
        """`Checkpoint.save_when_due` for the state of the fit at hand."""
        if self._checkpoint is not None:
            self._checkpoint.save_when_due(lambda: self._join(state()))

    def _join(self, state: State | None) -> State:
        results = [{"numbers": n, "n_arrays": len(arrays)} for n, arrays in self._results]
        joined = [array for _, arrays in self._results for array in arrays]
        if state is None:
            return {"results": results, "fit": None}, joined
        return {"results": results, "fit": state[0]}, [*joined, *state[1]]
