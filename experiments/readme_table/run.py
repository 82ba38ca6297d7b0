"""Encodes pictures with each recipe at 0.3 bits a pixel, beside JPEG in as many bytes.

    python experiments/readme_table/run.py [PICTURE...] [--recipe NAME]... [--tiny | --table]

Every figure comes from the command line of `inr`, from real files, each command in a process of
its own. Rows go to results.jsonl beside this file (with --tiny to standard output only), and the
table that experiments/README.md shows is printed.
"""

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inr import ms_ssim, psnr_db, recipes

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import lab

TARGET = ["--target-bpp", "0.3"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def run_timed(*arguments: str) -> tuple[dict[str, Any], float]:
    """Run one `inr` command with --json; return what it printed and its wall seconds."""
    started_at = time.monotonic()
    done = subprocess.run([*lab.INR, *arguments, "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr.strip())
    result: dict[str, Any] = json.loads(done.stdout)
    return result, time.monotonic() - started_at


def inr_row(picture: Path, recipe: str, settings: list[str]) -> dict[str, Any]:
    """Encode, decode and measure one picture."""
    with tempfile.TemporaryDirectory() as folder:
        coded, decoded = str(Path(folder) / "a.inr"), str(Path(folder) / "a.png")
        encoded, encode_seconds = run_timed(
            "encode", str(picture), "-o", coded, "--recipe", recipe, *settings
        )
        _, decode_seconds = run_timed("decode", coded, "-o", decoded)
        figures, _ = run_timed("eval", str(picture), coded)
    return {
        "picture": picture.name,
        "codec": recipe,
        "n_bytes": figures["n_bytes"],
        "bpp": round(figures["bpp"], 4),
        "psnr_db": round(figures["psnr_db"], 3),
        "ms_ssim": round(figures["ms_ssim"], 4),
        "steps": encoded["steps"],
        "encode_seconds": round(encode_seconds, 1),
        "decode_seconds": round(decode_seconds, 2),
    }


def jpeg_row(picture: Path, n_bytes: int) -> dict[str, Any] | None:
    """Find the best optimised progressive 4:2:0 JPEG of at most n_bytes; None where quality 1 is
    larger."""
    with Image.open(picture) as image:
        rgb = image.convert("RGB")
    best: dict[str, Any] | None = None
    for quality in range(1, 96):
        buffer = io.BytesIO()
        started_at = time.monotonic()
        rgb.save(buffer, "JPEG", quality=quality, subsampling=2, optimize=True, progressive=True)
        encoded_at = time.monotonic()
        if buffer.tell() > n_bytes:
            break
        with Image.open(buffer) as reopened:
            decoded = np.asarray(reopened)
        best = {
            "picture": picture.name,
            "codec": "jpeg",
            "n_bytes": buffer.tell(),
            "bpp": round(8 * buffer.tell() / (rgb.width * rgb.height), 4),
            "psnr_db": round(psnr_db(np.asarray(rgb), decoded), 3),
            "ms_ssim": round(ms_ssim(np.asarray(rgb), decoded), 4),
            "encode_seconds": round(encoded_at - started_at, 3),
            "decode_seconds": round(time.monotonic() - encoded_at, 3),
        }
    return best


def table(rows: list[dict[str, Any]]) -> str:
    """Write means over the pictures, a line a recipe and one for JPEG at its bytes."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["codec"] + (f" at {row['beside']}'s bytes" if "beside" in row else "")].append(
            row
        )
    names = ("bpp", "psnr_db", "ms_ssim", "encode_seconds", "decode_seconds")
    lines = [
        "| codec | bpp | PSNR dB | MS-SSIM | encode s | decode s |",
        "|---|---|---|---|---|---|",
    ]
    for codec, members in groups.items():
        bpp, psnr, similarity, encode, decode = (
            statistics.mean(row[name] for row in members) for name in names
        )
        lines.append(
            f"| {codec} | {bpp:.3f} | {psnr:.2f} | {similarity:.4f} | {encode:.2f} | {decode:.2f} |"
        )
    return "\n".join(lines)


def stored_rows(names: set[str]) -> list[dict[str, Any]]:
    """Read the newest row of each picture and codec in results.jsonl."""
    newest = {}
    for line in (HERE / "results.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["picture"] in names:
            newest[row["picture"], row["codec"], row.get("beside")] = row
    return list(newest.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pictures", nargs="*", type=Path)
    parser.add_argument("--recipe", action="append", choices=list(recipes.all_recipes()))
    parser.add_argument("--tiny", action="store_true", help="20 steps, one picture, no file")
    parser.add_argument(
        "--table", action="store_true", help="print the rows there are, run nothing"
    )
    given = parser.parse_args()
    pictures = given.pictures or sorted((ROOT / "assets/pictures").glob("kodim*.png"))
    if given.table:
        print(table(stored_rows({picture.name for picture in pictures})))
        return
    settings = []
    if given.tiny:
        pictures, settings = pictures[:1], ["--set", "fit.steps=20"]
    origin = lab.origin() | {"date": date.today().isoformat()}
    rows = []
    for recipe in given.recipe or recipes.all_recipes():
        for picture in pictures:
            new_rows = [inr_row(picture, recipe, [*TARGET, *settings])]
            jpeg = jpeg_row(picture, new_rows[0]["n_bytes"])
            if jpeg is not None:
                new_rows.append(jpeg | {"beside": recipe})
            for row in new_rows:
                rows.append(row)
                print(json.dumps(row), file=sys.stderr, flush=True)
                if not given.tiny:
                    with open(HERE / "results.jsonl", "a") as file:
                        file.write(json.dumps(row | origin) + "\n")
    print(f"{origin['machine']}, {len(pictures)} pictures, commit {origin['commit']}\n")
    print(table(rows))


if __name__ == "__main__":
    main()
