"""Rate and distortion beside JPEG, JPEG 2000 and WebP: a natural picture, lettering, dense pages.

python experiments/rate_distortion/run.py [--pictures NATURAL] [--jobs N] [--tiny | --full]
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import charts
import classical
import lab

from inr import bpp

PICTURES = [lab.ASSETS / "flower_foveon_down3.png"]  # the natural one
PAGES = (lab.ASSETS / "code_editor.png", lab.ASSETS / "prose_page.png")
SCALE = lab.Scale(side=512, steps=1000, batch=8192)
PAGE_SIDE = 256  # crops of the dense pages
# Below the rate of the recipes: these pictures come out near the original, where gradients are weak
# and Muon, which steps as far whatever their size, would walk at random (README.md).
MUON = {"fit.optimizer.learning_rate": "2e-3"}
RECIPES = {"siren": MUON, "siren_rate": MUON, "siren_zstd": {}}
# Strokes are sharp wherever they are: on the lettering 120 gives 2.8 dB more than 30 (README.md).
TEXT = {"field.first_omega_0": "120"}
LETTERING_STEPS = {"fit.steps": "3400"}
LETTERING_BPPS = ("0.4", "0.6", "0.8", "1.0", "1.25", "1.5")

LINES = (  # text, height of the font in pixels
    ("Sine waves draw", 64),
    ("letters of any size.", 56),
    ("A network of sines", 52),
    ("keeps every edge sharp,", 44),
    ("in 0123456789 weights &", 40),
    ("no more than a page takes.", 38),
    ("Quick brown foxes, lazy dogs", 34),
    ("and jumping wizards: Qq? Zz!", 32),
    ("All of it drawn at once.", 40),
)
INK, PAPER = 16, 255


@dataclass(frozen=True)
class Case:
    """A picture and the fits of one recipe to it."""

    name: str
    picture: Path
    recipe: str
    target_bpps: tuple[str, ...]
    settings: dict[str, str]


def lettering(folder: Path, size: int) -> Path:
    """Write a page of large dark letters on white, grey, anti-aliased, as PNG.

    The font is the scalable one inside Pillow, so the page is the same wherever FreeType is.
    """
    page = Image.new("L", (512, 512), PAPER)
    draw = ImageDraw.Draw(page)
    top = 4
    for text, height in LINES:
        draw.text((14, top), text, fill=INK, font=ImageFont.load_default(height))
        top += round(1.17 * height)
    path = folder / "lettering.png"
    folder.mkdir(parents=True, exist_ok=True)
    page.crop((0, 0, size, size)).save(path)  # --tiny takes a corner
    return path


def drop_equal_channels(picture: Path) -> Path:
    """Keep one channel of a picture if its three are the same, as its owner would store it."""
    with Image.open(picture) as image:
        pixels = np.asarray(image)
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        Image.fromarray(np.ascontiguousarray(pixels[..., 0])).save(picture)
    return picture


def cases(run: lab.Run) -> list[Case]:
    """Crop the natural picture and the others, each with its recipes and rates."""
    folder, picture, side = run.folder / "work", run.pictures[0], run.scale.side
    page = lettering(folder, side)
    if run.is_tiny:
        shallow = {"field.n_layers": "2"}
        return [
            Case("natural", picture, "siren", ("3",), shallow),
            Case("lettering", page, "siren", ("2",), shallow | TEXT),
        ]
    is_full = run.is_full
    found = []
    for recipe, settings in RECIPES.items():
        natural_bpps = ("0.3", "0.6", "1.2") if is_full else ("0.3", "0.6")
        if is_full or recipe != "siren_rate":
            found.append(Case("natural", picture, recipe, natural_bpps, settings))
        if is_full:
            found.append(Case("lettering", page, recipe, LETTERING_BPPS, settings | TEXT))
        elif recipe == "siren":
            found.append(
                Case("lettering", page, recipe, LETTERING_BPPS, settings | TEXT | LETTERING_STEPS)
            )
    for path in PAGES:
        dense = drop_equal_channels(lab.crop(path, side if is_full else PAGE_SIDE, folder))
        bpps = ("0.5", "1.0", "1.5") if is_full else ("0.5", "1.0")
        found.append(Case(path.stem, dense, "siren", bpps, MUON | TEXT))
    return found


def fit_case(run: lab.Run, case: Case) -> list[lab.Row]:
    """Fit once a rate."""
    rows = run.sweep(
        f"{case.name}_{case.recipe}",
        case.recipe,
        settings=case.settings,
        vary={"target_bpp": case.target_bpps},
        pictures=[case.picture],
    )
    return [{"case": case.name, "codec": case.recipe} | row for row in rows]


def classical_rows(name: str, picture: Path, targets: list[float], every: int) -> list[lab.Row]:
    """Choose the best file of each classical codec and rate, and the lossless ones."""
    with Image.open(picture) as image:
        pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    found = classical.candidates(pixels, every=every)
    chosen = [
        (target, coded)
        for codec in classical.CODECS
        for target in targets
        if (coded := classical.best(found, codec, int(target * height * width / 8))) is not None
    ]
    origin = lab.origin()
    rows = []
    for target, coded in [*chosen, *((None, coded) for coded in classical.lossless(pixels))]:
        rate = {"n_bytes": coded.n_bytes, "bpp": bpp(coded.n_bytes, height, width)}
        how = {"form": coded.form, "quality": coded.quality, "psnr_db": coded.psnr_db}
        row = {"case": name, "codec": coded.codec, "picture": picture.name, "target_bpp": target}
        rows.append(row | rate | how | origin)
    return rows


def fit(run: lab.Run) -> list[lab.Row]:
    """Fit all cases, then write the classical files at their rates."""
    made = cases(run)
    rows = [row for case in made for row in fit_case(run, case)]
    targets: dict[tuple[str, Path], set[float]] = {}
    for case in made:
        rates = targets.setdefault((case.name, case.picture), set())
        rates.update(map(float, case.target_bpps))
    every = 20 if run.is_tiny else 1
    for (name, picture), rates in targets.items():
        rows += classical_rows(name, picture, sorted(rates), every)
    return rows


def panel_of(rows: list[lab.Row], case: str) -> charts.Panel:
    """Make a panel of every codec's curve on one picture."""
    lines: dict[str, list[lab.Row]] = {}
    for row in rows:
        if row["case"] == case and row.get("target_bpp") is not None:
            lines.setdefault(row["codec"], []).append(row)
    series = {codec: charts.points(members, "bpp") for codec, members in lines.items()}
    return charts.Panel(case, "bits per pixel of the file", "PSNR, dB", series)


