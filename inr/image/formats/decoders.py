"""Calls of Pillow and imagecodecs on bytes from outside: their errors, limits and warnings.

Only foreign calls may stand inside these contexts. An error of our own code is a bug, and must not
be reported as a damaged picture.
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Iterator

from PIL import Image
from PIL.ImageFile import ImageFile

from inr.errors import ImageError

READABLE = "PNG, JPEG, WebP, AVIF, TIFF, BMP, PPM, GIF, ..."
_KNOWN_STARTS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"8BPS": "Photoshop",
    b"SIMPLE  =": "FITS",
}
_OTHER_FORMAT = (SyntaxError, IndexError, TypeError, struct.error)  # as Image.open takes them

# Pillow warns of odd metadata in Python's way. That is not for our users, to whom we say ourselves
# what is lost. This stands behind all filters that the process has or will have. It is not
# warnings.catch_warnings: where two threads are inside that, one restores the filters of the other.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.", append=True)


@contextlib.contextmanager
def decoder_errors() -> Iterator[None]:
    """Turn what a decoder raises for damaged data into an ImageError of one line."""
    try:
        yield
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:  # in the opening code of a few formats
        raise ImageError(f"{one_line(str(error))}; raise PIL.Image.MAX_IMAGE_PIXELS") from error
    except Exception as error:  # Pillow raises a dozen types for damaged data, KeyError included
        reason = str(error) or type(error).__name__
        text = f"picture is damaged or of an unsupported kind: {one_line(reason)}"
        raise ImageError(text) from error


def open_picture(data: bytes) -> ImageFile:
    """Open a picture file with Pillow, by content; its header is read, and nothing is decoded.

    This is Image.open without its limit of pixels, which belongs to the whole process: the caller
    checks the size.

    Raises:
      ImageError: Pillow does not know the file.
    """
    for load_plugins in (Image.preinit, Image.init):
        load_plugins()  # the usual formats; then all
        for name in tuple(Image.ID):
            factory, accepts = Image.OPEN[name]
            with decoder_errors(), contextlib.suppress(*_OTHER_FORMAT):
                answer = accepts is None or accepts(data[:16])
                if answer and not isinstance(answer, str):  # a text says what this Pillow lacks
                    return factory(io.BytesIO(data), "")
    for start, kind in _KNOWN_STARTS.items():
        if data.startswith(start) and len(data) > len(start):
            raise ImageError(
                f"{kind} file that is damaged or of a kind that is not supported; "
                "save it anew as PNG or TIFF"
            )
    raise ImageError(f"not a picture that can be read (expected {READABLE})")


def check_size(height: int, width: int, max_pixels: int | None) -> None:
    """Raise ImageError for a picture without pixels, or with more than max_pixels."""
    if height < 1 or width < 1:
        raise ImageError(f"picture is {width}x{height} pixels; both sides must be at least 1")
    if max_pixels is not None and height * width > max_pixels:
        size = f"picture is {width}x{height} = {height * width} pixels"
        raise ImageError(over_limit(size, max_pixels))


def over_limit(size: str, max_pixels: int) -> str:
    """Make the text of the error for a picture that is too large."""
    return f"{size}, over the limit of {max_pixels} pixels; raise it with --max-pixels"


def one_line(text: str) -> str:
    return " ".join(text.splitlines())
