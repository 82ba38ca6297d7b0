"""SIRENs without 90 % and 95 % of their weights, 8 bits each, beside dense ones in as many bytes.

python experiments/extreme_sparsity/run.py [--pictures PICTURE...] [--jobs N] [--tiny | --full]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import charts
import lab

from inr.coders.huffman import Huffman
from inr.coders.protocol import Coder
from inr.coders.range_coder import RangeCoder
from inr.coders.zstd import Zstd

PICTURES = [lab.ASSETS / "flower_foveon_down3.png"]
SCALE = lab.Scale(side=256, steps=500, batch=2048)

NET = {"field.hidden": "128", "field.n_layers": "7", "quantize.bits": "8"}
TINY_NET = {"field.hidden": "12", "field.n_layers": "2", "quantize.bits": "8"}
METHODS = ["rigl", "magnitude"]
SPARSITIES = ["0.9", "0.95"]
CODERS: tuple[Coder, ...] = (RangeCoder(), Huffman(), Zstd())
DENSE_BITS = ["6.3", "8"]  # the default, and as many as the sparse ones have


def fitted(folder: Path, pictures: list[Path], scale: lab.Scale, jobs: int) -> list[lab.Row]:
    """Sparse fits with a row for each coder, then dense fits in the bytes of the first coder's."""
    net, methods, sparsities, dense_bits = NET, METHODS, SPARSITIES, DENSE_BITS
    dense = scale.settings() | {"sparsify": "dense"}
    if scale == lab.TINY:
        net, methods, sparsities, dense_bits = TINY_NET, ["rigl"], ["0.9"], ["6.3"]
        dense["field.n_layers"] = "2"
    vary = {"sparsify": methods, "sparsify.sparsity": sparsities}
    sparse = scale.settings() | net
    found = lab.sweep(folder, "sparse", pictures, "siren", settings=sparse, vary=vary, jobs=jobs)
    rows = []
    for row in found:
        data = (folder / "work/sparse/files" / f"{row['config_hash']}.inr").read_bytes()
        for coder in CODERS:
            name = type(coder).__name__.lower()
            rows.append(row | {"coder": name, "n_bytes": len(lab.recoded(data, coder).data)})
    for picture in pictures:
        sizes = sorted({row["n_bytes"] for row in found if row["picture"] == picture.name})
        vary = {"quantize.bits": dense_bits, "target_bytes": [str(size) for size in sizes]}
        name = f"dense_{picture.stem}"
        rows += [
            row | {"coder": "rangecoder"}
            for row in lab.sweep(
                folder, name, [picture], "siren", settings=dense, vary=vary, jobs=jobs
            )
        ]
    return rows


def label(row: lab.Row) -> str:
    if row["sparsify"] == "dense":
        return f"dense, {row['quantize.bits']} bits"
    return f"{row['sparsify']}, {row['coder']}"


def plot(path: Path, rows: list[lab.Row]) -> None:
    """One panel a picture, at most three."""
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
    """One line a sparse fit: its zeros, its bytes with each coder, and the dense fits beside it."""
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


def check_tiny(rows: list[lab.Row]) -> None:
    assert len(rows) == len(CODERS) + 1, "a sparse fit, and a dense one"


if __name__ == "__main__":
    lab.main(__file__, __doc__ or "", PICTURES, SCALE, fitted, plot, table_of, check_tiny)
