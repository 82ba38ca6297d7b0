"""The best file of a classical codec that is not larger than a number of bytes.

RGB goes through inr/baselines.py. Grey pages are also coded as grey, where the format has it, and
JPEG 2000 also with its reversible 5/3 wavelet, which suits sharp edges: the better file counts.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from inr.image.metrics import psnr_db
from inr.studies.baselines import codec_named

CODECS = ("jpeg420", "jpeg444", "jpeg2000", "webp")
# Finer than the lists of inr/baselines.py, so that no budget is left over for want of a setting.
QUALITIES: dict[str, list[float]] = {
    "jpeg420": list(range(1, 101)),
    "jpeg444": list(range(1, 101)),
    "jpeg2000": np.geomspace(400, 2.5, 128).tolist(),  # compression ratios
    "webp": list(range(101)),
}


@dataclass(frozen=True)
class Coded:
    """A file of a classical codec."""

    codec: str
    form: str  # how the pixels went in
    quality: float
    n_bytes: int
    psnr_db: float  # of the picture's own channels


def candidates(pixels: np.ndarray, *, every: int = 1) -> list[Coded]:
    """Files of all codecs.

    Args:
      pixels: u8[h, w] grey or u8[h, w, 3].
      every: take only each so-manieth quality.
    """
    rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)  # [h, w, 3]
    found = []
    for name in CODECS:
        codec = codec_named(name)
        for quality in QUALITIES[name][::every]:
            data = codec.encode(rgb, quality)
            psnr = psnr_db(rgb, codec.decode(data))
            found.append(Coded(name, "RGB", quality, len(data), psnr))
            for form, data in _other_files(name, pixels, quality):
                with Image.open(io.BytesIO(data)) as image:
                    psnr = psnr_db(pixels, np.asarray(image))
                found.append(Coded(name, form, quality, len(data), psnr))
    return found


def best(found: list[Coded], codec: str, max_bytes: int) -> Coded | None:
    """The highest PSNR that the codec reaches in max_bytes; None if all its files are larger."""
    fitting = [one for one in found if one.codec == codec and one.n_bytes <= max_bytes]
    return max(fitting, key=lambda one: one.psnr_db, default=None)


def lossless(pixels: np.ndarray) -> list[Coded]:
    """Lossless files, which on clean text are not far from the lossy ones."""
    forms: dict[str, dict[str, Any]] = {
        "PNG": {"optimize": True},
        "WEBP": {"lossless": True, "quality": 100, "method": 6},
    }
    return [
        Coded(f"{form.lower()} lossless", "own channels", 100, len(data), float("inf"))
        for form, options in forms.items()
        for data in [_saved(pixels, form, options)]
    ]


def _other_files(name: str, pixels: np.ndarray, quality: float) -> Iterator[tuple[str, bytes]]:
    """What inr/baselines.py does not write, (form, data)."""
    is_grey = pixels.ndim == 2
    if name.startswith("jpeg4") and is_grey:
        options: dict[str, Any] = {"optimize": True, "progressive": True}
        yield "grey", _saved(pixels, "JPEG", {"quality": int(quality)} | options)
    if name == "jpeg2000":
        for is_irreversible in (True, False):
            options = {
                "quality_mode": "rates",
                "quality_layers": [quality],
                "irreversible": is_irreversible,
                "mct": 0 if is_grey else 1,
                "no_jp2": True,
            }
            form = f"{'grey' if is_grey else 'RGB'}, {'9/7' if is_irreversible else '5/3'}"
            if is_grey or not is_irreversible:
                yield form, _saved(pixels, "JPEG2000", options)


def _saved(pixels: np.ndarray, form: str, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()
