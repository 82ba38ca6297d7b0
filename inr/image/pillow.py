"""What an image that Pillow opened holds: samples, colour key, orientation, frames, profile."""

from __future__ import annotations

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from inr.errors import ImageError
from inr.image.colour import profile_of_jp2
from inr.image.decoders import pillow_calls
from inr.image.samples import floats_to_16_bits, integers_to_16_bits

_EXIF_ORIENTATION = 0x0112


def decode(image: Image.Image, max_pixels: int | None) -> None:
    """Have Pillow decode the pixels."""
    if not isinstance(image, ImageFile):
        return
    # Pillow maps uncompressed files that have a name into memory, and with the orientations 5..8
    # of a TIFF then takes the height for the width.
    name, image.filename = image.filename, ""
    try:
        with pillow_calls(max_pixels):
            image.load()
    finally:
        image.filename = name


def note_frames(image: Image.Image, notes: list[str]) -> None:
    """Note that an image has several frames; once."""
    note = "holds several frames; only the first is used"
    with pillow_calls():
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
        with pillow_calls():
            pixels = np.asarray(image.convert(target))
    return pixels.reshape(image.height, image.width, -1)


def key_factor(image: Image.Image) -> int:
    """What a PNG colour key must be multiplied by; asked before the image is loaded.

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
        with pillow_calls():
            return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except ImageError:
        notes.append("EXIF data is damaged; its orientation is ignored")
        return 1


def read_profile(image: Image.Image, head: bytes) -> bytes | None:
    """Take the ICC profile, which Pillow does not give of JPEG 2000."""
    if image.format == "JPEG2000":
        return profile_of_jp2(head)
    return image.info.get("icc_profile") or None
