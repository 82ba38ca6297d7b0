"""Codes as bytes (byte_planes.py) under canonical Huffman codes.

Huffman 1952; canonical form as in RFC 1951, 3.2.2: codewords rise first with their length, then
with the byte. Tensors that are mostly zeros stand apart: other gaps and magnitudes, other tables.

    is_sparse  a bit for each tensor, highest first, then zeros up to a whole byte
    n_dense    varint   bytes of `dense`
    dense      the tensors that are not sparse, as byte_planes.py lays them out; nothing if none is
    sparse     the others, likewise

Their planes are cut into blocks, each with a table of its own:

    n_bytes    varint   of the planes, at least 1
    n_coded    varint   bytes that follow; 0: the n_bytes themselves, as they are
    the block  bits, highest first, then zeros up to a whole byte:
      8 bits   the largest byte; it and all smaller ones have codewords
      4 bits   length of the codeword of byte 0, 1..15
      for each further byte, by how much its length differs from the one before: 2d - 1 ones and a
               zero if it is d longer, 2d ones and a zero if it is d shorter or the same
      then the codewords of n_bytes

A codeword takes at least one bit, so codes of very few levels take more than their entropy: a tenth
more at 1.2 bits a code. The range coder does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, TypeVar

import numpy as np
from bitarray import bitarray
from bitarray.util import ba2int, canonical_decode, canonical_huffman, int2ba
from numpy.typing import NDArray

from inr.coders.byte_planes import Layout, decode_layout, encode_smallest
from inr.coders.protocol import check_codes, check_sizes
from inr.errors import FormatError
from inr.format.wire import Reader, Wire, varint

T = TypeVar("T")

MAX_LENGTH = 15  # bits of a codeword


@dataclass(frozen=True)
class Huffman:
    """Canonical Huffman codes over gaps, magnitudes and signs."""

    WIRE: ClassVar[Wire] = ()

    def encode(self, codes: Sequence[NDArray[np.int32]]) -> bytes:
        """Code all tensors into one stream; see `protocol.Coder`."""
        tensors = check_codes(codes)
        is_sparse = [int(2 * np.count_nonzero(tensor) < tensor.size) for tensor in tensors]
        dense, sparse = (_encode_pool(pool) for pool in _split(tensors, is_sparse))
        return bitarray(is_sparse, "big").tobytes() + varint(len(dense)) + dense + sparse

    def decode(self, data: bytes, sizes: Sequence[int]) -> list[NDArray[np.int32]]:
        """Read one int32[size] tensor for each size; see `protocol.Coder`."""
        check_sizes(sizes)
        reader = Reader(data, "the Huffman codes")
        flags = bitarray(reader.take((len(sizes) + 7) // 8), "big")
        is_sparse = flags.tolist()[: len(sizes)]
        if flags.count() != sum(is_sparse):
            raise FormatError("huffman: a bit is set for a tensor that does not exist")
        dense_sizes, sparse_sizes = _split(sizes, is_sparse)
        dense = _decode_pool(reader.take(reader.varint()), dense_sizes)
        sparse = _decode_pool(reader.take(reader.n_left), sparse_sizes)
        pools = iter(dense), iter(sparse)
        return [next(pools[which]) for which in is_sparse]


def _split(items: Sequence[T], is_sparse: Sequence[int]) -> tuple[list[T], list[T]]:
    dense = [item for item, flag in zip(items, is_sparse, strict=True) if not flag]
    return dense, [item for item, flag in zip(items, is_sparse, strict=True) if flag]


def _encode_pool(tensors: Sequence[NDArray[np.int32]]) -> bytes:
    def compress(layout: Layout) -> bytes:
        return min(pack_blocks(layout.by_plane()), pack_blocks(layout.by_tensor()), key=len)

    return encode_smallest(tensors, compress) if tensors else b""


def _decode_pool(data: bytes, sizes: Sequence[int]) -> list[NDArray[np.int32]]:
    if data and not sizes:
        raise FormatError(f"huffman: {len(data)} bytes for tensors that do not exist")
    return decode_layout(data, sizes, unpack_blocks) if sizes else []


def pack_blocks(blocks: Sequence[bytes]) -> bytes:
    """Code blocks of at least one byte each, with a table of their own where that is shorter."""
    parts = []
    for block in blocks:
        coded = _encode_block(block)
        if len(coded) >= len(block):
            parts += [varint(len(block)), varint(0), block]
        else:
            parts += [varint(len(block)), varint(len(coded)), coded]
    return b"".join(parts)


def unpack_blocks(data: bytes, n_bytes: int) -> bytes:
    """Read what `pack_blocks` wrote.

    Time and memory are in proportion to data, whatever it claims: a byte has at least one bit.

    Raises:
      FormatError: `data` is not that of blocks of n_bytes together.
    """
    reader = Reader(data, "the Huffman stream")
    blocks: list[bytes] = []
    while n_bytes:
        n_block, n_coded = reader.varint(), reader.varint()
        if not 1 <= n_block <= n_bytes:
            raise FormatError(f"huffman: a block of {n_block} bytes, 1..{n_bytes} expected")
        payload = reader.take(n_coded or n_block)
        blocks.append(_decode_block(payload, n_block) if n_coded else payload)
        n_bytes -= n_block
    reader.finish()
    return b"".join(blocks)


def _encode_block(block: bytes) -> bytes:
    lengths = choose_lengths(np.bincount(np.frombuffer(block, np.uint8)).tolist())
    bits = int2ba(len(lengths) - 1, 8, "big") + int2ba(lengths[0], 4, "big")
    for before, length in pairwise(lengths):
        n_ones = 2 * (length - before) - 1 if length > before else 2 * (before - length)
        bits += bitarray("1") * n_ones + bitarray("0")
    bits.encode(_codewords(lengths), block)
    return bits.tobytes()


def _decode_block(payload: bytes, n_bytes: int) -> bytes:
    if n_bytes > 8 * len(payload):
        raise FormatError(f"huffman: {n_bytes} codewords where only {8 * len(payload)} bits are")
    bits = bitarray(payload, "big")
    lengths, position = _read_lengths(bits)
    counts, order = np.bincount(lengths).tolist(), _canonical_order(lengths)
    try:
        decoded = np.fromiter(
            canonical_decode(bits[position:], counts, order), np.uint8, count=n_bytes
        )
    except ValueError as error:
        raise FormatError(f"huffman: {n_bytes} codewords expected: {error}") from error
    position += int(np.array(lengths)[decoded].sum())
    if len(bits) - position >= 8 or bits[position:].any():
        raise FormatError("huffman: a block does not end with its last codeword")
    return decoded.tobytes()


def choose_lengths(counts: Sequence[int]) -> list[int]:
    """Choose the length of each byte's codeword, 1..MAX_LENGTH.

    Args:
      counts: how often each byte up to the largest occurs. Those that never do get a codeword all
        the same, as if they occurred once: that costs less than to say that they have none.
    """
    counts = [max(count, 1) for count in counts]
    lengths = [MAX_LENGTH + 1]
    while max(lengths) > MAX_LENGTH:
        codewords, _, _ = canonical_huffman(dict(enumerate(counts)))
        lengths = [len(codewords[byte]) for byte in range(len(counts))]
        counts = [(count + 1) // 2 for count in counts]  # flatter; all equal in the end
    return lengths


def _read_lengths(bits: bitarray) -> tuple[list[int], int]:
    """Read the lengths of a complete code, and return the place behind them."""
    if len(bits) < 12:
        raise FormatError("huffman: a table is cut short")
    n_symbols, lengths, position = ba2int(bits[:8]) + 1, [ba2int(bits[8:12])], 12
    while len(lengths) < n_symbols:
        n_ones = bits.find(0, position, position + 2 * MAX_LENGTH) - position
        if n_ones < 0:
            raise FormatError("huffman: a table is cut short, or its lengths differ too much")
        step = (n_ones + 1) // 2 if n_ones % 2 else -n_ones // 2
        lengths.append(lengths[-1] + step)
        position += n_ones + 1
    if not all(1 <= length <= MAX_LENGTH for length in lengths):
        raise FormatError(f"huffman: codewords of {lengths} bits, 1..{MAX_LENGTH} expected")
    share = sum(1 << (MAX_LENGTH - length) for length in lengths)
    if share != 1 << MAX_LENGTH and lengths != [1]:
        raise FormatError(f"huffman: codewords of {lengths} bits make no complete code")
    return lengths, position


def _canonical_order(lengths: Sequence[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lambda byte: lengths[byte])  # of one length, bytes rise


def _codewords(lengths: Sequence[int]) -> dict[int, bitarray]:
    codewords, code, before = {}, -1, 0
    for byte in _canonical_order(lengths):
        code = (code + 1) << (lengths[byte] - before)
        before = lengths[byte]
        codewords[byte] = int2ba(code, before, "big")
    return codewords
