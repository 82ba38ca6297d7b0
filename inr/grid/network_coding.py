"""The networks of a grid file as integer codes, and those as bytes.

Each tensor is the prior's (prior.py) plus its codes times the step of its group, 2**-octaves. The
section of networks holds

    present   in structures with a rate: a bit a group, in the order of Pyramid.groups, the first
              lowest, and zeros to a whole byte; groups whose bit is 0 have no codes but zeros, and
              nothing more of them follows
    octaves   4 bits a group, likewise; a last half byte is 0
    codes     the range coder's bytes (coders/range_coder.py), one tensor a group: the codes of its
              tensors one after the other
"""

from dataclasses import dataclass

import numpy as np

from inr.coders.protocol import MAX_CODE
from inr.coders.range_coder import RangeCoder
from inr.errors import FormatError
from inr.format.wire import Reader
from inr.grid.prior import PRIOR_LIMIT, prior_networks
from inr.grid.structure import Pyramid

MAX_OCTAVES = 15
# Largest differences from the prior, so that with it no number is above 64, and of an upsampling
# kernel none above 4: sums of the fixed-point decoder rely on it.
_MAX_DIFFERENCE = 64.0 - PRIOR_LIMIT
_MAX_TAP_DIFFERENCE = 3.0


@dataclass(frozen=True)
class CodedNetworks:
    """What a file holds of the networks."""

    octaves: dict[str, int]  # by group: the step is 2**-octaves, 0..MAX_OCTAVES
    codes: dict[str, np.ndarray]  # int32, by tensor, in file order

    def values(self, pyramid: Pyramid) -> dict[str, np.ndarray]:
        """Return the tensors, float64, exact."""
        prior = prior_networks(pyramid)
        return {
            name: prior[name] + np.ldexp(self.codes[name].astype(np.float64), -self.octaves[group])
            for group, shapes in pyramid.groups.items()
            for name in shapes
        }

    def by_group(self, pyramid: Pyramid) -> dict[str, np.ndarray]:
        """Return the codes of each group, its tensors one after the other, int32[codes]."""
        return {
            group: np.concatenate([self.codes[name].ravel() for name in shapes])
            for group, shapes in pyramid.groups.items()
        }


def quantize_networks(
    params: dict[str, np.ndarray], octaves: dict[str, int], pyramid: Pyramid
) -> CodedNetworks:
    """Return the nearest codes at these steps, limited to what a file may hold."""
    prior, codes = prior_networks(pyramid), {}
    for group, shapes in pyramid.groups.items():
        k = octaves[group]
        for name in shapes:
            largest = code_limit(group, k)
            nearest = np.rint(np.ldexp(params[name].astype(np.float64) - prior[name], k))
            codes[name] = np.clip(nearest, -largest, largest).astype(np.int32)
    return CodedNetworks(octaves, codes)


def code_limit(group: str, octaves: int) -> int:
    """Return the largest |code| of a group at a step of 2**-octaves."""
    largest = _MAX_TAP_DIFFERENCE if group == "up" else _MAX_DIFFERENCE
    return min(int(largest) << octaves, MAX_CODE)


def write_networks(coded: CodedNetworks, pyramid: Pyramid) -> bytes:
    """Return the section of networks; the inverse of `read_networks`."""
    codes, head = coded.by_group(pyramid), b""
    if pyramid.structure.has_rate:
        is_present = {group: bool(each.any()) for group, each in codes.items()}
        head = _pack_bits(list(is_present.values()), 1)
        codes = {group: each for group, each in codes.items() if is_present[group]}
    head += _pack_bits([coded.octaves[group] for group in codes], 4)
    return head + RangeCoder().encode(list(codes.values()))


def read_networks(data: bytes, pyramid: Pyramid) -> CodedNetworks:
    """Read the section of networks; of groups without codes the octaves are 0.

    Raises:
      FormatError: the bytes are not what `write_networks` makes of networks of this pyramid.
    """
    groups, has_rate = list(pyramid.groups), pyramid.structure.has_rate
    reader = Reader(data, "the section of networks")
    if has_rate:
        bits = _unpack_bits(reader, len(groups), 1, "bits after those of the groups are")
        groups = [group for group, is_present in zip(groups, bits, strict=True) if is_present]
    octaves = dict.fromkeys(pyramid.groups, 0)
    halves = _unpack_bits(reader, len(groups), 4, "half byte after the steps is")
    octaves |= dict(zip(groups, halves, strict=True))
    sizes = {
        group: sum(int(np.prod(shape)) for shape in shapes.values())
        for group, shapes in pyramid.groups.items()
    }
    coded = RangeCoder().decode(reader.take(reader.n_left), [sizes[group] for group in groups])
    flat = {group: np.zeros(size, np.int32) for group, size in sizes.items()}
    codes: dict[str, np.ndarray] = {}
    for group, tensor in zip(groups, coded, strict=True):
        largest = code_limit(group, octaves[group])
        if np.abs(tensor).max() > largest:
            raise FormatError(f"networks: a code of {group} lies outside -{largest}..{largest}")
        if has_rate and not tensor.any():
            raise FormatError(f"networks: {group} is said to have codes, but all of them are 0")
        flat[group] = tensor
    for group, shapes in pyramid.groups.items():
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])[:-1]
        for (name, shape), part in zip(shapes.items(), np.split(flat[group], ends), strict=True):
            codes[name] = part.reshape(shape)
    return CodedNetworks(octaves, codes)


def _pack_bits(values: list[int], width: int) -> bytes:
    """Join numbers of `width` bits, the first in the low bits, and zeros to a whole byte."""
    joined = sum(value << width * i for i, value in enumerate(values))
    return joined.to_bytes(-(-width * len(values) // 8), "little")


def _unpack_bits(reader: Reader, n: int, width: int, rest: str) -> list[int]:
    """Read n numbers that `_pack_bits` has joined; rest: what has to be 0, for its error."""
    joined = int.from_bytes(reader.take(-(-width * n // 8)), "little")
    if joined >> width * n:
        raise FormatError(f"the section of networks: the {rest} not 0")
    return [joined >> width * i & ((1 << width) - 1) for i in range(n)]
