"""JPEG's quality setting: what it costs and what it gives, on a natural picture and on text.

python experiments/jpeg_quality/run.py [--pictures PICTURE...] [--plot-only] [--tiny]
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import charts
import lab

from inr.image.metrics import bpp, psnr_db
from inr.studies.baselines import codec_named
from inr.studies.sweep.origin import commit, machine

PICTURES = [lab.ASSETS / "flower_foveon_down3.png", lab.ASSETS / "code_editor.png"]
SCALE = lab.Scale(side=512)
CODECS = ("jpeg420", "jpeg444")
QUALITIES, TINY_QUALITIES = range(1, 101), range(10, 101, 40)
SHOWN = (5, 10, 20, 35, 50, 65, 80, 90, 95, 100)  # qualities in the table; all are in results.csv


def rows_of(picture: Path, qualities: range) -> list[lab.Row]:
    """One row a codec and quality, from real files."""
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    height, width, _ = pixels.shape
    rows = []
    for name in CODECS:
        codec = codec_named(name)
        for quality in qualities:
            data = codec.encode(pixels, quality)
            rows.append(
                {
                    "picture": picture.name,
                    "codec": name,
                    "quality": quality,
                    "n_bytes": len(data),
                    "bpp": bpp(len(data), height, width),
                    "psnr_db": psnr_db(pixels, codec.decode(data)),
                    "library": codec.library(),
                }
            )
    return rows


def coded(folder: Path, pictures: list[Path], scale: lab.Scale, jobs: int) -> list[lab.Row]:
    """The rows of all pictures, in this process."""
    qualities = TINY_QUALITIES if scale == lab.TINY else QUALITIES
    origin = {"commit": commit(), "machine": machine()}
    return [row | origin for picture in pictures for row in rows_of(picture, qualities)]


def plot(path: Path, rows: list[lab.Row]) -> None:
    """The three panels of the figure."""
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
    """Bits per pixel and PSNR at some qualities, one line a picture and codec and quality."""
    columns = ("picture", "codec", "quality", "n_bytes", "bpp", "psnr_db")
    shown = [[row[name] for name in columns] for row in rows if row["quality"] in SHOWN]
    return charts.table(columns, shown)


def check_tiny(rows: list[lab.Row]) -> None:
    n_pictures = len({row["picture"] for row in rows})
    assert len(rows) == n_pictures * len(CODECS) * len(TINY_QUALITIES)


if __name__ == "__main__":
    lab.main(__file__, __doc__ or "", PICTURES, SCALE, coded, plot, table_of, check_tiny, full=None)
