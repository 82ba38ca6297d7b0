"""The classic pipeline: codes as bytes (byte_planes.py) in one Zstandard frame (RFC 8878).

The frame stores no content size, checksum or dictionary id: the sizes are known to the reader.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import zstandard
from numpy.typing import NDArray

from inr.coders.byte_planes import Layout, decode_layout, encode_smallest
from inr.errors import FormatError, UsageError
from inr.format.wire import Wire

DEFAULT_LEVEL = 19  # the highest of those that zstd counts as usual
MIN_WINDOW_BYTES = 1 << 10  # the smallest window a zstd frame can declare


@dataclass(frozen=True)
class Zstd:
    """Zstandard over gaps, magnitudes and signs."""

    WIRE: ClassVar[Wire] = ()  # the level is the encoder's matter
    level: int = DEFAULT_LEVEL  # 1..22, higher is smaller and slower

    def __post_init__(self) -> None:
        if not 1 <= self.level <= zstandard.MAX_COMPRESSION_LEVEL:
            raise UsageError(f"level={self.level} is outside 1..{zstandard.MAX_COMPRESSION_LEVEL}")

    def encode(self, codes: Sequence[NDArray[np.int32]]) -> bytes:
        """Code all tensors into one frame; see `protocol.Coder`."""
        return encode_smallest(codes, self._compress)

    def decode(self, data: bytes, sizes: Sequence[int]) -> list[NDArray[np.int32]]:
        """Read one int32[size] tensor for each size; see `protocol.Coder`."""
        return decode_layout(data, sizes, unpack_frame)

    def _compress(self, layout: Layout) -> bytes:
        by_plane = pack_frame(layout.by_plane(), self.level)
        return min(by_plane, pack_frame(layout.by_tensor(), self.level), key=len)


def pack_frame(blocks: Sequence[bytes], level: int) -> bytes:
    """Compress the blocks in one row into one frame; each begins with tables of its own."""
    n_bytes = sum(map(len, blocks))
    settings = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=max(n_bytes, 1),  # 0 would mean unknown, and a window of megabytes
        write_content_size=False,
        write_checksum=False,
        write_dict_id=False,
    )
    compressor = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    parts = []
    for i, block in enumerate(blocks):
        if i:
            parts.append(compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
        parts.append(compressor.compress(block))
    return b"".join([*parts, compressor.flush()])


def unpack_frame(data: bytes, n_bytes: int) -> bytes:
    """Unpack one frame, taking no more memory than n_bytes and a window of that order.

    Raises:
      FormatError: `data` is not one frame, as `pack_frame` writes it, of n_bytes.
    """
    try:
        frame = zstandard.get_frame_parameters(data)
        # A stated content size would be allocated unseen, so only frames like ours are read.
        if frame.content_size != zstandard.CONTENTSIZE_UNKNOWN:
            raise FormatError("zstd: the frame states a content size, which this format never does")
        window_limit = max(MIN_WINDOW_BYTES, 2 * n_bytes)
        if frame.window_size > window_limit:
            raise FormatError(
                f"zstd: window of {frame.window_size} bytes, at most {window_limit} expected"
            )
        plain = zstandard.ZstdDecompressor().decompress(
            data, max_output_size=max(n_bytes, 1), allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise FormatError(f"zstd: {error}") from error
    if len(plain) != n_bytes:
        raise FormatError(f"zstd: {len(plain)} bytes unpacked, {n_bytes} expected")
    return plain
