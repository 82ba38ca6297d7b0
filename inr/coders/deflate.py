"""Codes as bytes (byte_planes.py) in one raw Deflate stream (RFC 1951), as zip and PNG use it.

The stream has no zlib header and no checksum: the container has one.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from inr.coders.byte_planes import Layout, decode_layout, encode_smallest
from inr.errors import FormatError
from inr.format.wire import Wire

_RAW = -15  # negative: without zlib's header; 15: a window of 2**15 bytes
_LEVEL = 6  # 9 finds nothing more in weights and takes five times as long
_MEMORY_LEVEL = 9  # blocks of up to 32767 bytes, not 16383
# Weights hardly repeat, so matches often cost more than they save: try few, runs only, none.
_STRATEGIES = (zlib.Z_FILTERED, zlib.Z_RLE, zlib.Z_HUFFMAN_ONLY)


@dataclass(frozen=True)
class Deflate:
    """Deflate over gaps, magnitudes and signs."""

    WIRE: ClassVar[Wire] = ()

    def encode(self, codes: Sequence[NDArray[np.int32]]) -> bytes:
        """Code all tensors into one stream; see `protocol.Coder`."""
        return encode_smallest(codes, _pack_smallest)

    def decode(self, data: bytes, sizes: Sequence[int]) -> list[NDArray[np.int32]]:
        """Read one int32[size] tensor for each size; see `protocol.Coder`."""
        return decode_layout(data, sizes, _unpack_stream)


def _pack_smallest(layout: Layout) -> bytes:
    streams = [
        _pack_stream(blocks, strategy)
        for blocks in (layout.by_plane(), layout.by_tensor())
        for strategy in _STRATEGIES
    ]
    return min(streams, key=len)


def _pack_stream(blocks: Sequence[bytes], strategy: int) -> bytes:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW, _MEMORY_LEVEL, strategy)
    parts = []
    for i, block in enumerate(blocks):
        if i:
            parts.append(compressor.flush(zlib.Z_BLOCK))  # the next one has tables of its own
        parts.append(compressor.compress(block))
    return b"".join([*parts, compressor.flush()])


def _unpack_stream(data: bytes, n_bytes: int) -> bytes:
    inflate = zlib.decompressobj(_RAW)
    try:
        plain = inflate.decompress(data, n_bytes + 1)  # one more shows a stream that is too long
    except zlib.error as error:
        raise FormatError(f"deflate: {error}") from error
    if len(plain) != n_bytes or not inflate.eof or inflate.unused_data:
        raise FormatError(f"deflate: the stream is not one of exactly {n_bytes} bytes")
    return plain
