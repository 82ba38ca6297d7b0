"""Codes as plain integers in one Zstandard frame: what files of coder tag 0 hold.

`Zstd` makes smaller files and has taken its place; this reads the files that there are.

    mask     only if bits > 8: 1 bit a tensor, lowest first, set where codes exceed int8
    frame    int8 low parts of all codes, then the high parts of the masked ones, code =
             256 high + low modulo 2**16: few codes exceed int8, so nearly all high parts are 0

zstd.py says more about the frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from inr.coders.checks import check_codes, check_sizes, largest_code
from inr.coders.zstd import DEFAULT_LEVEL, pack_frame, unpack_frame
from inr.errors import FormatError
from inr.format.container import Wire

INT8_LIMIT = 127


@dataclass(frozen=True)
class PlainZstd:
    """Zstandard over int8 or byte-split int16 codes."""

    WIRE: ClassVar[Wire] = ()

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
        return mask + pack_frame([plain], DEFAULT_LEVEL)

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
        plain = np.frombuffer(unpack_frame(data[n_mask:], n_low + n_high), np.uint8)
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
