"""The networks of a grid file as integer codes, and those as bytes.

Each tensor is the prior's (prior.py) plus its codes times the step of its group, 2**-octaves. The
section of networks holds

    octaves   4 bits a group, in the order of Pyramid.groups, the first in the low bits; a last
              half byte is 0
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
    halves = [coded.octaves[group] for group in pyramid.groups]
    halves += [0] * (len(halves) % 2)
    head = bytes(low | high << 4 for low, high in zip(halves[::2], halves[1::2], strict=True))
    return head + RangeCoder().encode(list(coded.by_group(pyramid).values()))


def read_networks(data: bytes, pyramid: Pyramid) -> CodedNetworks:
    """Read the section of networks.

    Raises:
      FormatError: the bytes are not what `write_networks` makes of networks of this pyramid.
    """
    groups = pyramid.groups
    reader = Reader(data, "the section of networks")
    halves = [half for byte in reader.take(-(-len(groups) // 2)) for half in (byte & 15, byte >> 4)]
    if any(halves[len(groups) :]):
        raise FormatError("the section of networks: the half byte after the steps is not 0")
    octaves = dict(zip(groups, halves, strict=False))
    sizes = [sum(int(np.prod(s)) for s in shapes.values()) for shapes in groups.values()]
    flat = RangeCoder().decode(reader.take(reader.n_left), sizes)
    codes: dict[str, np.ndarray] = {}
    for (group, shapes), tensor in zip(groups.items(), flat, strict=True):
        largest = code_limit(group, octaves[group])
        if np.abs(tensor).max() > largest:
            raise FormatError(f"networks: a code of {group} lies outside -{largest}..{largest}")
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])[:-1]
        for (name, shape), part in zip(shapes.items(), np.split(tensor, ends), strict=True):
            codes[name] = part.reshape(shape)
    return CodedNetworks(octaves, codes)
