"""Steps and rate of kind grid: what a fit of so many steps takes, and what it is worth.

python experiments/steps_and_rate/run.py [--pictures PICTURE...] [--tiny | --plot-only]
"""

import contextlib
import csv
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.interpolate import PchipInterpolator

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import charts
import lab

import inr

PICTURES = [lab.ASSETS / f"{name}.png" for name in ("kodim05", "kodim08", "kodim15", "kodim23")]
SCALE = lab.Scale(side=1024)  # no crops
LAMBDAS = ("0.004", "0.001", "0.0004", "0.0001")
WARM, COLD = "grid", "5cd0d85"  # now, and the commit whose fits began with no latents
STEPS = {WARM: (0, 30, 62, 300, 1000, 2000, 3000), COLD: (100, 300, 1000)}
FEW_STEPS = 200  # for so many, grid_fast is the better recipe
# Pages of text: as grid_fast takes them now, with the networks for photographs, and as it did.
PAGES = [lab.ASSETS / f"{name}.png" for name in ("code_editor", "prose_page")]
PAGE_LAMBDAS = ("0.004", "0.001", "0.0004")
PAGE_FITS = (
    (WARM, "pages", {}, 140),
    (WARM, "pages, set for photographs", {"screen_prior": "0"}, 62),
    (COLD, "pages", {}, 180),
)
# What single parts are worth, at one lambda and number of steps.
ABLATION_LAMBDA, ABLATION_STEPS = "0.001", 62
ABLATIONS = {
    "latents alone": {"fit.alone": "1"},
    "one rate for all levels": {"fit.latent_slope": "0"},
    "levels' rates twice apart": {"fit.latent_slope": "1"},
    "a tenth of it latents alone": {"fit.alone": "0.1"},
    "what draws as fast as the context model": {"fit.drawing_rate": "1"},
    "coarse steps as large as fine ones": {"structure.prior": "3"},
    "soft rounding from 0.3 on": {"fit.temperature": "0.3"},
    "no tail": {"fit.tail": "0.0001"},
    "networks' bits not counted": {"fit.network_rate": "0"},
}
ANCHORS = ("jpeg420", "webp", "avif")
COOL_CHIC = Path(__file__).with_name("cool_chic.json")
_BEFORE = "import sys; from inr.cli import main; sys.exit(main())"


def fit(run: lab.Run) -> list[lab.Row]:
    """Encode with each number of steps what work/rows.jsonl does not have yet."""
    work = run.folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    if run.is_tiny:
        plan = [(WARM, "all", {}, "0.01", n_steps) for n_steps in (0, 2)]
        return [_row(work, run.pictures[0], *each) for each in plan]
    plan = [
        (codec, "all", {}, lambda_, n_steps)
        for codec, steps in STEPS.items()
        for n_steps in steps
        for lambda_ in LAMBDAS
    ]
    plan += [
        (WARM, name, settings, ABLATION_LAMBDA, ABLATION_STEPS)
        for name, settings in ABLATIONS.items()
    ]
    of_pages = [
        (codec, name, settings, lambda_, n_steps)
        for codec, name, settings, n_steps in PAGE_FITS
        for lambda_ in PAGE_LAMBDAS
    ]
    rows = _classical(work, [*run.pictures, *PAGES])
    for pictures, fits in ((PAGES, of_pages), (run.pictures, plan)):
        rows += [_row(work, picture, *each) for each in fits for picture in pictures]
    return rows


def _row(
    work: Path,
    picture: Path,
    codec: str,
    ablation: str,
    settings: dict[str, str],
    lambda_: str,
    n_steps: int,
) -> lab.Row:
    """Encode and decode in processes of their own, or read the row of an earlier run."""
    key = {"picture": picture.name, "codec": codec, "ablation": ablation}
    key |= {"lambda": float(lambda_), "steps": n_steps}
    kept = work / "rows.jsonl"
    for line in kept.read_text().splitlines() if kept.exists() else ():
        row: lab.Row = json.loads(line)
        if row.items() >= key.items():
            return row
    start, environment = _program(work, codec)
    with tempfile.TemporaryDirectory() as folder:
        coded, decoded = Path(folder) / "a.inr", Path(folder) / "a.png"
        recipe = "grid"
        if codec == WARM and n_steps <= FEW_STEPS:
            recipe = "grid_fast" if n_steps else "grid_instant"
        options = ["--recipe", recipe, "--set", f"lambda={lambda_}"]
        options += ["--set", f"fit.steps={n_steps}"]
        for path, value in settings.items():
            options += ["--set", f"{path}={value}"]
        before, started_at = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        _run([*start, "encode", str(picture), "-o", str(coded), "-q", *options], environment)
        seconds = time.monotonic() - started_at
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        _run([*start, "decode", str(coded), "-o", str(decoded), "-q"], environment)
        original, drawn = (np.asarray(Image.open(path)) for path in (picture, decoded))
        n_bytes = coded.stat().st_size
    cpu_seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    figures = {
        "n_bytes": n_bytes,
        "bpp": inr.bpp(n_bytes, *original.shape[:2]),
        "psnr_db": inr.psnr_db(original, drawn),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
    }
    row = key | figures | lab.origin()
    print(json.dumps(row), file=sys.stderr, flush=True)
    with kept.open("a") as file:
        file.write(json.dumps(row) + "\n")
    return row


