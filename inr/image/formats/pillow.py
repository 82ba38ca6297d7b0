"""What an image that Pillow opened holds: samples, colour key, orientation, frames.

And what Pillow would lose of it without a word, by format: channels, signs, and bits below the
eighth.
"""

from __future__ import annotations

import re
import struct

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from inr.errors import ImageError
from inr.image.formats.decoders import decoder_errors
from inr.image.formats.sixteen_bit import (
    floats_to_16_bits,
    integers_to_16_bits,
    read_sample_info,
)
from inr.image.formats.tiff_header import kind_of

_HEAD_BYTES = 1 << 20  # of a file that is open already; headers lie within

_PSD_COLOURS = {0: 1, 1: 1, 2: 1, 3: 3, 4: 4, 7: 1, 8: 1, 9: 3}  # channels by mode
_PSD_RGB = 3
_DEEP_RAW_MODE = re.compile(r"(?:L|LA|RGB|RGBA|RGBX|RGBa|CMYK);16")
_BC6 = 6  # the half floats of a DDS
_EXIF_ORIENTATION = 0x0112


def decode(image: Image.Image) -> None:
    """Have Pillow decode the pixels."""
    if not isinstance(image, ImageFile):
        return
    # Pillow maps uncompressed files that have a name into memory, and with the orientations 5..8
    # of a TIFF then takes the height for the width.
    name, image.filename = image.filename, ""
    try:
        with decoder_errors():
            image.load()
    finally:
        image.filename = name


def note_frames(image: Image.Image, notes: list[str]) -> None:
    """Note that an image has several frames; once."""
    note = "holds several frames; only the first is used"
    with decoder_errors():
        # Only the formats that can have several define it.
        is_animated = getattr(image, "is_animated", False)
    if is_animated and note not in notes:
        notes.append(note)


