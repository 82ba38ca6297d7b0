"""Read .npz files that nobody vouches for: what each array claims is known before it is unpacked.

`numpy.load` unpacks an array before anybody has seen its shape, and a megabyte of a zip archive can
hold a gigabyte of zeros. Only what `numpy.savez` and `numpy.savez_compressed` write is read: plain
numbers and text, no pickles, no other compression, no archives above 4 GB.
"""

import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, TypeVar

import numpy as np

from inr.errors import FormatError

T = TypeVar("T")

_MAX_DIRECTORY_BYTES = 1 << 18  # of the list of members: a few thousand arrays
_MAX_HEADER_CHARS = 512  # of an array: its type, its order and its shape
_END = struct.Struct("<4s4H2LH")  # APPNOTE.TXT 4.3.16, without a comment
_END_MAGIC, _ZIP64_MAGIC = b"PK\x05\x06", b"PK\x06\x07"
_ZIP64_BYTES = 20  # of what stands before the end where an archive is above 4 GB
_KINDS = "fiuU"  # of numpy's types: floats, integers, text


@dataclass(frozen=True)
class Member:
    """What an array claims to be."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def n_bytes(self) -> int:
        n_bytes = self.dtype.itemsize
        for side in self.shape:
            n_bytes *= side
        return n_bytes


class Npz:
    """An opened file; members: by name."""

    def __init__(self, data: bytes) -> None:
        """Read what the arrays claim; raises FormatError.

        Args:
          data: the bytes of the file.
        """
        n_members = _check_end(data)
        self._archive = _call_foreign(lambda: zipfile.ZipFile(io.BytesIO(data)), "no .npz file")
        self.members: dict[str, Member] = {}
        found = self._archive.infolist()
        if len(found) != n_members:  # zipfile does not compare them
            raise FormatError("no .npz file: its list of members is damaged")
        for info in found:
            name = info.filename.removesuffix(".npy")
            if name == info.filename or name in self.members:
                raise FormatError(f"no .npz file: a member is named {info.filename!r}")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise FormatError(f"{name!r} is packed in a way that numpy does not use")
            self.members[name] = self._read_claim(name)

    def read(self, name: str) -> np.ndarray:
        """Unpack an array: takes the memory that it claims. Raises FormatError."""

        def read() -> np.ndarray:
            with self._open(name) as file:
                array = np.lib.format.read_array(
                    file, allow_pickle=False, max_header_size=_MAX_HEADER_CHARS
                )
                if file.read(1):  # at the end zipfile compares the checksum
                    raise ValueError("longer than its header says")
            return array

        return _call_foreign(read, f"{name!r} is damaged")

    def _open(self, name: str) -> IO[bytes]:
        return self._archive.open(f"{name}.npy")

    def _read_claim(self, name: str) -> Member:
        def read() -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
            with self._open(name) as file:
                if np.lib.format.read_magic(file) != (1, 0):
                    raise ValueError("its header is longer than 64 kB may be")
                return np.lib.format.read_array_header_1_0(file, max_header_size=_MAX_HEADER_CHARS)

        try:
            shape, _, dtype = _call_foreign(read, f"{name!r} is damaged")
        except MemoryError as error:  # what Python's parser says of text nested too deep
            raise FormatError(f"{name!r} is damaged: its header cannot be read") from error
        if dtype.kind not in _KINDS or dtype.shape or any(side < 0 for side in shape):
            raise FormatError(f"{name!r} is {dtype}{list(shape)}, neither numbers nor text")
        return Member(shape, dtype)


def _check_end(data: bytes) -> int:
    """Bound the list of members, which zipfile reads whole; return how many there should be."""
    if len(data) < _END.size or data[-_END.size :][:4] != _END_MAGIC:
        raise FormatError("no .npz file: it does not end as one does")
    *_, n_members, n_directory_bytes, _, _ = _END.unpack(data[-_END.size :])
    before = data[-_END.size - _ZIP64_BYTES : -_END.size]
    if n_directory_bytes > _MAX_DIRECTORY_BYTES or before.startswith(_ZIP64_MAGIC):
        raise FormatError("no .npz file of ours: it has too many members")
    return int(n_members)


def _call_foreign(call: Callable[[], T], what: str) -> T:
    """Call numpy and zipfile, which raise a dozen kinds of errors for damaged files."""
    try:
        return call()
    except MemoryError:
        raise
    except Exception as error:
        raise FormatError(f"{what}: {error}") from error
