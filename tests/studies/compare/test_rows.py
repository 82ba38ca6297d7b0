"""compare_rows.py: the ledger of a comparison, whole or torn."""

import dataclasses
import json
import math

import pytest
from helpers.compare_samples import ROW

from inr.errors import UsageError
from inr.studies.compare.rows import Ledger


def add(ledger, key, row=ROW):
    ledger.add(key, row, asked=f"asked {key}", library=f"library of {key}")


def test_rows_come_back(tmp_path):
    ledger = Ledger(tmp_path / "rows.jsonl")
    lossless = dataclasses.replace(ROW, psnr_db=math.inf)
    add(ledger, "k1")
    add(ledger, "k2", lossless)
    again = Ledger(tmp_path / "rows.jsonl")
    assert (again.get("k1"), again.get("k2"), again.get("k3")) == (ROW, lossless, None)
    assert (again.library_of("asked k2"), again.library_of("k2")) == ("library of k2", None)


def test_a_torn_last_line_is_dropped_and_the_next_row_is_whole(tmp_path):
    path = tmp_path / "rows.jsonl"
    ledger = Ledger(path)
    add(ledger, "k1")
    add(ledger, "k2")
    path.write_bytes(path.read_bytes()[:-20])
    again = Ledger(path)
    assert (again.get("k1"), again.get("k2")) == (ROW, None)
    add(again, "k2")
    assert Ledger(path).get("k2") == ROW


def test_a_last_line_without_its_end_that_is_whole_stays(tmp_path):
    path = tmp_path / "rows.jsonl"
    add(Ledger(path), "k1")
    path.write_bytes(path.read_bytes()[:-1])  # as some editors leave it
    add(Ledger(path), "k2")
    again = Ledger(path)
    assert (again.get("k1"), again.get("k2")) == (ROW, ROW)


@pytest.mark.parametrize("text", ["precious", '{"id": 1}', '{"id": 1}\n{"id": 2}', "1", "\n\n x"])
def test_a_file_of_something_else_is_not_cut(tmp_path, text):
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"rows\.jsonl line 1 is not a row of inr compare"):
        Ledger(path)
    assert path.read_text() == text


def test_rows_of_the_time_before_libraries_were_kept(tmp_path):
    path = tmp_path / "rows.jsonl"
    line = {"key": "k1", "row": dataclasses.asdict(ROW)}
    path.write_text(json.dumps(line) + "\n")
    assert Ledger(path).get("k1") == ROW


@pytest.mark.parametrize("line", ["{}", "[1]", "text", '{"key": "k", "row": {"psnr_db": 1}}'])
def test_other_lines_are_refused(tmp_path, line):
    path = tmp_path / "rows.jsonl"
    add(Ledger(path), "k1")
    with open(path, "a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=r"rows\.jsonl line 2 is not a row of inr compare \("):
        Ledger(path)
