"""Unsigned numbers of any number of bits, packed without gaps, highest bit first."""

import numpy as np
from numpy.typing import NDArray

from inr.errors import FormatError

MAX_BITS = 57  # of one number: what is left of 64 bits that begin with a whole byte


class BitWriter:
    """Takes numbers, gives bytes; the inverse of BitReader."""

    def __init__(self) -> None:
        self._values: list[NDArray[np.int64]] = []
        self._n_bits: list[NDArray[np.int64]] = []

    def put(self, value: int, n_bits: int) -> None:
        """Appends one number, 0 <= value < 2**n_bits."""
        self.put_all(np.array([value], np.int64), np.array([n_bits], np.int64))

    def put_all(self, values: NDArray[np.int64], n_bits: NDArray[np.int64]) -> None:
        """Appends numbers int64[n] of int64[n] bits each."""
        self._values.append(values)
        self._n_bits.append(n_bits)

    def finish(self) -> bytes:
        """Returns all bits, and zeros up to a whole byte."""
        if not self._values:
            return b""
        values, n_bits = np.concatenate(self._values), np.concatenate(self._n_bits)
        ends = np.cumsum(n_bits)  # [n]
        n_after = np.repeat(ends, n_bits) - 1 - np.arange(ends[-1])  # of the number, [bits]
        return np.packbits(np.repeat(values, n_bits) >> n_after & 1).tobytes()


class BitReader:
    """Takes bytes, gives numbers; `position` counts the bits read so far."""

    def __init__(self, data: bytes) -> None:
        self._bytes = np.frombuffer(data + bytes(8), np.uint8)  # past the end all bits are 0
        self._n_bits = 8 * len(data)
        self.position = 0

    @property
    def n_left(self) -> int:
        return self._n_bits - self.position

    def take(self, n_bits: int) -> int:
        """Returns the next number of at most MAX_BITS bits."""
        start, skipped = divmod(self.position, 8)
        word = int.from_bytes(self._bytes[start : start + 8].tobytes(), "big")
        self.skip(n_bits)
        return word >> (64 - skipped - n_bits) & ((1 << n_bits) - 1)

    def skip(self, n_bits: int) -> None:
        if n_bits > self.n_left:
            raise FormatError(f"huffman: {n_bits} bits expected, {self.n_left} left")
        self.position += n_bits

    def words(self, n_positions: int) -> NDArray[np.uint64]:
        """Returns, for the next positions, the number of MAX_BITS bits that begins at each.

        Returns:
          uint64[n], n <= n_positions; no position past the end is among them.
        """
        start, skipped = divmod(self.position, 8)
        n_positions = min(n_positions, self.n_left)
        n_bytes = (skipped + n_positions + 7) // 8
        octets = np.lib.stride_tricks.sliding_window_view(self._bytes[start:], 8)[:n_bytes]
        word = np.ascontiguousarray(octets).view(">u8").astype(np.uint64)  # [n_bytes, 1]
        shifted = word << np.arange(8, dtype=np.uint64) >> np.uint64(64 - MAX_BITS)
        return shifted.ravel()[skipped : skipped + n_positions]

    def finish(self) -> None:
        """Checks that only the zeros that fill the last byte are left."""
        if self.n_left >= 8 or self.take(self.n_left):
            raise FormatError("huffman: the data does not end with its last symbol")
