"""The table of a sweep, as CSV and Parquet: one row a finished run, one column a varied path."""

import importlib.util
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from inr.errors import CodecError
from inr.files import write_whole
from inr.studies.failures import one_line
from inr.studies.report import Cell, Table
from inr.studies.sweep.request import Result, Run

# Fields of Result.
_MEASURED = (
    "n_bytes",
    "bpp",
    "psnr_db",
    "ms_ssim",
    "sparsity",
    "steps",
    "seconds",
    "n_together",
    "cores",
)


def table_of(runs: Sequence[Run], results: Mapping[str, Result]) -> Table:
    """Make a row of each finished run, in their order; varied paths are columns of that name."""
    varied = [path for path, _ in runs[0].varied]
    columns = ("picture", "recipe", *varied, "seed", *_MEASURED, "config_hash", "commit", "machine")
    finished = [run for run in runs if run.config_hash in results]
    return Table("Runs", columns, tuple(_row(run, results[run.config_hash]) for run in finished))


def _row(run: Run, result: Result) -> tuple[Cell, ...]:
    values = [value for _, value in run.varied]
    measured = [vars(result)[name] for name in _MEASURED]
    asked = (run.picture, run.recipe.name, *values, run.options.seed)
    return (*asked, *measured, run.config_hash, result.commit, result.machine)


def has_parquet() -> bool:
    """Tell whether the extra `parquet` is installed."""
    return importlib.util.find_spec("pyarrow") is not None


def write_parquet(path: Path, table: Table, varied: Sequence[str]) -> None:
    """Write the table with types: a varied column holds numbers if all its values are.

    Raises:
      CodecError: pyarrow does not work here, or cannot hold the table.
      OSError: the file cannot be written.
    """
    by_name = {name: [row[i] for row in table.rows] for i, name in enumerate(table.columns)}
    by_name |= {path: _as_numbers(by_name[path]) for path in varied}
    whole = io.BytesIO()
    try:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table(by_name), whole)
    except Exception as error:  # of another library: half installed, numbers beyond its types, ...
        raise CodecError(f"pyarrow: {one_line(error)}") from error
    with write_whole(path, overwrite=True) as file:
        file.write(whole.getbuffer())


def _as_numbers(cells: Sequence[Cell]) -> list[Cell]:
    """Turn ["4", "6"] into [4, 6], ["0", "0.5"] into [0.0, 0.5]; leave other texts as they are."""
    for kind in (int, float):
        try:
            return [kind(str(cell)) for cell in cells]
        except ValueError:
            continue
    return list(cells)
