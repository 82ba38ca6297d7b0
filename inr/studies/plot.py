"""Rate-distortion curves as a picture, by matplotlib: one figure as a PNG and as SVG for a page.

It is the same on every machine, quiet, and has names as they are. matplotlib reads settings of the
user, speaks through logging and warnings, takes $ for the sign of mathematics, leaves labels that
begin with _ out of legends, and draws boxes for characters that its font lacks. Here it gets its
own default settings, what it says is dropped, labels are plain text, and other fonts of the machine
help out.
"""

import contextlib
import importlib.util
import io
import logging
import math
import os
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from inr.errors import CodecError
from inr.printable import printable
from inr.studies.bd_rate import ms_ssim_db
from inr.studies.failures import one_line

_MOST_CURVES = 30  # ten colours in three kinds of lines
_DASHES = ("-", "--", ":")
_MOST_COLUMNS = 60  # of a label, in the width of Latin characters: two labels fit beside each other
_OWN_FONT = "DejaVu Sans"  # matplotlib brings it along
_REGULAR = ("400", "normal", "regular", "book")  # weights of fonts
_REACH = 9  # points around a point of a curve, within which a pointer is over it
_SVG = "http://www.w3.org/2000/svg"


@dataclass(frozen=True)
class Point:
    """One encoding, or the mean of several."""

    bpp: float
    psnr_db: float  # inf where the pictures are equal: such a point is left out of its panel
    ms_ssim: float | None  # None: too small a picture
    label: str  # shown beside the figures, such as the setting


