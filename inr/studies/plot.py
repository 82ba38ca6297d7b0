"""Curves as a PNG, by matplotlib: the same on every machine, quiet, and with names as they are.

matplotlib reads settings of the user, speaks through logging and warnings, takes $ for the sign of
mathematics, leaves labels that begin with _ out of legends, and draws boxes for letters that its
font lacks. Here it gets its own default settings, what it says is dropped, labels are plain text,
and other fonts of the machine help out.
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inr.errors import CodecError
from inr.printable import printable
from inr.studies.failures import one_line

_MOST_COLUMNS = 60  # of a label, in the width of Latin letters: two labels fit beside each other
_OWN_FONT = "DejaVu Sans"  # matplotlib brings it along


@dataclass(frozen=True)
class Series:
    """One curve of a panel."""

    label: str
    points: tuple[tuple[float, float], ...]  # those that are not finite are left out


@dataclass(frozen=True)
class Panel:
    """One pair of axes; all panels of a plot have the same labels in the same order."""

    x_title: str
    y_title: str
    series: tuple[Series, ...]


def png_of(panels: Sequence[Panel], *, title: str = "") -> bytes:
    """Draw panels side by side over one legend, which has every label.

    Raises:
      CodecError: matplotlib cannot be loaded here, or cannot draw this.
    """
    labels = _shortened([series.label for series in panels[0].series])
    drawn = [
        [[xy for xy in series.points if all(map(math.isfinite, xy))] for series in panel.series]
        for panel in panels
    ]
    titles = [(panel.x_title, panel.y_title) for panel in panels]
    try:
        with _quiet():
            return _drawn(titles, drawn, labels, printable(title))
    except Exception as error:  # of matplotlib, of its fonts, of the user's files that it reads
        raise CodecError(f"matplotlib: {one_line(error)}") from error


def _drawn(
    titles: Sequence[tuple[str, str]],
    panels: Sequence[Sequence[Sequence[tuple[float, float]]]],
    labels: Sequence[str],
    title: str,
) -> bytes:
    """Calls of matplotlib and nothing else."""
    matplotlib = _loaded()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams["text.parse_math"] = False
        families = [_OWN_FONT, *_fonts_for("".join([*labels, title]))]
        matplotlib.rcParams["font.family"] = families
        figure = Figure(figsize=(6.5 * max(len(panels), 2), 5), layout="constrained")
        FigureCanvasAgg(figure)  # not pyplot's: that one belongs to the whole process
        lines: list[Any] = []
        for i, ((x_title, y_title), curves) in enumerate(zip(titles, panels, strict=True), 1):
            axes = figure.add_subplot(1, len(panels), i)
            lines = [axes.plot(*_xy(points), marker="o")[0] for points in curves]
            axes.set_xlabel(x_title)
            axes.set_ylabel(y_title)
            axes.grid(alpha=0.3)
        if lines:
            # Numbers first: labels that begin with _ would be left out.
            places = [str(i) for i in range(len(lines))]
            legend = figure.legend(lines, places, loc="outside lower center", ncols=2)
            for text, label in zip(legend.get_texts(), labels, strict=True):
                text.set_text(label)
        if title:
            figure.suptitle(title)
        whole = io.BytesIO()
        figure.savefig(whole, format="png", dpi=120)
    return whole.getvalue()


def _xy(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


# ---------------------------------------------------------------- labels


def _shortened(labels: Sequence[str]) -> list[str]:
    """Printable and not too wide, from the middle; numbered where two have become the same."""
    short = [_fitted(printable(label)) for label in labels]
    return [
        f"{label} ({i})" if short.count(label) > 1 else label for i, label in enumerate(short, 1)
    ]


def _fitted(label: str) -> str:
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
    """matplotlib as it is without the user's settings, and without a word."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    with warnings.catch_warnings(), _environment():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


def _loaded() -> Any:
    """matplotlib, loaded out of reach of a matplotlibrc in the current folder: it reads that first
    of all, and fails with one that is no text."""
    is_first = "matplotlib" not in sys.modules and os.path.exists("matplotlibrc")
    elsewhere = contextlib.chdir(_settings().parent) if is_first else contextlib.nullcontext()
    with elsewhere:
        import matplotlib
    return matplotlib


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Variables with which matplotlib can be loaded, whatever the user's name."""
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
    """The settings that matplotlib brings along."""
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        raise CodecError("matplotlib is not installed")
    return Path(found.origin).parent / "mpl-data" / "matplotlibrc"


def _fonts_for(text: str) -> list[str]:
    """Families on this machine for the letters that matplotlib's own font lacks."""
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


_REGULAR = ("400", "normal", "regular", "book")
