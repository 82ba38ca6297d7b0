"""Rows of a comparison, and the file from which a killed run goes on.

rows.jsonl: one JSON object a line, {"key": ..., "asked": ..., "library": ..., "row": {...}},
appended as soon as it is measured. The key is a hash of the picture's pixels and of all that
decides the result, the codec's library included; asked is the same without the library. Lines that
the run at hand does not ask for stay; a last line without its end, from a kill while writing, is
dropped.
"""

import dataclasses
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inr.errors import UsageError
from inr.files import append_whole

_LINE_START = b'{"key": "'


@dataclass(frozen=True)
class Row:
    """One picture coded once."""

    picture: str  # name of the file
    codec: str
    setting: float  # the codec's quality; of a recipe the target in bits per pixel, or lambda
    n_bytes: int  # of the whole file
    bpp: float
    psnr_db: float  # inf where nothing is lost
    ms_ssim: float | None  # None: a side below 161 pixels
    encode_seconds: float
    decode_seconds: float


class Ledger:
    """The rows measured so far, on disk."""

    def __init__(self, path: Path) -> None:
        """Reads what is there.

        Raises:
          ValueError: a line that is no row of a comparison.
        """
        self._path = path
        self._rows: dict[str, Row] = {}
        self._libraries: dict[str, str] = {}  # by what was asked; of the last line
        if not path.exists():
            return
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        torn = data[len(whole) :]
        for number, line in enumerate(whole.splitlines(), start=1):
            self._read(line, number)
        if not torn:
            return
        try:
            self._read(torn, whole.count(b"\n") + 1)
        except UsageError:
            if not torn.startswith(_LINE_START[: len(torn)]):  # not ours: nothing is cut off
                raise
            os.truncate(path, len(whole))  # else the next row would join the torn line
        else:
            append_whole(path, b"\n")  # likewise; an editor has cut off the end

    def _read(self, line: bytes, number: int) -> None:
        try:
            stored = json.loads(line)
            self._rows[str(stored["key"])] = _row_of(stored["row"])
            if "asked" in stored:
                self._libraries[str(stored["asked"])] = str(stored["library"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{self._path} line {number} is not a row of inr compare ({error}); remove the "
                "line, or name another folder"
            ) from error

    def get(self, key: str) -> Row | None:
        return self._rows.get(key)

    def library_of(self, asked: str) -> str | None:
        """Which library has made the last row of this request; None where there is none."""
        return self._libraries.get(asked)

    def add(self, key: str, row: Row, *, asked: str, library: str) -> None:
        """Writes a row, with what it was asked as and the library that made it."""
        facts = dataclasses.asdict(row)
        if math.isinf(row.psnr_db):
            facts["psnr_db"] = None  # JSON has no infinity
        stored = {"key": key, "asked": asked, "library": library, "row": facts}
        append_whole(self._path, (json.dumps(stored, allow_nan=False) + "\n").encode())
        self._rows[key] = row
        self._libraries[asked] = library


def _row_of(facts: dict[str, Any]) -> Row:
    psnr = facts["psnr_db"]
    row = Row(**(facts | {"psnr_db": math.inf if psnr is None else float(psnr)}))
    numbers = (row.setting, row.n_bytes, row.bpp, row.encode_seconds, row.decode_seconds)
    if not all(isinstance(number, (int, float)) for number in numbers):
        raise ValueError("a number is missing")
    return row
