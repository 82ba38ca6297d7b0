"""Makes the golden files that tests/test_golden.py decodes.

Run it once when a format version is new, never to mend a failing test: files that exist stay as
they are. Beside each .inr lie the pixels it decoded to (.npy) and the SHA-256
of its integer codes, of kind grid those of networks and latents, of kind cae those of latents.
"""

import hashlib
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from fuzz import built_grid
from PIL import Image

from inr.cae.decode import codec_of, latents_of
from inr.cae.kind import CaeFile
from inr.codec import decode_picture, encode_picture
from inr.grid.file import read_grid
from inr.grid.fit.settings import GridFit
from inr.grid.kind import GridFile
from inr.grid.structure import Structure
from inr.image.picture import Picture
from inr.kinds import open_file
from inr.mlp.file import read_codes
from inr.mlp.fit.settings import FitSettings
from inr.mlp.kind import MlpFile
from inr.mlp.recipe import MlpRecipe
from inr.options import EncodeOptions, Target
from inr.recipes import AnyRecipe, cae, fourier, grid_fast, siren, siren_zstd

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "v1"
# Their pictures make other bytes today: these hold colours of pixels of alpha 0.
ENCODED_OTHERWISE = ("cae_rgba_icc",)

_GRID = replace(grid_fast(), fit=GridFit(steps=60))
_HYPER = replace(_GRID, structure=Structure(n_hyper=2, n_taps=20, n_features=3, hidden=8))


def pictures() -> dict[str, tuple[AnyRecipe, Picture]]:
    """Name of the file -> recipe and a small picture of another kind each."""
    with Image.open(ROOT / "assets" / "pictures" / "kodim23.png") as image:
        rgb = np.asarray(image.resize((48, 32), Image.Resampling.BOX))
    grey16 = (np.add.outer(np.arange(20) * 1500, np.arange(33) * 1000)).astype(np.uint16)
    alpha = np.broadcast_to(np.linspace(0, 255, 48).astype(np.uint8)[:, None], (32, 48, 1))
    return {
        "siren_rgb": (siren(), Picture(rgb)),
        "siren_zstd_grey": (siren_zstd(), Picture(rgb[..., 1:2])),
        "fourier_rgba": (fourier(), Picture(np.concatenate([rgb, alpha], axis=2))),
        "siren_grey16_icc": (siren(), Picture(grey16[..., None], b"not a real profile")),
        "one_colour": (siren(), Picture(np.full((5, 7, 3), (1, 2, 3), np.uint8))),
        "grid_rgb": (_GRID, Picture(rgb)),
        "grid_grey_alpha16_icc": (
            _HYPER,
            Picture(np.stack([grey16, grey16[::-1]], axis=2), b"not a real profile"),
        ),
        "cae_rgba_icc": (
            cae(),
            Picture(np.concatenate([rgb, alpha], axis=2), b"not a real profile"),
        ),
        "cae_hidden_colours": (cae(), Picture(np.concatenate([rgb, alpha], axis=2))),
        "cae_factorized_grey": (replace(cae(), model="factorized"), Picture(rgb[..., 1:2])),
    }


def codes_sha256(data: bytes) -> str:
    """A hash of all integer codes of a file, in file order."""
    file = open_file(data)
    match file:
        case GridFile():
            coded, latents = read_grid(file.content)
            codes = [*coded.codes.values(), *latents]
        case CaeFile():
            found = latents_of(file.content, codec_of(file.content))
            codes = [found.y] if found.z is None else [found.y, found.z]
        case MlpFile():
            codes = [*read_codes(file.content).values()]
    return hashlib.sha256(b"".join(c.astype("<i4").tobytes() for c in codes)).hexdigest()


def encoded(recipe: AnyRecipe, picture: Picture) -> bytes:
    """The picture after a short fit, of kind cae without any."""
    if not isinstance(recipe, MlpRecipe):
        return encode_picture(picture, recipe, EncodeOptions()).data
    recipe = replace(recipe, fit=FitSettings(steps=60))
    return encode_picture(picture, recipe, EncodeOptions(target=Target(n_bytes=700))).data


def main() -> None:
    GOLDEN.mkdir(parents=True, exist_ok=True)
    files = {name: partial(encoded, *job) for name, job in pictures().items()}
    # Small fits end without context networks; these are of random numbers.
    files["grid_context"] = partial(
        built_grid, height=40, width=33, structure=Structure(n_hyper=1, hidden=6), seed=7
    )
    for name, make in files.items():
        path = GOLDEN / f"{name}.inr"
        if path.exists():
            print(f"{path.name} exists and stays", file=sys.stderr)
            continue
        data = make()
        np.save(path.with_suffix(".npy"), decode_picture(data).pixels)
        path.with_suffix(".sha256").write_text(codes_sha256(data) + "\n")
        path.write_bytes(data)
        print(f"{path.name}: {len(data)} bytes")


if __name__ == "__main__":
    main()
