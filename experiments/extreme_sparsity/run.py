"""SIRENs without 90 % and 95 % of their weights, 8 bits each, beside dense ones in as many bytes.

python experiments/extreme_sparsity/run.py [--pictures PICTURE...] [--jobs N] [--tiny | --full]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import charts
import lab
import recode

PICTURES = [lab.ASSETS / "flower_foveon_down3.png"]
SCALE = lab.Scale(side=256, steps=500, batch=2048)

NET = {"field.hidden": "128", "field.n_layers": "7", "quantize.bits": "8"}
TINY_NET = {"field.hidden": "12", "field.n_layers": "2", "quantize.bits": "8"}
METHODS = ["rigl", "magnitude"]
SPARSITIES = ["0.9", "0.95"]
CODERS = ("rangecoder", "huffman", "zstd")
DENSE_BITS = ["6.3", "8"]  # the default, and as many as the sparse ones have


def fit(run: lab.Run) -> list[lab.Row]:
    """Run sparse fits, with a row a coder, then dense fits in the bytes that the first one made."""
    net, methods, sparsities, dense_bits = NET, METHODS, SPARSITIES, DENSE_BITS
    dense = {"sparsify": "dense"}
    if run.is_tiny:
        net, methods, sparsities, dense_bits = TINY_NET, ["rigl"], ["0.9"], ["6.3"]
        dense["field.n_layers"] = "2"
    vary = {"sparsify": methods, "sparsify.sparsity": sparsities}
    found = run.sweep("sparse", "siren", settings=net, vary=vary)
    rows = []
    for row in found:
        data = run.file("sparse", row)
        for coder in CODERS:
            n_bytes = recode.recode(data, recode.CODERS[coder]).n_bytes
            rows.append(row | {"coder": coder, "n_bytes": n_bytes})
    for picture in run.pictures:
        sizes = sorted({row["n_bytes"] for row in found if row["picture"] == picture.name})
        vary = {"quantize.bits": dense_bits, "target_bytes": [str(size) for size in sizes]}
        name = f"dense_{picture.stem}"
        of_picture = run.sweep(name, "siren", settings=dense, vary=vary, pictures=[picture])
        rows += [row | {"coder": "rangecoder"} for row in of_picture]
    return rows


def label(row: lab.Row) -> str:
    if row["sparsify"] == "dense":
        return f"dense, {row['quantize.bits']} bits"
    return f"{row['sparsify']}, {row['coder']}"


def plot(path: Path, rows: list[lab.Row]) -> None:
    """Draw a panel a picture, at most three."""
    panels = [
        charts.Panel(
            name,
            "bytes of the file",
            "PSNR, dB",
            charts.series([row for row in rows if row["picture"] == name], label, "n_bytes"),
        )
        for name in list(dict.fromkeys(row["picture"] for row in rows))[:3]
    ]
    charts.plot(path, panels)


def table_of(rows: list[lab.Row]) -> str:
    """Write a line a sparse fit: its zeros, its bytes by each coder, the dense fits beside it."""
    coders = list(dict.fromkeys(row["coder"] for row in rows))
    bits = sorted({row["quantize.bits"] for row in rows if row["sparsify"] == "dense"})
    dense = {
        (row["picture"], row["target_bytes"], row["quantize.bits"]): row["psnr_db"]
        for row in rows
        if row["sparsify"] == "dense"
    }
    fits: dict[str, dict[str, lab.Row]] = {}
    for row in rows:
        if row["sparsify"] != "dense":
            fits.setdefault(row["config_hash"], {})[row["coder"]] = row
    lines = []
    for by_coder in fits.values():
        row = by_coder["rangecoder"]
        sparsity, n_matrix = row["sparsify.sparsity"], row["n_matrix"]
        asked = n_matrix - round((1 - sparsity) * n_matrix)
        sizes = [by_coder[coder]["n_bytes"] for coder in coders]
        others = [dense[row["picture"], row["n_bytes"], width] for width in bits]
        named = [row["picture"], row["sparsify"], sparsity, asked, row["n_zeros"]]
        lines.append([*named, *sizes, row["psnr_db"], *others])
    columns = ["picture", "method", "sparsity", "zeros asked for", "zeros in the file"]
    columns += [f"bytes, {coder}" for coder in coders]
    columns += ["PSNR, dB", *(f"dense, {width} bits, dB" for width in bits)]
    return charts.table(columns, lines)


EXPERIMENT = lab.Experiment(
    Path(__file__).parent,
    __doc__,
    PICTURES,
    SCALE,
    fit,
    plot,
    table_of,
    n_tiny_rows=4,  # a sparse fit by three coders, and a dense one,
)


if __name__ == "__main__":
    EXPERIMENT.main()
