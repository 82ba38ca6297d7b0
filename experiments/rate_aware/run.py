"""Weights that pay for their bits while they are fitted, against the classic pipeline and RigL.

python experiments/rate_aware/run.py [--pictures PICTURE...] [--jobs N] [--tiny | --full]
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import charts
import lab

PICTURES = [lab.ASSETS / f"kodim{number}.png" for number in ("05", "08", "15", "23")]
RECIPES = ["siren_zstd", "siren_rigl", "siren", "siren_rate"]
# All steps are the recipes' own but with --tiny.
HALF, WHOLE = lab.Scale(side=384), lab.Scale(side=768)  # of the Kodak set's 768x512
TARGET = {"target_bpp": "0.3"}
TINY = {"target_bpp": "2", "field.n_layers": "2"}


def resize(picture: Path, scale: lab.Scale, folder: Path) -> Path:
    """Take a crop for --tiny, the whole picture for --full, else half its size."""
    if scale == lab.TINY:
        return lab.crop(picture, scale.side, folder)
    return picture if scale == WHOLE else lab.halve(picture, folder)


def fit(run: lab.Run) -> list[lab.Row]:
    """Fit each picture with each recipe."""
    pictures, recipes, settings = run.pictures, RECIPES, TARGET
    if run.is_tiny:
        pictures, recipes, settings = pictures[:1], RECIPES[2:], TINY
    rows = []
    for recipe in recipes:
        rows += run.sweep(recipe, recipe, settings=settings, pictures=pictures)
    return [row | {"zeros": row["n_zeros"] / row["n_matrix"]} for row in rows]


def mean_of(rows: list[lab.Row], recipe: str, column: str) -> float:
    """Average a column over all pictures, each counted once."""
    return statistics.mean(float(row[column]) for row in rows if row["recipe"] == recipe)


def table_of(rows: list[lab.Row]) -> str:
    """Write a line a picture and recipe, then the means."""
    columns = ("picture", "recipe", "bpp", "psnr_db", "n_weights", "zeros", "seconds")
    lines = [[row[name] for name in columns] for row in rows]
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        means = [mean_of(rows, recipe, name) for name in columns[2:]]
        lines.append(["mean", recipe, *means])
    for line in lines:
        line[2] = f"{line[2]:.4f}"  # two decimals do not tell such rates apart
    return charts.table(columns, lines)


def plot(path: Path, rows: list[lab.Row]) -> None:
    """Draw bars of PSNR, a group a picture and one for the mean."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    recipes = list(dict.fromkeys(row["recipe"] for row in rows))
    pictures = list(dict.fromkeys(row["picture"] for row in rows))
    width = 0.8 / len(recipes)
    figure, axis = plt.subplots(figsize=(9, 4.6), layout="constrained")
    heights = []
    for i, recipe in enumerate(recipes):
        psnrs = [row["psnr_db"] for row in rows if row["recipe"] == recipe]
        psnrs.append(mean_of(rows, recipe, "psnr_db"))
        places = np.arange(len(psnrs)) + (i - (len(recipes) - 1) / 2) * width
        bars = axis.bar(places, psnrs, width, label=recipe)
        axis.bar_label(bars, fmt="%.1f", fontsize=7)
        heights += psnrs
    axis.set_xticks(range(len(pictures) + 1), [*pictures, "mean"])
    axis.set(title="Equal bytes of the file", ylabel="PSNR, dB")
    axis.set_ylim(min(heights) - 2, max(heights) + 1)
    axis.legend(ncols=len(recipes))
    axis.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


EXPERIMENT = lab.Experiment(
    Path(__file__).parent,
    __doc__,
    PICTURES,
    HALF,
    fit,
    plot,
    table_of,
    n_tiny_rows=2,  # siren and siren_rate,
    full=WHOLE,
    resize=resize,
)


if __name__ == "__main__":
    EXPERIMENT.main()
