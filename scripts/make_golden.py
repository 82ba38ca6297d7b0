"""Makes the golden files that tests/test_golden.py decodes.

Run it once when a format version is new, never to mend a failing test: files that exist stay as
they are. Beside each .inr lie the pixels it decoded to (.npy) and the SHA-256
of its integer codes.
"""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from inr.codec import Wish, decode_picture, encode_picture
from inr.fit_settings import FitSettings
from inr.mlp_file import open_file, read_codes
from inr.picture import Picture
from inr.recipes import RECIPES

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "v1"


def pictures() -> dict[str, tuple[str, Picture]]:
    """Name of the file -> recipe and a small picture of another kind each."""
    with Image.open(ROOT / "assets" / "pictures" / "kodim23.png") as image:
        rgb = np.asarray(image.resize((48, 32), Image.Resampling.BOX))
    grey16 = (np.add.outer(np.arange(20) * 1500, np.arange(33) * 1000)).astype(np.uint16)
    alpha = np.broadcast_to(np.linspace(0, 255, 48).astype(np.uint8)[:, None], (32, 48, 1))
    return {
        "siren_rgb": ("siren", Picture(rgb)),
        "siren_zstd_grey": ("siren_zstd", Picture(rgb[..., 1:2])),
        "fourier_rgba": ("fourier", Picture(np.concatenate([rgb, alpha], axis=2))),
        "siren_grey16_icc": ("siren", Picture(grey16[..., None], b"not a real profile")),
        "one_colour": ("siren", Picture(np.full((5, 7, 3), (1, 2, 3), np.uint8))),
    }


def codes_sha256(data: bytes) -> str:
    """A hash of all integer codes of a file, in file order."""
    codes = read_codes(open_file(data))
    return hashlib.sha256(b"".join(c.astype("<i4").tobytes() for c in codes.values())).hexdigest()


def main() -> None:
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, (recipe_name, picture) in pictures().items():
        path = GOLDEN / f"{name}.inr"
        if path.exists():
            print(f"{path.name} exists and stays", file=sys.stderr)
            continue
        recipe = replace(RECIPES[recipe_name](), fit=FitSettings(steps=60))
        data = encode_picture(picture, recipe, Wish(target_bytes=700)).data
        pixels = decode_picture(data).pixels
        np.save(path.with_suffix(".npy"), pixels)
        path.with_suffix(".sha256").write_text(codes_sha256(data) + "\n")
        path.write_bytes(data)
        print(f"{path.name}: {len(data)} bytes")


if __name__ == "__main__":
    main()
