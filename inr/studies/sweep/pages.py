"""The report of a sweep: one HTML page with its curves, tables and some decoded pictures."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from inr.errors import FormatError, InrError
from inr.files import write_whole
from inr.studies.report import Curve, Pair, Table, report_html
from inr.studies.sweep.ledger import Result
from inr.studies.sweep.plan import Run
from inr.studies.sweep.run import file_path, picture_of
from inr.studies.sweep.tables import Cell

_MOST_PAIRS = 12
_MOST_BYTES = 18e6  # of pictures as they stand in the page: it is to open quickly
_BASE64 = 4 / 3


def write_report(
    folder: Path,
    runs: Sequence[Run],
    results: Mapping[str, Result],
    errors: Mapping[str, str],
    curves: Sequence[Curve],
    table: Table,
    *,
    warn: Callable[[str], None],
) -> None:
    """Writes report.html into the folder, from the rows and the .inr files there.

    Args:
      warn: called with a line for each picture or file that cannot be shown any more.
    """
    finished = [run for run in runs if run.config_hash in results]
    failed = [run for run in runs if run.config_hash not in results]
    tables = [table]
    if failed:
        cells: list[tuple[Cell, ...]] = [
            (run.label, errors.get(run.config_hash, "not run")) for run in failed
        ]
        tables.append(Table("Failed runs", ("run", "error"), tuple(cells)))
    html = report_html(
        "Sweep",
        _notes(finished, results),
        curves,
        tables,
        list(_pairs(finished, results, folder, warn)),
    )
    with write_whole(folder / "report.html", overwrite=True) as file:
        file.write(html.encode())


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
    warn: Callable[[str], None],
) -> Iterator[Pair]:
    """The smallest and the largest file of each picture, as far as the page may grow."""
    n_pairs, n_bytes = 0, 0.0
    for run in _extremes(finished, results):
        try:
            original, decoded = _eight_bits(run, folder)
        except (InrError, OSError, MemoryError) as error:  # deleted, changed, damaged since
            warn(f"{run.label} is not shown in the report: {str(error) or 'not enough memory'}")
            continue
        n_bytes += _BASE64 * (_png_bytes(original) + _png_bytes(decoded))
        n_pairs += 1
        if n_pairs > _MOST_PAIRS or n_bytes > _MOST_BYTES:
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
    """Original and decoded pixels, u8[h, w, c]; of 16 bits the upper 8 are shown."""
    from inr.codec import decode_picture
    from inr.kinds import trusting_options

    original = picture_of(run)
    data, options = file_path(folder, run).read_bytes(), trusting_options(run.recipe)
    decoded = decode_picture(data, options)
    if decoded.pixels.shape != original.pixels.shape:
        raise FormatError(f"{file_path(folder, run)} is another file than the sweep wrote")
    shift = original.bit_depth - 8
    return (
        (original.pixels >> shift).astype(np.uint8),
        (decoded.pixels >> shift).astype(np.uint8),
    )


def _png_bytes(pixels: np.ndarray) -> int:
    from inr.image.picture import Picture
    from inr.image.write import to_pil

    buffer = io.BytesIO()
    to_pil(Picture(pixels)).save(buffer, "PNG")
    return buffer.tell()
