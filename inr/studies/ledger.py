"""The ledger of a study: one SQLite table, one row an encoding, one transaction a row.

The process that the user has started writes it alone; its workers only tell. A kill at any moment
loses what was running: a row is written after its .inr file stands whole, and the key of the row
names the file. Two studies that are started in one folder wait for each other.
"""

import contextlib
import dataclasses
import sqlite3
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from inr.errors import UsageError

NAME = "ledger.sqlite"  # of the file in the folder of a study
VERSION = 2  # of the table; 1 was of sweeps alone
_BUSY_SECONDS = 60.0  # to wait for others that write
_ENTRY_COLUMNS = """
  key TEXT PRIMARY KEY,        -- hash of all that decides the result
  request TEXT NOT NULL,       -- hash of the same without the code
  picture TEXT NOT NULL,
  method TEXT NOT NULL,        -- recipe or codec
  setting TEXT NOT NULL,       -- what is varied, and the seed
  config TEXT NOT NULL,        -- all settings
  finished_at TEXT NOT NULL,   -- UTC
  error TEXT,                  -- why it failed, a line, of a bug with its traceback behind;
                               -- then all columns below are empty
"""
_SQL_TYPES = {int: "INTEGER", float: "REAL", str: "TEXT"}

R = TypeVar("R")  # a frozen dataclass of numbers and texts, any of which may be None


@dataclass(frozen=True)
class Entry:
    """What one encoding is, before and after it is done; the columns are explained above."""

    key: str
    request: str
    picture: str
    method: str
    setting: str
    config: str


class Ledger(Generic[R]):
    """A ledger file. Each call opens it anew: calls are rare."""

    def __init__(
        self, folder: Path, table: str, measured: type[R], *, busy_seconds: float = _BUSY_SECONDS
    ) -> None:
        """Name the file; nothing is read.

        Args:
          folder: of the study.
          table: its name, by which the ledgers of different studies are kept apart.
          measured: whose fields are the columns of what is measured.
        """
        self.path = folder / NAME
        self._table = table
        self._measured = measured
        self._busy_seconds = busy_seconds
        hints = typing.get_type_hints(measured)
        self._types = {name: _sql_type(hint) for name, hint in hints.items()}

    def create(self) -> None:
        """Make the file if there is none; UsageError if it is something else."""
        measured = ",\n".join(f'  "{name}" {kind}' for name, kind in self._types.items())
        with self._open() as database:
            database.execute("PRAGMA journal_mode=WAL")  # who reads does not wait
            with database:
                database.execute("BEGIN IMMEDIATE")  # table and version appear together
                database.execute(
                    f'CREATE TABLE IF NOT EXISTS "{self._table}" ({_ENTRY_COLUMNS}{measured})'
                )
                database.execute(f"PRAGMA user_version={VERSION}")

    def rows(self) -> dict[str, R]:
        """Return what is measured by key, the oldest row first; {} where there is no file."""
        return {key: row for key, _, row in self._select_finished()}

    def last_by_request(self) -> dict[str, R]:
        """Return the last row that was written for each request, whatever code made it."""
        return {request: row for _, request, row in self._select_finished()}

    def errors(self) -> dict[str, str]:
        """Return why the failed encodings failed, a line each, by key."""
        found = self._select("key, error", "error IS NOT NULL")
        return {key: error.partition("\n")[0] for key, error in found}

    def record(self, entry: Entry, row: R) -> None:
        """Write a finished encoding, over an earlier row of the same key."""
        self._write(entry, {"error": None} | vars(row), "TRUE")

    def record_failure(self, entry: Entry, error: str) -> None:
        """Write why an encoding failed, unless it was finished meanwhile."""
        nothing = dict.fromkeys(self._types)
        self._write(entry, {"error": error} | nothing, f'"{self._table}".error IS NOT NULL')

    def forget(self, keys: Iterable[str]) -> None:
        """Delete the rows of encodings that are to be done again."""
        with self._open() as database, database:
            database.executemany(
                f'DELETE FROM "{self._table}" WHERE key = ?', [(key,) for key in keys]
            )

    def _select_finished(self) -> Iterator[tuple[str, str, R]]:
        names = ", ".join(_quote(self._types))
        for key, request, *values in self._select(f"key, request, {names}", "error IS NULL"):
            yield key, request, self._measured(*values)

    def _write(self, entry: Entry, rest: dict[str, Any], condition: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        row = dataclasses.asdict(entry) | {"finished_at": now} | rest
        names = _quote(row)
        updates = ", ".join(f"{name}=excluded.{name}" for name in names)
        with self._open() as database, database:
            database.execute(
                f'INSERT INTO "{self._table}" ({", ".join(names)}) '
                f"VALUES ({', '.join('?' * len(names))}) "
                f"ON CONFLICT (key) DO UPDATE SET {updates} WHERE {condition}",
                tuple(row.values()),
            )

    def _select(self, columns: str, condition: str) -> list[tuple[Any, ...]]:
        if not self.path.exists():
            return []
        with self._open() as database:
            if not _tables(database):  # killed before it had its table
                return []
            return database.execute(
                f'SELECT {columns} FROM "{self._table}" WHERE {condition} ORDER BY rowid'
            ).fetchall()

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=self._busy_seconds)) as file:
                # The version after the tables: another process may make both in between.
                if tables := _tables(file):
                    (version,) = file.execute("PRAGMA user_version").fetchone()
                    if version != VERSION:
                        raise UsageError(
                            f"{self.path} is a ledger of version {version}, this is version "
                            f"{VERSION}; name another folder"
                        )
                    if self._table not in tables:
                        raise UsageError(
                            f"{self.path} is the ledger of another study, with {tables[0]} in "
                            f"place of {self._table}; name another folder"
                        )
                yield file
        except sqlite3.OperationalError as error:  # locked for long, disk full, no permission
            raise UsageError(f"{self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise UsageError(f"{self.path} is no ledger ({error}); name another folder") from error


def _tables(database: sqlite3.Connection) -> list[str]:
    found = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return [name for (name,) in found]


def _sql_type(hint: Any) -> str:
    """Return the type of a column: int -> INTEGER, float | None -> REAL."""
    given = typing.get_args(hint) or (hint,)
    return next(name for kind, name in _SQL_TYPES.items() if kind in given)


def _quote(names: Iterable[str]) -> list[str]:
    return [f'"{name}"' for name in names]  # "commit" is a word of SQL
