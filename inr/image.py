"""Pictures in and out: bit depth, alpha, grey, orientation and colour profile, in one place.

Reading is here; writing is in image_save.py, 16-bit PNG and TIFF in image_16bit.py. The
rules, for every format that Pillow opens:
  - Pixels come upright: EXIF orientation is applied.
  - Grey stays one channel. Palette, CMYK, YCbCr, LAB and HSV become RGB by Pillow's convert.
  - Alpha is kept unless the picture is opaque everywhere; transparent palette entries and
    colour keys (PNG tRNS) become alpha.
  - 16 bits stay 16 bits (PNG, TIFF, grey PGM). Float pictures must lie in 0..1 and become
    16-bit grey; 32-bit integers must lie in 0..65535. Everything else has 8 bits.
  - Of an animation or a multi-page file the first frame is used, with a warning.
  - The colours of the pixels are never changed. An ICC profile is kept if it describes the
    pixels returned; a damaged one, or the CMYK profile of a picture turned into RGB, is
    dropped with a warning.
"""

from __future__ import annotations

import io
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from inr import image_16bit
from inr.container import DEFAULT_MAX_PIXELS
from inr.errors import ImageError, UsageError
from inr.image_save import check_savable, save, to_pil
from inr.picture import Picture

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "Picture",
    "check_savable",
    "from_array",
    "from_pil",
    "load",
    "save",
    "to_pil",
]

Warn = Callable[[str], None]
_READABLE = "PNG, JPEG, WebP, AVIF, TIFF, BMP, PPM, GIF, ..."
_EXIF_ORIENTATION = 0x0112


def load(
    path: str | os.PathLike[str], *, max_pixels: int = DEFAULT_MAX_PIXELS, warn: Warn
) -> Picture:
    """Reads a picture file by the rules at the top of this module.

    Args:
      path: a file of any format Pillow opens, recognised by content, not by name.
      max_pixels: height * width above this is refused before anything is decoded.
      warn: called with one line for each thing the picture loses.
    Returns:
      The picture, uint8 or uint16.
    Raises:
      ImageError: for every file that is not a readable picture.
    """
    if max_pixels < 1:
        raise UsageError(f"max_pixels={max_pixels} is below 1; the default is {DEFAULT_MAX_PIXELS}")
    notes: list[str] = []
    with _as_image_errors(str(path), max_pixels), _pillow_limit(max_pixels):
        picture = _load_file(Path(path), max_pixels, notes)
    for note in notes:  # here, where Python's own warnings are on again
        warn(f"{path}: {note}")
    return picture


def from_pil(image: Image.Image, *, warn: Warn) -> Picture:
    """Takes a Pillow image by the same rules as a file.

    Pillow holds 16 bits for grey only: a 16-bit RGB file that it opened is 8-bit here.
    Use load, or from_array, for all 16.
    """
    notes: list[str] = []
    with _as_image_errors("image", None), _pillow_limit(None):
        picture = _from_opened(image, notes)
    for note in notes:
        warn(f"image: {note}")
    return picture


def from_array(array: np.ndarray) -> Picture:
    """Copies uint8 or uint16 pixels, [h, w] or [h, w, 1..4]; the channels are kept as given."""
    array = np.asarray(array)
    if array.dtype.kind != "u" or array.dtype.itemsize > 2:
        raise UsageError(
            f"array has dtype {array.dtype}, expected uint8 or uint16; "
            "for floats in 0..1 pass (array * 255).round().astype(numpy.uint8)"
        )
    if array.ndim == 2:
        array = array[..., None]  # [h, w, 1]
    if array.ndim != 3 or not 1 <= array.shape[2] <= 4 or 0 in array.shape:
        raise UsageError(
            f"array has shape {array.shape}, expected [height, width] or "
            "[height, width, 1..4] with no empty side"
        )
    return Picture(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))


# Pillow's size limit and Python's warning filters belong to the whole process.
_PILLOW_LOCK = threading.RLock()


@contextmanager
def _pillow_limit(max_pixels: int | None) -> Iterator[None]:
    """Puts our limit in the place of Pillow's for a while, and keeps its warnings quiet.

    Pillow also checks what only shows up later: icons in an .ico, frames, WebP canvases.
    """
    with _PILLOW_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = Image.MAX_IMAGE_PIXELS
        # Pillow raises above twice the value and only warns above the value itself.
        Image.MAX_IMAGE_PIXELS = None if max_pixels is None else (max_pixels + 1) // 2
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


