"""One SIREN a wavelet band against one for the whole picture, at equal weights and equal bytes.

python experiments/wavelet_vs_direct/run.py [--pictures PICTURE...] [--jobs N] [--tiny | --full]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import charts
import lab

PICTURES = [lab.ASSETS / "flower_foveon_down3.png"]
SCALE = lab.Scale(side=256, steps=500, batch=4096)

DEPTH = "7"  # sine layers of every network
BITS = {"quantize.bits": "16"}  # so that only the split decides
# As many weights a pixel as the original's 33, 60 and 99 thousand at 512x512.
WIDTHS = ["36", "49", "64"]
FULL_WIDTHS = ["72", "99", "128", "141"]
TARGETS = ["2000", "4000"]  # bytes; the recipe chooses the width, and codes of 6.3 bits
SPLITS = {
    "whole": {"split": "whole"},
    "db3, 1 level": {"split": "wavelet"},  # the original's; low_share 0.8
    "haar, 1 level": {"split": "wavelet", "split.wavelet": "haar"},
    "db3, 2 levels": {"split": "wavelet", "split.levels": "2", "split.low_share": "0.5"},
}


def fit(run: lab.Run) -> list[lab.Row]:
    """Run two sweeps of each split."""
    splits, widths, targets, depth = SPLITS, WIDTHS, TARGETS, DEPTH
    if run.is_full:
        widths = FULL_WIDTHS
    if run.is_tiny:
        names = ("whole", "db3, 1 level")
        splits = {name: SPLITS[name] for name in names}
        widths, targets, depth = ["12"], ["700"], "2"
    common = {"field.n_layers": depth}
    rows = []
    for name, changes in splits.items():
        stem = name.replace(", ", "_").replace(" ", "_")
        cases = {
            "weights": (common | changes | BITS, {"field.hidden": widths}),
            "bytes": (common | changes, {"target_bytes": targets}),
        }
        for case, (settings, vary) in cases.items():
            found = run.sweep(f"{stem}_{case}", "siren", settings=settings, vary=vary)
            rows += [{"name": name, "case": case} | row for row in found]
    return rows


def name_of(row: lab.Row) -> str:
    return str(row["name"])


def plot(path: Path, rows: list[lab.Row]) -> None:
    fixed = [row for row in rows if row["case"] == "weights"]
    free = [row for row in rows if row["case"] == "bytes"]
    charts.plot(path, charts.weights_and_bytes(fixed, free, name_of, name_of))


def table_of(rows: list[lab.Row]) -> str:
    """Write a line a fit, with its gain over the whole picture at the same width or target."""

    def place(row: lab.Row) -> tuple[object, ...]:
        return (row["picture"], row.get("field.hidden"), row.get("target_bytes"))

    whole = {place(row): row["psnr_db"] for row in rows if row["name"] == "whole"}
    lines = [
        [
            *(row["name"], *place(row), row["n_weights"], row["n_bytes"], row["psnr_db"]),
            row["psnr_db"] - whole[place(row)],
        ]
        for row in rows
    ]
    columns = ("split", "picture", "hidden", "target bytes", "weights", "bytes", "PSNR, dB")
    return charts.table([*columns, "gain, dB"], lines)


EXPERIMENT = lab.Experiment(
    Path(__file__).parent,
    __doc__,
    PICTURES,
    SCALE,
    fit,
    plot,
    table_of,
    n_tiny_rows=4,  # a width and a target of each of two splits,
)


if __name__ == "__main__":
    EXPERIMENT.main()
