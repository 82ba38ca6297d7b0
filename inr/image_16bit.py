"""PNG and TIFF files with 16 bits per channel, which Pillow alone reads and writes as 8 bits.

PNG: https://www.w3.org/TR/png-3/ (11.2.1 IHDR, 11.3.2.3 iCCP). TIFF: revision 6.0, section 8.
`inr.image` is the only caller; what these functions raise for a bad file is turned into
ImageError there.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin
from PIL.ImageFile import ImageFile

from inr.errors import ImageError

# Speed: on a 768x512 photo level 3 takes a third of the time of level 6 for 5 % more bytes.
DEFLATE_LEVEL = 3

_TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_ORIENTATION, _N_SAMPLES, _STRIP_BYTES, _PLANAR = 274, 277, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _SAMPLE_FORMAT, _ICC = 322, 323, 338, 339, 34675
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_PREMULTIPLIED, _STRAIGHT = 1, 2


def png_needs_two_passes(image: ImageFile) -> bool:
    """True for a 16-bit RGB, RGBA or grey+alpha PNG that was opened but not loaded yet."""
    return image.format == "PNG" and any(
        tile.args in ("RGB;16B", "RGBA;16B", "LA;16B") for tile in image.tile
    )


def read_png(first: ImageFile, path: Path) -> np.ndarray:
    """Reads all 16 bits of a PNG by having Pillow unpack its bytes in another way.

    Pillow inflates, unfilters and checks the file as always and then keeps one byte of
    each big-endian pair. Unpacked as little-endian, the byte it keeps is the low one.

    Args:
      first: the file opened by Pillow, not loaded; png_needs_two_passes(first) holds.
      path: where the same file can be opened once more.
    Returns:
      uint16 [height, width, 2..4].
    """
    raw_mode = first.tile[0].args
    if raw_mode == "LA;16B":
        _unpack_as(first, "RGBA")  # four bytes a pixel: grey high, low, alpha high, low
        return np.asarray(first).view(">u2").astype(np.uint16)
    width, height = first.size
    pixels = np.empty((height, width, len(first.mode)), np.uint16)
    with Image.open(path) as second:
        _unpack_as(second, "RGB;16L" if raw_mode == "RGB;16B" else "RGBA;16L")
        first.load()
        for top in range(0, height, 64):  # in bands: whole arrays would double the memory
            box = (0, top, width, min(top + 64, height))
            high = np.asarray(first.crop(box)).astype(np.uint16)
            pixels[top : box[3]] = high << 8 | np.asarray(second.crop(box))
    return pixels


def _unpack_as(image: ImageFile, raw_mode: str) -> None:
    image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
    image.load()


@dataclass(frozen=True)
class TiffHeader:
    """What the first directory of a 16-bit grey or RGB TIFF says."""

    height: int
    width: int
    n_samples: int  # channels in the file, 1..5
    n_channels: int  # channels of the picture, 1..4: without samples that mean nothing
    tile_pixels: int  # pixels of one tile, 0 in a file of strips
    white_is_zero: bool
    premultiplied: bool
    planar: bool  # one plane per sample instead of interleaved pixels
    orientation: int  # as in EXIF, 1..8
    icc_profile: bytes | None
    has_more_frames: bool


def tiff_header(path: Path) -> TiffHeader | None:
    """The header of a 16-bit TIFF, None for any other file (Pillow reads those rightly)."""
    with path.open("rb") as file:
        head = file.read(8)
        if head[:4] not in _TIFF_MAGICS:
            return None
        if head[2] == 43 or head[3] == 43:  # BigTIFF: the offset has 8 bytes
            head += file.read(8)
        tags = TiffImagePlugin.ImageFileDirectory_v2(head)
        file.seek(tags.next)
        tags.load(file)
    photometric = tags.get(_PHOTOMETRIC, -1)
    n_samples = tags.get(_N_SAMPLES, 1)
    if photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
        return None
    if set(tags.get(_BITS, ())) != {16} or set(tags.get(_SAMPLE_FORMAT, (1,))) != {1}:
        return None
    n_colours = 3 if photometric == _RGB else 1
    if not n_colours <= n_samples <= n_colours + 2:  # bounds the memory of a sample-count bomb
        return None
    height, width = int(tags[_HEIGHT]), int(tags[_WIDTH])
    have, want = sum(tags.get(_STRIP_BYTES, ())), height * width * n_samples * 2
    if tags.get(_COMPRESSION, 1) == 1 and _STRIP_BYTES in tags and have < want:
        # libtiff would take whatever bytes follow for pixels.
        raise ImageError(f"truncated: the strips hold {have} bytes, the picture needs {want}")
    extra = tags.get(_EXTRA, (_STRAIGHT,))[: n_samples - n_colours]
    has_alpha = extra[:1] in ((_PREMULTIPLIED,), (_STRAIGHT,))
    return TiffHeader(
        height=height,
        width=width,
        n_samples=n_samples,
        n_channels=n_colours + has_alpha,
        tile_pixels=int(tags.get(_TILE_WIDTH, 0)) * int(tags.get(_TILE_HEIGHT, 0)),
        white_is_zero=photometric == _WHITE_IS_ZERO,
        premultiplied=has_alpha and extra[0] == _PREMULTIPLIED,
        planar=tags.get(_PLANAR, 1) == 2,
        orientation=tags.get(_ORIENTATION, 1),
        icc_profile=tags.get(_ICC),
        has_more_frames=tags.next != 0,
    )


def read_tiff(path: Path, header: TiffHeader) -> np.ndarray:
    """The pixels of the first frame as stored, uint16 [height, width, n_channels]."""
    import imagecodecs

    decoded: np.ndarray = imagecodecs.tiff_decode(path.read_bytes())
    if decoded.dtype != np.uint16:
        raise ImageError(f"TIFF decodes to {decoded.dtype}, its header says uint16")
    if header.planar:
        planes = decoded.reshape(header.n_samples, header.height, header.width)
        decoded = np.moveaxis(planes, 0, -1)
    pixels = decoded.reshape(header.height, header.width, header.n_samples)
    pixels = np.ascontiguousarray(pixels[..., : header.n_channels])
    if header.white_is_zero:
        pixels[..., 0] = 65535 - pixels[..., 0]
    if header.premultiplied:
        for row in pixels:  # row by row: the products need twice the memory
            row[:, :-1] = _divide_by_alpha(row[:, :-1], row[:, -1:])
    return pixels


def _divide_by_alpha(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    # 65535 * 65535 + 65535 // 2 < 2**32; where alpha is 0 so is the colour.
    scaled = colours.astype(np.uint32) * np.uint32(65535) + alpha // 2
    whole: np.ndarray = scaled // np.maximum(alpha, 1).astype(np.uint32)
    return whole.clip(max=65535)


def encode_png(pixels: np.ndarray, icc_profile: bytes | None) -> bytes:
    """A PNG file of uint8 or uint16 [height, width, 1..4], with its colour profile."""
    import imagecodecs

    data = bytes(imagecodecs.png_encode(_without_single_channel(pixels), level=DEFLATE_LEVEL))
    if icc_profile is None:
        return data
    end_of_ihdr = 33  # 8 signature + 4 length + 4 type + 13 header + 4 CRC; iCCP precedes IDAT
    body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(icc_profile)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:end_of_ihdr] + chunk + data[end_of_ihdr:]


def encode_tiff(pixels: np.ndarray, icc_profile: bytes | None) -> bytes:
    """A TIFF file of uint16 [height, width, 1..4] (deflate), with its colour profile."""
    import imagecodecs

    n_channels = pixels.shape[2]
    return bytes(
        imagecodecs.tiff_encode(
            _without_single_channel(pixels),
            level=DEFLATE_LEVEL,
            compression="deflate",
            predictor=True,
            planarconfig="contig",  # else [3, w, 3] could be read as three planes
            photometric="rgb" if n_channels >= 3 else "minisblack",
            extrasample="unassalpha" if n_channels in (2, 4) else None,
            iccprofile=icc_profile,
        )
    )


def _without_single_channel(pixels: np.ndarray) -> np.ndarray:
    pixels = np.ascontiguousarray(pixels)
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels
