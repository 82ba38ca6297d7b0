"""JPEG's quality setting: what it costs and what it gives, on a natural picture and on text.

python experiments/jpeg_quality/run.py [--pictures PICTURE...] [--plot-only] [--tiny]
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import lab

from inr.baselines import codec_named
from inr.metrics import bpp, psnr_db
from inr.sweep.origin import commit, machine

HERE = Path(__file__).resolve().parent
PICTURES = [lab.ASSETS / "flower_foveon_down3.png", lab.ASSETS / "code_editor.png"]
CODECS = ("jpeg420", "jpeg444")
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


def panels_of(rows: list[lab.Row]) -> list[lab.Panel]:
    """The three panels of the figure."""
    by_label: dict[str, list[lab.Row]] = {}
    for row in rows:
        stem = row["picture"].removesuffix(".png")
        by_label.setdefault(f"{row['codec']} {stem}", []).append(row)

    def series(x: str, y: str) -> dict[str, list[tuple[float, float]]]:
        return {label: lab.points(members, x, y) for label, members in by_label.items()}

    return [
        lab.Panel("Quality bought", "quality", "PSNR, dB", series("quality", "psnr_db")),
        lab.Panel("Bytes paid", "quality", "bits per pixel", series("quality", "bpp")),
        lab.Panel(
            "Rate and distortion", "bits per pixel", "PSNR, dB", series("bpp", "psnr_db"), True
        ),
    ]


def table_of(rows: list[lab.Row]) -> str:
    """Bits per pixel and PSNR at some qualities, one line a picture and codec and quality."""
    columns = ("picture", "codec", "quality", "n_bytes", "bpp", "psnr_db")
    shown = [[row[name] for name in columns] for row in rows if row["quality"] in SHOWN]
    return lab.table(columns, shown)


def main() -> None:
    given = lab.parser(__doc__ or "").parse_args()
    with lab.results_folder(HERE, tiny=given.tiny) as folder:
        if given.plot_only:
            rows = lab.load(folder)
        else:
            size, qualities = (48, range(10, 101, 40)) if given.tiny else (512, range(1, 101))
            origin = {"commit": commit(), "machine": machine()}
            pictures = given.pictures or PICTURES
            crops = [lab.crop(picture, size, folder / "work") for picture in pictures]
            rows = [row | origin for picture in crops for row in rows_of(picture, qualities)]
            lab.save(folder, rows)
        lab.plot(folder / "plot.png", panels_of(rows))
        print(table_of(rows))
        if given.tiny:
            assert len(rows) == len(crops) * len(CODECS) * len(qualities)
            assert lab.load(folder)[0]["n_bytes"] == rows[0]["n_bytes"]
            assert (folder / "plot.png").exists()


if __name__ == "__main__":
    main()
