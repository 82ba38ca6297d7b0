"""Output files that appear whole or not at all."""

import contextlib
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
            try:
                os.link(aside, path)  # unlike a rename, it fails where the name is taken
            except FileExistsError as error:  # names `aside`, which means nothing to the caller
                raise FileExistsError(error.errno, error.strerror, str(path)) from None
    finally:
        aside.unlink(missing_ok=True)
