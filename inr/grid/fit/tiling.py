"""Cuts a picture and its latents into tiles, and puts what was made of windows together again.

All in numpy, so that no program depends on the size of a picture; see tile.py for what tiles are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from inr.grid.fit.tile import MARGIN, Tile, n_pixels, window_size
from inr.grid.fit.tile_contexts import HALO
from inr.grid.structure import Level, Pyramid

SIDE = 128  # of a tile, pixels: what is made on the way stays in cache
_SAMPLE = 8  # tiles


@dataclass(frozen=True)
class Tiling:
    """The tiles of a picture, row by row."""

    pyramid: Pyramid  # of the picture

    @cached_property
    def tile_pyramid(self) -> Pyramid:
        """The pyramid of one tile, the same for all pictures of a structure."""
        p = self.pyramid.at_rate(0)
        return Pyramid(SIDE, SIDE, p.n_channels, p.structure)

    @property
    def shape(self) -> tuple[int, int]:
        """Tiles in a column and in a row."""
        return -(-self.pyramid.height // SIDE), -(-self.pyramid.width // SIDE)

    @property
    def n_tiles(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def sample(self) -> slice:
        """A share of the tiles, about _SAMPLE of them, on which enough can be measured."""
        return slice(0, self.n_tiles, max(1, self.n_tiles // _SAMPLE))

    @property
    def n_window(self) -> int:
        """Latents of all windows of a tile."""
        return sum(window_size(level) for level in self.tile_pyramid.levels)

    def cut(self, latents: list[np.ndarray], mode: str = "edge") -> np.ndarray:
        """Cut f32[tiles, windows] of f32[h, w] of each level.

        mode: of np.pad, for what lies beyond the picture.
        """
        windows = np.empty((self.n_tiles, self.n_window), np.float32)
        for level, y, at in self._levels(latents):
            padded = np.pad(y, self._padding(level, y), mode)  # type: ignore[call-overload]
            side = SIDE >> level.exponent
            views = np.lib.stride_tricks.sliding_window_view(padded, (side + 2 * HALO,) * 2)
            cut = views[::side, ::side]
            windows[:, at].reshape(*self.shape, side + 2 * HALO, side + 2 * HALO)[:] = cut
        return windows

    def add(self, windows: np.ndarray) -> list[np.ndarray]:
        """Add f32[tiles, windows] where they overlap, f32[h, w] of each level: the adjoint of
        `cut` with repeated edges."""
        shapes = [(level.height, level.width) for level in self.pyramid.levels]
        summed = []
        for level, y, at in self._levels([np.empty(shape, np.float32) for shape in shapes]):
            side, padding = SIDE >> level.exponent, self._padding(level, y)
            whole = np.zeros(
                [n + sum(pad) for n, pad in zip(y.shape, padding, strict=True)], np.float32
            )
            parts = windows[:, at].reshape(*self.shape, side + 2 * HALO, side + 2 * HALO)
            for i, j in np.ndindex(*self.shape):
                top, left = i * side, j * side
                whole[top : top + side + 2 * HALO, left : left + side + 2 * HALO] += parts[i, j]
            for axis, (before, after) in enumerate(padding):
                whole = np.moveaxis(whole, axis, 0)
                end = len(whole) - after
                whole[before] += whole[:before].sum(axis=0)
                whole[end - 1] += whole[end:].sum(axis=0)
                whole = np.moveaxis(whole[before:end], 0, axis)
            summed.append(whole)
        return summed

    def tiles(self, picture: np.ndarray) -> list[Tile]:
        """Cut f32[c, height, width] in 0..1."""
        c = len(picture)
        ones = [np.ones((level.height, level.width), np.float32) for level in self.pyramid.levels]
        is_latent = self.cut(ones, mode="constant")
        tiles = []
        for n, (i, j) in enumerate(np.ndindex(*self.shape)):
            part = picture[:, i * SIDE : (i + 1) * SIDE, j * SIDE : (j + 1) * SIDE]
            inside = np.zeros((SIDE, SIDE + 2 * MARGIN), np.float32)
            samples = np.zeros((c, *inside.shape), np.float32)
            inside[: part.shape[1], : part.shape[2]] = 1
            samples[:, : part.shape[1], : part.shape[2]] = part
            flat = samples.reshape(c, n_pixels(self.tile_pyramid))
            tiles.append(Tile(flat, inside.reshape(-1), is_latent[n]))
        return tiles

    def _levels(self, latents: list[np.ndarray]) -> Iterator[tuple[Level, np.ndarray, slice]]:
        """Each level, its latents, and where they stand in windows."""
        begin = 0
        levels = zip(self.pyramid.levels, self.tile_pyramid.levels, latents, strict=True)
        for level, of_tile, y in levels:
            end = begin + window_size(of_tile)
            yield level, y, slice(begin, end)
            begin = end

    def _padding(self, level: Level, y: np.ndarray) -> list[tuple[int, int]]:
        side = SIDE >> level.exponent
        return [
            (HALO, HALO + n_tiles * side - n)
            for n_tiles, n in zip(self.shape, y.shape, strict=True)
        ]
