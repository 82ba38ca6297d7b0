"""What Pillow would lose without a word, by format: channels, signs, and bits below the eighth."""

from __future__ import annotations

import re
import struct

from PIL import Image
from PIL.ImageFile import ImageFile

from inr.errors import ImageError
from inr.image.decoders import pillow_calls
from inr.image.deep import stored_samples
from inr.image.tiff_header import kind_of

HEAD_BYTES = 1 << 20  # of a file that is open already; headers lie within

_PSD_COLOURS = {0: 1, 1: 1, 2: 1, 3: 3, 4: 4, 7: 1, 8: 1, 9: 3}  # channels by mode
_PSD_RGB = 3
_DEEP_RAW_MODE = re.compile(r"(?:L|LA|RGB|RGBA|RGBX|RGBa|CMYK);16")
_BC6 = 6  # the half floats of a DDS


def head_of(image: Image.Image) -> bytes:
    """The first bytes of the file behind a Pillow picture; none if it is loaded already."""
    file = image.fp if isinstance(image, ImageFile) else None
    if file is None:
        return b""
    try:
        place = file.tell()
        file.seek(0)
        head = file.read(HEAD_BYTES)
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
        with pillow_calls():
            tags = dict(image.tag_v2)  # type: ignore[attr-defined]
        numbers = {tag: value for tag, value in tags.items() if _is_numbers(value)}
        kind_of(numbers.get).refuse_what_would_be_lost()
    elif image.format == "JPEG2000" and stored_samples(head).is_signed:
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
        planes = re.search(rb"NAXIS[3-9] *= *(?!1 )\d+ ", head[:HEAD_BYTES])
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
    """How many bits a sample has in a file that Pillow reads as 8; None if it keeps them all.

    Args:
      image: opened by Pillow, not loaded.
      head: as in refuse_what_would_be_lost.
    """
    if image.mode.startswith(("I", "F")) or not isinstance(image, ImageFile):
        return None
    stored = stored_samples(head)
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
