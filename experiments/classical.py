"""JPEG, JPEG 2000 and WebP at every setting, and the best of their files in a number of bytes.

Each codec has the settings that `inr compare` gives it. Grey pages are also coded as grey, where
the format has it, and JPEG 2000 also with its reversible 5/3 wavelet, which suits sharp edges: the
better file counts.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL
from PIL import Image, features

from inr import psnr_db

CODECS = ("jpeg420", "jpeg444", "jpeg2000", "webp")
# Finer than the lists of `inr compare`, so that no budget is left over for want of a setting.
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


def encode(pixels: np.ndarray, codec: str, quality: float) -> bytes:
    """Write u8[h, w, 3] with a codec, at the settings of `inr compare`."""
    options: dict[str, Any]
    match codec:
        case "jpeg420" | "jpeg444":
            subsampling = {"jpeg420": "4:2:0", "jpeg444": "4:4:4"}[codec]
            options = {"quality": int(quality), "subsampling": subsampling}
            return _save(pixels, "JPEG", options | {"optimize": True, "progressive": True})
        case "jpeg2000":
            return _save_jpeg2000(pixels, quality, is_irreversible=True)
        case "webp":
            return _save(pixels, "WEBP", {"quality": int(quality), "method": 6})
    raise ValueError(f"unknown codec {codec!r}; there are {', '.join(CODECS)}")


def decode(data: bytes) -> np.ndarray:
    """Read a file back, as u8[h, w, 3]."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def jpeg_library() -> str:
    """Name what writes JPEG here, and its version."""
    return f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}"


def candidates(pixels: np.ndarray, *, every: int = 1) -> list[Coded]:
    """Code a picture with all codecs.

    Args:
      pixels: u8[h, w] grey or u8[h, w, 3].
      every: how many qualities to go on at a time.
    """
    rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)  # [h, w, 3]
    found = []
    for codec in CODECS:
        for quality in QUALITIES[codec][::every]:
            data = encode(rgb, codec, quality)
            found.append(Coded(codec, "RGB", quality, len(data), psnr_db(rgb, decode(data))))
            for form, data in _other_files(codec, pixels, quality):
                with Image.open(io.BytesIO(data)) as image:
                    psnr = psnr_db(pixels, np.asarray(image))
                found.append(Coded(codec, form, quality, len(data), psnr))
    return found


def best(found: list[Coded], codec: str, max_bytes: int) -> Coded | None:
    """Return the file of a codec with the highest PSNR in max_bytes; None if all are larger."""
    fitting = [one for one in found if one.codec == codec and one.n_bytes <= max_bytes]
    return max(fitting, key=lambda one: one.psnr_db, default=None)


def lossless(pixels: np.ndarray) -> list[Coded]:
    """Write lossless files, which on clean text are not far from the lossy ones."""
    forms: dict[str, dict[str, Any]] = {
        "PNG": {"optimize": True},
        "WEBP": {"lossless": True, "quality": 100, "method": 6},
    }
    return [
        Coded(f"{form.lower()} lossless", "own channels", 100, len(data), float("inf"))
        for form, options in forms.items()
        for data in [_save(pixels, form, options)]
    ]


def _other_files(codec: str, pixels: np.ndarray, quality: float) -> Iterator[tuple[str, bytes]]:
    """Write what `inr compare` does not: grey files, and the 5/3 wavelet. Yields (form, data)."""
    is_grey = pixels.ndim == 2
    if codec.startswith("jpeg4") and is_grey:
        options: dict[str, Any] = {"optimize": True, "progressive": True}
        yield "grey", _save(pixels, "JPEG", {"quality": int(quality)} | options)
    if codec == "jpeg2000":
        for is_irreversible in (True, False):
            form = f"{'grey' if is_grey else 'RGB'}, {'9/7' if is_irreversible else '5/3'}"
            if is_grey or not is_irreversible:
                yield form, _save_jpeg2000(pixels, quality, is_irreversible=is_irreversible)


def _save_jpeg2000(pixels: np.ndarray, ratio: float, *, is_irreversible: bool) -> bytes:
    options = {
        "quality_mode": "rates",
        "quality_layers": [ratio],
        "irreversible": is_irreversible,
        "mct": 0 if pixels.ndim == 2 else 1,
        "no_jp2": True,
    }
    return _save(pixels, "JPEG2000", options)


def _save(pixels: np.ndarray, form: str, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()
