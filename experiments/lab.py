"""What the experiments share: pictures, sweeps, rows, plots and tables.

Every fit is a run of `inr sweep`, as a user would start it, in `work/` of the experiment's folder:
a run.py that was killed goes on where it was, and fits only what is not there yet.
"""

import argparse
import contextlib
import csv
import dataclasses
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inr.describe import trained_counts
from inr.mlp_file import open_file
from inr.sweep.cores import available_cores

HERE = Path(__file__).resolve().parent
ASSETS = HERE.parent / "assets" / "pictures"
INR = Path(sys.executable).parent / "inr"

Row = dict[str, Any]  # column -> number, text or None, as one line of results.csv


@dataclass(frozen=True)
class Panel:
    """One pair of axes; each series is a line of (x, y), drawn in the order of x."""

    title: str
    x_label: str
    y_label: str
    series: dict[str, list[tuple[float, float]]]
    log_x: bool = False


@dataclass(frozen=True)
class Scale:
    """How large an experiment is."""

    side: int  # pixels of a crop's side, at most
    steps: int
    batch: int  # pixels a step

    def settings(self) -> dict[str, str]:
        return {"fit.steps": str(self.steps), "fit.batch": str(self.batch)}


TINY = Scale(side=48, steps=20, batch=256)
FULL = Scale(side=512, steps=10_000, batch=512 * 512)  # the original's: each step sees all pixels


def parser(doc: str, *, full: bool = False) -> argparse.ArgumentParser:
    """The options that every run.py has.

    Args:
      doc: its __doc__, whose first line is shown.
      full: --full is one of them.
    """
    made = argparse.ArgumentParser(description=doc.strip().splitlines()[0])
    made.add_argument("--tiny", action="store_true", help="seconds, in a temporary folder")
    made.add_argument("--plot-only", action="store_true", help="redraw from results.csv, fit none")
    made.add_argument("--jobs", type=int, default=available_cores(), metavar="N", help="processes")
    made.add_argument("--pictures", type=Path, nargs="+", metavar="PICTURE", help="others instead")
    if full:
        made.add_argument("--full", action="store_true", help="the original's scale, in full/")
    return made


def scale_of(given: argparse.Namespace, default: Scale) -> Scale:
    """The scale that --tiny or --full asks for."""
    if given.tiny and given.full:
        raise SystemExit("--tiny and --full exclude each other; give one of them")
    return TINY if given.tiny else FULL if given.full else default


@contextlib.contextmanager
def results_folder(here: Path, *, tiny: bool, full: bool = False) -> Iterator[Path]:
    """The folder that gets work/, results.csv and plot.png: `here`, its full/, or with tiny a
    temporary one, so that nothing in the repository is overwritten."""
    if not tiny:
        yield here / "full" if full else here
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def crop(picture: Path, size: int, folder: Path) -> Path:
    """The middle of a picture, at most size x size, as STEM_WIDTHxHEIGHT.png in the folder."""
    image = _opened(picture)
    width, height = min(size, image.width), min(size, image.height)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return _written(image.crop((left, top, left + width, top + height)), picture, folder)


def half(picture: Path, folder: Path) -> Path:
    """A picture at half its size, each pixel the mean of 2x2, as STEM_WIDTHxHEIGHT.png."""
    return _written(_opened(picture).reduce(2), picture, folder)


def _opened(picture: Path) -> Image.Image:
    with Image.open(picture) as image:
        return image.convert("RGB") if image.mode == "P" else image.copy()


def _written(image: Image.Image, picture: Path, folder: Path) -> Path:
    path = folder / f"{picture.stem}_{image.width}x{image.height}.png"
    folder.mkdir(parents=True, exist_ok=True)
    # Through an array: a profile or text in the original's header would cost bytes in each file.
    Image.fromarray(np.asarray(image)).save(path)
    return path


