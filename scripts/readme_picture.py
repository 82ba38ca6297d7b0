"""Makes assets/readme.png: a part of a picture, and what equal bytes make of it.

    python scripts/readme_picture.py [--picture PICTURE] [--bpp X] [--crop X,Y,W,H] [-o OUT.png]

Side by side: the original, JPEG (optimised, progressive, 4:2:0, the best quality that fits in as
many bytes), and the file of each --recipe, from whole pictures of --bpp bits a pixel. The
captions are printed too. Takes as long as `inr encode` does.
"""

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import inr

ROOT = Path(__file__).resolve().parent.parent
GAP, CAPTION = 8, 26  # pixels
INK, PAPER = (40, 40, 40), (255, 255, 255)


def encode(picture: Path, recipe: str, bpp: float) -> bytes:
    """Return the file that `inr encode` makes."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "a.inr"
        command = ["encode", picture, "-o", output, "--recipe", recipe, "--target-bpp", bpp]
        subprocess.run([sys.executable, "-m", "inr", *map(str, command)], check=True)
        return output.read_bytes()


def best_jpeg(pixels: np.ndarray, max_bytes: int) -> bytes:
    """Return the JPEG of the highest quality that is not larger."""
    best = b""
    for quality in range(1, 96):
        buffer = io.BytesIO()
        options = {"subsampling": "4:2:0", "optimize": True, "progressive": True}
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, **options)
        if buffer.tell() > max_bytes:
            break
        best = buffer.getvalue()
    return best


def draw_panels(panels: list[tuple[str, np.ndarray]]) -> Image.Image:
    """Put pictures of one size side by side, each above its caption."""
    height, width, _ = panels[0][1].shape
    page = Image.new("RGB", (len(panels) * (width + GAP) - GAP, height + CAPTION), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for i, (caption, pixels) in enumerate(panels):
        left = i * (width + GAP)
        page.paste(Image.fromarray(pixels), (left, 0))
        draw.text((left + width / 2, height + CAPTION / 2), caption, INK, font, anchor="mm")
    return page


def main() -> None:
    """Encode, decode, draw, and print the captions."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--picture", type=Path, default=ROOT / "assets/pictures/kodim23.png")
    parser.add_argument("--bpp", type=float, default=0.2)
    parser.add_argument("--recipe", action="append", help="default: siren, grid_fast")
    parser.add_argument("--crop", default="130,30,256,256", metavar="X,Y,W,H")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "assets/readme.png")
    given = parser.parse_args()
    x, y, width, height = map(int, given.crop.split(","))
    with Image.open(given.picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    files = {
        name: encode(given.picture, name, given.bpp)
        for name in given.recipe or ["siren", "grid_fast"]
    }
    jpeg = best_jpeg(pixels, max(map(len, files.values())))
    with Image.open(io.BytesIO(jpeg)) as image:
        drawn = {"JPEG": (len(jpeg), np.asarray(image))}
    drawn |= {f"inr, {name}": (len(data), inr.decode(data)) for name, data in files.items()}
    panels = [("original", pixels)]
    for name, (n_bytes, decoded) in drawn.items():
        caption = f"{name}: {n_bytes:,} bytes, {inr.psnr_db(pixels, decoded):.1f} dB"
        print(caption)
        panels.append((caption, decoded))
    cut = [(caption, p[y : y + height, x : x + width]) for caption, p in panels]
    draw_panels(cut).save(given.output, optimize=True)


if __name__ == "__main__":
    main()
