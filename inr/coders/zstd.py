"""The classic pipeline: codes as plain integers in one Zstandard frame (RFC 8878).

    mask     only if bits > 8: 1 bit a tensor, lowest first, set where codes exceed int8
    frame    int8 low parts of all codes, then the high parts of the masked ones, code =
             256 high + low modulo 2**16: few codes exceed int8, so nearly all high parts are 0

The frame stores no content size, checksum or dictionary id: the sizes are known to the reader.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import zstandard
from numpy.typing import NDArray

from inr.coders.checks import check_codes, check_sizes, largest_code
from inr.container import Wire
from inr.errors import FormatError

INT8_LIMIT = 127
MIN_WINDOW_BYTES = 1 << 10  # the smallest window a zstd frame can declare


@dataclass(frozen=True)
class Zstd:
    """Zstandard over int8 or byte-split int16 codes."""

    WIRE: ClassVar[Wire] = ()  # the level is the encoder's matter
    level: int = 19  # 1..22, higher is smaller and slower

    def __post_init__(self) -> None:
        if not 1 <= self.level <= zstandard.MAX_COMPRESSION_LEVEL:
            raise ValueError(f"level={self.level} is outside 1..{zstandard.MAX_COMPRESSION_LEVEL}")

    def encode(self, codes: Sequence[NDArray[np.int32]], bits: int) -> bytes:
        """Codes all tensors into one frame; the inverse of `decode`.

        Args:
          codes: int32 tensors of any shape, |code| <= 2**(bits-1) - 1.
          bits: 2..16.
        """
        flat = check_codes(codes, bits)
        wide = [bool(tensor.size) and int(np.abs(tensor).max()) > INT8_LIMIT for tensor in flat]
        mask = np.packbits(np.array(wide, bool), bitorder="little").tobytes() if bits > 8 else b""
        low = [tensor.astype(np.uint8) for tensor in flat]  # modulo 256
        high = [_high_bytes(t) for t, is_wide in zip(flat, wide, strict=True) if is_wide]
        plain = b"".join(part.tobytes() for part in low + high)
        compressor = zstandard.ZstdCompressor(
            level=self.level, write_content_size=False, write_checksum=False, write_dict_id=False
        )
        return mask + compressor.compress(plain)

    def decode(self, data: bytes, sizes: Sequence[int], bits: int) -> list[NDArray[np.int32]]:
        """Returns one int32[size] tensor for each size.

        Raises:
          FormatError: `data` is not one frame that holds exactly sum(sizes) codes in range.
        """
        limit = largest_code(bits)
        check_sizes(sizes)
        n_mask = (len(sizes) + 7) // 8 if bits > 8 else 0
        if len(data) < n_mask:
            raise FormatError(f"zstd: a mask of {n_mask} bytes expected, {len(data)} bytes left")
        mask = np.unpackbits(np.frombuffer(data[:n_mask], np.uint8), bitorder="little")
        if mask[len(sizes) :].any():
            raise FormatError("zstd: the mask names tensors that do not exist")
        wide = np.zeros(len(sizes), bool)
        wide[: mask.size] = mask[: len(sizes)]
        n_low = sum(sizes)
        n_high = sum(size for size, is_wide in zip(sizes, wide, strict=True) if is_wide)
        plain = np.frombuffer(_decompress(data[n_mask:], n_low + n_high), np.uint8)
        high = plain[n_low:].view(np.int8).astype(np.int32) << 8
        tensors, low_from, high_from = [], 0, 0
        for size, is_wide in zip(sizes, wide, strict=True):
            low = plain[low_from : low_from + size]
            low_from += size
            if is_wide:
                codes = high[high_from : high_from + size] + low.view(np.int8)
                codes = codes.astype(np.int16).astype(np.int32)  # 128 * 256 - 1 came as -128, -1
                high_from += size
            else:
                codes = low.view(np.int8).astype(np.int32)
            if size and np.abs(codes).max() > limit:
                raise FormatError(f"zstd: a code lies outside -{limit}..{limit}")
            tensors.append(codes)
        return tensors


def _high_bytes(codes: NDArray[np.int32]) -> NDArray[np.uint8]:
    low = codes.astype(np.int8)  # modulo 256
    return ((codes - low) >> 8).astype(np.uint8)


def _decompress(data: bytes, n_bytes: int) -> bytes:
    """Undoes one frame, taking no more memory than n_bytes and a window of that order."""
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
