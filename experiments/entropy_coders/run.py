"""Entropy coders on the same weights, beside the entropy bound.

python experiments/entropy_coders/run.py [--pictures PICTURE] [--jobs N] [--tiny | --full]
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import charts
import lab
import numpy as np

from inr.coders.costs import entropy_bound_bits
from inr.coders.deflate import Deflate
from inr.coders.huffman import Huffman
from inr.coders.lzma import Lzma
from inr.coders.protocol import Coder
from inr.coders.range_coder import RangeCoder
from inr.coders.zstd import Zstd

PICTURES = [lab.ASSETS / "kodim23.png"]
CODERS: tuple[Coder, ...] = (RangeCoder(), Huffman(), Zstd(), Deflate(), Lzma())

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
NAMES = ["rangecoder", "huffman", "zstd", "deflate", "lzma"]  # those that a fit may choose
TARGETS = ["3000", "6000", "9000"]  # bytes


def rewritten(folder: Path, picture: Path, scale: lab.Scale, jobs: int) -> list[lab.Row]:
    """One fit a case, and a row for each coder of its codes."""
    is_tiny = scale == lab.TINY
    net = TINY_NET if is_tiny else FULL_NET if scale == lab.FULL else NET
    rows = []
    for case, changes in list(CASES.items())[: 1 if is_tiny else None]:
        name = case.replace(", ", "_").replace(" ", "_")
        settings = scale.settings() | net | changes
        (fit,) = lab.sweep(folder, name, [picture], "siren", settings=settings, jobs=jobs)
        file = folder / "work" / name / "files" / f"{fit['config_hash']}.inr"
        rows += rows_of(case, fit, file, repeats=1 if is_tiny else 20)
    return rows


def fitted_to_bytes(folder: Path, picture: Path, scale: lab.Scale, jobs: int) -> list[lab.Row]:
    """One fit a coder and number of bytes."""
    names, targets, free = NAMES, TARGETS, scale.settings() | FREE
    if scale == lab.TINY:
        names, targets, free = NAMES[:1], ["600"], free | {"field.n_layers": "2"}
    vary = {"target_bytes": targets, "coder": names}
    return lab.sweep(folder, "bytes", [picture], "siren", settings=free, vary=vary, jobs=jobs)


def rows_of(case: str, fitted: lab.Row, file: Path, repeats: int) -> list[lab.Row]:
    """One row a coder: the file's codes written anew, and checked."""
    rows = []
    for coder in CODERS:
        made = lab.recoded(file.read_bytes(), coder)
        codes, sizes = made.codes, [tensor.size for tensor in made.codes]
        rows.append(
            {
                "case": case,
                "coder": type(coder).__name__.lower(),
                "payload_bytes": len(made.payload),
                "bound_bytes": entropy_bound_bits(codes) / 8,
                "level_bytes": len(made.levels),
                "n_bytes": len(made.data),
                "encode_ms": _best_ms(partial(coder.encode, codes), repeats),
                "decode_ms": _best_ms(partial(coder.decode, made.payload, sizes), repeats),
            }
            | {name: fitted[name] for name in ("picture", "psnr_db", "n_weights", "n_matrix")}
            | {name: fitted[name] for name in ("n_zeros", "config_hash", "commit", "machine")}
        )
    return rows


def _best_ms(work: Callable[[], object], repeats: int) -> float:
    """The shortest of several runs: others on the machine can only make it longer."""
    seconds = []
    for _ in range(repeats):
        started_at = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started_at)
    return 1e3 * min(seconds)


def plot(path: Path, all_rows: list[lab.Row]) -> None:
    """Bars of bits a weight, a group a case, with the bound as a line across each group; beside
    them the PSNR of fits to a number of bytes."""
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


def fitted(folder: Path, pictures: list[Path], scale: lab.Scale, jobs: int) -> list[lab.Row]:
    """Of the first picture: the same weights through each coder, then fits to bytes."""
    same = rewritten(folder, pictures[0], scale, jobs)
    return same + fitted_to_bytes(folder, pictures[0], scale, jobs)


def tables_of(all_rows: list[lab.Row]) -> str:
    """One line a case and coder, then one a fit to a number of bytes."""
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


def check_tiny(rows: list[lab.Row]) -> None:
    assert len(rows) == len(CODERS) + 1, "one case, one fit to bytes"


if __name__ == "__main__":
    lab.main(__file__, __doc__ or "", PICTURES, SCALE, fitted, plot, tables_of, check_tiny)
