"""Output files that appear whole or not at all."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def write_whole(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Opens a file beside `path` that takes its name when the block ends without an error.

    Raises:
      FileExistsError: `path` exists and overwrite is False, also when it appeared meanwhile.
    """
    # 50 characters of the name: at 4 bytes each they stay below the 255 that a name may have.
    aside = path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}.part")
    try:
        with open(aside, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            os.replace(aside, path)
        else:
            _link(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _link(aside: Path, path: Path) -> None:
    """Gives the file its name; unlike a rename, this fails where the name is taken."""
    try:
        os.link(aside, path)
    except OSError as error:
        if path.exists():  # `error` names `aside`, which means nothing to the caller
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        os.replace(aside, path)  # a file system without hard links, such as FAT