def read_samples(image: Image.Image) -> np.ndarray:
    """Take the pixels of a loaded image of any mode, uint8 or uint16 [height, width, 1..4]."""
    mode = image.mode
    if mode in ("L", "LA", "RGB", "RGBA"):
        pixels = np.asarray(image)
    elif mode.startswith("I;16"):
        pixels = np.asarray(image).astype(np.uint16)
    elif mode == "I":
        pixels = integers_to_16_bits(np.asarray(image))
    elif mode == "F":
        pixels = floats_to_16_bits(np.asarray(image))
    else:
        if mode == "1":
            target = "L"
        elif mode == "La":
            target = "LA"
        elif mode in ("PA", "RGBa") or (mode == "P" and image.has_transparency_data):
            target = "RGBA"
        elif mode in ("P", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"):
            target = "RGB"
        else:
            raise ImageError(f"pixels of kind {mode!r} are not supported; convert it to RGB first")
        with decoder_errors():
            pixels = np.asarray(image.convert(target))
    return pixels.reshape(image.height, image.width, -1)


def key_factor(image: Image.Image) -> int:
    """Tell what a PNG colour key must be multiplied by, before the image is loaded.

    Pillow scales the pixels of 2 and 4-bit grey to 0..255, but not the key.
    """
    raw_mode = image.tile[0].args if isinstance(image, ImageFile) and image.tile else None
    if raw_mode == "L;2":
        return 85
    return 17 if raw_mode == "L;4" else 1


def key_to_alpha(pixels: np.ndarray, key: object, factor: int = 1) -> np.ndarray:
    """Add an alpha channel that is 0 exactly where the pixel equals the key."""
    n_channels = pixels.shape[2]
    if not isinstance(key, (int, tuple)) or np.size(key) != n_channels:
        return pixels
    opaque = np.iinfo(pixels.dtype).max
    # PNG: of a key wider than the samples only the low bits count.
    wanted = (np.asarray(key, dtype=np.int64) * factor & opaque).astype(pixels.dtype)
    matches = np.all(pixels == wanted, axis=-1, keepdims=True)  # [h, w, 1]
    alpha = np.where(matches, 0, opaque).astype(pixels.dtype)
    return np.concatenate([pixels, alpha], axis=-1)


def read_orientation(image: Image.Image, notes: list[str]) -> int:
    """Take the EXIF orientation that is still to be applied, 1..8; damaged EXIF is noted."""
    if image.format == "TIFF":
        return 1  # Pillow has already turned it
    try:
        with decoder_errors():
            return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except ImageError:
        notes.append("EXIF data is damaged; its orientation is ignored")
        return 1


def read_head(image: Image.Image) -> bytes:
    """Read the first bytes of the file behind an image; none if that is loaded already."""
    file = image.fp if isinstance(image, ImageFile) else None
    if file is None:
        return b""
    try:
        place = file.tell()
        file.seek(0)
        head = file.read(_HEAD_BYTES)
        file.seek(place)
    except (OSError, ValueError):  # a pipe, or closed
        return b""
    return head


def refuse_what_would_be_lost(image: Image.Image, head: bytes) -> None:
    """Raise ImageError for channels that are neither colour nor alpha, and for signed samples.

    Args:
      image: opened by Pillow.
      head: the first bytes of its file, as many as are at hand.
    """
    if image.format == "TIFF":
        with decoder_errors():
            tags = dict(image.tag_v2)  # type: ignore[attr-defined]
        numbers = {tag: value for tag, value in tags.items() if _is_numbers(value)}
        kind_of(numbers.get).refuse_what_would_be_lost()
    elif image.format == "JPEG2000" and read_sample_info(head).is_signed:
        raise ImageError(
            "JPEG 2000 of signed samples is not supported: they have no place between black and "
            "white; convert it to unsigned samples"
        )
    elif image.format == "DDS" and _dds_kind(image).endswith("S"):  # BC5S, BC6HS
        raise ImageError(f"DDS of signed samples ({_dds_kind(image)}) is not supported")
    elif image.format == "PSD" and len(head) >= 26:
        n_channels, mode = struct.unpack_from(">H", head, 12)[0], head[25]
        n_kept = 4 if mode == _PSD_RGB and n_channels == 4 else _PSD_COLOURS.get(mode, 0)
        if n_channels > n_kept:
            raise ImageError(
                f"Photoshop file of {n_channels} channels, of which {n_kept} would be kept; "
                "save it as PNG or TIFF, with the channels that you need"
            )
    elif image.format == "FITS":
        planes = re.search(rb"NAXIS[3-9] *= *(?!1 )\d+ ", head[:_HEAD_BYTES])
        if planes is not None or image.mode == "I;16":  # 16-bit samples of FITS are signed
            kind = "several planes" if planes is not None else "signed samples"
            raise ImageError(f"FITS of {kind} is not supported; convert it to TIFF or PNG")


def _dds_kind(image: Image.Image) -> str:
    tiles = image.tile if isinstance(image, ImageFile) else []
    arguments = tiles[0].args if tiles else ()
    return str(arguments[-1]) if isinstance(arguments, tuple) and arguments else ""


def _is_numbers(value: object) -> bool:
    values = value if isinstance(value, tuple) else (value,)
    return all(isinstance(number, int) for number in values)


def bits_that_pillow_drops(image: Image.Image, head: bytes) -> int | None:
    """Tell how many bits a sample has where Pillow keeps 8; None if it keeps them all.

    Args:
      image: opened by Pillow, not loaded.
      head: as in refuse_what_would_be_lost.
    """
    if image.mode.startswith(("I", "F")) or not isinstance(image, ImageFile):
        return None
    stored = read_sample_info(head)
    if stored.bits > 8 and image.format in ("AVIF", "JPEG2000", "JPEG", "MPO"):
        return stored.bits
    for tile in image.tile:
        arguments = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if tile.codec_name == "SGI16" or any(
            isinstance(value, str) and _DEEP_RAW_MODE.match(value) for value in arguments
        ):
            return 16
        if tile.codec_name == "bcn" and arguments[:1] == (_BC6,):
            return 16
        if tile.codec_name in ("ppm", "ppm_plain") and isinstance(arguments[-1], int):
            return 16 if arguments[-1] > 255 else None
    return None
