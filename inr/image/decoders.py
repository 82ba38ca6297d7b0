"""Calls of Pillow and imagecodecs on bytes from outside: their errors, limits and warnings.

Only foreign calls may stand inside these contexts. An error of our own code is a bug, and must not
be told as a damaged picture.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from inr.errors import ImageError

READABLE = "PNG, JPEG, WebP, AVIF, TIFF, BMP, PPM, GIF, ..."
_KNOWN_STARTS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"8BPS": "Photoshop",
    b"SIMPLE  =": "FITS",
}

# Pillow's size limit and Python's warning filters belong to the whole process. The lock keeps our
# own threads from restoring each other's values; it is held for calls of Pillow only.
_PILLOW_LOCK = threading.RLock()


@contextmanager
def decoder_errors() -> Iterator[None]:
    """Turn what a decoder raises for damaged data into an ImageError of one line."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises a dozen types for damaged data, KeyError included
        reason = str(error) or type(error).__name__
        text = f"picture is damaged or of an unsupported kind: {one_line(reason)}"
        raise ImageError(text) from error


@contextmanager
def pillow_calls(max_pixels: int | None = None) -> Iterator[None]:
    """Run calls of Pillow: errors as in decoder_errors, no warnings, the limit not below ours.

    Args:
      max_pixels: what the caller checks itself. Pillow's limit for the whole process is raised to
        it for a while if it is lower, never taken away. None leaves it as it is.
    """
    with _PILLOW_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = Image.MAX_IMAGE_PIXELS
        # Pillow raises above twice the value and only warns above the value itself.
        raised = max_pixels is not None and before is not None and 2 * before < max_pixels
        if raised and max_pixels is not None:
            Image.MAX_IMAGE_PIXELS = (max_pixels + 1) // 2
        try:
            with decoder_errors():
                yield
        except ImageError as error:
            if isinstance(error.__cause__, Image.DecompressionBombError):
                size = re.search(r"\d+ pixels", str(error))
                claimed = size.group() if size else "too many pixels"
                raise ImageError(over_limit(claimed, max_pixels)) from error.__cause__
            raise
        finally:
            if raised:
                Image.MAX_IMAGE_PIXELS = before


def open_picture(data: bytes, max_pixels: int | None) -> ImageFile:
    """Open a picture file with Pillow, by content; nothing is decoded yet.

    Raises:
      ImageError: Pillow does not know it, or its size is over the limit.
    """
    try:
        with pillow_calls(max_pixels):
            return Image.open(io.BytesIO(data))
    except ImageError as error:
        if not isinstance(error.__cause__, UnidentifiedImageError):
            raise
        for start, kind in _KNOWN_STARTS.items():
            if data.startswith(start) and len(data) > len(start):
                raise ImageError(
                    f"{kind} file that is damaged or of a kind that is not supported; "
                    "save it anew as PNG or TIFF"
                ) from error.__cause__
        text = f"not a picture that can be read (expected {READABLE})"
        raise ImageError(text) from error.__cause__


def check_size(height: int, width: int, max_pixels: int | None) -> None:
    """Raise ImageError for a picture without pixels, or with more than max_pixels."""
    if height < 1 or width < 1:
        raise ImageError(f"picture is {width}x{height} pixels; both sides must be at least 1")
    if max_pixels is not None and height * width > max_pixels:
        size = f"picture is {width}x{height} = {height * width} pixels"
        raise ImageError(over_limit(size, max_pixels))


def over_limit(size: str, max_pixels: int | None) -> str:
    """The text of the error for a picture that is too large."""
    limit = "of Pillow" if max_pixels is None else f"of {max_pixels} pixels"
    return f"{size}, over the limit {limit}; raise it with --max-pixels"


def one_line(text: str) -> str:
    return " ".join(text.splitlines())