@contextmanager
def _as_image_errors(name: str, max_pixels: int | None) -> Iterator[None]:
    """Turns whatever a broken picture makes the decoders raise into one line."""
    try:
        yield
    except ImageError as error:
        raise ImageError(_one_line(f"{name}: {error}")) from None
    except Image.DecompressionBombError as error:
        size = re.search(r"\d+ pixels", str(error))
        claimed = size.group() if size else "too many pixels"
        raise ImageError(_one_line(f"{name}: {_over_limit(claimed, max_pixels)}")) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            _one_line(f"{name}: not a picture that can be read (expected {_READABLE})")
        ) from error
    except Exception as error:  # Pillow raises a dozen types for damaged data, KeyError included
        if isinstance(error, OSError) and error.errno is not None:
            text = f"{name}: cannot be read: {error.strerror}"
        else:
            reason = str(error) or type(error).__name__
            text = f"{name}: picture is damaged or of an unsupported kind: {reason}"
        raise ImageError(_one_line(text)) from error


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


def _over_limit(size: str, max_pixels: int | None) -> str:
    return f"{size}, over the limit of {max_pixels} pixels; raise it with --max-pixels"


def _check_size(height: int, width: int, max_pixels: int | None) -> None:
    if height < 1 or width < 1:
        raise ImageError(f"picture is {width}x{height} pixels; both sides must be at least 1")
    if max_pixels is not None and height * width > max_pixels:
        size = f"picture is {width}x{height} = {height * width} pixels"
        raise ImageError(_over_limit(size, max_pixels))


def _load_file(path: Path, max_pixels: int, notes: list[str]) -> Picture:
    header = image_16bit.tiff_header(path)
    if header is not None:
        _check_size(header.height, header.width, max_pixels)
        if header.tile_pixels > max_pixels:
            raise ImageError(_over_limit(f"a tile has {header.tile_pixels} pixels", max_pixels))
        if header.has_more_frames:
            notes.append("holds several frames; only the first is used")
        pixels = image_16bit.read_tiff(path, header)
        return _finish(pixels, header.orientation, header.icc_profile, notes)
    with Image.open(path) as image:
        _check_size(image.height, image.width, max_pixels)
        if image.format == "PNG":
            if not image.tile:
                raise ImageError("PNG file without pixel data (no IDAT chunk)")
            with Image.open(path) as check:
                check.verify()  # the checksums of the pixel data, which load ignores
        if image_16bit.png_needs_two_passes(image):
            _note_frames(image, notes)
            pixels = image_16bit.read_png(image, path)
            pixels = _key_to_alpha(pixels, image.info.get("transparency"))
            return _finish(pixels, _orientation(image, notes), _profile(image), notes)
        if image.format == "TIFF":
            # Pillow maps uncompressed files that have a name into memory, and with
            # orientations 5..8 then takes the height for the width.
            image.filename = ""
        return _from_opened(image, notes)


