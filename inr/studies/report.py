"""One self-contained HTML page: R-D chart, tables, pictures side by side. It loads nothing.

Everything from outside (names of files and recipes) is escaped: as HTML in the markup, and in the
JSON that report.js draws from, where < > & are written as \\u003c and so on. report.js sets text,
never markup, and the page's Content-Security-Policy forbids every request.
"""

import base64
import html
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

Cell = str | float | int | None

_LONG_TABLE = 30  # rows; longer ones are folded away, or they bury what comes after
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_CHART = """\
<section>
<h2>Rate and distortion</h2>
<p class="switch" id="measures">
<label><input type="radio" name="measure" value="psnr_db" checked> PSNR</label>
<label><input type="radio" name="measure" value="ms_ssim"> MS-SSIM</label>
</p>
<div id="chart"></div>
<div id="legend"></div>
<p class="hint">Point at the chart for figures; click a name to hide or show its curve.</p>
</section>"""


@dataclass(frozen=True)
class Point:
    """One encoding, or the mean of several."""

    bpp: float
    psnr_db: float  # inf where the pictures are equal: such a point is left out of the PSNR chart
    ms_ssim: float | None  # None: too small a picture
    label: str  # shown beside the figures, such as the setting


@dataclass(frozen=True)
class Curve:
    """Points of one codec or recipe, joined in the order of their rate."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Table:
    """A table whose rows the reader can sort by any column."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]  # each as long as columns; None is an empty cell

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.title!r}: a row of {len(row)} cells under {len(self.columns)} "
                    "columns; give one cell a column, None for an empty one"
                )


@dataclass(frozen=True)
class Pair:
    """A picture and what became of it, under one slider."""

    title: str
    original: np.ndarray  # u8 [h, w, c], c in 1..4; 2 and 4 channels end with alpha
    decoded: np.ndarray  # the same shape

    def __post_init__(self) -> None:
        given = [(pixels.dtype.name, pixels.shape) for pixels in (self.original, self.decoded)]
        dtype, shape = given[0]
        is_picture = len(shape) == 3 and 1 <= shape[2] <= 4 and 0 not in shape
        if given[0] != given[1] or dtype != "uint8" or not is_picture:
            raise ValueError(
                f"pair {self.title!r}: original is {given[0]}, decoded is {given[1]}; expected two "
                "uint8 pictures [h, w, 1..4] of one shape"
            )


def report_html(
    title: str,
    notes: Sequence[str],
    curves: Sequence[Curve],
    tables: Sequence[Table],
    pairs: Sequence[Pair],
) -> str:
    """The whole page; any of the sequences may be empty.

    Args:
      title: heading of the page.
      notes: one paragraph each, plain text.
      curves: the chart's series, in the order of the legend; without a point there is no chart.
      tables: shown in this order, long ones folded.
      pairs: pictures with a slider between original and decoded, as PNG inside the page.
    Returns:
      HTML in which nothing refers to another file or address.
    """
    shown = [curve for curve in curves if curve.points]
    body = [f"<h1>{html.escape(title)}</h1>"]
    body += [f'<p class="note">{html.escape(note)}</p>' for note in notes]
    body += [_CHART] if shown else []
    body += [_table_html(table) for table in tables]
    body += [_pair_html(pair) for pair in pairs]
    data = json.dumps([_curve_data(curve) for curve in shown], allow_nan=False)
    for character in "<>&":
        data = data.replace(character, f"\\u{ord(character):04x}")  # no tag can begin in the data
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title>",
            f"<style>\n{_part('report.css')}</style>",
            "</head>",
            "<body>",
            "<main>",
            *body,
            "</main>",
            f'<script type="application/json" id="curves">{data}</script>',
            f"<script>\n{_part('report.js')}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _part(name: str) -> str:
    return resources.files("inr.studies").joinpath(name).read_text(encoding="utf-8")


def _curve_data(curve: Curve) -> dict[str, object]:
    points = sorted(curve.points, key=lambda point: point.bpp)
    return {
        "name": curve.name,
        "points": [
            {
                "bpp": point.bpp,
                "psnr_db": _finite(point.psnr_db),
                "ms_ssim": _finite(point.ms_ssim),
                "label": point.label,
            }
            for point in points
        ],
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _table_html(table: Table) -> str:
    head = "".join(
        f'<th scope="col"><button type="button">{html.escape(column)}</button></th>'
        for column in table.columns
    )
    rows = "\n".join(f"<tr>{''.join(map(_cell_html, row))}</tr>" for row in table.rows)
    body = (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table></div>"
    )
    if len(table.rows) > _LONG_TABLE:
        body = f"<details>\n<summary>{len(table.rows)} rows</summary>\n{body}\n</details>"
    return f"<section>\n<h2>{html.escape(table.title)}</h2>\n{body}\n</section>"


def _cell_html(value: Cell) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, str):
        return f"<td>{html.escape(value)}</td>"
    number = value if isinstance(value, int) else float(value)  # numpy's floats have another repr
    # The sort goes by the exact value, the reader sees four digits.
    return f'<td class="number" data-value="{number!r}">{_digits(number)}</td>'


def _digits(value: float | int) -> str:
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def _pair_html(pair: Pair) -> str:
    title = html.escape(pair.title)
    width = pair.original.shape[1]
    original, decoded = _data_uri(pair.original), _data_uri(pair.decoded)
    return (
        f'<section>\n<h2>{title}</h2>\n<figure class="pair" style="max-width: {max(width, 240)}px">'
        f'\n<div class="stack"><img src="{decoded}" alt="decoded: {title}">'
        f'<img class="top" src="{original}" alt="original: {title}"></div>\n'
        '<input type="range" min="0" max="100" value="50" aria-label="how much of the original">\n'
        "<figcaption><span>original</span><span>decoded</span></figcaption>\n</figure>\n</section>"
    )


def _data_uri(pixels: np.ndarray) -> str:
    from inr.image.picture import Picture
    from inr.image.write import to_pil

    buffer = io.BytesIO()
    to_pil(Picture(pixels)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
