"""Entropy coders on the same weights, beside the entropy bound.

    python experiments/entropy_coders/run.py [--pictures PICTURE] [--jobs N] [--plot-only] [--tiny]
"""

import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import lab
import numpy as np

from inr import container
from inr.coders.deflate import Deflate
from inr.coders.entropy import entropy_bound_bits
from inr.coders.huffman import Huffman
from inr.coders.lzma_coder import Lzma
from inr.coders.plain_zstd import PlainZstd
from inr.coders.protocol import Coder
from inr.coders.range_coder import RangeCoder
from inr.coders.zstd import Zstd
from inr.mlp_file import CODE_BITS, open_file, read_codes
from inr.tags import write_stages

HERE = Path(__file__).resolve().parent
PICTURES = [lab.ASSETS / "kodim23.png"]
# PlainZstd: the original's way, all codes as bytes in one Zstandard frame.
CODERS: tuple[Coder, ...] = (RangeCoder(), Huffman(), Zstd(), PlainZstd(), Deflate(), Lzma())

FIT = {"field.hidden": "48", "field.n_layers": "6", "fit.steps": "1500", "fit.batch": "4096"}
TINY = {"field.hidden": "12", "field.n_layers": "2", "fit.steps": "20"}
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


def rows_of(case: str, fitted: lab.Row, file: Path, repeats: int) -> list[lab.Row]:
    """One row a coder: the file's codes written anew, and checked."""
    data = file.read_bytes()
    opened = open_file(data)
    codes = list(read_codes(opened).values())
    sizes = [tensor.size for tensor in codes]
    weights = opened.sections[container.SECTION_WEIGHTS]
    levels = weights[: len(weights) - len(opened.stages.coder.encode(codes, CODE_BITS))]
    rows = []
    for coder in CODERS:
        payload = coder.encode(codes, CODE_BITS)
        stages = dataclasses.replace(opened.stages, coder=coder)
        header = dataclasses.replace(opened.header, stages=write_stages(stages))
        sections = opened.sections | {container.SECTION_WEIGHTS: levels + payload}
        rewritten = container.pack(header, sections)
        again = read_codes(open_file(rewritten)).values()
        assert all(map(np.array_equal, codes, again)), f"{type(coder).__name__} changed the codes"
        rows.append(
            {
                "case": case,
                "coder": type(coder).__name__.lower(),
                "payload_bytes": len(payload),
                "bound_bytes": entropy_bound_bits(codes) / 8,
                "level_bytes": len(levels),
                "n_bytes": len(rewritten),
                "encode_ms": _best_ms(lambda c=coder: c.encode(codes, CODE_BITS), repeats),
                "decode_ms": _best_ms(
                    lambda c=coder, p=payload: c.decode(p, sizes, CODE_BITS), repeats
                ),
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


def plot(path: Path, rows: list[lab.Row]) -> None:
    """Bars of bits a weight, a group a case; the bound as a line across each group."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    cases = list(dict.fromkeys(row["case"] for row in rows))
    coders = list(dict.fromkeys(row["coder"] for row in rows))
    width = 0.8 / len(coders)
    figure, axis = plt.subplots(figsize=(9, 4.6), layout="constrained")
    for i, coder in enumerate(coders):
        bits = [8 * row["payload_bytes"] / row["n_weights"] for row in rows if row["coder"] == coder]
        places = np.arange(len(cases)) + (i - (len(coders) - 1) / 2) * width
        axis.bar(places, bits, width, label=coder)
    for place, case in enumerate(cases):
        row = next(row for row in rows if row["case"] == case)
        bound = 8 * row["bound_bytes"] / row["n_weights"]
        axis.hlines(bound, place - 0.45, place + 0.45, "k", label=None if place else "bound")
    axis.set_xticks(range(len(cases)), cases)
    axis.set(title="The same weights through each coder", ylabel="bits a weight, masked ones too")
    axis.legend(ncols=2)
    axis.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def table_of(rows: list[lab.Row]) -> str:
    """One line a case and coder."""
    columns = ("case", "coder", "payload bytes", "over the bound, %", "file bytes")
    lines = [
        [
            *(row["case"], row["coder"], row["payload_bytes"]),
            100 * (row["payload_bytes"] / row["bound_bytes"] - 1),
            *(row["n_bytes"], row["encode_ms"], row["decode_ms"]),
        ]
        for row in rows
    ]
    return lab.table([*columns, "encode ms", "decode ms"], lines)


def main() -> None:
    given = lab.parser(__doc__ or "").parse_args()
    with lab.results_folder(HERE, tiny=given.tiny) as folder:
        if given.plot_only:
            rows = lab.load(folder)
        else:
            size, repeats = (48, 1) if given.tiny else (256, 20)
            picture = lab.crop((given.pictures or PICTURES)[0], size, folder / "work")
            cases = dict(list(CASES.items())[:2]) if given.tiny else CASES
            rows = []
            for case, changes in cases.items():
                name = case.replace(", ", "_").replace(" ", "_")
                settings = (TINY if given.tiny else FIT) | changes
                (fitted,) = lab.sweep(
                    folder, name, [picture], "siren", settings=settings, jobs=given.jobs
                )
                file = folder / "work" / name / "files" / f"{fitted['config_hash']}.inr"
                rows += rows_of(case, fitted, file, repeats)
            lab.save(folder, rows)
        plot(folder / "plot.png", rows)
        print(table_of(rows))
        if given.tiny:
            assert len(rows) == len(cases) * len(CODERS)
            assert len(lab.load(folder)) == len(rows)
            assert (folder / "plot.png").exists()


if __name__ == "__main__":
    main()
