"""A half-done fit on disk, from which a killed run goes on.

One .npz file, written aside and renamed, so that a kill while saving leaves the one before. It
begins with a fingerprint of picture, recipe and seed: a checkpoint of another run is refused.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from inr.errors import UsageError
from inr.files import write_whole


def checkpoint_of(path: Path | None, pixels: np.ndarray, told: object) -> "Checkpoint | None":
    """The checkpoint under that path, if there is one to be, of a fit to these pixels; told: all
    else that decides the fit, with a repr that says it."""
    if path is None:
        return None
    fingerprint = hashlib.sha256(pixels.tobytes())
    fingerprint.update(repr(told).encode())
    return Checkpoint(path, fingerprint.hexdigest())


class Checkpoint:
    """Saves and loads arrays and a few numbers under one path."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        self._path = path
        self._fingerprint = fingerprint

    def save(self, numbers: dict[str, Any], arrays: list[np.ndarray]) -> None:
        meta = json.dumps(
            {"fingerprint": self._fingerprint, "n_arrays": len(arrays), "numbers": numbers}
        )
        with write_whole(self._path, overwrite=True) as file:
            np.savez(file, np.array(meta), *arrays)

    def load(self) -> tuple[dict[str, Any], list[np.ndarray]] | None:
        """What was saved last, or None where there is no checkpoint yet.

        Raises:
          ValueError: the file is damaged or belongs to another picture, recipe or seed.
        """
        try:
            # Opened here, because np.load leaves damaged archives open.
            with open(self._path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                meta = json.loads(str(stored["arr_0"]))
                fingerprint, numbers = meta["fingerprint"], meta["numbers"]
                arrays = [stored[f"arr_{1 + i}"] for i in range(meta["n_arrays"])]
        except FileNotFoundError:
            return None
        except Exception as error:  # numpy and zipfile raise a dozen kinds for damaged files
            raise UsageError(
                f"checkpoint {self._path} cannot be read ({error}); delete it to start again"
            ) from error
        if fingerprint != self._fingerprint:
            raise UsageError(
                f"checkpoint {self._path} belongs to another picture, recipe or seed; "
                "delete it or name another file"
            )
        return numbers, arrays

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
