"""compare_rows.py: the ledger of a comparison, whole or torn."""

import dataclasses
import math

import pytest
from compare_samples import ROW

from inr.compare_rows import Ledger


def test_rows_come_back(tmp_path):
    ledger = Ledger(tmp_path / "rows.jsonl")
    lossless = dataclasses.replace(ROW, psnr_db=math.inf)
    ledger.add("k1", ROW)
    ledger.add("k2", lossless)
    again = Ledger(tmp_path / "rows.jsonl")
    assert (again.get("k1"), again.get("k2"), again.get("k3")) == (ROW, lossless, None)


def test_a_torn_last_line_is_dropped_and_the_next_row_is_whole(tmp_path):
    path = tmp_path / "rows.jsonl"
    ledger = Ledger(path)
    ledger.add("k1", ROW)
    ledger.add("k2", ROW)
    path.write_bytes(path.read_bytes()[:-20])
    again = Ledger(path)
    assert (again.get("k1"), again.get("k2")) == (ROW, None)
    again.add("k2", ROW)
    assert Ledger(path).get("k2") == ROW


@pytest.mark.parametrize("line", ["{}", "[1]", "text", '{"key": "k", "row": {"psnr_db": 1}}'])
def test_other_lines_are_refused(tmp_path, line):
    path = tmp_path / "rows.jsonl"
    Ledger(path).add("k1", ROW)
    with open(path, "a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=r"rows\.jsonl line 2 is not a row of inr compare \("):
        Ledger(path)