@dataclass(frozen=True)
class Curve:
    """Points of one codec or recipe, joined in the order of their rate."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Drawing:
    """One figure in two forms."""

    png: bytes
    svg: str  # one element, to stand inside HTML; a pointer over a point tells its values


@dataclass(frozen=True)
class _Panel:
    """One pair of axes with all curves."""

    y_title: str
    points: list[list[tuple[Point, float]]]  # by curve; each point with its height


def draw(curves: Sequence[Curve]) -> Drawing:
    """Draw PSNR over bits per pixel, beside it MS-SSIM where there is one, over one legend.

    Args:
      curves: in the order of the legend; of many the first ones are drawn.
    Raises:
      CodecError: matplotlib cannot be loaded here, or cannot draw this.
    """
    shown, title = curves[:_MOST_CURVES], ""
    if len(curves) > _MOST_CURVES:
        title = f"the first {_MOST_CURVES} of {len(curves)} curves; the tables have all"
    panels = [_panel("PSNR, dB", shown, lambda point: point.psnr_db)]
    if any(point.ms_ssim is not None for curve in shown for point in curve.points):
        panels.append(_panel("MS-SSIM, -10 log10(1 - x), dB", shown, _ms_ssim_db_of))
    labels = _shorten([curve.name for curve in shown])
    try:
        with _quiet():
            png, svg = _draw(panels, labels, title)
            return Drawing(png, _tell_points(svg, panels, labels))
    except Exception as error:  # of matplotlib, of its fonts, of the user's files that it reads
        raise CodecError(f"matplotlib: {one_line(error)}") from error


def _panel(
    y_title: str, curves: Sequence[Curve], height_of: Callable[[Point], float | None]
) -> _Panel:
    points = []
    for curve in curves:
        in_order = sorted(curve.points, key=lambda point: point.bpp)
        measured = [(point, height_of(point)) for point in in_order]
        points.append([(point, y) for point, y in measured if y is not None and math.isfinite(y)])
    return _Panel(y_title, points)


def _ms_ssim_db_of(point: Point) -> float | None:
    return None if point.ms_ssim is None else ms_ssim_db(point.ms_ssim)


def _draw(panels: Sequence[_Panel], labels: Sequence[str], title: str) -> tuple[bytes, bytes]:
    """Call matplotlib, and do nothing else; returns PNG and SVG."""
    matplotlib = _load_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams["text.parse_math"] = False
        matplotlib.rcParams["svg.fonttype"] = "none"  # text that can be searched
        matplotlib.rcParams["svg.hashsalt"] = "inr"  # else ids are random
        matplotlib.rcParams["font.family"] = [_OWN_FONT, *_fonts_for("".join(labels))]
        n_lines = -(-len(labels) // 2)
        size = (6.5 * max(len(panels), 2), 4.5 + 0.22 * n_lines)
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)  # not pyplot's: that one belongs to the whole process
        lines: list[Any] = []
        for i, panel in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), i + 1)
            lines = []
            for j, points in enumerate(panel.points):
                x, y = [point.bpp for point, _ in points], [height for _, height in points]
                lines += axes.plot(
                    x,
                    y,
                    color=f"C{j % 10}",
                    linestyle=_DASHES[j // 10],
                    marker="o",
                    gid=_id_of(i, j),
                )
            axes.set_xlabel("bits per pixel of the whole file")
            axes.set_ylabel(panel.y_title)
            axes.grid(alpha=0.3)
        if lines:
            # Numbers first: labels that begin with _ would be left out.
            places = [str(i) for i in range(len(lines))]
            legend = figure.legend(lines, places, loc="outside lower center", ncols=2)
            for text, label in zip(legend.get_texts(), labels, strict=True):
                text.set_text(label)
        if title:
            figure.suptitle(title)
        png, svg = io.BytesIO(), io.BytesIO()
        figure.savefig(png, format="png", dpi=120)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(svg, format="svg", metadata=nothing)
    return png.getvalue(), svg.getvalue()


def _id_of(panel: int, curve: int) -> str:
    return f"curve-{panel}-{curve}"


def _tell_points(svg: bytes, panels: Sequence[_Panel], labels: Sequence[str]) -> str:
    """Give each point of the curves a title, which browsers show under a pointer."""
    root = ElementTree.fromstring(svg)
    for defs in root.findall(f"{{{_SVG}}}defs"):
        for style in defs.findall(f"{{{_SVG}}}style"):
            defs.remove(style)  # it would hold for the whole page
    root.set("stroke-linejoin", "round")  # what it said
    groups = {group.get("id"): group for group in root.iter(f"{{{_SVG}}}g")}
    for i, panel in enumerate(panels):
        for j, (points, label) in enumerate(zip(panel.points, labels, strict=True)):
            group = groups[_id_of(i, j)]
            marks = list(group.iter(f"{{{_SVG}}}use"))
            for mark, (point, _) in zip(marks, points, strict=True):
                around = {"cx": mark.get("x", ""), "cy": mark.get("y", ""), "r": str(_REACH)}
                reach = ElementTree.SubElement(group, f"{{{_SVG}}}circle", around)
                reach.set("style", "fill: none; pointer-events: all")
                ElementTree.SubElement(reach, f"{{{_SVG}}}title").text = _describe(label, point)
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    return ElementTree.tostring(root, encoding="unicode")


def _describe(name: str, point: Point) -> str:
    lines = [name, printable(point.label), f"{point.bpp:.4f} bpp"]
    if math.isfinite(point.psnr_db):
        lines.append(f"PSNR {point.psnr_db:.2f} dB")
    if point.ms_ssim is not None:
        lines.append(f"MS-SSIM {point.ms_ssim:.4f}")
    return "\n".join(line for line in lines if line)


# ---------------------------------------------------------------- labels


def _shorten(labels: Sequence[str]) -> list[str]:
    """Make labels printable and not too wide, and number those that have become the same."""
    short = [_cut_middle(_as_xml(printable(label))) for label in labels]
    return [
        f"{label} ({i})" if short.count(label) > 1 else label for i, label in enumerate(short, 1)
    ]


def _as_xml(text: str) -> str:
    """Replace the two characters that are printable and may not stand in XML."""
    return text.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")


def _cut_middle(label: str) -> str:
    if _width(label) <= _MOST_COLUMNS:
        return label
    head, tail = label, label[::-1]
    return f"{_cut(head, _MOST_COLUMNS // 2)}…{_cut(tail, _MOST_COLUMNS // 2)[::-1]}"


def _cut(text: str, columns: int) -> str:
    n = 0
    while n < len(text) and _width(text[: n + 1]) < columns:
        n += 1
    return text[:n]


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


# ---------------------------------------------------------------- matplotlib


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Have matplotlib as it is without the user's settings, and without a word."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    with warnings.catch_warnings(), _environment():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


def _load_matplotlib() -> Any:
    """Load matplotlib out of reach of a matplotlibrc in the current folder: it reads that first of
    all, and fails with one that is no text."""
    is_first = "matplotlib" not in sys.modules and os.path.exists("matplotlibrc")
    elsewhere = contextlib.chdir(_settings().parent) if is_first else contextlib.nullcontext()
    with elsewhere:
        import matplotlib
    return matplotlib


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Set variables with which matplotlib can be loaded, whatever the user's are."""
    ours = {"MPLBACKEND": "agg", "MATPLOTLIBRC": str(_settings())}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _settings() -> Path:
    """Find the settings that matplotlib brings along."""
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        raise CodecError("matplotlib is not installed")
    return Path(found.origin).parent / "mpl-data" / "matplotlibrc"


def _fonts_for(text: str) -> list[str]:
    """Find families on this machine for the characters that matplotlib's own font lacks."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    own = FT2Font(font_manager.findfont(_OWN_FONT))
    missing = {letter for letter in text if not own.get_char_index(ord(letter))}
    families: list[str] = []
    # Upright and regular ones first: they are what a reader expects.
    for entry in sorted(
        font_manager.fontManager.ttflist,
        key=lambda entry: (entry.style != "normal", str(entry.weight) not in _REGULAR, entry.name),
    ):
        if not missing:
            break
        if "last resort" in entry.name.lower():  # it has a box for everything
            continue
        try:
            font = FT2Font(entry.fname)
            has = {letter for letter in missing if font.get_char_index(ord(letter))}
            for letter in has:
                font.load_char(ord(letter))  # some fonts have pictures in place of outlines
        except Exception:  # whatever lies in the machine's font folders
            continue
        if has:
            families.append(entry.name)
            missing -= has
    return families
