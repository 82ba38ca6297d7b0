"""Checks our JPEG and WebP curves against published ones, on the 24 Kodak pictures.

    python scripts/check_anchors.py FOLDER     # with kodim01.png to kodim24.png

assets/published/kodak.json holds the published points with their sources. They were made with
Pillow's defaults at quality 5, 10, ..., 95, not with the settings of `inr compare`; what is checked
is that PSNR, bpp and the libraries mean here what they mean elsewhere. Exit code 1 where a curve
lies further off than 0.15 dB: decoders of JPEG differ by as much as 0.13 dB (chroma upsampling).
"""

import argparse
import io
import json
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inr import bpp, psnr_db

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ROOT / "assets/published/kodak.json"
FORMS = ("jpeg", "webp")  # names of curves, and Pillow's of the formats
TOLERANCE_DB = 0.15
NAMES = tuple(f"kodim{number:02d}.png" for number in range(1, 25))


def read_published() -> dict[str, Any]:
    """Read the file of published points."""
    stored: dict[str, Any] = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    return stored


def encode_point(pixels: np.ndarray, form: str, quality: int) -> tuple[float, float]:
    """Return bpp and PSNR of u8 [h, w, 3] at Pillow's defaults, as the published curves have it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, quality=quality)
    with Image.open(buffer) as image:
        decoded = np.asarray(image.convert("RGB"))
    return bpp(buffer.tell(), *pixels.shape[:2]), psnr_db(pixels, decoded)


def mean_curve(
    pictures: Sequence[np.ndarray], form: str, qualities: Sequence[int]
) -> tuple[list[float], list[float]]:
    """Return means of bpp and PSNR over the pictures, one pair a quality."""
    rates, psnrs = [], []
    for quality in qualities:
        points = [encode_point(pixels, form, quality) for pixels in pictures]
        rates.append(statistics.fmean(rate for rate, _ in points))
        psnrs.append(statistics.fmean(psnr for _, psnr in points))
    return rates, psnrs


def gaps_db(
    anchor_bpp: Sequence[float],
    anchor_psnr: Sequence[float],
    rates: Sequence[float],
    psnrs: Sequence[float],
) -> list[float]:
    """Return the PSNR of a curve minus the anchor's at each bpp of the anchor, linear in log rate.

    Args:
      anchor_bpp, anchor_psnr: points of the anchor.
      rates, psnrs: points of the curve, with rising rate.
    Raises:
      ValueError: the curve does not reach a rate of the anchor, by more than 1 %.
    """
    if min(anchor_bpp) < 0.99 * rates[0] or max(anchor_bpp) > 1.01 * rates[-1]:
        raise ValueError(
            f"the curve spans {rates[0]:.4f}..{rates[-1]:.4f} bpp, the anchor {min(anchor_bpp):.4f}"
            f"..{max(anchor_bpp):.4f}; measure the same qualities of the same pictures"
        )
    ours = np.interp(np.log(anchor_bpp), np.log(rates), psnrs)
    return [float(a - b) for a, b in zip(ours, anchor_psnr, strict=True)]


def kodak(folder: Path) -> list[np.ndarray]:
    """Read the 24 pictures; ValueError names those that are not there."""
    missing = [name for name in NAMES if not (folder / name).exists()]
    if missing:
        raise ValueError(f"{folder} lacks {', '.join(missing)}; all 24 are needed for the means")
    pictures = []
    for name in NAMES:
        with Image.open(folder / name) as image:
            pictures.append(np.asarray(image.convert("RGB")))
    return pictures


def largest_gaps(folder: Path) -> dict[str, float]:
    """Return, for each format, the largest distance to its published curve, in dB."""
    pictures = kodak(folder)
    largest = {}
    for form in FORMS:
        curve = read_published()["curves"][form]
        rates, psnrs = mean_curve(pictures, form, curve["quality"])
        gaps = gaps_db(curve["bpp"], curve["psnr"], rates, psnrs)
        largest[form] = max(gaps, key=abs)
    return largest


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    try:
        largest = largest_gaps(parser.parse_args().folder)
    except ValueError as error:
        sys.exit(f"error: {error}")
    for form, gap in largest.items():
        print(f"{form}: at most {gap:+.3f} dB off the published curve")
    if not all(math.fabs(gap) <= TOLERANCE_DB for gap in largest.values()):
        sys.exit(f"error: more than {TOLERANCE_DB} dB")


if __name__ == "__main__":
    main()
