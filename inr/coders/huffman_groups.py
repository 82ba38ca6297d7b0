"""Which tensors share Huffman tables: those whose sharing saves more than it costs.

Layers of a network are scaled apart, so that one table for all wastes up to 10 %, while a table
takes 5 to 15 bytes, too many for a tensor of a few dozen codes. Only the encoder runs this.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inr.coders.huffman_numbers import symbols_of
from inr.coders.huffman_table import MAX_SYMBOLS, code_lengths, table_bits

MAX_GROUPS = 64


@dataclass(frozen=True)
class Group:
    """Tensors with common tables, and what their codes take, in bits, without n_nonzero."""

    members: tuple[int, ...]  # places in the list of tensors
    magnitudes: NDArray[np.int64]  # [MAX_SYMBOLS], how often each symbol is |code|
    steps: NDArray[np.int64]  # [2, MAX_SYMBOLS], of gaps and of |code| - 1, non-zero codes only
    dense_plain_bits: int  # and signs
    sparse_plain_bits: int

    def joined(self, other: "Group") -> "Group":
        return Group(
            self.members + other.members,
            self.magnitudes + other.magnitudes,
            self.steps + other.steps,
            self.dense_plain_bits + other.dense_plain_bits,
            self.sparse_plain_bits + other.sparse_plain_bits,
        )

    def is_sparse(self) -> bool:
        """Whether gaps take fewer bits than symbols for zeros."""
        return self._sparse_bits() <= self._dense_bits()

    def cost_bits(self) -> int:
        return min(self._sparse_bits(), self._dense_bits())

    def _dense_bits(self) -> int:
        return _cost_bits(self.magnitudes) + self.dense_plain_bits

    def _sparse_bits(self) -> int:
        if not self.steps.any():
            return 0  # zeros only
        return _cost_bits(self.steps[0]) + _cost_bits(self.steps[1]) + self.sparse_plain_bits


def choose_groups(tensors: Sequence[NDArray[np.int32]]) -> list[Group]:
    """Puts one tensor after the other where it adds the fewest bits. tensors: int32[n], n >= 1."""
    groups: list[Group] = []
    for place, tensor in enumerate(tensors):
        alone = group_of(tensor, place)
        joined = [group.joined(alone) for group in groups]
        added_bits = [
            new.cost_bits() - old.cost_bits() for new, old in zip(joined, groups, strict=True)
        ]
        best = int(np.argmin(added_bits)) if groups else 0
        if not groups or (len(groups) < MAX_GROUPS and alone.cost_bits() < added_bits[best]):
            groups.append(alone)
        else:
            groups[best] = joined[best]
    return groups


def group_of(tensor: NDArray[np.int32], place: int) -> Group:
    """Returns the group of one tensor int32[n], n >= 1."""
    at = np.flatnonzero(tensor)
    magnitudes, _, dense_plain = symbols_of(np.abs(tensor).astype(np.int64))
    steps, _, sparse_plain = symbols_of(np.stack([gaps_before(at), np.abs(tensor[at]) - 1]))
    return Group(
        (place,),
        np.bincount(magnitudes, minlength=MAX_SYMBOLS),
        np.stack([np.bincount(row, minlength=MAX_SYMBOLS) for row in steps]),
        int(dense_plain.sum()) + at.size,
        int(sparse_plain.sum()) + at.size,
    )


def gaps_before(at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns how many places lie between each of the rising places and the one before it."""
    gaps: NDArray[np.int64] = np.diff(at, prepend=-1) - 1
    return gaps


def used(counts: NDArray[np.int64]) -> list[int]:
    """Returns the counts up to the last symbol that occurs."""
    return [int(count) for count in np.trim_zeros(counts, "b")]


def _cost_bits(counts: NDArray[np.int64]) -> int:
    occurring = used(counts)
    lengths = code_lengths(occurring)
    return table_bits(lengths) + int(np.dot(lengths, occurring))
