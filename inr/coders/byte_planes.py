"""Codes as plain bytes, laid out so that a byte compressor finds zeros cheap.

    layout       u8       0 dense, 1 sparse
    n_nonzero    varint   codes other than 0
    n_wide       varint   magnitudes that do not fit their byte
    n_gaps       varint   only if sparse: bytes of `gaps`
    the rest     what the compressor makes of the planes, one after the other:
      gaps         only if sparse: before each non-zero code, how many zeros since the one
                   before it: a byte 255 for each whole 255 of them, then the rest, 0..254
      magnitudes   dense: |code| of all codes; sparse: |code| - 1 of the non-zero ones.
                   255 stands for 255 and more, stored in `wide`
      signs        a bit for each non-zero code, 1 is negative; highest bit first, padded by 0
      wide         magnitude - 255: all low bytes, then all high bytes

All tensors stand in one row. Magnitudes have half as many levels as signed bytes, so a Huffman
table over them is half as long, and signs, which nothing predicts, cost their bit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inr.coders.protocol import MAX_CODE, check_codes, check_sizes
from inr.errors import FormatError
from inr.format.wire import Reader, varint

DENSE, SPARSE = 0, 1
FULL = 255  # a byte that says: and more
MIN_PLANE_BYTES = 16  # fewer are not worth the three bytes that begin a block
MIN_TENSOR_BYTES = 1000  # a table of its own costs a block about 50 bytes


@dataclass(frozen=True)
class Layout:
    """One way to write the codes: `head` as it is, `planes` to be compressed in one row."""

    head: bytes
    planes: tuple[tuple[bytes, ...], ...]  # each in parts, tensor by tensor

    def by_plane(self) -> list[bytes]:
        """Return the planes as blocks for a compressor, tiny ones with their neighbour."""
        return _blocks([(b"".join(plane),) for plane in self.planes])

    def by_tensor(self) -> list[bytes]:
        """Return the same cut before each large tensor too, whose codes may be scaled apart."""
        return _blocks(self.planes)


def encode_smallest(
    codes: Sequence[NDArray[np.int32]], compress: Callable[[Layout], bytes]
) -> bytes:
    """Write the codes in the layout that takes fewer bytes; the inverse of `decode_layout`.

    Args:
      codes: int32 tensors of any shape, |code| <= MAX_CODE.
      compress: the bytes of a layout's planes, in one row, to fewer bytes.
    """
    flat = check_codes(codes)
    candidates = [layout.head + compress(layout) for layout in (dense(flat), sparse(flat))]
    return min(candidates, key=len)


def decode_layout(
    data: bytes, sizes: Sequence[int], decompress: Callable[[bytes, int], bytes]
) -> list[NDArray[np.int32]]:
    """Read one int32[size] tensor for each size.

    Args:
      data: what `encode_smallest` wrote.
      sizes: of the tensors.
      decompress: (data, n_bytes) -> exactly n_bytes, or FormatError.

    Raises:
      FormatError: `data` is not what `encode_smallest` makes of tensors of these sizes.
    """
    check_sizes(sizes)
    n_codes = sum(sizes)
    reader = Reader(data, "the head of the codes")
    layout = reader.u8()
    if layout not in (DENSE, SPARSE):
        raise FormatError(f"layout {layout} of codes is not known; the file needs a newer version")
    n_nonzero = _count(reader, "non-zero codes", n_codes)
    n_wide = _count(reader, "wide codes", n_nonzero)
    n_gaps = _count(reader, "gaps", n_nonzero + n_codes // FULL) if layout == SPARSE else 0
    n_magnitudes = n_nonzero if layout == SPARSE else n_codes
    ends = np.cumsum([n_gaps, n_magnitudes, (n_nonzero + 7) // 8, n_wide, n_wide])
    plain = np.frombuffer(decompress(reader.take(reader.n_left), int(ends[-1])), np.uint8)
    gaps, magnitude, signs, low, high, _ = np.split(plain, ends)
    value = magnitude.astype(np.int32)
    is_wide = magnitude == FULL
    if np.count_nonzero(is_wide) != n_wide:
        raise FormatError(f"{np.count_nonzero(is_wide)} codes are wide, the head says {n_wide}")
    value[is_wide] += low + (high.astype(np.int32) << 8)
    if layout == SPARSE:
        value += 1
        at = _positions(gaps, n_nonzero, n_codes)
    else:
        at = np.flatnonzero(value)
        value = value[at]
        if at.size != n_nonzero:
            raise FormatError(f"{at.size} codes are not zero, the head says {n_nonzero}")
    if value.size and int(value.max()) > MAX_CODE:
        raise FormatError(f"a code lies outside -{MAX_CODE}..{MAX_CODE}")
    sign_bits = np.unpackbits(signs)
    if sign_bits[n_nonzero:].any():
        raise FormatError("a sign is set for a code that does not exist")
    codes = np.zeros(n_codes, np.int32)
    codes[at] = np.where(sign_bits[:n_nonzero], -value, value)
    return np.split(codes, np.cumsum(sizes)[:-1]) if sizes else []


def dense(codes: Sequence[NDArray[np.int32]]) -> Layout:
    """Make the layout with a magnitude for every code. codes: int32[n] tensors."""
    counts, planes = _planes(codes, [np.abs(tensor) for tensor in codes])
    return Layout(bytes([DENSE]) + counts, planes)


def sparse(codes: Sequence[NDArray[np.int32]]) -> Layout:
    """Make the layout with a gap and a magnitude for every non-zero code."""
    counts, planes = _planes(codes, [np.abs(tensor[tensor != 0]) - 1 for tensor in codes])
    at = np.flatnonzero(np.concatenate(codes)) if codes else np.zeros(0, np.int64)
    n_zeros = np.diff(at, prepend=-1) - 1
    n_full = n_zeros // FULL
    gaps = np.full(at.size + int(n_full.sum()), FULL, np.uint8)
    gaps[np.cumsum(n_full + 1) - 1] = n_zeros % FULL
    return Layout(bytes([SPARSE]) + counts + varint(gaps.size), ((gaps.tobytes(),), *planes))


def _planes(
    codes: Sequence[NDArray[np.int32]], magnitudes: Sequence[NDArray[np.int32]]
) -> tuple[bytes, tuple[tuple[bytes, ...], ...]]:
    """Return n_nonzero and n_wide as bytes, and the planes of magnitudes, signs and wide."""
    signs = [tensor[tensor != 0] < 0 for tensor in codes]
    wide = [magnitude[magnitude >= FULL] - FULL for magnitude in magnitudes]
    counts = varint(sum(s.size for s in signs)) + varint(sum(w.size for w in wide))
    return counts, (
        tuple(np.minimum(m, FULL).astype(np.uint8).tobytes() for m in magnitudes),
        (np.packbits(np.concatenate(signs)).tobytes() if signs else b"",),
        tuple((w & 255).astype(np.uint8).tobytes() for w in wide),
        tuple((w >> 8).astype(np.uint8).tobytes() for w in wide),
    )


def _positions(gaps: NDArray[np.uint8], n_nonzero: int, n_codes: int) -> NDArray[np.int64]:
    """Return int64[n_nonzero], where the non-zero codes stand."""
    is_end = gaps != FULL
    if np.count_nonzero(is_end) != n_nonzero or not is_end[-1:].all():
        raise FormatError(f"{np.count_nonzero(is_end)} gaps, the head says {n_nonzero} codes")
    at: NDArray[np.int64] = np.cumsum(gaps + is_end.astype(np.int64))[is_end] - 1
    if at.size and int(at[-1]) >= n_codes:
        raise FormatError(f"a code stands at {at[-1]}, but there are {n_codes}")
    return at


def _blocks(planes: Sequence[Sequence[bytes]]) -> list[bytes]:
    blocks = [b""]
    for plane in planes:
        if sum(map(len, plane)) >= MIN_PLANE_BYTES:
            blocks.append(b"")
        for part in plane:
            if blocks[-1] and len(part) >= MIN_TENSOR_BYTES:
                blocks.append(b"")
            blocks[-1] += part
    return [block for block in blocks if block]


def _count(reader: Reader, what: str, limit: int) -> int:
    count = reader.varint()
    if count > limit:
        raise FormatError(f"{count} {what}, at most {limit} expected")
    return count
