"""What the experiments share: options, pictures, sweeps, rows, recoded files, and `main`.

Every fit is a run of `inr sweep`, as a user would start it, in `work/` of the experiment's folder:
a run.py that was killed goes on where it was, and fits only what is not there yet.
"""

import argparse
import contextlib
import csv
import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inr.coders.protocol import Coder
from inr.exact.threads import available_cores
from inr.format import container
from inr.kinds import open_file
from inr.mlp.describe import trained_counts
from inr.mlp.file import read_codes
from inr.mlp.tags import write_stages

HERE = Path(__file__).resolve().parent
ASSETS = HERE.parent / "assets" / "pictures"
INR = Path(sys.executable).parent / "inr"

Row = dict[str, Any]  # column -> number, text or None, as one line of results.csv


@dataclass(frozen=True)
class Scale:
    """How large an experiment is."""

    side: int  # pixels of a crop's side, at most
    steps: int | None = None  # None: the recipe's own
    batch: int | None = None  # pixels a step; None: the recipe's own

    def settings(self) -> dict[str, str]:
        numbers = {"fit.steps": self.steps, "fit.batch": self.batch}
        return {path: str(number) for path, number in numbers.items() if number is not None}


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
    else:
        made.set_defaults(full=False)
    return made


def scale_of(given: argparse.Namespace, default: Scale, full: Scale = FULL) -> Scale:
    """The scale that --tiny or --full asks for."""
    if given.tiny and given.full:
        raise SystemExit("--tiny and --full exclude each other; give one of them")
    return TINY if given.tiny else full if given.full else default


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


def cropped(picture: Path, scale: Scale, folder: Path) -> Path:
    """The crop that a scale takes of a picture."""
    return crop(picture, scale.side, folder)


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
    return dataclasses.asdict(trained_counts(open_file(file.read_bytes()).content))


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


@dataclass(frozen=True)
class Recoded:
    """An .inr file with its codes written by another coder."""

    codes: list[np.ndarray]  # int32, in file order
    levels: bytes  # what the weights section has before the codes
    payload: bytes  # the codes
    data: bytes  # the whole file


def recoded(data: bytes, coder: Coder) -> Recoded:
    """The same .inr file with its codes written by another coder; read back and compared."""
    opened = open_file(data).content
    codes = list(read_codes(opened).values())
    weights = opened.sections[container.SECTION_WEIGHTS]
    levels = weights.removesuffix(opened.stages.coder.encode(codes))
    payload = coder.encode(codes)
    stages = write_stages(dataclasses.replace(opened.stages, coder=coder))
    header = dataclasses.replace(opened.header, stages=stages)
    made = container.pack(header, opened.sections | {container.SECTION_WEIGHTS: levels + payload})
    again = read_codes(open_file(made).content).values()
    assert all(map(np.array_equal, codes, again)), f"{type(coder).__name__} changed the codes"
    return Recoded(codes, levels, payload, made)


def main(
    run_py: str,
    doc: str,
    pictures: Sequence[Path],
    scale: Scale,
    fitted: Callable[[Path, list[Path], Scale, int], list[Row]],
    plot: Callable[[Path, list[Row]], None],
    table_of: Callable[[list[Row]], str],
    check_tiny: Callable[[list[Row]], None],
    *,
    full: Scale | None = FULL,
    sized: Callable[[Path, Scale, Path], Path] = cropped,
) -> None:
    """Fits or loads the rows of one experiment, and leaves results.csv, plot.png and a table.

    Args:
      run_py, doc: its __file__ and __doc__.
      pictures: those that it takes without --pictures.
      scale: the one without --tiny and --full.
      fitted: the rows, from the folder that gets work/, the pictures as sized, the scale, and
        the number of processes.
      plot: draws the rows as plot.png, whose path it is given.
      table_of: the text on stdout.
      check_tiny: asserts what must be so of the rows of a tiny run.
      full: the scale of --full; None: it is no option.
      sized: writes a picture at the scale to a folder.
    """
    given = parser(doc, full=full is not None).parse_args()
    scale = scale_of(given, scale, full or scale)
    with results_folder(Path(run_py).resolve().parent, tiny=given.tiny, full=given.full) as folder:
        if not given.plot_only:
            originals = given.pictures or pictures
            ready = [sized(picture, scale, folder / "work") for picture in originals]
            save(folder, fitted(folder, ready, scale, given.jobs))
        rows = load(folder)
        plot(folder / "plot.png", rows)
        print(table_of(rows))
        if given.tiny:
            check_tiny(rows)
            assert (folder / "plot.png").exists(), "nothing was drawn"
