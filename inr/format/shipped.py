"""Trained weights that are part of the program: found, and checked by their hash before any use.

They decide decoded pixels. They stand in assets/, of an installed package in inr/assets/, and
manifest.json is the list of them: by group, entries of

  id       the number by which files name it, never used again for others
  name     what people call it
  file     its path in assets/
  sha256   of its bytes, hexadecimal

and more fields, which are for people.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inr.errors import FormatError

_PACKAGE = Path(__file__).parents[1]
_AGAIN = "install the package again"


@dataclass(frozen=True)
class Entry:
    """One file."""

    id: int
    name: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Shipped:
    """A folder of such files."""

    folder: Path

    def manifest(self) -> bytes:
        """Read the list as it is; raises FormatError where it is missing."""
        try:
            return (self.folder / "manifest.json").read_bytes()
        except OSError as error:
            raise FormatError(f"the list of shipped weights is missing: {_AGAIN}") from error

    def entries(self, group: str) -> tuple[Entry, ...]:
        """Read the entries of a group; raises FormatError where the list is damaged."""
        try:
            listed = json.loads(self.manifest())[group]
            return tuple(_read_entry(fields) for fields in listed)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FormatError(
                f"the list of shipped weights is damaged ({error!r}): {_AGAIN}"
            ) from error

    def read(self, entry: Entry) -> bytes:
        """Read a file; raises FormatError where its bytes are others, or missing."""
        path = self.folder / entry.file
        data = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise FormatError(
                f"the weights {path.name}, part of this program, are damaged or missing: {_AGAIN}"
            )
        return data


def _read_entry(fields: Any) -> Entry:
    found = [fields[name] for name in ("id", "name", "file", "sha256")]
    for value, kind in zip(found, (int, str, str, str), strict=True):
        if not isinstance(value, kind):
            raise TypeError(f"{value!r} is no {kind.__name__}")
    return Entry(*found)


_INSTALLED = _PACKAGE / "assets"
SHIPPED = Shipped(_INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "assets")
