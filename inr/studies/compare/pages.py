"""What a comparison leaves besides its files: the table, the plot, and a page with both."""

import dataclasses
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from inr.errors import CodecError
from inr.files import write_whole
from inr.studies.compare.inputs import NamedPicture
from inr.studies.compare.summary import Compared, MeanPoint, Row, mean_curves, means
from inr.studies.failures import Notice, Notify
from inr.studies.folder import not_written
from inr.studies.plot import draw
from inr.studies.report import Pair, Table, report_html


def write_table(folder: Path, rows: Sequence[Row]) -> None:
    """Write rows.csv, a column for each field of a row."""
    with write_whole(folder / "rows.csv", overwrite=True) as file:
        file.write(_table("All rows", rows, Row).to_csv().encode())


def write_plot(folder: Path, rows: Sequence[Row], notify: Notify) -> str | None:
    """Write rd.png with the mean curves; return the same figure for the page, if there is one."""
    path = folder / "rd.png"
    try:
        drawing = draw(mean_curves(means(rows)))
    except CodecError as error:
        notify(Notice(not_written(path, error)))
        return None
    with write_whole(path, overwrite=True) as file:
        file.write(drawing.png)
    return drawing.svg


def write_report(
    folder: Path,
    rows: Sequence[Row],
    compared: Sequence[Compared],
    *,
    anchor: str,
    notes: Sequence[str],
    svg: str | None,
    settings: Table,
    pairs: Sequence[Pair],
) -> None:
    """Write report.html."""
    points = means(rows)
    n_pictures = len({row.picture for row in rows})
    columns = ("codec", "measure", "BD-rate %", "from dB", "to dB")
    mean_rows = tuple(
        (one.codec, one.measure, one.percent, one.low, one.high, one.n_pictures, one.reason)
        for one in compared
        if one.picture is None
    )
    picture_rows = tuple(
        (one.picture, one.codec, one.measure, one.percent, one.low, one.high, one.reason)
        for one in compared
        if one.picture is not None
    )
    head = f"BD-rate against {anchor}"
    tables = [
        Table(f"{head}, mean", (*columns, "pictures", "refused"), mean_rows),
        Table(f"{head}, each picture", ("picture", *columns, "refused"), picture_rows),
        settings,
        _table(f"Means over {n_pictures} pictures", points, MeanPoint),
        _table("All rows", rows, Row),
    ]
    with write_whole(folder / "report.html", overwrite=True) as file:
        file.write(report_html("Rate and distortion", notes, svg, tables, pairs).encode())


def conventions(pictures: Sequence[NamedPicture]) -> list[str]:
    """Write what every reader of the figures has to know."""
    sizes = ", ".join(
        f"{picture.name} {picture.pixels.shape[1]}x{picture.pixels.shape[0]}"
        for picture in pictures
    )
    return [
        f"Pictures, as 8-bit RGB: {sizes}.",
        "bpp is 8 * bytes of the whole file / pixels. PSNR is taken over RGB of each picture and "
        "then averaged; psnr_of_mean_mse_db is the other convention. MS-SSIM is the mean over RGB, "
        "in curves and BD-rates as -10 log10(1 - x) dB.",
        "BD-rate: mean difference in bytes at equal quality, negative for fewer, by PCHIP of log "
        "rate over the range that both curves reach; refused below 3 dB or 4 points. Taken for "
        "each picture, then averaged. A setting does not enter if another one of the same codec "
        "costs no more and is at least as good.",
        "Seconds are wall time in one process: the first fit of each size compiles, hevc and vvc "
        f"start ffmpeg each time. {os.cpu_count()} cores, {platform.platform()}.",
    ]


def _table(title: str, entries: Sequence[Row] | Sequence[MeanPoint], kind: type) -> Table:
    columns = tuple(field.name for field in dataclasses.fields(kind))
    return Table(title, columns, tuple(dataclasses.astuple(entry) for entry in entries))
