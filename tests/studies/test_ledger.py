"""ledger.py: rows that survive, whoever else writes."""

import math
import sqlite3
import threading
from dataclasses import dataclass

import pytest

from inr.errors import UsageError
from inr.studies.ledger import Entry, Ledger


@dataclass(frozen=True)
class Measured:
    n_bytes: int
    psnr_db: float
    ms_ssim: float | None
    commit: str  # a word of SQL


ROW = Measured(24, 30.0, None, "c0ffee")


def entry(key="ab", request="a"):
    return Entry(key, request, "a.png", "siren", "seed 7", "steps=3400")


def ledger_in(folder, **options):
    return Ledger(folder, "runs", Measured, **options)


@pytest.fixture
def ledger(tmp_path):
    ledger = ledger_in(tmp_path)
    ledger.create()
    return ledger


def test_no_file_is_an_empty_ledger_and_stays_none(tmp_path):
    ledger = ledger_in(tmp_path)
    assert (ledger.rows(), ledger.last_by_request(), ledger.errors()) == ({}, {}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_row_comes_back_as_it_was(ledger):
    exact = Measured(1 << 40, math.inf, 0.1 + 0.2, "x")
    ledger.record(entry("cd"), exact)
    ledger.record(entry("ab"), ROW)
    assert list(ledger.rows().items()) == [("cd", exact), ("ab", ROW)]
    assert ledger_in(ledger.path.parent).rows()["cd"] == exact


def test_the_row_can_be_read_with_sqlite_alone(ledger):
    ledger.record(entry(), ROW)
    with sqlite3.connect(ledger.path) as connection:
        columns = 'picture, method, setting, config, n_bytes, "commit", error, finished_at'
        row = connection.execute(f"SELECT {columns} FROM runs").fetchone()
    connection.close()
    assert row[:-1] == ("a.png", "siren", "seed 7", "steps=3400", 24, "c0ffee", None)
    assert row[-1].endswith("+00:00")


def test_a_failure_gives_way_to_a_result_and_not_the_other_way(ledger):
    ledger.record_failure(entry(), "not a number")
    ledger.record_failure(entry(), "not a number again")
    assert (ledger.rows(), ledger.errors()) == ({}, {"ab": "not a number again"})
    ledger.record(entry(), ROW)
    ledger.record_failure(entry(), "a second process was slower")
    assert (ledger.rows(), ledger.errors()) == ({"ab": ROW}, {})


def test_the_traceback_of_a_bug_stays_in_the_database(ledger):
    text = "TypeError: ours\nTraceback (most recent call last):\n  File x"
    ledger.record_failure(entry(), text)
    assert ledger.errors() == {"ab": "TypeError: ours"}
    with sqlite3.connect(ledger.path) as connection:
        assert connection.execute("SELECT error FROM runs").fetchall() == [(text,)]
    connection.close()


def test_a_key_has_one_row_and_a_request_one_for_each_code(ledger):
    rows = [Measured(24, psnr_db, None, "c0ffee") for psnr_db in (30.0, 31.0, 32.0)]
    ledger.record(entry("ab"), rows[0])
    ledger.record(entry("ab"), rows[1])
    ledger.record(entry("ac"), rows[2])
    assert ledger.rows() == {"ab": rows[1], "ac": rows[2]}
    assert ledger.last_by_request() == {"a": rows[2]}


def test_forgotten_rows_are_gone(ledger):
    for name in ("ab", "cd"):
        ledger.record(entry(name), ROW)
    ledger.record_failure(entry("ef"), "late")
    ledger.forget(["ab", "ef", "never there"])
    assert (list(ledger.rows()), ledger.errors()) == (["cd"], {})


def test_creating_again_keeps_the_rows(ledger):
    ledger.record(entry(), ROW)
    ledger.create()
    assert len(ledger.rows()) == 1


def test_two_studies_in_one_folder_wait_for_each_other(tmp_path):
    """Each thread opens its own connection: SQLite locks them out as it does processes."""
    ledger, errors = ledger_in(tmp_path), []

    def write(study):
        try:
            ledger.create()
            for i in range(10):
                ledger.record(entry(f"{study}-{i}"), ROW)
                ledger.record_failure(entry(f"{study}-{i}"), "late")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(study,)) for study in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(ledger.rows()) == 40
    assert ledger.errors() == {}


def test_an_empty_file_is_an_empty_ledger(tmp_path):
    """What a kill leaves between the file and its table."""
    ledger = ledger_in(tmp_path)
    ledger.path.touch()
    assert (ledger.rows(), ledger.errors()) == ({}, {})
    ledger.create()
    ledger.record(entry(), ROW)
    assert len(ledger.rows()) == 1


def test_a_file_that_is_no_ledger(tmp_path):
    ledger, text = ledger_in(tmp_path), "hello, this is no database" * 50
    ledger.path.write_text(text)
    for call in (ledger.rows, ledger.create):
        with pytest.raises(UsageError, match=r"ledger\.sqlite is no ledger \("):
            call()
    assert ledger.path.read_text() == text


def test_the_ledger_of_another_study(ledger, tmp_path):
    other = Ledger(tmp_path, "rows", Measured)
    for call in (other.rows, other.create):
        with pytest.raises(UsageError, match="is the ledger of another study, with runs in place"):
            call()


def test_a_ledger_of_another_version(ledger):
    with sqlite3.connect(ledger.path) as connection:
        connection.execute("PRAGMA user_version=1")
    connection.close()
    with pytest.raises(UsageError, match="a ledger of version 1, this is version 2"):
        ledger.rows()


def test_a_lock_that_does_not_end_is_told(ledger, tmp_path):
    with sqlite3.connect(ledger.path, isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(UsageError, match=r"ledger\.sqlite: database is locked"):
            ledger_in(tmp_path, busy_seconds=0.05).record(entry(), ROW)
        connection.execute("ROLLBACK")
    connection.close()
