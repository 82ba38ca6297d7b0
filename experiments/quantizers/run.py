"""Quantizers and bit widths: what a code costs and what it keeps, dense and with a mask.

python experiments/quantizers/run.py [--pictures PICTURE...] [--jobs N] [--tiny | --full]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import charts
import lab

PICTURES = [lab.ASSETS / "kodim23.png"]
SCALE = lab.Scale(side=256, steps=1500, batch=4096)

NET = {"field.hidden": "48", "field.n_layers": "6"}
FULL_NET = {"field.hidden": "128", "field.n_layers": "7"}  # the original's
BITS = ["2", "3", "4", "5", "6", "8"]
ALL = ["uniform", "kmeans", "distribution"]
MASK = {"sparsify": "rigl", "sparsify.sparsity": "0.8"}
HALVES = {"quantize": "float16"}
FINEST = {"quantize": "uniform", "quantize.bits": "16"}
TARGETS, FULL_TARGETS = ["4000", "8000", "12000"], ["16000", "32000", "64000"]  # bytes

# Name, settings besides those of the fit, and what varies, of one sweep.
Planned = tuple[str, dict[str, str], dict[str, list[str]]]
SHALLOW = {"field.n_layers": "2"}
TINY: list[Planned] = [
    (
        "dense",
        SHALLOW | {"field.hidden": "12", "quantize.bits": "4"},
        {"quantize": ["uniform", "kmeans"]},
    ),
    ("bytes", SHALLOW, {"quantize": ["uniform"], "quantize.bits": ["6"], "target_bytes": ["700"]}),
]


def plan(net: dict[str, str], targets: list[str]) -> list[Planned]:
    """List the sweeps on one network, and those where the recipe chooses the width."""
    at_bytes = {"quantize": ALL, "quantize.bits": ["4", "6", "8"], "target_bytes": targets}
    return [
        ("dense", net, {"quantize": ALL, "quantize.bits": BITS}),
        ("dense_float16", net | HALVES, {}),
        ("dense_uniform16", net | FINEST, {}),
        ("rigl", net | MASK, {"quantize": ["uniform", "kmeans"], "quantize.bits": BITS}),
        ("rigl_float16", net | MASK | HALVES, {}),
        ("bytes", {}, at_bytes),
        ("bytes_float16", HALVES, {"target_bytes": targets}),
    ]


def fit(run: lab.Run) -> list[lab.Row]:
    """Run all sweeps, for rows that all have `quantize` and `quantize.bits`."""
    sweeps = plan(FULL_NET, FULL_TARGETS) if run.is_full else plan(NET, TARGETS)
    rows = []
    for name, changes, vary in TINY if run.is_tiny else sweeps:
        rows += run.sweep(name, "siren", settings=changes, vary=vary)
    return [{"quantize.bits": 16} | row for row in rows]  # float16 has no such setting


def plot(path: Path, rows: list[lab.Row]) -> None:
    fixed = [row for row in rows if not row["sweep"].startswith("bytes")]
    free: dict[tuple[str, str, int], lab.Row] = {}
    for row in (row for row in rows if row["sweep"].startswith("bytes")):
        place = row["picture"], row["quantize"], row["target_bytes"]
        if place not in free or row["psnr_db"] > free[place]["psnr_db"]:
            free[place] = row
    panels = [
        charts.Panel(
            "One network",
            "bits asked for",
            "PSNR, dB",
            charts.series(fixed, _label, "quantize.bits"),
            log_x=True,
        ),
        charts.Panel(
            "The same files",
            "bytes of the file",
            "PSNR, dB",
            charts.series(fixed, _label, "n_bytes"),
            log_x=True,
        ),
        charts.Panel(
            "Width to suit, best of 4, 6, 8 bits",
            "bytes of the file",
            "PSNR, dB",
            charts.series(list(free.values()), _label, "n_bytes"),
        ),
    ]
    charts.plot(path, panels)


def table_of(rows: list[lab.Row]) -> str:
    """Write a line a fit."""
    columns = (
        "picture",
        "sweep",
        "quantize",
        "quantize.bits",
        "target_bytes",
        "n_weights",
        "n_bytes",
    )
    lines = []
    for row in rows:
        zeros = row["n_zeros"] / row["n_matrix"]
        bits_a_weight = 8 * row["n_bytes"] / row["n_weights"]
        named = [row.get(name) for name in columns]
        lines.append([*named, bits_a_weight, zeros, row["psnr_db"]])
    return charts.table([*columns, "file bits a weight", "zeros", "psnr_db"], lines)


def _label(row: lab.Row) -> str:
    return f"{row['quantize']}{' RigL 0.8' if row['sweep'].startswith('rigl') else ''}"


EXPERIMENT = lab.Experiment(
    Path(__file__).parent,
    __doc__,
    PICTURES,
    SCALE,
    fit,
    plot,
    table_of,
    n_tiny_rows=3,  # two quantizers at one network, one fit to bytes,
)


if __name__ == "__main__":
    EXPERIMENT.main()