def plot(path: Path, rows: list[lab.Row]) -> None:
    """Draw the first two pictures, and the dense pages in plot_pages.png beside them."""
    panels = [panel_of(rows, case) for case in dict.fromkeys(row["case"] for row in rows)]
    charts.plot(path, panels[:2])
    if panels[2:]:
        charts.plot(path.with_name("plot_pages.png"), panels[2:])


def tables_of(rows: list[lab.Row]) -> str:
    """Write PSNR by picture and rate, a column a codec; then the lossless files."""
    codecs = list(dict.fromkeys(row["codec"] for row in rows if row.get("target_bpp") is not None))
    by_place: dict[tuple[str, float], dict[str, float]] = {}
    for row in rows:
        if row.get("target_bpp") is not None:
            place = by_place.setdefault((row["case"], float(row["target_bpp"])), {})
            place[row["codec"]] = row["psnr_db"]
    lines = [[*place, *map(psnrs.get, codecs)] for place, psnrs in sorted(by_place.items())]
    exact = [
        [row["case"], row["codec"], row["bpp"]] for row in rows if row.get("target_bpp") is None
    ]
    main_table = charts.table(["picture", "at most bpp", *codecs], lines)
    return f"{main_table}\n\n{charts.table(['picture', 'lossless', 'bpp'], exact)}"


EXPERIMENT = lab.Experiment(
    Path(__file__).parent,
    __doc__,
    PICTURES,
    SCALE,
    fit,
    plot,
    tables_of,
    n_tiny_rows=14,  # a network, five classical codecs and forms, on each of two pictures
)


if __name__ == "__main__":
    EXPERIMENT.main()
