"""Rows of a comparison, and the file from which a killed run goes on.

rows.jsonl: one JSON object a line, {"key": ..., "row": {...}}, appended as soon as it is measured.
The key is a hash of the picture's pixels and of all that decides the result. Lines that the run
at hand does not ask for stay; a last line without its end, from a kill while writing, is dropped.
"""

import dataclasses
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inr.errors import UsageError


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
        if not path.exists():
            return
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                stored = json.loads(line)
                self._rows[str(stored["key"])] = _row_of(stored["row"])
            except (ValueError, KeyError, TypeError) as error:
                raise UsageError(
                    f"{path} line {number} is not a row of inr compare ({error}); delete the file "
                    "to measure again, or name another folder"
                ) from error
        if len(whole) < len(data):
            os.truncate(path, len(whole))  # else the next row would join the torn line

    def get(self, key: str) -> Row | None:
        return self._rows.get(key)

    def add(self, key: str, row: Row) -> None:
        facts = dataclasses.asdict(row)
        if math.isinf(row.psnr_db):
            facts["psnr_db"] = None  # JSON has no infinity
        line = json.dumps({"key": key, "row": facts}, allow_nan=False)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
        self._rows[key] = row


def _row_of(facts: dict[str, Any]) -> Row:
    psnr = facts["psnr_db"]
    row = Row(**(facts | {"psnr_db": math.inf if psnr is None else float(psnr)}))
    numbers = (row.setting, row.n_bytes, row.bpp, row.encode_seconds, row.decode_seconds)
    if not all(isinstance(number, (int, float)) for number in numbers):
        raise ValueError("a number is missing")
    return row
