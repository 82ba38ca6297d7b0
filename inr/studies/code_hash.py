"""Which code made a result: a hash of the package's own files, as git may be absent or wrong."""

import functools
import hashlib
from collections.abc import Iterator
from importlib import metadata, resources
from importlib.resources.abc import Traversable

from inr.format.shipped import SHIPPED

# Modules and lists that modules read. Shipped weights stand with their hashes in the manifest, and
# what a report looks like changes no result.
_SUFFIXES = (".py", ".txt")


@functools.cache
def code_hash() -> str:
    """Hash the package's version and every file of it that can change a result.

    The same for a checkout and the wheel built of it. It takes a few hundredths of a second, once
    a process; worker processes are handed it, or code that was edited meanwhile would be theirs.

    Returns:
      24 hexadecimal digits.
    """
    digest = hashlib.sha256(metadata.version("inr").encode())
    for name, file in _files(resources.files("inr"), ""):
        data = file.read_bytes()
        digest.update(f"\n{name} {len(data)}\n".encode())
        digest.update(data)
    digest.update(SHIPPED.manifest())
    return digest.hexdigest()[:24]


def _files(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    """The files under a folder, by their names from there; hidden ones are those of editors."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = f"{prefix}{entry.name}"
        if entry.name.startswith((".", "__pycache__")) or name == "assets":
            continue
        if entry.is_dir():
            yield from _files(entry, f"{name}/")
        elif entry.name.endswith(_SUFFIXES) and entry.is_file():
            yield name, entry