def _program(work: Path, codec: str) -> tuple[list[str], dict[str, str]]:
    """Return what starts `inr`, and under which variables, of this checkout or of COLD."""
    if codec == WARM:
        return list(lab.INR), dict(os.environ)
    before = (work / codec).absolute()
    if not before.exists():
        archive = subprocess.run(
            ["git", "archive", codec], cwd=lab.HERE.parent, check=True, capture_output=True
        )
        before.mkdir()
        subprocess.run(["tar", "x", "-C", str(before)], input=archive.stdout, check=True)
    return [sys.executable, "-P", "-c", _BEFORE], dict(os.environ) | {"PYTHONPATH": str(before)}


def _run(command: Sequence[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr.strip())


def _classical(work: Path, pictures: Sequence[Path]) -> list[lab.Row]:
    """Return the points of the classical codecs, by `inr compare`."""
    output = work / "compare"
    if not (output / "rows.csv").exists():
        codecs = [option for name in ANCHORS for option in ("--codec", name)]
        command = [*lab.INR, "compare", *map(str, pictures), "-o", str(output), "-q"]
        _run([*command, *codecs, "--recipe", "grid_instant", "--anchor", "webp"], dict(os.environ))
    with (output / "rows.csv").open(newline="") as file:
        return [
            {"picture": row["picture"], "codec": row["codec"]}
            | {name: float(row[name]) for name in ("bpp", "psnr_db")}
            for row in csv.DictReader(file)
            if row["codec"] in ANCHORS
        ]


Curve = tuple[list[float], list[float]]  # bpp and PSNR of each point


def _anchors(rows: list[lab.Row]) -> dict[str, dict[str, Curve]]:
    """Return the curves to compare with, by codec and picture."""
    found: dict[str, dict[str, Curve]] = {name: {} for name in ANCHORS}
    for row in rows:
        if row["codec"] in ANCHORS:
            bpps, qualities = found[row["codec"]].setdefault(_name(row), ([], []))
            bpps.append(row["bpp"])
            qualities.append(row["psnr_db"])
    pictures = json.loads(COOL_CHIC.read_text())["pictures"]
    found["cool-chic 5.0"] = {name: (it["bpp"], it["psnr"]) for name, it in pictures.items()}
    return found


def _name(row: lab.Row) -> str:
    """Return "kodim05" of "kodim05_768x512.png"."""
    return Path(row["picture"]).stem.split("_")[0]


def _fits(rows: list[lab.Row]) -> dict[tuple[str, int], list[lab.Row]]:
    """Return the rows of whole curves, by codec and steps."""
    groups: dict[tuple[str, int], list[lab.Row]] = {}
    for row in rows:
        if row.get("ablation") == "all":
            groups.setdefault((row["codec"], row["steps"]), []).append(row)
    return groups


def _bd_rates(group: list[lab.Row], anchor: dict[str, Curve]) -> dict[str, float | None]:
    """Return percents by picture, and "mean"; None where curves do not meet or have too few
    points."""
    found: dict[str, float | None] = {}
    for name in sorted({_name(row) for row in group}):
        own = [row for row in group if _name(row) == name]
        curve = [row["bpp"] for row in own], [row["psnr_db"] for row in own]
        found[name] = None
        if name in anchor and len(own) >= len(LAMBDAS):
            with contextlib.suppress(inr.InrError):
                found[name] = inr.bd_rate(*anchor[name], *curve).percent
    known = [percent for percent in found.values() if percent is not None]
    mean = sum(known) / len(known) if len(known) == len(found) else None
    return found | {"mean": mean}


def table_of(rows: list[lab.Row]) -> str:
    """Write a line a number of steps and picture, and one for each setting that is changed."""
    anchors, lines = _anchors(rows), []
    for (codec, n_steps), group in sorted(_fits(rows).items()):
        rates = [_bd_rates(group, anchor) for anchor in anchors.values()]
        for picture in rates[0]:
            own = [row for row in group if picture in (_name(row), "mean")]
            times = [_mean(own, name) for name in _TIMES]
            lines.append([codec, n_steps, picture, *times, *(each[picture] for each in rates)])
    columns = [
        "codec",
        "steps",
        "picture",
        "seconds",
        "CPU seconds",
        *(f"BD-rate, {name}" for name in anchors),
    ]
    parts = charts.table(columns, lines)
    losses: dict[str, list[float]] = {}
    for row in rows:
        if (
            row["codec"] == WARM
            and row["steps"] == ABLATION_STEPS
            and row["lambda"] == float(ABLATION_LAMBDA)
            and not row["ablation"].startswith("pages")
        ):
            losses.setdefault(row["ablation"], []).append(_loss(row))
    whole = sum(losses.get("all", []))
    shown = [[name, 100 * (sum(each) / whole - 1)] for name, each in losses.items()]
    parts += "\n\n" + _table_of_points(rows, anchors)
    parts += "\n\n" + _table_of_pages(rows, anchors)
    return parts + "\n\n" + charts.table(["changed", "loss, percent"], shown)


def _table_of_points(rows: list[lab.Row], anchors: dict[str, dict[str, Curve]]) -> str:
    """Write the bits of each file of the middle lambda, against what others need for its PSNR."""
    lines = []
    for (codec, n_steps), group in sorted(_fits(rows).items()):
        for row in group:
            if row["lambda"] == float(ABLATION_LAMBDA):
                others = [_bpp_at(row, anchor) for anchor in anchors.values()]
                percents = [100 * (row["bpp"] / bpp - 1) if bpp else None for bpp in others]
                figures = [row.get(name) for name in ("bpp", "psnr_db", "seconds")]
                lines.append([codec, n_steps, _name(row), *figures, *percents])
    names = [f"bits, percent of {name}" for name in anchors]
    return charts.table(["codec", "steps", "picture", "bpp", "PSNR dB", "seconds", *names], lines)


def _table_of_pages(rows: list[lab.Row], anchors: dict[str, dict[str, Curve]]) -> str:
    """Write the files of pages of text: their losses, and bits against WebP at their PSNR."""
    lines = []
    for row in rows:
        if str(row.get("ablation")).startswith("pages"):
            bpp = _bpp_at(row, anchors["webp"])
            against = 100 * (row["bpp"] / bpp - 1) if bpp else None
            page, lambda_ = Path(row["picture"]).stem, str(row["lambda"])
            figures = [row["bpp"], row["psnr_db"], row.get("seconds"), against]
            loss = f"{1000 * _loss(row):.3f}"
            lines.append([page, lambda_, row["codec"], row["ablation"], loss, *figures])
    columns = ["page", "lambda", "codec", "fit", "1000 loss", "bpp", "PSNR dB", "seconds"]
    return charts.table([*columns, "bits, percent of webp"], sorted(lines, key=lambda it: it[:2]))


def _loss(row: lab.Row) -> float:
    """Return MSE + lambda * bpp."""
    return float(10 ** (-row["psnr_db"] / 10) + row["lambda"] * row["bpp"])


def _bpp_at(row: lab.Row, anchor: dict[str, Curve]) -> float | None:
    """Return the bits a pixel of a codec at the PSNR of a row; None where its curve does not have
    that."""
    if _name(row) not in anchor:
        return None
    bpps, qualities = anchor[_name(row)]
    falling = sorted(zip(qualities, bpps, strict=True), reverse=True)
    x, y = zip(*sorted(dict(falling).items()), strict=True)  # of equal qualities the smallest
    curve = PchipInterpolator(x, np.log(y), extrapolate=False)
    bpp = float(np.exp(curve(row["psnr_db"])))
    return None if math.isnan(bpp) else bpp


_TIMES = ("seconds", "cpu_seconds")


def _mean(rows: list[lab.Row], name: str) -> float | None:
    """Return the mean of a column over the rows that have it: a run that was held up has no
    times."""
    values = [row[name] for row in rows if name in row]
    return sum(values) / len(values) if values else None


def plot(path: Path, rows: list[lab.Row]) -> None:
    anchors, fits = _anchors(rows), _fits(rows)
    panels = []
    for name, anchor in list(anchors.items())[1:]:
        series: dict[str, list[tuple[float, float]]] = {}
        for (codec, _), group in sorted(fits.items()):
            rate = _bd_rates(group, anchor)["mean"]
            cpu_seconds = _mean(group, "cpu_seconds")
            if rate is not None and cpu_seconds is not None:
                series.setdefault(codec, []).append((cpu_seconds, rate))
        panels.append(
            charts.Panel(f"Against {name}", "CPU seconds", "BD-rate, %", series, log_x=True)
        )
    charts.plot(path, panels)


EXPERIMENT = lab.Experiment(
    Path(__file__).parent,
    __doc__,
    PICTURES,
    SCALE,
    fit,
    plot,
    table_of,
    n_tiny_rows=2,  # numbers of steps
    full=None,
)


if __name__ == "__main__":
    EXPERIMENT.main()
