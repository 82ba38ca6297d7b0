"""The table of a sweep, as CSV and Parquet: one row a finished run, one column a varied path."""

import csv
import importlib.util
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from inr.errors import CodecError
from inr.files import write_whole
from inr.studies.failures import one_line
from inr.studies.sweep.ledger import Result
from inr.studies.sweep.plan import Run

Cell = str | float | int | None


def columns(varied: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns; each varied path is one, under that very name."""
    return (
        *("picture", "recipe", *varied, "seed", "n_bytes", "bpp", "psnr_db", "ms_ssim"),
        *("sparsity", "steps", "seconds", "n_together", "cores", "config_hash", "commit"),
        "machine",
    )


def rows(runs: Sequence[Run], results: Mapping[str, Result]) -> list[tuple[Cell, ...]]:
    """The finished ones of the runs, in their order, under `columns`."""
    return [_row(run, results[run.config_hash]) for run in runs if run.config_hash in results]


def _row(run: Run, result: Result) -> tuple[Cell, ...]:
    asked: list[Cell] = [run.picture, run.recipe.name]
    asked += [value for _, value in run.varied]
    measured: list[Cell] = [result.n_bytes, result.bpp, result.psnr_db, result.ms_ssim]
    measured += [result.sparsity, result.steps, result.seconds, result.n_together, result.cores]
    origin: list[Cell] = [run.config_hash, result.commit, result.machine]
    return (*asked, run.options.seed, *measured, *origin)


def write_csv(path: Path, names: Sequence[str], table: Sequence[Sequence[Cell]]) -> None:
    """Floats with all their digits; an empty cell where there is no value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(table)
    with write_whole(path, overwrite=True) as file:
        file.write(text.getvalue().encode())


def has_parquet() -> bool:
    """Whether the extra `parquet` is installed."""
    return importlib.util.find_spec("pyarrow") is not None


def write_parquet(
    path: Path, names: Sequence[str], varied: Sequence[str], table: Sequence[Sequence[Cell]]
) -> None:
    """The same table with types: a varied column holds numbers if all its values are.

    Raises:
      CodecError: pyarrow does not work here, or cannot hold the table.
      OSError: the file cannot be written.
    """
    by_name = {name: [row[i] for row in table] for i, name in enumerate(names)}
    by_name |= {path: _typed(by_name[path]) for path in varied}
    whole = io.BytesIO()
    try:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table(by_name), whole)
    except Exception as error:  # of another library: half installed, numbers beyond its types, ...
        raise CodecError(f"pyarrow: {one_line(error)}") from error
    with write_whole(path, overwrite=True) as file:
        file.write(whole.getbuffer())


def _typed(cells: Sequence[Cell]) -> list[Cell]:
    """["4", "6"] -> [4, 6]; ["0", "0.5"] -> [0.0, 0.5]; other texts as they are."""
    for kind in (int, float):
        try:
            return [kind(str(cell)) for cell in cells]
        except ValueError:
            continue
    return list(cells)
