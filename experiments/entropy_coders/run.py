"""Entropy coders on the same weights, beside the entropy bound.

python experiments/entropy_coders/run.py [--pictures PICTURE] [--jobs N] [--tiny | --full]
"""

import dataclasses
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import charts
import lab
import numpy as np
import recode

PICTURES = [lab.ASSETS / "kodim23.png"]

SCALE = lab.Scale(side=256, steps=1500, batch=4096)
NET = {"field.hidden": "48", "field.n_layers": "6"}
FULL_NET = {"field.hidden": "128", "field.n_layers": "7"}  # the original's
TINY_NET = {"field.hidden": "12", "field.n_layers": "2"}
CASES = {
    "dense, 8 bits": {"quantize.bits": "8"},
    "RigL 0.9, 8 bits": {
        "quantize.bits": "8",
        "sparsify": "rigl",
        "sparsify.sparsity": "0.9",
    },
    "pruned 0.8, 8 bits": {
        "quantize.bits": "8",
        "sparsify": "magnitude",
        "sparsify.sparsity": "0.8",
    },
    "dense, k-means 4 bits": {"quantize": "kmeans", "quantize.bits": "4"},
}
# The other question: with as many bytes, how many weights does each coder leave room for?
FREE = {"quantize.bits": "8"}
NAMES = list(recode.CODERS)
TARGETS = ["3000", "6000", "9000"]  # bytes
# What a row of recoded codes has from its fit.
OF_FIT = (
    "picture",
    "psnr_db",
    "n_weights",
    "n_matrix",
    "n_zeros",
    "config_hash",
    "commit",
    "machine",
)


def fit(run: lab.Run) -> list[lab.Row]:
    """Take the first picture: the same weights through each coder, then fits to bytes."""
    return recode_cases(run) + fit_to_bytes(run)


def recode_cases(run: lab.Run) -> list[lab.Row]:
    """Fit once a case, and write its codes with each coder: a row each."""
    net = TINY_NET if run.is_tiny else FULL_NET if run.is_full else NET
    rows = []
    for case, changes in list(CASES.items())[: 1 if run.is_tiny else None]:
        name = case.replace(", ", "_").replace(" ", "_")
        (row,) = run.sweep(name, "siren", settings=net | changes, pictures=run.pictures[:1])
        data = run.file(name, row)
        for coder in recode.CODERS.values():
            made = recode.recode(data, coder, repeats=1 if run.is_tiny else 20)
            named = {"case": case, "coder": type(coder).__name__.lower()}
            rows.append(named | dataclasses.asdict(made) | {name: row[name] for name in OF_FIT})
    return rows


def fit_to_bytes(run: lab.Run) -> list[lab.Row]:
    """Fit once a coder and number of bytes."""
    names, targets, free = NAMES, TARGETS, FREE
    if run.is_tiny:
        names, targets, free = NAMES[:1], ["600"], free | {"field.n_layers": "2"}
    vary = {"target_bytes": targets, "coder": names}
    return run.sweep("bytes", "siren", settings=free, vary=vary, pictures=run.pictures[:1])


def plot(path: Path, all_rows: list[lab.Row]) -> None:
    """Draw bars of bits a weight, a group a case, with the bound as a line across each group;
    beside them the PSNR of fits to a number of bytes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [row for row in all_rows if "case" in row]
    cases = list(dict.fromkeys(row["case"] for row in rows))
    coders = list(dict.fromkeys(row["coder"] for row in rows))
    width = 0.8 / len(coders)
    figure, (axis, fits) = plt.subplots(
        1, 2, figsize=(13, 4.6), width_ratios=(3, 2), layout="constrained"
    )
    at_target = [row for row in all_rows if "case" not in row]
    for i, coder in enumerate(coders):
        bits = [
            8 * row["payload_bytes"] / row["n_weights"] for row in rows if row["coder"] == coder
        ]
        places = np.arange(len(cases)) + (i - (len(coders) - 1) / 2) * width
        bars = axis.bar(places, bits, width, label=coder)
        of_one = [row for row in at_target if row["coder"] == coder]
        if of_one:
            xs, ys = zip(*charts.points(of_one, "n_bytes"), strict=True)
            fits.plot(xs, ys, "o-", color=bars[0].get_facecolor())
    for place, case in enumerate(cases):
        row = next(row for row in rows if row["case"] == case)
        bound = 8 * row["bound_bytes"] / row["n_weights"]
        axis.hlines(bound, place - 0.45, place + 0.45, "k", label=None if place else "bound")
    axis.set_xticks(range(len(cases)), cases)
    axis.set(title="The same weights through each coder", ylabel="bits a weight, masked ones too")
    axis.legend(ncols=2)
    axis.grid(axis="y", alpha=0.3)
    fits.set(title="Width to suit", xlabel="bytes of the file", ylabel="PSNR, dB")
    fits.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def tables_of(all_rows: list[lab.Row]) -> str:
    """Write a line a case and coder, then one a fit to a number of bytes."""
    rows = [row for row in all_rows if "case" in row]
    columns = ("case", "coder", "payload bytes", "over the bound, %", "file bytes")
    lines = [
        [
            *(row["case"], row["coder"], row["payload_bytes"]),
            100 * (row["payload_bytes"] / row["bound_bytes"] - 1),
            *(row["n_bytes"], row["encode_ms"], row["decode_ms"]),
        ]
        for row in rows
    ]
    same = charts.table([*columns, "encode ms", "decode ms"], lines)
    names = ("target_bytes", "coder", "n_weights", "n_bytes", "psnr_db")
    fits = [[row[name] for name in names] for row in all_rows if "case" not in row]
    return f"{same}\n\n{charts.table(names, fits)}"


EXPERIMENT = lab.Experiment(
    Path(__file__).parent,
    __doc__,
    PICTURES,
    SCALE,
    fit,
    plot,
    tables_of,
    n_tiny_rows=6,  # one case by each coder, one fit to bytes,
)


if __name__ == "__main__":
    EXPERIMENT.main()
