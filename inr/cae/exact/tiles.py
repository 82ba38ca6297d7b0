"""Tiles of `inr.cae.exact.chain`: blocks of the picture, and what around them reaches into them.

Tiles are computed as pictures of their own, together with as many blocks around as the chain
reaches. What is wrong near their cut edges, for want of what lies beyond, is cut off again after
every layer as soon as the rest of the chain does not reach that far. Edges of the picture itself
are never cut off: there the zeros that layers see are those of the whole picture.
"""

import math
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from inr.cae import layers
from inr.cae.exact.layers import compute, parts
from inr.cae.exact.pointwise import Tensors
from inr.cae.layers import Chain, Conv, Deconv, Gate, Shuffle, Sum
from inr.cae.transforms import BLOCK

_TILE_VALUES = 1 << 24  # of the widest layer over one tile, 128 MB
_LEAST_TILE = 256  # pixels a side: below, what reaches into a tile takes most of the time


@dataclass(frozen=True)
class Span:
    """Blocks first to last of n along one axis."""

    first: int
    last: int
    n: int

    def widen(self, halo: int) -> slice:
        """Take as many blocks around as that, as far as there are."""
        return slice(max(0, self.first - halo), min(self.n, self.last + halo))

    def within(self, wide: int, halo: int, samples: int) -> slice:
        """Find the samples of `widen(halo)` among those of `widen(wide)`."""
        start, part = self.widen(wide).start, self.widen(halo)
        return slice((part.start - start) * samples, (part.stop - start) * samples)

    def crop(self, start: int, stop: int) -> tuple[slice, slice]:
        """Find the pixels start to stop of the span, counted from its own first and from start."""
        own = self.first * BLOCK
        first, last = max(start, own), min(stop, self.last * BLOCK)
        return slice(first - own, last - own), slice(first - start, last - start)


def spans(start: int, stop: int, out_of: int, tile: int) -> list[Span]:
    """Cut pixels start to stop, of out_of in all, into spans of tile pixels or fewer."""
    first, last, n = start // BLOCK, -(-stop // BLOCK), -(-out_of // BLOCK)
    size = tile // BLOCK
    return [Span(at, min(at + size, last), n) for at in range(first, last, size)]


def side(chain: Chain, samples: int, tile: int | None) -> int:
    """Choose the pixels a side of a tile: those given, or so many that memory stays bounded.

    Args:
      samples: a side of a block, of what the chain takes: 16 of pixels, 1 of latents.
    """
    if tile is None:
        densest, _ = _densest(chain, (samples / BLOCK) ** 2)
        return max(_LEAST_TILE, math.isqrt(int(_TILE_VALUES / densest)) // BLOCK * BLOCK)
    if tile < BLOCK or tile % BLOCK:
        raise ValueError(f"tile={tile} is not a multiple of {BLOCK}; use one, or None")
    return tile


def compute_tile(
    chain: Chain,
    tensors: Tensors,
    scales: Tensors,
    load: Callable[[slice, slice], np.ndarray],
    tile: tuple[Span, Span],
    samples: int,
    pool: Executor,
) -> np.ndarray:
    """Compute the blocks of a tile as `compute` would make them of the whole picture.

    Args:
      load: makes f64[rows, columns, channels] of what the chain takes, of those rows and columns
        of blocks.
      samples: a side of a block, of that: 16 of pixels, 1 of latents.
    """
    halo, finest_behind = -(-layers.reach(chain) // BLOCK), BLOCK // samples
    x = load(*(span.widen(halo) for span in tile))
    rest = chain
    for part in parts(chain):
        x = compute(part, tensors, scales, x, pool)
        rest = rest[len(part) :]
        blocks = tile[0].widen(halo)
        samples = len(x) // (blocks.stop - blocks.start)
        # `reach` counts samples of the finer end of the rest.
        needed = min(halo, -(-layers.reach(rest) // max(samples, finest_behind)))
        x = x[tuple(span.within(halo, needed, samples) for span in tile)]
        halo = needed
    return x


def _densest(chain: Chain, samples: float) -> tuple[float, float]:
    """Count the values per pixel that are held at once, and places per pixel behind the chain."""
    most = samples
    for layer in chain:
        match layer:
            case Conv():
                samples /= layer.stride**2
                most = max(most, samples * layer.n_out)
            case Deconv():
                samples *= layer.stride**2
                most = max(most, samples * layer.n_out)
            case Shuffle(factor):
                samples *= factor**2
            case Sum(branches):
                each = [_densest(branch, samples) for branch in branches]
                most, samples = max(most, sum(own for own, _ in each)), each[0][1]
            case Gate(gate, value):
                most = max(most, sum(_densest(part, samples)[0] for part in (gate, value)))
            case _:
                pass
    return most, samples
