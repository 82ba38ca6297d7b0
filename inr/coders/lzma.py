"""Codes as bytes (byte_planes.py) in one raw LZMA stream, without the header of .lzma or .xz.

The settings stand here, not in the file: a dictionary of 64 KiB, which bounds what a reader
takes, and lc = lp = pb = 0: a byte is coded without regard to its place and to the byte before,
which tell nothing of weights. The stream ends with LZMA's end marker.
"""

import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from inr.coders.byte_planes import Layout, decode_layout, encode_smallest
from inr.errors import FormatError
from inr.format.wire import Wire

_FILTERS: list[dict[str, Any]] = [
    {"id": lzma.FILTER_LZMA1, "preset": 9, "dict_size": 1 << 16, "lc": 0, "lp": 0, "pb": 0}
]


@dataclass(frozen=True)
class Lzma:
    """LZMA over gaps, magnitudes and signs."""

    WIRE: ClassVar[Wire] = ()

    def encode(self, codes: Sequence[NDArray[np.int32]]) -> bytes:
        """Code all tensors into one stream; see `protocol.Coder`."""
        return encode_smallest(codes, _pack_stream)

    def decode(self, data: bytes, sizes: Sequence[int]) -> list[NDArray[np.int32]]:
        """Read one int32[size] tensor for each size; see `protocol.Coder`."""
        return decode_layout(data, sizes, _unpack_stream)


def _pack_stream(layout: Layout) -> bytes:
    return lzma.compress(b"".join(layout.by_plane()), lzma.FORMAT_RAW, filters=_FILTERS)


def _unpack_stream(data: bytes, n_bytes: int) -> bytes:
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
    try:
        plain = decompressor.decompress(data, n_bytes + 1)  # one more shows a stream too long
    except lzma.LZMAError as error:
        raise FormatError(f"lzma: {error}") from error
    if len(plain) != n_bytes or not decompressor.eof or decompressor.unused_data:
        raise FormatError(f"lzma: the stream is not one of exactly {n_bytes} bytes")
    return plain
