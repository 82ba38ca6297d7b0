"""The ledger of a sweep: one SQLite table, one row a run, one transaction a row.

Several processes write at once, and a kill at any moment loses only what was running. A row is
written after its .inr file stands under `files/` whole; the file's name is the row's key.
"""

import contextlib
import dataclasses
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inr.errors import UsageError

if TYPE_CHECKING:
    from inr.studies.sweep.plan import Run

_VERSION = 1  # of the table
_BUSY_SECONDS = 60.0  # to wait for other writers
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
  config_hash TEXT PRIMARY KEY,
  picture TEXT NOT NULL,
  recipe TEXT NOT NULL,
  seed INTEGER NOT NULL,
  config TEXT NOT NULL,        -- recipe with all settings, and options, as Python writes them
  finished_at TEXT NOT NULL,   -- UTC
  error TEXT,                  -- why the run failed, a line, of a bug with its traceback behind;
                               -- then all columns below are empty
  n_bytes INTEGER,
  bpp REAL,
  psnr_db REAL,
  ms_ssim REAL,                -- empty for pictures too small for it
  sparsity REAL,               -- empty for recipes of kind grid
  steps INTEGER,
  seconds REAL,
  n_together INTEGER,
  cores INTEGER,
  work REAL,
  "commit" TEXT,
  machine TEXT
)"""


@dataclass(frozen=True)
class Result:
    """What is known of a finished run, besides its file."""

    n_bytes: int
    bpp: float
    psnr_db: float  # inf where every pixel came back
    ms_ssim: float | None  # None: the picture is too small for it
    sparsity: float | None  # fraction of zero codes in the trained matrices; None of kind grid
    steps: int
    seconds: float  # wall time of the encoding; of a batch, an even share
    n_together: int  # runs fitted in that batch
    cores: int  # that the process could use
    work: float  # floating-point operations of the fit, about
    commit: str
    machine: str


class Ledger:
    """A ledger file. Each call opens it anew: calls are rare, and processes share nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Makes the file if there is none; ValueError if it is something else."""
        with self._opened() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            with connection:
                connection.execute("BEGIN IMMEDIATE")  # table and version appear together
                connection.execute(_SCHEMA)
                connection.execute(f"PRAGMA user_version={_VERSION}")

    def results(self) -> dict[str, Result]:
        """All finished runs by config hash; {} where there is no file."""
        names = ", ".join(_quoted(_RESULT_COLUMNS))
        return {
            config_hash: Result(*values)
            for config_hash, *values in self._rows(
                f"SELECT config_hash, {names} FROM runs WHERE error IS NULL"
            )
        }

    def errors(self) -> dict[str, str]:
        """What the failed runs failed of, a line each, by config hash."""
        rows = self._rows("SELECT config_hash, error FROM runs WHERE error IS NOT NULL")
        return {config_hash: error.partition("\n")[0] for config_hash, error in rows}

    def record(self, run: "Run", result: Result) -> None:
        """Writes a finished run, over an earlier row of the same run."""
        self._write(_head(run) | {"error": None} | dataclasses.asdict(result), "")

    def record_failure(self, run: "Run", error: str) -> None:
        """Writes why a run failed, unless it was finished meanwhile."""
        nothing = dict.fromkeys(_RESULT_COLUMNS)
        self._write(_head(run) | {"error": error} | nothing, "WHERE runs.error IS NOT NULL")

    def forget(self, config_hashes: Iterable[str]) -> None:
        """Deletes the rows of runs that are to be run again."""
        with self._opened() as connection, connection:
            connection.executemany(
                "DELETE FROM runs WHERE config_hash = ?", [(name,) for name in config_hashes]
            )

    def _write(self, row: dict[str, Any], condition: str) -> None:
        names = _quoted(row)
        updates = ", ".join(f"{name}=excluded.{name}" for name in names)
        with self._opened() as connection, connection:
            connection.execute(
                f"INSERT INTO runs ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
                f"ON CONFLICT (config_hash) DO UPDATE SET {updates} {condition}",
                tuple(row.values()),
            )

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        if not self.path.exists():
            return []
        with self._opened() as connection:
            if _n_tables(connection) == 0:  # killed before it had its table
                return []
            return connection.execute(query).fetchall()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=_BUSY_SECONDS)) as database:
                # The version after the tables: another process may make both in between.
                if _n_tables(database) > 0:
                    (version,) = database.execute("PRAGMA user_version").fetchone()
                    if version != _VERSION:
                        raise UsageError(
                            f"{self.path} is a ledger of version {version}, this is version "
                            f"{_VERSION}; name another folder"
                        )
                yield database
        except sqlite3.OperationalError as error:  # locked for long, disk full, no permission
            raise UsageError(f"{self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise UsageError(
                f"{self.path} is not the ledger of a sweep ({error}); name another folder"
            ) from error


_RESULT_COLUMNS = tuple(field.name for field in dataclasses.fields(Result))


def _n_tables(connection: sqlite3.Connection) -> int:
    (n_tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return int(n_tables)


def _head(run: "Run") -> dict[str, Any]:
    return {
        "config_hash": run.config_hash,
        "picture": run.picture,
        "recipe": run.recipe.name,
        "seed": run.options.seed,
        "config": repr((run.recipe, run.options)),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _quoted(names: Iterable[str]) -> list[str]:
    return [f'"{name}"' for name in names]  # "commit" is a word of SQL
