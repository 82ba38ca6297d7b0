"""JPEG's quality setting: what it costs and what it gives, on a natural picture and on text.

python experiments/jpeg_quality/run.py [--pictures PICTURE...] [--plot-only] [--tiny]
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import charts
import classical
import lab

from inr import bpp, psnr_db

PICTURES = [lab.ASSETS / "flower_foveon_down3.png", lab.ASSETS / "code_editor.png"]
SCALE = lab.Scale(side=512)
CODECS = ("jpeg420", "jpeg444")
QUALITIES, TINY_QUALITIES = range(1, 101), range(10, 101, 40)
SHOWN = (5, 10, 20, 35, 50, 65, 80, 90, 95, 100)  # qualities in the table; all are in results.csv


def rows_of(picture: Path, qualities: range) -> list[lab.Row]:
    """Write and read a real file for each codec and quality."""
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    height, width, _ = pixels.shape
    rows = []
    for name in CODECS:
        for quality in qualities:
            data = classical.encode(pixels, name, quality)
            rows.append(
                {
                    "picture": picture.name,
                    "codec": name,
                    "quality": quality,
                    "n_bytes": len(data),
                    "bpp": bpp(len(data), height, width),
                    "psnr_db": psnr_db(pixels, classical.decode(data)),
                    "library": classical.jpeg_library(),
                }
            )
    return rows


def fit(run: lab.Run) -> list[lab.Row]:
    """Code all pictures, in this process."""
    qualities, origin = TINY_QUALITIES if run.is_tiny else QUALITIES, lab.origin()
    return [row | origin for picture in run.pictures for row in rows_of(picture, qualities)]


def plot(path: Path, rows: list[lab.Row]) -> None:
    """Draw the three panels of the figure."""
    by_label: dict[str, list[lab.Row]] = {}
    for row in rows:
        stem = row["picture"].removesuffix(".png")
        by_label.setdefault(f"{row['codec']} {stem}", []).append(row)

    def series(x: str, y: str) -> dict[str, list[tuple[float, float]]]:
        return {label: charts.points(members, x, y) for label, members in by_label.items()}

    panels = [
        charts.Panel("Quality bought", "quality", "PSNR, dB", series("quality", "psnr_db")),
        charts.Panel("Bytes paid", "quality", "bits per pixel", series("quality", "bpp")),
        charts.Panel(
            "Rate and distortion", "bits per pixel", "PSNR, dB", series("bpp", "psnr_db"), True
        ),
    ]
    charts.plot(path, panels)


def table_of(rows: list[lab.Row]) -> str:
    """Write bits per pixel and PSNR at some qualities, a line a picture and codec and quality."""
    columns = ("picture", "codec", "quality", "n_bytes", "bpp", "psnr_db")
    shown = [[row[name] for name in columns] for row in rows if row["quality"] in SHOWN]
    return charts.table(columns, shown)


EXPERIMENT = lab.Experiment(
    Path(__file__).parent,
    __doc__,
    PICTURES,
    SCALE,
    fit,
    plot,
    table_of,
    n_tiny_rows=12,  # two pictures, two codecs, three qualities,
    full=None,
)


if __name__ == "__main__":
    EXPERIMENT.main()
