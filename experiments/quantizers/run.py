"""Quantizers and bit widths: what a code costs and what it keeps, dense and with a mask.

    python experiments/quantizers/run.py [--pictures PICTURE] [--jobs N] [--plot-only] [--tiny]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import lab

HERE = Path(__file__).resolve().parent
PICTURES = [lab.ASSETS / "kodim23.png"]

FIXED = {"field.hidden": "48", "field.n_layers": "6", "fit.steps": "1500", "fit.batch": "4096"}
FREE = {"fit.steps": "1500", "fit.batch": "4096"}  # at equal bytes the recipe chooses the width
BITS = ["2", "3", "4", "5", "6", "8"]
CODEBOOKS = ["kmeans", "distribution"]
TARGETS = ["4000", "8000", "12000"]  # bytes
TARGET_BITS = ["4", "6", "8"]
MASK = {"sparsify": "rigl", "sparsify.sparsity": "0.8"}

TINY = {"fit.steps": "20", "field.hidden": "12", "field.n_layers": "3"}


def sweeps(folder: Path, pictures: list[Path], jobs: int, *, tiny: bool) -> list[lab.Row]:
    """All fits, as rows with `quantize` and `quantize.bits`."""
    fixed, free = (TINY, {"fit.steps": "20"}) if tiny else (FIXED, FREE)
    bits, target_bits, targets = (
        (["4", "8"], ["6"], ["700"]) if tiny else (BITS, TARGET_BITS, TARGETS)
    )
    chosen = {"quantize": ["uniform", *CODEBOOKS], "quantize.bits": bits}
    masked = {"quantize": ["uniform", "kmeans"], "quantize.bits": bits}
    at_target = {
        "quantize": ["uniform", *CODEBOOKS],
        "quantize.bits": target_bits,
        "target_bytes": targets,
    }
    halves = {"quantize": "float16"}
    finest = {"quantize": "uniform", "quantize.bits": "16"}
    given = [
        ("dense", fixed, chosen),
        ("dense_float16", fixed | halves, {}),
        ("dense_uniform16", fixed | finest, {}),
        ("rigl", fixed | MASK, masked),
        ("rigl_float16", fixed | MASK | halves, {}),
        ("equal_bytes", free, at_target),
        ("equal_bytes_float16", free | halves, {"target_bytes": targets}),
    ]
    rows = []
    for name, settings, vary in given:
        rows += lab.sweep(folder, name, pictures, "siren", settings=settings, vary=vary, jobs=jobs)
    return [{"quantize.bits": 16} | row for row in rows]  # float16 has no such setting


def panels_of(rows: list[lab.Row]) -> list[lab.Panel]:
    """PSNR over bits at one network, over the bytes of its file, and over bytes as given."""
    fixed = [row for row in rows if not row["sweep"].startswith("equal_bytes")]
    targets = [row for row in rows if row["sweep"].startswith("equal_bytes")]
    lines: dict[str, list[lab.Row]] = {}
    for row in fixed:
        lines.setdefault(_label(row), []).append(row)
    best: dict[str, list[tuple[float, float]]] = {}
    for quantizer in dict.fromkeys(row["quantize"] for row in targets):
        of_one = [row for row in targets if row["quantize"] == quantizer]
        found = [max(group, key=_psnr) for group in _by(of_one, "target_bytes").values()]
        best[quantizer] = lab.points(found, "n_bytes")
    return [
        lab.Panel(
            "One network", "bits asked for", "PSNR, dB", _series(lines, "quantize.bits"), True
        ),
        lab.Panel("The same fits", "bytes of the file", "PSNR, dB", _series(lines, "n_bytes"), True),
        lab.Panel("Width to suit, best bits", "bytes of the file", "PSNR, dB", best),
    ]


def table_of(rows: list[lab.Row]) -> str:
    """One line a fit."""
    columns = ("sweep", "quantize", "quantize.bits", "target_bytes", "n_weights", "n_bytes")
    lines = []
    for row in rows:
        zeros = row["n_zeros"] / row["n_matrix"]
        bits_a_weight = 8 * row["n_bytes"] / row["n_weights"]
        named = [row.get(name) for name in columns]
        lines.append([*named, bits_a_weight, zeros, row["psnr_db"]])
    return lab.table([*columns, "file bits a weight", "zeros", "psnr_db"], lines)


def _label(row: lab.Row) -> str:
    return f"{row['quantize']}{' RigL 0.8' if row['sweep'].startswith('rigl') else ''}"


def _series(lines: dict[str, list[lab.Row]], x: str) -> dict[str, list[tuple[float, float]]]:
    return {label: lab.points(members, x) for label, members in lines.items()}


def _by(rows: list[lab.Row], column: str) -> dict[float, list[lab.Row]]:
    groups: dict[float, list[lab.Row]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    return groups


def _psnr(row: lab.Row) -> float:
    return float(row["psnr_db"])


def main() -> None:
    given = lab.parser(__doc__ or "").parse_args()
    with lab.results_folder(HERE, tiny=given.tiny) as folder:
        if given.plot_only:
            rows = lab.load(folder)
        else:
            size = 48 if given.tiny else 256
            pictures = [
                lab.crop(picture, size, folder / "work") for picture in given.pictures or PICTURES
            ]
            rows = sweeps(folder, pictures, given.jobs, tiny=given.tiny)
            lab.save(folder, rows)
        lab.plot(folder / "plot.png", panels_of(rows))
        print(table_of(rows))
        if given.tiny:
            assert len(rows) == 3 * 2 + 1 + 1 + 2 * 2 + 1 + 3 + 1
            assert len(lab.load(folder)) == len(rows)
            assert (folder / "plot.png").exists()


if __name__ == "__main__":
    main()
