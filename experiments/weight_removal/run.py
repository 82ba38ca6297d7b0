"""Ways to take weights away from a SIREN, at equal weights and at equal bytes.

python experiments/weight_removal/run.py [--pictures PICTURE...] [--jobs N] [--tiny | --full]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import charts
import lab

PICTURES = [lab.ASSETS / "flower_foveon_down3.png"]
SCALE = lab.Scale(side=256, steps=500, batch=2048)

NET = {"field.hidden": "128", "field.n_layers": "7", "quantize.bits": "16"}
TINY_NET = {"field.hidden": "12", "field.n_layers": "2", "quantize.bits": "16"}
NINETY = ["rigl", "magnitude", "snfs", "set", "smalldense", "feathermap"]  # at 90 % alone
CURVES = ["rigl", "magnitude", "smalldense"]  # at each sparsity
OTHERS = ["0.95", "0.8", "0.5", "0.25"]
MASKED = ("rigl", "magnitude", "snfs", "set")  # their weights are zeros; the others' are not there
TARGETS = ["4000", "12000"]  # bytes; the recipe chooses the width, and codes of 6.3 bits
# Masked networks have 8 bits a kept weight, as siren_rigl has: its mask is paid for already.
SPARSE = {"sparsify.sparsity": "0.9", "quantize.bits": "8"}
# At 0.9 it would take networks of 200 units for these bytes, and as long as all others together.
FEATHERMAP = {"sparsify.sparsity": "0.8"}


def fit(run: lab.Run) -> list[lab.Row]:
    """Run all sweeps, those at 90 % first."""
    net, ninety, curves, others, targets = NET, NINETY, CURVES, OTHERS, TARGETS
    at_bytes = {}
    if run.is_tiny:
        net, ninety, curves, others, targets = (
            TINY_NET,
            NINETY[:2],
            ["feathermap"],
            ["0.5"],
            ["600"],
        )
        at_bytes["field.n_layers"] = "2"
    cases = [
        ("ninety", net | {"sparsify.sparsity": "0.9"}, {"sparsify": ninety}),
        ("dense", net | {"sparsify": "dense"}, {}),
        ("others", net, {"sparsify": curves, "sparsify.sparsity": others}),
        ("bytes_dense", at_bytes | {"sparsify": "dense"}, {"target_bytes": targets}),
        (
            "bytes_masked",
            at_bytes | SPARSE,
            {"sparsify": ["rigl", "magnitude"], "target_bytes": targets},
        ),
        (
            "bytes_feathermap",
            at_bytes | FEATHERMAP | {"sparsify": "feathermap"},
            {"target_bytes": targets},
        ),
    ]
    if run.is_tiny:
        cases = [case for case in cases if case[0] in ("ninety", "others", "bytes_dense")]
    rows = []
    for name, settings, vary in cases:
        rows += run.sweep(name, "siren", settings=settings, vary=vary)
    return [row | {"kept": count_kept(row)} for row in rows]


def count_kept(row: lab.Row) -> int:
    """Count the trained numbers that are left."""
    return int(row["n_weights"] - (row["n_zeros"] if row["sparsify"] in MASKED else 0))


def split(rows: list[lab.Row]) -> tuple[list[lab.Row], list[lab.Row]]:
    """Separate fits of the one network from fits to given bytes."""
    return (
        [row for row in rows if "target_bytes" not in row],
        [row for row in rows if "target_bytes" in row],
    )


def plot(path: Path, rows: list[lab.Row]) -> None:
    one_net, at_bytes = split(rows)

    def method(row: lab.Row) -> str:
        return str(row["sparsify"])

    panels = [
        charts.Panel(
            "Weights of 16 bits",
            "weights left",
            "PSNR, dB",
            charts.series(one_net, method, "kept"),
            log_x=True,
        ),
        charts.Panel(
            "The same files, masks included",
            "bytes of the file",
            "PSNR, dB",
            charts.series(one_net, method, "n_bytes"),
            log_x=True,
        ),
        charts.Panel(
            "Width and bits to suit",
            "bytes of the file",
            "PSNR, dB",
            charts.series(at_bytes, method, "n_bytes"),
        ),
    ]
    charts.plot(path, panels)


def tables_of(rows: list[lab.Row]) -> str:
    one_net, at_bytes = split(rows)
    columns = ["picture", "method", "weights left", "zeros asked for", "zeros in the file"]
    lines = []
    for row in (row for row in one_net if row["sweep"] == "ninety"):
        zeros: list[int | None] = [None, None]
        if row["sparsify"] in MASKED:
            asked = row["n_matrix"] - round((1 - row["sparsify.sparsity"]) * row["n_matrix"])
            zeros = [asked, row["n_zeros"]]
        named = [row["picture"], row["sparsify"], row["kept"], *zeros, row["n_bytes"]]
        lines.append([*named, row["psnr_db"]])
    ninety = charts.table([*columns, "bytes", "PSNR, dB"], lines)

    levels = sorted({row.get("sparsify.sparsity", 0.0) for row in one_net})
    grid: dict[tuple[str, str], dict[float, float]] = {}
    for row in one_net:
        place = grid.setdefault((row["picture"], row["sparsify"]), {})
        place[row.get("sparsify.sparsity", 0.0)] = row["psnr_db"]
    shares = [f"{100 * (1 - level):.0f} %" for level in levels]
    curves = charts.table(
        ["picture", "method", *shares],
        [[*key, *(place.get(level) for level in levels)] for key, place in grid.items()],
    )
    names = ("picture", "sparsify", "target_bytes", "kept", "n_bytes", "psnr_db")
    same_bytes = charts.table(names, [[row[name] for name in names] for row in at_bytes])
    return f"{ninety}\n\n{curves}\n\n{same_bytes}"


EXPERIMENT = lab.Experiment(
    Path(__file__).parent,
    __doc__,
    PICTURES,
    SCALE,
    fit,
    plot,
    tables_of,
    n_tiny_rows=4,  # two at 90 %, one other, one at given bytes,
)


if __name__ == "__main__":
    EXPERIMENT.main()
