"""What a sweep leaves besides its files: the table, the plot, and a page with both."""

import io
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from inr.codec import decode_picture
from inr.errors import CodecError, FormatError, InrError
from inr.files import write_whole
from inr.image.picture import Picture
from inr.image.write import to_pil
from inr.kinds import trusting_options
from inr.options import Warn
from inr.studies.folder import not_written
from inr.studies.plot import draw
from inr.studies.report import Pair, Table, report_html
from inr.studies.sweep.curves import curves_of
from inr.studies.sweep.plan import Plan, load_again
from inr.studies.sweep.request import Result, Run
from inr.studies.sweep.tables import has_parquet, table_of, write_parquet

_MAX_PAIRS = 12
_MAX_BYTES = 18e6  # of pictures as they stand in the page: it is to open quickly
_BASE64 = 4 / 3


def write_outputs(
    plan: Plan,
    results: Mapping[str, Result],
    errors: Mapping[str, str],
    *,
    warn: Warn,
    max_bytes: float = _MAX_BYTES,
) -> None:
    """Write runs.csv, runs.parquet, rd.png and report.html of all runs of a sweep.

    The table comes first: whatever other libraries or pictures do, it is there.

    Args:
      results, errors: rows of the ledger by config hash.
      warn: called with a line for each thing that cannot be written or shown.
      max_bytes: of the pictures in the page.
    """
    table = table_of(plan.runs, results)
    with write_whole(plan.folder / "runs.csv", overwrite=True) as file:
        file.write(table.to_csv().encode())
    parquet, plot, svg = plan.folder / "runs.parquet", plan.folder / "rd.png", None
    if has_parquet():
        try:
            write_parquet(parquet, table, [path for path, _ in plan.runs[0].varied])
        except CodecError as error:
            warn(not_written(parquet, error))
    elif parquet.exists():
        warn(f"{parquet} is of an earlier run: the extra `parquet` is not installed now")
    try:
        drawing = draw(curves_of(plan.runs, results))
    except CodecError as error:
        warn(not_written(plot, error))
    else:
        svg = drawing.svg
        with write_whole(plot, overwrite=True) as file:
            file.write(drawing.png)
    finished = [run for run in plan.runs if run.config_hash in results]
    notes = _notes(finished, results)
    tables = [table, *_failures(plan.runs, results, errors)]
    pairs = list(_pairs(finished, results, plan.folder, warn, max_bytes))
    with write_whole(plan.folder / "report.html", overwrite=True) as file:
        file.write(report_html("Sweep", notes, svg, tables, pairs).encode())


def _failures(
    runs: Sequence[Run], results: Mapping[str, Result], errors: Mapping[str, str]
) -> list[Table]:
    failed = [run for run in runs if run.config_hash not in results]
    rows = tuple((run.label, errors.get(run.config_hash, "not run")) for run in failed)
    return [Table("Failed runs", ("run", "error"), rows)] if failed else []


def _notes(finished: Sequence[Run], results: Mapping[str, Result]) -> list[str]:
    found = [results[run.config_hash] for run in finished]
    commits = sorted({result.commit for result in found})
    machines = sorted({result.machine for result in found})
    return [
        f"{len(finished)} runs, inr {metadata.version('inr')}, commit {', '.join(commits)}; "
        f"{'; '.join(machines)}.",
        "Bits per pixel count the whole file. PSNR and MS-SSIM are those of the decoded file, "
        "over all channels of a picture, and are averaged over seeds, then over pictures. "
        "Sparsity is the fraction of zero codes in the trained matrices. Seconds are the wall "
        "time of an encoding, compilation included; of a batch of n_together runs, an even share.",
    ]


def _pairs(
    finished: Sequence[Run],
    results: Mapping[str, Result],
    folder: Path,
    warn: Warn,
    max_bytes: float,
) -> Iterator[Pair]:
    """Show the smallest and the largest file of each picture, as far as the page may grow."""
    n_pairs, n_bytes = 0, 0.0
    for run in _extremes(finished, results):
        try:
            original, decoded = _eight_bits(run, folder)
        except (InrError, OSError, MemoryError) as error:  # deleted, changed, damaged since
            warn(f"{run.label} is not shown in the report: {str(error) or 'not enough memory'}")
            continue
        n_bytes += _BASE64 * (_png_bytes(original) + _png_bytes(decoded))
        n_pairs += 1
        if n_pairs > _MAX_PAIRS or n_bytes > max_bytes:
            return
        result = results[run.config_hash]
        figures = f"{result.bpp:.4f} bpp, {result.psnr_db:.2f} dB"
        yield Pair(f"{run.label}: {figures}", original, decoded)


def _extremes(finished: Sequence[Run], results: Mapping[str, Result]) -> list[Run]:
    by_picture: dict[str, list[Run]] = {}
    for run in finished:
        by_picture.setdefault(run.picture, []).append(run)
    chosen: dict[str, Run] = {}  # a picture with one run has one pair
    for same in by_picture.values():
        by_size = sorted(same, key=lambda run: results[run.config_hash].n_bytes)
        chosen |= {run.config_hash: run for run in (by_size[0], by_size[-1])}
    return list(chosen.values())


def _eight_bits(run: Run, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read original and decoded pixels, u8[h, w, c], the upper 8 bits where they have 16."""
    original, path = load_again(run), run.file(folder)
    decoded = decode_picture(path.read_bytes(), trusting_options(run.recipe))
    if decoded.pixels.shape != original.pixels.shape:
        raise FormatError(f"{path} is another file than the sweep wrote")
    shift = original.bit_depth - 8
    return (
        (original.pixels >> shift).astype(np.uint8),
        (decoded.pixels >> shift).astype(np.uint8),
    )


def _png_bytes(pixels: np.ndarray) -> int:
    buffer = io.BytesIO()
    to_pil(Picture(pixels)).save(buffer, "PNG")
    return buffer.tell()
