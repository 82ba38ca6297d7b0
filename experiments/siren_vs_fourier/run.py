"""SIREN against Fourier features over width and depth, at equal weights and at equal bytes.

python experiments/siren_vs_fourier/run.py [--pictures PICTURE...] [--jobs N] [--tiny | --full]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import charts
import lab

PICTURES = [lab.ASSETS / "flower_foveon_down3.png"]
SCALE = lab.Scale(side=256, steps=400, batch=4096)

RECIPES = ("siren", "fourier")
WIDTHS = ["64", "96", "128"]
WIDTH_DEPTH = "7"  # sine or ReLU layers of the networks of several widths
FULL_WIDTHS, FULL_DEPTH_WIDTH = ["64", "96", "128", "256"], "128"  # the original's
DEPTHS = ["3", "5", "9"]
DEPTH_WIDTH = "96"  # hidden units of the networks of several depths
TARGETS = ["4000", "8000", "16000"]  # bytes; the recipe chooses the width, and codes of 6.3 bits
BITS = {"quantize.bits": "16"}  # so that only the network decides
FREQUENCIES = {"siren": {}, "fourier": {"field.n_frequencies": "128"}}  # the original's number


def fit(run: lab.Run) -> list[lab.Row]:
    """Run three sweeps of each recipe."""
    widths, width_depth, depth_width, targets = WIDTHS, WIDTH_DEPTH, DEPTH_WIDTH, TARGETS
    free = {}
    if run.is_full:
        widths, depth_width = FULL_WIDTHS, FULL_DEPTH_WIDTH
    if run.is_tiny:
        widths, targets, width_depth = ["12"], ["600"], "2"
        free["field.n_layers"] = "2"
    rows = []
    for recipe in RECIPES:
        fixed = BITS | FREQUENCIES[recipe]
        cases = {
            "width": (fixed | {"field.n_layers": width_depth}, {"field.hidden": widths}),
            "depth": (fixed | {"field.hidden": depth_width}, {"field.n_layers": DEPTHS}),
            "bytes": (free, {"target_bytes": targets}),
        }
        if run.is_tiny:
            del cases["depth"]
        for case, (settings, vary) in cases.items():
            found = run.sweep(f"{recipe}_{case}", recipe, settings=settings, vary=vary)
            rows += [{"case": case} | row for row in found]
    return rows


def plot(path: Path, rows: list[lab.Row]) -> None:
    fixed = [row for row in rows if row["case"] != "bytes"]
    free = [row for row in rows if row["case"] == "bytes"]

    def varied(row: lab.Row) -> str:
        return f"{row['recipe']}, {row['case']}"

    charts.plot(path, charts.weights_and_bytes(fixed, free, varied, lambda row: row["recipe"]))


def table_of(rows: list[lab.Row]) -> str:
    """Write a line a network or target, with both fields side by side."""
    settings = ("picture", "case", "field.hidden", "field.n_layers", "target_bytes")
    pairs: dict[tuple[object, ...], dict[str, lab.Row]] = {}
    for row in rows:
        pairs.setdefault(tuple(row.get(name) for name in settings), {})[row["recipe"]] = row
    figures = ("n_weights", "n_bytes", "psnr_db")
    lines = []
    for key, pair in pairs.items():
        siren, fourier = (pair[recipe] for recipe in RECIPES)
        both = [row[name] for row in (siren, fourier) for name in figures]
        lines.append([*key, *both, siren["psnr_db"] - fourier["psnr_db"]])
    columns = [f"{recipe} {name}" for recipe in RECIPES for name in figures]
    return charts.table([*settings, *columns, "gain, dB"], lines)


EXPERIMENT = lab.Experiment(
    Path(__file__).parent,
    __doc__,
    PICTURES,
    SCALE,
    fit,
    plot,
    table_of,
    n_tiny_rows=4,  # a width and a target of each recipe,
)


if __name__ == "__main__":
    EXPERIMENT.main()
