"""What the experiments share: options, pictures, sweeps, rows, and the order of it all.

A run.py makes one `Experiment` and calls its `main`. Every fit is a run of `inr sweep`, as a user
would start it, in `work/` of the experiment's folder: a run.py that was killed goes on where it
was, and fits only what is not there yet.
"""

import argparse
import contextlib
import csv
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import inr

HERE = Path(__file__).resolve().parent
ASSETS = HERE.parent / "assets" / "pictures"
INR = (sys.executable, "-m", "inr")

Row = dict[str, Any]  # column -> number, text or None, as one line of results.csv


def count_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def origin() -> Row:
    """Name the code and the machine of rows that `inr sweep` does not write."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
        cwd=HERE,
        capture_output=True,
        text=True,
    )
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), cpu)
    machine = f"{count_cores()} of {os.cpu_count()} cores of {cpu}"
    return {"commit": described.stdout.strip(), "machine": machine}


@dataclass(frozen=True)
class Scale:
    """How large an experiment is."""

    side: int  # pixels of a crop's side, at most
    steps: int | None = None  # None: the recipe's own
    batch: int | None = None  # pixels a step; None: the recipe's own

    def settings(self) -> dict[str, str]:
        """Return what `--set` says for it."""
        numbers = {"fit.steps": self.steps, "fit.batch": self.batch}
        return {path: str(number) for path, number in numbers.items() if number is not None}


TINY = Scale(side=48, steps=20, batch=256)
FULL = Scale(side=512, steps=10_000, batch=512 * 512)  # the original's: each step sees all pixels


@dataclass(frozen=True)
class Run:
    """One run of an experiment: what it looks at, how large it is, and where it writes."""

    folder: Path  # gets work/
    pictures: Sequence[Path]
    scale: Scale
    jobs: int  # processes

    @property
    def is_tiny(self) -> bool:
        return self.scale == TINY

    @property
    def is_full(self) -> bool:
        return self.scale == FULL

    def sweep(
        self,
        name: str,
        recipe: str,
        *,
        settings: Mapping[str, str] = {},
        vary: Mapping[str, Sequence[str]] = {},
        pictures: Sequence[Path] | None = None,
    ) -> list[Row]:
        """Run `inr sweep` in work/name, or as much of it as is not there yet.

        Args:
          settings: by path, as in {"fit.steps": "500"}, besides those of the scale; a target such
            as target_bytes may be here.
          vary: values by path, as in {"quantize.bits": ["4", "6"]}; targets too.
          pictures: those of the run if not given.
        Returns:
          The rows of its table with numbers parsed. Each also has `sweep` (the name), the settings,
          and what is counted in its file: n_weights (trained numbers), n_matrix (those of them in
          matrices) and n_zeros (codes in matrices that are 0).
        Raises:
          RuntimeError: a run failed; what `inr` said stands on stderr.
        """
        output, settings = self.folder / "work" / name, self.scale.settings() | settings
        command = self.command(name, recipe, settings, vary, pictures)
        print(f"{name}: inr", *command[len(INR) :], file=sys.stderr, flush=True)
        if subprocess.run(command, stdout=subprocess.PIPE).returncode != 0:
            raise RuntimeError(f"sweep {name} failed; the same command tries its failed runs again")
        fixed = {path: _parse(value) for path, value in settings.items()}
        rows = _read(output / "runs.csv")
        return [{"sweep": name} | fixed | row | count_weights(self.file(name, row)) for row in rows]

    def command(
        self,
        name: str,
        recipe: str,
        settings: Mapping[str, str],
        vary: Mapping[str, Sequence[str]],
        pictures: Sequence[Path] | None,
    ) -> list[str]:
        """Return the command of a sweep, whose settings are all that there are."""
        chosen = self.pictures if pictures is None else pictures
        command = [*INR, "sweep", *map(str, chosen), "--recipe", recipe]
        command += ["-o", str(self.folder / "work" / name)]
        command += ["--jobs", str(self.jobs), "--seed", "0", "--json"]
        for path, value in settings.items():
            command += ["--set", f"{path}={value}"]
        for path, values in vary.items():
            command += ["--vary", f"{path}={','.join(values)}"]
        return command

    def file(self, name: str, row: Row) -> bytes:
        """Return the .inr file of a row of the sweep of that name."""
        return (self.folder / "work" / name / "files" / f"{row['config_hash']}.inr").read_bytes()


def count_weights(data: bytes) -> dict[str, int]:
    """Count the trained numbers of a file of kind mlp, those in matrices, and the zeros there."""
    trained = [tensor for tensor in inr.describe(data)["tensors"] if tensor["is_trained"]]
    matrices = [tensor for tensor in trained if len(tensor["shape"]) == 2]
    return {
        "n_weights": sum(int(np.prod(tensor["shape"])) for tensor in trained),
        "n_matrix": sum(int(np.prod(tensor["shape"])) for tensor in matrices),
        "n_zeros": sum(tensor["n_zeros"] for tensor in matrices),
    }


def parser(doc: str, *, full: bool = False) -> argparse.ArgumentParser:
    """Make the options that every run.py has.

    Args:
      doc: its __doc__, whose first line is shown.
      full: --full is one of them.
    """
    made = argparse.ArgumentParser(description=doc.strip().splitlines()[0])
    made.add_argument("--tiny", action="store_true", help="seconds, in a temporary folder")
    made.add_argument("--plot-only", action="store_true", help="redraw from results.csv, fit none")
    made.add_argument("--jobs", type=int, default=count_cores(), metavar="N", help="processes")
    made.add_argument("--pictures", type=Path, nargs="+", metavar="PICTURE", help="others instead")
    if full:
        made.add_argument("--full", action="store_true", help="the original's scale, in full/")
    else:
        made.set_defaults(full=False)
    return made


def choose_scale(given: argparse.Namespace, default: Scale, full: Scale = FULL) -> Scale:
    """Return the scale that --tiny or --full asks for."""
    if given.tiny and given.full:
        raise SystemExit("--tiny and --full exclude each other; give one of them")
    return TINY if given.tiny else full if given.full else default


@contextlib.contextmanager
def open_results(here: Path, *, tiny: bool, full: bool = False) -> Iterator[Path]:
    """Choose the folder of work/, results.csv and plot.png: `here`, its full/, or with tiny a
    temporary one, so that nothing in the repository is overwritten."""
    if not tiny:
        yield here / "full" if full else here
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def crop(picture: Path, size: int, folder: Path) -> Path:
    """Write the middle of a picture, at most size x size, as STEM_WIDTHxHEIGHT.png."""
    image = _open(picture)
    width, height = min(size, image.width), min(size, image.height)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return _write(image.crop((left, top, left + width, top + height)), picture, folder)


def crop_to_scale(picture: Path, scale: Scale, folder: Path) -> Path:
    """Write the crop that a scale takes of a picture."""
    return crop(picture, scale.side, folder)


def halve(picture: Path, folder: Path) -> Path:
    """Write a picture at half its size, each pixel the mean of 2x2, as STEM_WIDTHxHEIGHT.png."""
    return _write(_open(picture).reduce(2), picture, folder)


def _open(picture: Path) -> Image.Image:
    with Image.open(picture) as image:
        return image.convert("RGB") if image.mode == "P" else image.copy()


def _write(image: Image.Image, picture: Path, folder: Path) -> Path:
    path = folder / f"{picture.stem}_{image.width}x{image.height}.png"
    folder.mkdir(parents=True, exist_ok=True)
    # Through an array: a profile or text in the original's header would cost bytes in each file.
    Image.fromarray(np.asarray(image)).save(path)
    return path


def save(folder: Path, rows: Sequence[Row]) -> None:
    """Write results.csv: all columns that any row has, in the order of their first appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with open(folder / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def load(folder: Path) -> list[Row]:
    """Read the rows of results.csv, numbers parsed; a row lacks the columns that it has empty."""
    return [
        {name: value for name, value in row.items() if value is not None}
        for row in _read(folder / "results.csv")
    ]


def _read(path: Path) -> list[Row]:
    with open(path, newline="") as file:
        return [
            {name: _parse(text, name in _TEXTS) for name, text in row.items()}
            for row in csv.DictReader(file)
        ]


_TEXTS = ("sweep", "picture", "recipe", "config_hash", "commit", "machine")  # 123e4 is a commit


def _parse(text: str, is_text: bool = False) -> str | int | float | None:
    """ "6" -> 6, "0.5" -> 0.5, "inf" -> inf, "" -> None; other texts as they are."""
    if text == "":
        return None
    for kind in () if is_text else (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@dataclass(frozen=True)
class Experiment:
    """One question: which fits answer it, and how their rows are shown."""

    folder: Path  # of its run.py; gets work/, results.csv and plot.png
    doc: str  # of its run.py
    pictures: Sequence[Path]  # without --pictures
    scale: Scale  # without --tiny and --full
    fit: Callable[[Run], list[Row]]
    plot: Callable[[Path, list[Row]], None]  # draws plot.png, whose path it is given
    table: Callable[[list[Row]], str]  # for stdout
    n_tiny_rows: int  # that a run with --tiny has to make
    full: Scale | None = FULL  # the scale of --full; None: it is no option
    resize: Callable[[Path, Scale, Path], Path] = crop_to_scale  # writes a picture to a folder

    def main(self) -> None:
        """Fit or load the rows, and leave results.csv, plot.png and a table."""
        given = parser(self.doc, full=self.full is not None).parse_args()
        scale = choose_scale(given, self.scale, self.full or self.scale)
        with open_results(self.folder, tiny=given.tiny, full=given.full) as folder:
            if not given.plot_only:
                originals = given.pictures or self.pictures
                ready = [self.resize(picture, scale, folder / "work") for picture in originals]
                save(folder, self.fit(Run(folder, ready, scale, given.jobs)))
            rows = load(folder)
            self.plot(folder / "plot.png", rows)
            print(self.table(rows))
            if given.tiny:
                assert len(rows) == self.n_tiny_rows, f"{len(rows)} rows"
                assert (folder / "plot.png").exists(), "nothing was drawn"
