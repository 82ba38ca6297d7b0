"""TIFF pixels, grey and RGB; palette, CMYK, YCbCr, Lab, JPEGs and bilevel are left to Pillow.

libtiff, through imagecodecs, decodes samples of 8, 16, 32 and 64 bits in strips and tiles. Pillow
reads 16-bit RGB as 8 bits, planes of grey and alpha wrongly, and a big-endian BigTIFF not at all.
Samples of 9 to 15 bits libtiff does not know: those are unpacked from strips here.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from inr.errors import ImageError
from inr.image.formats.decoders import decoder_errors
from inr.image.formats.sixteen_bit import floats_to_16_bits, integers_to_16_bits, scale_to_16_bits
from inr.image.formats.tiff_header import (
    BLACK_IS_ZERO,
    FILL_ORDER,
    FLOAT,
    PREDICTOR,
    PREMULTIPLIED,
    RGB,
    ROWS_PER_STRIP,
    SIGNED,
    STRIP_BYTES,
    STRIP_OFFSETS,
    TILE_BYTES,
    UNSIGNED,
    WHITE_IS_ZERO,
    TiffHeader,
)

_NO_COMPRESSION, _OLD_JPEG, _JPEG = 1, 6, 7
_ONE_IS_PLAIN = {FILL_ORDER, PREDICTOR}
_LOW_BITS = (1, 2, 4)  # of grey, which libtiff would give packed


def pillow_reads(header: TiffHeader) -> bool:
    """Tell whether this kind is left to Pillow; else read_tiff reads it, or nobody."""
    kind = header.kind
    if header.is_big_endian_big_tiff:
        return False
    if kind.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        return True  # palette, CMYK, YCbCr, Lab
    if header.compression in (_OLD_JPEG, _JPEG):
        return True
    if kind.formats != (UNSIGNED,):
        return False
    return kind.n_samples == 1 and kind.bits[0] in _LOW_BITS


def read_tiff(data: bytes, header: TiffHeader) -> np.ndarray:
    """Read the first frame as stored, not yet upright.

    Args:
      header: of this file; header.kind.refuse_what_would_be_lost() has passed.
    Returns:
      uint8 or uint16 [height, width, 1..4], white at the top of the range, alpha straight.
    Raises:
      ImageError: damaged, or a kind that is not supported.
    """
    kind, bits = header.kind, header.kind.bits[0]
    if kind.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        raise ImageError(f"{kind} in a big-endian BigTIFF is not supported; convert it to RGB")
    if header.compression in (_OLD_JPEG, _JPEG):
        raise ImageError(f"{kind} of JPEGs is not supported here; convert it to LZW or deflate")
    if kind.formats == (UNSIGNED,) and 8 < bits < 16:
        pixels = scale_to_16_bits(_unpack(data, header), 2**bits - 1)
    else:
        to_pixels = _conversion(header)
        pixels = to_pixels(_decode(data, header))
    top = np.iinfo(pixels.dtype).max
    if kind.photometric == WHITE_IS_ZERO:
        pixels[..., 0] = top - pixels[..., 0]
    if kind.has_alpha and kind.extra[0] == PREMULTIPLIED:
        for row in pixels:  # row by row: the products need twice the memory
            row[:, :-1] = _divide_by_alpha(row[:, :-1], row[:, -1:], top)
    return pixels


def _conversion(header: TiffHeader) -> Callable[[np.ndarray], np.ndarray]:
    kind, bits = header.kind, header.kind.bits[0]
    if kind.formats == (UNSIGNED,) and bits in (8, 16):
        return np.ascontiguousarray
    if kind.formats[0] in (UNSIGNED, SIGNED) and bits in (32, 64):
        return integers_to_16_bits
    if kind.formats == (FLOAT,) and bits in (16, 32, 64):
        return floats_to_16_bits
    raise ImageError(f"{kind} is not supported; convert it to 8 or 16-bit unsigned samples")


def _decode(data: bytes, header: TiffHeader) -> np.ndarray:
    """Decode the samples as libtiff gives them, [height, width, n_samples]."""
    import imagecodecs

    kind = header.kind
    _check_stored_bytes(header)
    letter = {UNSIGNED: "u", SIGNED: "i", FLOAT: "f"}[kind.formats[0]]
    # Memory of our own: it is as large as our header says, whatever libtiff makes of the file, and
    # zero where a damaged strip is too short.
    samples = np.zeros(_decoded_shape(header), f"{letter}{kind.bits[0] // 8}")
    try:
        with decoder_errors():
            imagecodecs.tiff_decode(data, out=samples)
    except ImageError as error:
        raise ImageError(f"{kind}, compression {header.compression}: {error}") from error.__cause__
    return _interleave(samples, header)


def _decoded_shape(header: TiffHeader) -> tuple[int, ...]:
    """Tell the shape that imagecodecs gives: without an axis for a single sample."""
    sides, n_samples = (header.height, header.width), header.kind.n_samples
    if n_samples == 1:
        return sides
    return (n_samples, *sides) if header.planar else (*sides, n_samples)


def _interleave(samples: np.ndarray, header: TiffHeader) -> np.ndarray:
    """Make [height, width, n_samples] of pixels or planes."""
    n_samples = header.kind.n_samples
    if header.planar:
        return np.moveaxis(samples.reshape(n_samples, header.height, header.width), 0, -1)
    return samples.reshape(header.height, header.width, n_samples)


def _check_stored_bytes(header: TiffHeader) -> None:
    """Refuse an uncompressed file that is too short; libtiff would take what follows for pixels."""
    if header.compression != _NO_COMPRESSION:
        return
    bits = header.kind.bits[0] * header.kind.n_samples
    if header.tile_shape is None:
        tag, want = STRIP_BYTES, header.height * header.width * bits // 8
    else:
        height, width = header.tile_shape
        n_tiles = -(-header.height // max(1, height)) * -(-header.width // max(1, width))
        tag, want = TILE_BYTES, n_tiles * height * width * bits // 8
    have = int(header.tags[tag].sum(dtype=np.float64)) if tag in header.tags else 0
    if 0 < have < want:  # of a file that says 0 libtiff finds out itself
        raise ImageError(f"truncated: the file holds {have} bytes of pixels, it needs {want}")


def _unpack(data: bytes, header: TiffHeader) -> np.ndarray:
    """Unpack samples of 9 to 15 bits out of strips, uint16 [height, width, n_samples]."""
    import imagecodecs

    kind, bits = header.kind, header.kind.bits[0]
    decoders: dict[int, Callable[..., bytes | bytearray]] = {
        5: imagecodecs.lzw_decode,
        8: _inflate,
        32773: imagecodecs.packbits_decode,
        32946: _inflate,
    }
    is_plain = header.compression == _NO_COMPRESSION or header.compression in decoders
    is_plain &= all(header.tags[tag].tolist() == [1] for tag in _ONE_IS_PLAIN & set(header.tags))
    if header.tile_shape is not None or not is_plain:
        raise ImageError(f"{kind} is not supported in this layout; convert it to 16 bits")
    n_planes = kind.n_samples if header.planar else 1
    row_samples = header.width * kind.n_samples // n_planes
    row_bytes = (row_samples * bits + 7) // 8
    rows = header.tags.get(ROWS_PER_STRIP, np.array([header.height]))
    n_rows = min(header.height, int(rows[0])) if len(rows) else 0
    offsets, counts = header.tags.get(STRIP_OFFSETS), header.tags.get(STRIP_BYTES)
    if n_rows < 1 or offsets is None or counts is None:
        raise ImageError("TIFF is damaged: it does not say where its strips are")
    samples = np.empty((n_planes * header.height, row_samples), np.uint16)
    strips = zip(offsets.tolist(), counts.tolist(), strict=False)
    top_of = [(plane, top) for plane in range(n_planes) for top in range(0, header.height, n_rows)]
    for plane, top in top_of:
        offset, count = next(strips, (0, 0))
        bottom = min(top + n_rows, header.height)
        n_bytes = (bottom - top) * row_bytes
        packed = data[offset : offset + count] if min(offset, count) > 0 else b""
        if header.compression in decoders and packed:
            with decoder_errors():
                packed = bytes(decoders[header.compression](packed, out=n_bytes))
        if len(packed) < n_bytes:
            raise ImageError(f"truncated: a strip holds {len(packed)} bytes, it needs {n_bytes}")
        with decoder_errors():
            values = imagecodecs.packints_decode(
                packed[:n_bytes], np.uint16, bits, runlen=row_samples
            )
        start = plane * header.height
        samples[start + top : start + bottom] = values.reshape(bottom - top, row_samples)
    return _interleave(samples, header)


def _inflate(packed: bytes, *, out: int) -> bytes:
    return zlib.decompressobj().decompress(packed, out)


def _divide_by_alpha(colours: np.ndarray, alpha: np.ndarray, top: int) -> np.ndarray:
    # 65535 * 65535 + 65535 // 2 < 2**32; where alpha is 0 so is the colour.
    scaled = colours.astype(np.uint32) * np.uint32(top) + alpha // 2
    whole: np.ndarray = scaled // np.maximum(alpha, 1).astype(np.uint32)
    return whole.clip(max=top)
