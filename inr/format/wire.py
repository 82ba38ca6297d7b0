"""Bytes of numbers and of the fields of stages, and their reader, which trusts nothing.

Integers are little-endian. `varint` is LEB128 in its shortest form, below 2**32 (1 to 5 bytes).
"""

import difflib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from inr.errors import FormatError, UsageError


class Reader:
    """Reader of one part of a file, front to back; raises FormatError where it ends too early."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._pos = 0
        self._what = what

    @property
    def n_left(self) -> int:
        return len(self._data) - self._pos

    def take(self, n_bytes: int) -> bytes:
        if n_bytes > self.n_left:
            raise FormatError(
                f"{self._what} is cut short at byte {self._pos}: {n_bytes} bytes expected, "
                f"{self.n_left} left"
            )
        self._pos += n_bytes
        return self._data[self._pos - n_bytes : self._pos]

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def varint(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if (byte == 0 and shift > 0) or value >= 1 << 32:
                    raise FormatError(f"{self._what} holds a varint that is too long")
                return value
        raise FormatError(f"{self._what} holds a varint of more than 5 bytes")

    def finish(self) -> None:
        if self.n_left:
            raise FormatError(f"{self._what} has {self.n_left} bytes too many")


def varint(value: int) -> bytes:
    """Write what `Reader.varint` reads. value: 0..2**32 - 1."""
    assert 0 <= value < 1 << 32, value
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@dataclass(frozen=True)
class VarintField:
    """A field of a stage, written as a varint. low, high: what a file may hold, inclusive."""

    low: int
    high: int

    def write(self, value: int, name: str) -> bytes:
        if not self.low <= value <= self.high:
            raise UsageError(f"{name}={value} is outside {self.low}..{self.high}")
        return varint(value)

    def read(self, reader: Reader, name: str) -> int:
        value = reader.varint()
        if not self.low <= value <= self.high:
            raise FormatError(f"{name}={value} is outside {self.low}..{self.high}")
        return value


@dataclass(frozen=True)
class FloatField:
    """A field of a stage, written as a float32. low, high: what a file may hold, inclusive."""

    low: float
    high: float

    def write(self, value: float, name: str) -> bytes:
        if not self.low <= value <= self.high:  # also false for NaN
            raise UsageError(f"{name}={value} is outside {self.low}..{self.high}")
        return struct.pack("<f", value)

    def read(self, reader: Reader, name: str) -> float:
        value: float = struct.unpack("<f", reader.take(4))[0]
        if not self.low <= value <= self.high:  # also false for NaN
            raise FormatError(f"{name}={value} is outside {self.low}..{self.high}")
        return value


@dataclass(frozen=True)
class NameField:
    """A field of a stage, written as varint n, then n bytes of ASCII.

    known: lists the names there are; a function, so that their library is loaded only when asked.
    """

    max_length: int  # characters
    known: Callable[[], Sequence[str]]

    def _names(self) -> list[str]:
        return [name for name in self.known() if len(name) <= self.max_length]

    def write(self, value: str, name: str) -> bytes:
        names = self._names()
        if value not in names:
            near = ", ".join(difflib.get_close_matches(value, names, n=4, cutoff=0.0))
            raise UsageError(f"{name}={value!r} is none of the {len(names)} known, such as {near}")
        return varint(len(value)) + value.encode("ascii")

    def read(self, reader: Reader, name: str) -> str:
        n_bytes = reader.varint()
        if n_bytes > self.max_length:
            raise FormatError(
                f"{name} has {n_bytes} characters, more than the {self.max_length} allowed"
            )
        value = reader.take(n_bytes).decode("ascii", errors="backslashreplace")
        if value not in self._names():
            raise FormatError(f"{name}={value!r} is not known; the file needs a newer version")
        return value


@dataclass(frozen=True)
class StageField:
    """A field of a stage that is a stage itself: its own fields, one after the other."""

    make: "type[Stage]"

    def write(self, value: "Stage", name: str) -> bytes:
        return write_fields(value)

    def read(self, reader: Reader, name: str) -> "Stage":
        return read_fields(self.make, self.make.WIRE, reader)


Wire = tuple[tuple[str, VarintField | FloatField | NameField | StageField], ...]


class Stage(Protocol):
    """A frozen dataclass whose decoded fields are listed, in file order, in WIRE."""

    WIRE: ClassVar[Wire]


S = TypeVar("S", bound=Stage)


def write_fields(stage: Stage, wire: Wire | None = None) -> bytes:
    """Write the fields that `read_fields` reads; UsageError for those it would refuse.

    wire: the fields; those of stage.WIRE if not given.
    """
    values = vars(stage)
    fields = stage.WIRE if wire is None else wire
    return b"".join(form.write(values[name], name) for name, form in fields)


def read_fields(make: Callable[..., S], wire: Wire, reader: Reader) -> S:
    """Read the fields of one stage and make it."""
    values: dict[str, Any] = {name: form.read(reader, name) for name, form in wire}
    return make(**values)
