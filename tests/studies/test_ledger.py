"""ledger.py: rows that survive, whoever else writes."""

import math
import sqlite3
import threading

import pytest

from inr.errors import UsageError
from inr.studies.sweep.ledger import Ledger


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.create()
    return ledger


def test_no_file_is_an_empty_ledger_and_stays_none(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    assert (ledger.results(), ledger.errors()) == ({}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_result_comes_back_as_it_was(ledger, make_run, make_result):
    exact = make_result(psnr_db=math.inf, ms_ssim=None, bpp=0.1 + 0.2)
    ledger.record(make_run("ab"), exact)
    ledger.record(make_run("cd"), make_result(ms_ssim=0.987))
    assert ledger.results() == {"ab": exact, "cd": make_result(ms_ssim=0.987)}
    assert Ledger(ledger.path).results()["ab"] == exact


def test_the_row_can_be_read_with_sqlite_alone(ledger, make_run, make_result):
    ledger.record(make_run("ab", seed=7), make_result())
    with sqlite3.connect(ledger.path) as connection:
        row = connection.execute(
            'SELECT picture, recipe, seed, n_bytes, "commit", error, config FROM runs'
        ).fetchone()
    connection.close()
    assert row[:-1] == ("a.png", "siren", 7, 24, "c0ffee", None)
    assert "steps=3400" in row[-1]


def test_a_failure_gives_way_to_a_result_and_not_the_other_way(ledger, make_run, make_result):
    run = make_run("ab")
    ledger.record_failure(run, "not a number")
    ledger.record_failure(run, "not a number again")
    assert (ledger.results(), ledger.errors()) == ({}, {"ab": "not a number again"})
    ledger.record(run, make_result())
    ledger.record_failure(run, "a second process was slower")
    assert (ledger.results(), ledger.errors()) == ({"ab": make_result()}, {})


def test_of_a_bug_the_traceback_stays_in_the_database(ledger, make_run):
    text = "TypeError: ours\nTraceback (most recent call last):\n  File x"
    ledger.record_failure(make_run("ab"), text)
    assert ledger.errors() == {"ab": "TypeError: ours"}
    with sqlite3.connect(ledger.path) as connection:
        assert connection.execute("SELECT error FROM runs").fetchall() == [(text,)]
    connection.close()


def test_a_run_has_one_row(ledger, make_run, make_result):
    for psnr_db in (30.0, 31.0):
        ledger.record(make_run("ab"), make_result(psnr_db=psnr_db))
    assert [result.psnr_db for result in ledger.results().values()] == [31.0]


def test_forgotten_rows_are_gone(ledger, make_run, make_result):
    for name in ("ab", "cd"):
        ledger.record(make_run(name), make_result())
    ledger.record_failure(make_run("ef"), "late")
    ledger.forget(["ab", "ef", "never there"])
    assert (list(ledger.results()), ledger.errors()) == (["cd"], {})


def test_creating_again_keeps_the_rows(ledger, make_run, make_result):
    ledger.record(make_run("ab"), make_result())
    ledger.create()
    assert len(ledger.results()) == 1


def test_many_write_at_once(tmp_path, make_run, make_result):
    """Each thread opens its own connection: SQLite locks them out as it does processes."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    errors = []

    def write(worker):
        try:
            ledger.create()
            for i in range(10):
                ledger.record(make_run(f"{worker}-{i}"), make_result(n_bytes=i))
                ledger.record_failure(make_run(f"{worker}-{i}"), "late")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(ledger.results()) == 80
    assert ledger.errors() == {}


def test_an_empty_file_is_an_empty_ledger(tmp_path, make_run, make_result):
    """What a kill leaves between the file and its table."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.path.touch()
    assert (ledger.results(), ledger.errors()) == ({}, {})
    ledger.create()
    ledger.record(make_run("ab"), make_result())
    assert len(ledger.results()) == 1


def test_a_file_that_is_no_ledger(tmp_path):
    path, text = tmp_path / "ledger.sqlite", "hello, this is no database" * 50
    path.write_text(text)
    for call in (Ledger(path).results, Ledger(path).create):
        with pytest.raises(ValueError, match=r"ledger\.sqlite is not the ledger of a sweep"):
            call()
    assert path.read_text() == text


def test_a_ledger_of_another_version(ledger):
    with sqlite3.connect(ledger.path) as connection:
        connection.execute("PRAGMA user_version=9")
    connection.close()
    with pytest.raises(ValueError, match="a ledger of version 9, this is version 1"):
        ledger.results()


def test_a_lock_that_does_not_end_is_told(ledger, make_run, make_result, monkeypatch):
    monkeypatch.setattr("inr.studies.sweep.ledger._BUSY_SECONDS", 0.05)
    with sqlite3.connect(ledger.path, isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(UsageError, match=r"ledger\.sqlite: database is locked"):
            ledger.record(make_run("ab"), make_result())
        connection.execute("ROLLBACK")
    connection.close()
