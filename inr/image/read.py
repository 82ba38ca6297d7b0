"""Read pictures: bit depth, alpha, grey, orientation and colour profile, in one place.

A file is read once into memory, by what it holds, not by its name; a pipe will do. What is special
to a format is in formats/. The rules, for every format that Pillow opens:
  - Pixels come upright: EXIF orientation is applied.
  - Grey stays one channel. Palette, CMYK, YCbCr, LAB and HSV become RGB by Pillow's convert.
  - Alpha is kept unless the picture is opaque everywhere; transparent palette entries and
    colour keys (PNG tRNS) become alpha.
  - No channel is dropped. Of a TIFF, a sample that ExtraSamples calls alpha (1 or 2) is alpha; a
    file with others beside the colours, called unspecified or not called at all, is refused.
  - 16 bits stay 16 bits, and 9 to 15 are scaled to them: v * 65535 / (2**n - 1), to the nearest.
    So for PNG, TIFF, PGM, PPM, PAM, AVIF, JPEG 2000 and JPEG; where a file loses bits, as SGI
    does, a warning says so. Floats (TIFF, PFM) must lie in 0..1 and become 16 bits; 32-bit
    integers must lie in 0..65535. Signed samples of 8 or 16 bits are refused.
  - Of an animation or a multi-page file the first frame is used, with a warning.
  - The colours of the pixels are never changed. An ICC profile is kept if it describes the
    pixels returned; a damaged one, or the CMYK profile of a picture turned into RGB, is
    dropped with a warning. Where there is none, what else the file says of its colours
    becomes a profile or a warning: see formats/colour.py.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from PIL import Image

from inr.errors import ImageError, UsageError
from inr.format.container import DEFAULT_MAX_PIXELS
from inr.image.formats.colour import (
    StatedColour,
    choose_profile,
    read_colour,
    read_profile,
    read_tiff_colour,
)
from inr.image.formats.decoders import (
    check_size,
    decoder_errors,
    one_line,
    open_picture,
    over_limit,
)
from inr.image.formats.netpbm import read_netpbm
from inr.image.formats.pillow import (
    bits_that_pillow_drops,
    decode,
    key_factor,
    key_to_alpha,
    note_frames,
    read_head,
    read_orientation,
    read_samples,
    refuse_what_would_be_lost,
)
from inr.image.formats.sixteen_bit import claim_8_bits, read_deep, scale_to_16_bits
from inr.image.formats.tiff import pillow_reads, read_tiff
from inr.image.formats.tiff_header import TiffHeader, read_header
from inr.image.picture import Picture

Warn = Callable[[str], None]
_FILE_BYTES_A_PIXEL = 16  # four channels of 32 bits, not compressed
_OTHER_FILE_BYTES = 1 << 26  # profiles, previews and other data of the camera
_READ_BYTES = 1 << 20


def load(
    path: str | os.PathLike[str], *, max_pixels: int = DEFAULT_MAX_PIXELS, warn: Warn
) -> Picture:
    """Read a picture file, once, by the rules at the top of this module.

    Args:
      path: a file or pipe of any format Pillow opens, recognised by content, not by name.
      max_pixels: height * width above this is refused before anything is decoded, and so is a
        file of more than max_file_bytes(max_pixels).
      warn: called with one line for each thing the picture loses.
    Returns:
      The picture, uint8 or uint16.
    Raises:
      ImageError: for every file that is not a readable picture.
    """
    _check_limit(max_pixels)
    name = str(path)
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > max_file_bytes(max_pixels):
                raise _too_long(name, max_pixels)
            data = read_stream(file, name, max_pixels=max_pixels)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(one_line(f"{name}: cannot be read: {reason}")) from error
    return load_bytes(data, name, max_pixels=max_pixels, warn=warn)


def load_bytes(
    data: bytes, name: str, *, max_pixels: int = DEFAULT_MAX_PIXELS, warn: Warn
) -> Picture:
    """Read a picture whose file is in memory; `load` does the same for a path.

    Args:
      data: the whole file.
      name: what errors and warnings call it.
    """
    _check_limit(max_pixels)
    notes: list[str] = []
    try:
        picture = _read(data, max_pixels, notes)
    except ImageError as error:
        raise ImageError(one_line(f"{name}: {error}")) from error.__cause__
    for note in notes:
        warn(f"{name}: {note}")
    return picture


def read_stream(stream: BinaryIO, name: str, *, max_pixels: int) -> bytes:
    """Read a picture file to its end, which it may not have; for load_bytes.

    Raises:
      ImageError: more than max_file_bytes(max_pixels) came, or nothing but zeros, as /dev/zero
        gives for ever.
    """
    _check_limit(max_pixels)
    limit = max_file_bytes(max_pixels)
    buffer = io.BytesIO()  # gives its bytes away without a copy
    while chunk := stream.read(_READ_BYTES):
        if buffer.tell() == 0 and len(chunk) == _READ_BYTES and not any(chunk):
            raise ImageError(one_line(f"{name}: not a picture: it begins with a MiB of zeros"))
        buffer.write(chunk)
        if buffer.tell() > limit:
            raise _too_long(name, max_pixels)
    return buffer.getvalue()


def max_file_bytes(max_pixels: int) -> int:
    """Limit the bytes of a file: max_pixels as they may be stored, and 64 MiB."""
    return _FILE_BYTES_A_PIXEL * max_pixels + _OTHER_FILE_BYTES


def _too_long(name: str, max_pixels: int) -> ImageError:
    limit = max_file_bytes(max_pixels)
    return ImageError(
        one_line(
            f"{name}: more than {limit} bytes, the limit of a file for {max_pixels} pixels; "
            "raise it with --max-pixels, or give one frame alone"
        )
    )


def _check_limit(max_pixels: int) -> None:
    if max_pixels < 1:
        raise UsageError(f"max_pixels={max_pixels} is below 1; the default is {DEFAULT_MAX_PIXELS}")


def from_pil(image: Image.Image, *, warn: Warn) -> Picture:
    """Take a Pillow image by the same rules as a file, as far as Pillow allows.

    Pillow holds 16 bits for grey only: a 16-bit RGB file that it opened is 8-bit here, which a
    warning says. Use load, or from_array, for all 16. Of an image that is loaded already, Pillow
    no longer tells how many bits its file had.
    """
    notes: list[str] = []
    try:
        picture = _read_opened(image, read_head(image), None, notes)
    except ImageError as error:
        raise ImageError(one_line(f"image: {error}")) from error.__cause__
    for note in notes:
        warn(f"image: {note}")
    return picture


def from_array(array: np.ndarray) -> Picture:
    """Copy uint8 or uint16 pixels, [h, w] or [h, w, 1..4]; the channels are kept as given."""
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


def _read(data: bytes, max_pixels: int, notes: list[str]) -> Picture:
    header = read_header(data)
    if header is not None:
        return _read_tiff(data, header, max_pixels, notes)
    pixels = read_netpbm(data, max_pixels)
    if pixels is not None:
        return _finish(pixels, 1, None, None, notes)
    with open_picture(claim_8_bits(data)) as image:
        check_size(image.height, image.width, max_pixels)
        if image.format == "PNG":
            if not image.tile:
                raise ImageError("PNG file without pixel data (no IDAT chunk)")
            with open_picture(data) as check, decoder_errors():
                check.verify()  # the checksums of the pixel data, which load ignores
        refuse_what_would_be_lost(image, data)
        pixels = read_deep(data, image.format, image.mode, (image.height, image.width))
        if pixels is None:
            return _read_opened(image, data, max_pixels, notes)
        note_frames(image, notes)
        pixels = key_to_alpha(pixels, image.info.get("transparency"))
        upright_by = read_orientation(image, notes)  # first: damaged EXIF is reported once only
        stated = read_colour(image, data)
        return _finish(pixels, upright_by, read_profile(image, data), stated, notes)


def _read_tiff(data: bytes, header: TiffHeader, max_pixels: int, notes: list[str]) -> Picture:
    kind = header.kind
    kind.refuse_what_would_be_lost()
    check_size(header.height, header.width, max_pixels)
    tile_pixels = header.tile_shape[0] * header.tile_shape[1] if header.tile_shape else 0
    if tile_pixels > max_pixels:
        raise ImageError(over_limit(f"a tile has {tile_pixels} pixels", max_pixels))
    if header.has_more_frames:
        notes.append("holds several frames; only the first is used")
    if not pillow_reads(header):
        pixels = read_tiff(data, header)
        stated = read_tiff_colour(header)
        return _finish(pixels, header.orientation, header.icc_profile, stated, notes)
    try:
        image = open_picture(data)
    except ImageError as error:
        raise ImageError(f"{kind}, compression {header.compression}: {error}") from error.__cause__
    with image:
        return _read_opened(image, data, max_pixels, notes, read_tiff_colour(header))


def _read_opened(
    image: Image.Image,
    head: bytes,
    max_pixels: int | None,
    notes: list[str],
    stated: StatedColour | None = None,
) -> Picture:
    """Read a picture that Pillow decodes as well as anybody here.

    Args:
      head: the first bytes of its file, as many as are at hand.
      stated: what the caller knows of its colours.
    """
    if image.format == "EPS":
        # Pillow would run Ghostscript on the file.
        raise ImageError("PostScript is a drawing, not a picture; render it to PNG first")
    check_size(image.height, image.width, max_pixels)
    refuse_what_would_be_lost(image, head)
    n_bits = bits_that_pillow_drops(image, head)
    if n_bits is not None:
        notes.append(f"has {n_bits} bits a sample, of which Pillow keeps 8")
    note_frames(image, notes)
    factor = key_factor(image)
    keeps_colours = image.mode not in ("CMYK", "YCbCr", "LAB", "HSV")
    decode(image)
    check_size(image.height, image.width, max_pixels)  # an icon's is known only now
    pixels = read_samples(image)
    if image.format == "TIFF" and image.tag_v2.get(258) == (12,):  # type: ignore[attr-defined]
        # Pillow leaves 12-bit samples at 0..4095 in 16 bits.
        pixels = scale_to_16_bits(pixels, 4095)
    if image.mode not in ("P", "PA"):  # there the conversion has made alpha of it
        pixels = key_to_alpha(pixels, image.info.get("transparency"), factor)
    upright_by = read_orientation(image, notes)
    if stated is None and keeps_colours:
        stated = read_colour(image, head)
    return _finish(pixels, upright_by, read_profile(image, head), stated, notes)


def _finish(
    pixels: np.ndarray,
    orientation: int,
    icc_profile: bytes | None,
    stated: StatedColour | None,
    notes: list[str],
) -> Picture:
    """Turn upright, drop alpha that is opaque everywhere, and choose the profile."""
    pixels = _turn_upright(pixels, orientation)
    n_channels = pixels.shape[2]
    if n_channels in (2, 4) and pixels[..., -1].min() == np.iinfo(pixels.dtype).max:
        pixels = pixels[..., :-1]
    profile = choose_profile(icc_profile, stated, n_channels, notes)
    return Picture(np.ascontiguousarray(pixels), profile)


def _turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation; 1 and values outside 1..8 mean upright."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
