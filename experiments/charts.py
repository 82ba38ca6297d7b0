"""How rows are shown: lines on one to three panels, and Markdown tables."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import Row


@dataclass(frozen=True)
class Panel:
    """One pair of axes; each series is a line of (x, y), drawn in the order of x."""

    title: str
    x_label: str
    y_label: str
    series: dict[str, list[tuple[float, float]]]
    log_x: bool = False


def points(rows: Sequence[Row], x: str, y: str = "psnr_db") -> list[tuple[float, float]]:
    """Return (x, y) of each row, in the order of x; where rows share an x, the mean y."""
    groups: dict[float, list[float]] = {}
    for row in rows:
        groups.setdefault(row[x], []).append(row[y])
    return [(at, math.fsum(groups[at]) / len(groups[at])) for at in sorted(groups)]


def series(
    rows: Sequence[Row], label: Callable[[Row], str], x: str
) -> dict[str, list[tuple[float, float]]]:
    """Make a line of PSNR over x for each label and, if there are several, each picture."""
    several = len({row["picture"] for row in rows}) > 1
    groups: dict[str, list[Row]] = {}
    for row in rows:
        name = f"{label(row)}, {row['picture'].split('_')[0]}" if several else label(row)
        groups.setdefault(name, []).append(row)
    return {name: points(group, x) for name, group in groups.items()}


def weights_and_bytes(
    fixed: Sequence[Row],
    free: Sequence[Row],
    label: Callable[[Row], str],
    free_label: Callable[[Row], str],
) -> list[Panel]:
    """Make panels of networks of given widths, over weights and over bytes, and of those whose
    width and bits a target chose."""
    return [
        Panel("Weights of 16 bits", "weights", "PSNR, dB", series(fixed, label, "n_weights")),
        Panel("The same files", "bytes of the file", "PSNR, dB", series(fixed, label, "n_bytes")),
        Panel(
            "Width and bits to suit",
            "bytes of the file",
            "PSNR, dB",
            series(free, free_label, "n_bytes"),
        ),
    ]


def plot(path: Path, panels: Sequence[Panel]) -> None:
    """Draw one to three panels side by side, with one legend for all, as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(name for panel in panels for name in panel.series))
    colours = {name: f"C{i % 10}" for i, name in enumerate(names)}
    size = (5.2 * len(panels), 4.6)
    figure, axes = plt.subplots(1, len(panels), figsize=size, squeeze=False, layout="constrained")
    handles = {}
    for panel, axis in zip(panels, axes[0], strict=True):
        for name, series in panel.series.items():
            finite = sorted(point for point in series if math.isfinite(point[1]))
            xs, ys = [x for x, _ in finite], [y for _, y in finite]
            style = "-" if names.index(name) < 10 else "--"  # ten colours, then dashes
            (handles[name],) = axis.plot(xs, ys, style, marker="o", color=colours[name])
        axis.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
        if panel.log_x:
            axis.set_xscale("log")
        axis.grid(alpha=0.3)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Format a Markdown table; floats with two decimals, None empty."""
    lines = [columns, ["---"] * len(columns), *(map(_cell, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