def sweep(
    folder: Path,
    name: str,
    pictures: Sequence[Path],
    recipe: str,
    *,
    settings: Mapping[str, str] = {},
    vary: Mapping[str, Sequence[str]] = {},
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
) -> list[Row]:
    """Runs `inr sweep` in folder/work/name, or as much of it as is not there yet.

    Args:
      settings: by path, as in {"fit.steps": "500"}; a target such as target_bytes may be here.
      vary: values by path, as in {"quantize.bits": ["4", "6"]}; targets too.
    Returns:
      The rows of its table with numbers parsed. Each also has `sweep` (the name), the settings,
      and what is counted in its file: n_weights (trained numbers), n_matrix (those of them in
      matrices) and n_zeros (codes in matrices that are 0).
    Raises:
      RuntimeError: a run failed; what `inr` said stands on stderr.
    """
    output = folder / "work" / name
    command = [str(INR), "sweep", *map(str, pictures), "--recipe", recipe, "-o", str(output)]
    command += ["--jobs", str(jobs), "--json"]
    for path, value in settings.items():
        command += ["--set", f"{path}={value}"]
    for path, values in vary.items():
        command += ["--vary", f"{path}={','.join(values)}"]
    for seed in seeds:
        command += ["--seed", str(seed)]
    print(f"{name}:", *command[1:], file=sys.stderr, flush=True)
    if subprocess.run(command, stdout=subprocess.PIPE).returncode != 0:
        raise RuntimeError(f"sweep {name} failed; the same command tries its failed runs again")
    fixed = {path: _parsed(value) for path, value in settings.items()}
    return [
        {"sweep": name} | fixed | row | _counts(output / "files" / f"{row['config_hash']}.inr")
        for row in _read(output / "runs.csv")
    ]


def _counts(file: Path) -> dict[str, int]:
    return dataclasses.asdict(trained_counts(open_file(file.read_bytes())))


def save(folder: Path, rows: Sequence[Row]) -> None:
    """Writes results.csv: all columns that any row has, in the order of their first appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with open(folder / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def load(folder: Path) -> list[Row]:
    """The rows of results.csv with numbers parsed; a row lacks the columns that it has empty."""
    return [
        {name: value for name, value in row.items() if value is not None}
        for row in _read(folder / "results.csv")
    ]


def _read(path: Path) -> list[Row]:
    with open(path, newline="") as file:
        return [
            {name: _parsed(text, name in _TEXTS) for name, text in row.items()}
            for row in csv.DictReader(file)
        ]


_TEXTS = ("sweep", "picture", "recipe", "config_hash", "commit", "machine")  # 123e4 is a commit


def _parsed(text: str, is_text: bool = False) -> str | int | float | None:
    """ "6" -> 6, "0.5" -> 0.5, "inf" -> inf, "" -> None; other texts as they are."""
    if text == "":
        return None
    for kind in () if is_text else (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def points(rows: Sequence[Row], x: str, y: str = "psnr_db") -> list[tuple[float, float]]:
    """(x, y) of each row, in the order of x; of rows that share an x, the mean y."""
    groups: dict[float, list[float]] = {}
    for row in rows:
        groups.setdefault(row[x], []).append(row[y])
    return [(at, math.fsum(groups[at]) / len(groups[at])) for at in sorted(groups)]


def series(
    rows: Sequence[Row], label: Callable[[Row], str], x: str
) -> dict[str, list[tuple[float, float]]]:
    """A line of PSNR over x for each label and, if there are several, each picture."""
    several = len({row["picture"] for row in rows}) > 1
    groups: dict[str, list[Row]] = {}
    for row in rows:
        name = f"{label(row)}, {row['picture'].split('_')[0]}" if several else label(row)
        groups.setdefault(name, []).append(row)
    return {name: points(group, x) for name, group in groups.items()}


def plot(path: Path, panels: Sequence[Panel]) -> None:
    """Draws one to three panels side by side, with one legend for all, as PNG."""
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
    """A Markdown table; floats with two decimals, None empty."""
    lines = [columns, ["---"] * len(columns), *(map(_cell, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
