"""Output files that appear whole or not at all."""

import contextlib
import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def write_whole(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Open a file beside `path` that takes its name when the block ends without an error.

    Whoever overwrites a file means its contents: mode, owner, group and extended attributes
    (access control lists are some) go over to the new file as far as the system lets us, and of a
    symbolic link what it leads to is overwritten. A hard link to the file keeps the old contents.

    Raises:
      FileExistsError: `path` exists and overwrite is False, also when it appeared meanwhile.
      OSError: the file cannot be written; `filename` is `path`.
    """
    target = Path(os.path.realpath(path)) if overwrite else path
    # 50 characters of the name: at 4 bytes each they stay below the 255 that a name may have.
    aside = target.with_name(f".{target.name[:50]}.{secrets.token_hex(4)}.part")
    # What replaces a secret must not be readable while it grows.
    mode = 0o600 if overwrite and target.exists() else 0o666
    try:
        with _errors_name(path, aside):
            with open(aside, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                _take_over(target, aside)
                os.replace(aside, target)
            else:
                _claim(path, aside)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def append_whole(path: Path, data: bytes) -> None:
    """Add data to the end of a file, which need not exist, or leave it as it is.

    Raises:
      OSError: the file cannot be written; `filename` is `path`.
    """
    with _errors_name(path, path), open(path, "ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        rest = memoryview(data)
        try:
            while rest:  # a disk that fills up takes a part, and fails at the next
                rest = rest[file.write(rest) :]
        except BaseException:
            file.truncate(end)
            raise


@contextlib.contextmanager
def _errors_name(path: Path, aside: Path) -> Iterator[None]:
    """Let errors name `path`: a write names nothing, and nobody knows what `aside` is."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(aside)):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _claim(path: Path, aside: Path) -> None:
    """Give the file its name; unlike a rename, this fails where the name is taken."""
    try:
        os.link(aside, path)
    except OSError as error:
        if error.errno == errno.EEXIST:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        with open(path, "xb"):  # a file system without hard links, such as FAT
            pass
        os.replace(aside, path)


def _take_over(old: Path, new: Path) -> None:
    """Give `new` the mode, owner, group and extended attributes of `old`, if there is an old."""
    try:
        facts = old.stat()
    except FileNotFoundError:
        return
    mode = stat.S_IMODE(facts.st_mode) & 0o777
    if os.name == "posix":
        if not _chown(new, facts.st_uid, facts.st_gid) and not _chown(new, -1, facts.st_gid):
            mode = mode & ~0o070 | (mode & 0o007) << 3  # our group is not the one that was meant
        _copy_attributes(old, new)
    new.chmod(mode)


def _chown(path: Path, owner: int, group: int) -> bool:
    try:
        os.chown(path, owner, group)
    except OSError:
        return False
    return True


def _copy_attributes(old: Path, new: Path) -> None:
    """What `new` has of itself goes too: it may have got an access control list of its folder."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):  # a file system without them
        names = os.listxattr(old)
        for name in set(os.listxattr(new)) - set(names):
            with contextlib.suppress(OSError):
                os.removexattr(new, name)
        for name in names:
            with contextlib.suppress(OSError):  # those of the system are not ours to give
                os.setxattr(new, name, os.getxattr(old, name))
