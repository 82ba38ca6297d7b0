"""Write pictures: the format is chosen by the suffix, and what it cannot hold is refused.

Pillow writes files of 8 bits; imagecodecs PNG and TIFF of 16. PNG: https://www.w3.org/TR/png-3/
(11.2.1 IHDR, 11.3.2.3 iCCP).
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from inr.errors import UsageError
from inr.files import write_whole
from inr.image.picture import Picture

# Speed: on a 768x512 photo level 3 takes a third of the time of level 6 for 5 % more bytes.
_DEFLATE_LEVEL = 3


@dataclass(frozen=True)
class _Format:
    pillow: str  # Pillow's name
    channels: tuple[int, ...]  # what it can hold without loss of a channel
    max_side: int  # pixels
    bit_depths: tuple[int, ...] = (8,)
    profile_channels: tuple[int, ...] = ()  # pictures whose ICC profile it can carry
    options: dict[str, Any] = field(default_factory=dict)


_NO_LIMIT = 2**31 - 1
_PILLOW_COPY_LIMIT = 1 << 25  # bytes; Pillow copies pixels to 4 bytes each, twice on the way out
_PNG = _Format(
    "PNG", (1, 2, 3, 4), _NO_LIMIT, (8, 16), (1, 2, 3, 4),
    {"compress_level": _DEFLATE_LEVEL},
)  # fmt: skip
_TIFF = _Format(
    "TIFF", (1, 2, 3, 4), _NO_LIMIT, (8, 16), (1, 2, 3, 4), {"compression": "tiff_adobe_deflate"}
)
# WebP and AVIF hold grey as RGB or with a profile for RGB only, so grey profiles stay out.
_WEBP = _Format("WEBP", (1, 2, 3, 4), 16383, (8,), (3, 4), {"lossless": True, "exact": True})
_AVIF = _Format("AVIF", (1, 2, 3, 4), 65536, (8,), (3, 4), {"quality": 95, "subsampling": "4:4:4"})
_JPEG = _Format("JPEG", (1, 3), 65500, (8,), (1, 3), {"quality": 95, "subsampling": "4:4:4"})
_PNM = _Format("PPM", (1, 3), _NO_LIMIT)
_FORMATS = {
    ".png": _PNG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": _WEBP,
    ".avif": _AVIF,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".bmp": _Format("BMP", (1, 3), _NO_LIMIT),
    ".ppm": _PNM,
    ".pnm": _PNM,
    ".pgm": _Format("PPM", (1,), _NO_LIMIT),
    ".jp2": _Format("JPEG2000", (1, 2, 3, 4), _NO_LIMIT),  # Pillow's default: lossless
    ".tga": _Format("TGA", (1, 2, 3, 4), 65535, options={"compression": "tga_rle"}),
}


def check_savable(picture: Picture, suffix: str) -> None:
    """Raise UsageError, with the way out, if files of that suffix cannot hold the picture."""
    _format_for(picture, suffix)


def save(
    picture: Picture, target: str | os.PathLike[str] | BinaryIO, *, suffix: str | None = None
) -> None:
    """Write a picture in the format of its suffix; nothing is dropped but a colour profile.

    PNG, TIFF, WebP, BMP, PPM, JPEG 2000 and TGA are lossless; JPEG and AVIF are written at
    quality 95, 4:4:4. BMP, PPM, JPEG 2000 and TGA carry no colour profile; WebP and AVIF
    carry none for grey.

    Args:
      picture: what to write.
      target: a path, replaced if it exists, whole or not at all; or a binary file.
      suffix: as in ".png"; taken from target if None, which then must be a path.
    """
    if suffix is None:
        if not isinstance(target, (str, os.PathLike)):
            raise UsageError('a file object has no name to go by; pass suffix=".png"')
        suffix = Path(target).suffix
    chosen = _format_for(picture, suffix)
    icc_profile = picture.icc_profile if picture.n_channels in chosen.profile_channels else None
    is_large = picture.pixels.nbytes > _PILLOW_COPY_LIMIT
    if chosen is _PNG and (picture.bit_depth == 16 or is_large):
        data = encode_png(picture.pixels, icc_profile)
    elif picture.bit_depth == 16:
        data = encode_tiff(picture.pixels, icc_profile)
    else:
        buffer = io.BytesIO()
        image = to_pil(Picture(picture.pixels, icc_profile))
        image.save(buffer, chosen.pillow, icc_profile=icc_profile, **chosen.options)
        data = buffer.getvalue()
    if not isinstance(target, (str, os.PathLike)):
        target.write(data)
    elif os.path.exists(target) and not os.path.isfile(target):
        Path(target).write_bytes(data)  # a pipe or a device is written into, not replaced
    else:
        with write_whole(Path(target), overwrite=True) as file:
            file.write(data)


def _format_for(picture: Picture, suffix: str) -> _Format:
    name = suffix.lower()
    if name not in _FORMATS:
        raise UsageError(f"cannot write {suffix!r} files; choose one of {' '.join(_FORMATS)}")
    chosen = _FORMATS[name]
    if picture.bit_depth not in chosen.bit_depths:
        raise UsageError(f"{name} holds 8 bits, the picture has 16; choose .png or .tiff")
    if picture.n_channels not in chosen.channels:
        if picture.has_alpha:
            raise UsageError(f"{name} holds no alpha, the picture has it; choose .png or .webp")
        raise UsageError(f"{name} holds grey only, the picture is RGB; choose .ppm or .png")
    if max(picture.height, picture.width) > chosen.max_side:
        raise UsageError(
            f"{name} holds at most {chosen.max_side} pixels a side, the picture is "
            f"{picture.width}x{picture.height}; choose .png"
        )
    return chosen


def to_pil(picture: Picture) -> Image.Image:
    """Make a Pillow image of mode L, LA, RGB, RGBA, or I;16 for 16-bit grey.

    Pillow has no mode for other 16-bit pictures: they are rounded to 8 bits.
    """
    pixels = picture.pixels
    if picture.n_channels > 1:
        pixels = picture.round_to_8_bits().pixels
    if picture.n_channels == 1:
        pixels = pixels[..., 0]  # [h, w]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if picture.icc_profile is not None:
        image.info["icc_profile"] = picture.icc_profile
    return image


def encode_png(pixels: np.ndarray, icc_profile: bytes | None) -> bytes:
    """Write a PNG file of uint8 or uint16 [height, width, 1..4], with its colour profile."""
    import imagecodecs

    data = bytes(imagecodecs.png_encode(_drop_single_axis(pixels), level=_DEFLATE_LEVEL))
    if icc_profile is None:
        return data
    end_of_ihdr = 33  # 8 signature + 4 length + 4 type + 13 header + 4 CRC; iCCP precedes IDAT
    body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(icc_profile)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:end_of_ihdr] + chunk + data[end_of_ihdr:]


def encode_tiff(pixels: np.ndarray, icc_profile: bytes | None) -> bytes:
    """Write a TIFF file of uint16 [height, width, 1..4] (deflate), with its colour profile."""
    import imagecodecs

    n_channels = pixels.shape[2]
    return bytes(
        imagecodecs.tiff_encode(
            _drop_single_axis(pixels),
            level=_DEFLATE_LEVEL,
            compression="deflate",
            predictor=True,
            planarconfig="contig",  # else [3, w, 3] could be read as three planes
            photometric="rgb" if n_channels >= 3 else "minisblack",
            extrasample="unassalpha" if n_channels in (2, 4) else None,
            iccprofile=icc_profile,
        )
    )


def _drop_single_axis(pixels: np.ndarray) -> np.ndarray:
    pixels = np.ascontiguousarray(pixels)
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels
