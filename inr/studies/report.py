"""One self-contained HTML page: R-D figure, tables, pictures side by side. It loads nothing.

Everything from outside (names of files and recipes) is escaped, and the page's
Content-Security-Policy forbids every request. Its script sorts tables and moves sliders.
"""

import base64
import csv
import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

Cell = str | float | int | None

_LONG_TABLE = 30  # rows; longer ones are folded away, or they bury what comes after
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_SCRIPT = """\
"use strict";

// Numbers by value, then text, empty cells last in both directions.
function compareCells(a, b, direction) {
  const empty = (cell) => cell.textContent === "";
  if (empty(a) || empty(b)) return Number(empty(a)) - Number(empty(b));
  const numeric = (cell) => "value" in cell.dataset;
  if (numeric(a) !== numeric(b)) return Number(numeric(b)) - Number(numeric(a));
  if (!numeric(a)) return direction * a.textContent.localeCompare(b.textContent);
  const [left, right] = [a, b].map((cell) => Number(cell.dataset.value.replace("inf", "Infinity")));
  return left === right ? 0 : direction * (left < right ? -1 : 1);
}

function sortByHeads(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, i) => head.addEventListener("click", () => {
    const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort((a, b) => compareCells(a.cells[i], b.cells[i], direction)));
  }));
}

function splitByInput(figure) {
  const input = figure.querySelector("input");
  const move = () => figure.style.setProperty("--split", `${input.value}%`);
  input.addEventListener("input", move);
  move();
}

document.querySelectorAll("table").forEach(sortByHeads);
document.querySelectorAll(".pair").forEach(splitByInput);
"""


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

    def to_csv(self) -> str:
        """Write floats with all their digits, and an empty cell where there is no value."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return text.getvalue()


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
    svg: str | None,
    tables: Sequence[Table],
    pairs: Sequence[Pair],
) -> str:
    """Make the whole page; any of the sequences may be empty.

    Args:
      title: heading of the page.
      notes: one paragraph each, plain text.
      svg: of `plot.draw`, which stands in the page as it is; None for no figure.
      tables: shown in this order, long ones folded.
      pairs: pictures with a slider between original and decoded, as PNG inside the page.
    Returns:
      HTML in which nothing refers to another file or address.
    """
    body = [f"<h1>{html.escape(title)}</h1>"]
    body += [f'<p class="note">{html.escape(note)}</p>' for note in notes]
    body += [] if svg is None else [_figure_html(svg)]
    body += [_table_html(table) for table in tables]
    body += [_pair_html(pair) for pair in pairs]
    style = resources.files("inr.studies").joinpath("report.css").read_text(encoding="utf-8")
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title>",
            f"<style>\n{style}</style>",
            "</head>",
            "<body>",
            "<main>",
            *body,
            "</main>",
            f"<script>\n{_SCRIPT}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _figure_html(svg: str) -> str:
    return (
        f'<section>\n<h2>Rate and distortion</h2>\n<div class="plot">\n{svg}\n</div>\n'
        '<p class="hint">Point at a mark for its figures.</p>\n</section>'
    )


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