def _from_opened(image: Image.Image, notes: list[str]) -> Picture:
    """Every picture that Pillow reads at its full depth."""
    if image.format == "EPS":
        # Pillow would run Ghostscript on the file.
        raise ImageError("PostScript is a drawing, not a picture; render it to PNG first")
    _check_size(image.height, image.width, None)
    if isinstance(image, ImageFile) and image_16bit.png_needs_two_passes(image):
        notes.append("Pillow reads this 16-bit file as 8 bits; give the path to keep all 16")
    _note_frames(image, notes)
    key_factor = _key_factor(image)
    image.load()
    pixels = _to_array(image)
    if image.format == "TIFF" and image.tag_v2.get(258) == (12,):  # type: ignore[attr-defined]
        # Pillow leaves 12-bit samples at 0..4095 in 16 bits.
        pixels = ((pixels.astype(np.uint32) * 65535 + 2047) // 4095).astype(np.uint16)
    if image.mode not in ("P", "PA"):  # there the conversion has made alpha of it
        pixels = _key_to_alpha(pixels, image.info.get("transparency"), key_factor)
    return _finish(pixels, _orientation(image, notes), _profile(image), notes)


def _note_frames(image: Image.Image, notes: list[str]) -> None:
    if getattr(image, "is_animated", False):  # only the formats that can have it define it
        notes.append("holds several frames; only the first is used")


def _to_array(image: Image.Image) -> np.ndarray:
    """uint8 or uint16 [h, w, c] of a loaded image of any mode."""
    mode = image.mode
    if mode in ("L", "LA", "RGB", "RGBA"):
        pixels = np.asarray(image)
    elif mode == "1":
        pixels = np.asarray(image.convert("L"))
    elif mode.startswith("I;16"):
        pixels = np.asarray(image).astype(np.uint16)
    elif mode == "I":
        pixels = _checked_range(np.asarray(image), 65535).astype(np.uint16)
    elif mode == "F":
        values = _checked_range(np.asarray(image), 1.0)
        # Exact for k / 65535 in float32: the product is within 0.004 of k.
        pixels = np.rint(values * np.float32(65535)).astype(np.uint16)
    elif mode == "La":
        pixels = np.asarray(image.convert("LA"))
    elif mode in ("PA", "RGBa") or (mode == "P" and image.has_transparency_data):
        pixels = np.asarray(image.convert("RGBA"))
    elif mode in ("P", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"):
        pixels = np.asarray(image.convert("RGB"))
    else:
        raise ImageError(f"pixels of kind {mode!r} are not supported; convert it to RGB first")
    return pixels.reshape(image.height, image.width, -1)


def _checked_range(values: np.ndarray, largest: float) -> np.ndarray:
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= largest):  # also true for NaN
        raise ImageError(
            f"pixel values lie in {low:g}..{high:g}, expected 0..{largest:g}; scale them first"
        )
    return values


def _key_factor(image: Image.Image) -> int:
    """What a PNG colour key must be multiplied by; asked before the image is loaded.

    Pillow scales the pixels of 2 and 4-bit grey to 0..255, but not the key.
    """
    raw_mode = image.tile[0].args if isinstance(image, ImageFile) and image.tile else None
    if raw_mode == "L;2":
        return 85
    return 17 if raw_mode == "L;4" else 1


def _key_to_alpha(pixels: np.ndarray, key: object, factor: int = 1) -> np.ndarray:
    """Adds an alpha channel that is 0 exactly where the pixel equals the key."""
    n_channels = pixels.shape[2]
    if not isinstance(key, (int, tuple)) or np.size(key) != n_channels:
        return pixels
    opaque = np.iinfo(pixels.dtype).max
    # PNG: of a key wider than the samples only the low bits count.
    wanted = (np.asarray(key, dtype=np.int64) * factor & opaque).astype(pixels.dtype)
    matches = np.all(pixels == wanted, axis=-1, keepdims=True)  # [h, w, 1]
    alpha = np.where(matches, 0, opaque).astype(pixels.dtype)
    return np.concatenate([pixels, alpha], axis=-1)


def _orientation(image: Image.Image, notes: list[str]) -> int:
    if image.format == "TIFF":
        return 1  # Pillow has already turned it
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # any type: EXIF is a TIFF directory of arbitrary content
        notes.append("EXIF data is damaged; its orientation is ignored")
        return 1


def _profile(image: Image.Image) -> bytes | None:
    return image.info.get("icc_profile") or None


def _finish(
    pixels: np.ndarray, orientation: object, icc_profile: bytes | None, notes: list[str]
) -> Picture:
    pixels = _upright(pixels, orientation)
    n_channels = pixels.shape[2]
    if n_channels in (2, 4) and pixels[..., -1].min() == np.iinfo(pixels.dtype).max:
        pixels = pixels[..., :-1]
    return Picture(np.ascontiguousarray(pixels), _fitting_profile(icc_profile, n_channels, notes))


def _upright(pixels: np.ndarray, orientation: object) -> np.ndarray:
    """Applies an EXIF orientation; 1 and values outside 1..8 mean upright."""
    if orientation == 2:
        return pixels[:, ::-1]
    if orientation == 3:
        return pixels[::-1, ::-1]
    if orientation == 4:
        return pixels[::-1]
    if orientation == 5:
        return pixels.transpose(1, 0, 2)
    if orientation == 6:
        return np.rot90(pixels, -1)
    if orientation == 7:
        return pixels[::-1, ::-1].transpose(1, 0, 2)
    if orientation == 8:
        return np.rot90(pixels)
    return pixels


def _fitting_profile(icc_profile: bytes | None, n_channels: int, notes: list[str]) -> bytes | None:
    if icc_profile is None:
        return None
    from PIL import ImageCms

    try:
        space = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile)).profile.xcolor_space.strip()
    except Exception:  # OSError for most damage; the parser promises nothing
        notes.append("colour profile is damaged and is dropped")
        return None
    expected = "GRAY" if n_channels <= 2 else "RGB"
    if space != expected:
        notes.append(f"colour profile is for {space}, the pixels are {expected}; it is dropped")
        return None
    return icc_profile
