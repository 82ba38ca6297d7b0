"""What networks cost besides their own bytes, MSE + lambda * bpp of the latents, and how that
changes with each number: gradient and curvature. Measured on a share of the tiles."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np

from inr.grid.fit.side_by_side import TileProgram
from inr.grid.fit.step import Fitting, noise_pool, rounded, tile_gradients
from inr.grid.fit.tile import Sums, Tile, Weights, split_params, split_windows, tile_sums
from inr.grid.structure import Pyramid

_N_PROBES = 8  # random signs; the curvature is known to about a half


@dataclass(frozen=True)
class RdoProblem:
    """What stays while networks are chosen."""

    fitting: Fitting
    windows: np.ndarray  # f32[measured tiles, windows]: whole numbers
    which: range  # the measured tiles

    @classmethod
    def of(cls, fitting: Fitting, latents: list[np.ndarray]) -> "RdoProblem":
        """latents: i32[h, w] of each level."""
        tiling = fitting.tiling
        windows = tiling.cut([y.astype(np.float32) for y in latents])
        return cls(fitting, windows[tiling.sample], range(tiling.n_tiles)[tiling.sample])

    @property
    def pyramid(self) -> Pyramid:
        return self.fitting.tiling.tile_pyramid

    @property
    def share(self) -> float:
        """Part of the tiles that is measured."""
        return len(self.which) / self.fitting.tiling.n_tiles

    def losses(self, networks: Sequence[np.ndarray]) -> np.ndarray:
        """f64[n] of networks f32[numbers] each."""
        weights = self.fitting.weights
        jobs = (
            (flat, windows, self.fitting.tiles[i], weights)
            for flat in networks
            for i, windows in zip(self.which, self.windows, strict=True)
        )
        made = _tile_cost.map(jobs, pyramid=self.pyramid)
        costs = np.array([float(sums.weighted) for sums in made])
        of_tiles: np.ndarray = costs.reshape(len(networks), len(self.which)).sum(axis=1)
        return of_tiles * self.fitting.lambda_per_bit / self.share

    def gradient(self, flat: np.ndarray) -> np.ndarray:
        """Of the loss of one network, f64[numbers]."""
        of_cost: np.ndarray = self._gradient(flat, [self.fitting.weights] * len(self.which))
        return of_cost * self.fitting.lambda_per_bit / self.share

    def curvature(self, flat: np.ndarray, seed: int) -> np.ndarray:
        """About the second derivative of the loss by each number, f64[numbers].

        Gauss-Newton: 2 / n times the summed squares of the errors' derivatives, and for the bits,
        whose distribution is the model's own, Fisher's information. Sums of squares are estimated
        as squares of sums with random signs (Hutchinson 1990); the context model knows only bits,
        upsampling and synthesis only errors, so one sum serves for both.
        """
        rng, total = np.random.default_rng([seed, 4]), np.zeros(flat.size)
        shapes = [each.shape for each in self.fitting.weights[1:]]
        for _ in range(_N_PROBES):
            signs = [
                Weights(np.float32(0), *(_signs(shape, rng) for shape in shapes))
                for _ in self.which
            ]
            total += self._gradient(flat, signs) ** 2 / _N_PROBES
        in_context = {name for group in self.pyramid.context_groups.values() for name in group}
        of_bits = self.fitting.lambda_per_bit * np.log(2)
        of_errors = 2 / self.fitting.picture_size
        factors = [
            np.full(int(np.prod(shape)), of_bits if name in in_context else of_errors)
            for name, shape in self.pyramid.shapes.items()
        ]
        curvatures: np.ndarray = total * np.concatenate(factors) / self.share
        return curvatures

    def _gradient(self, flat: np.ndarray, weights: list[Weights]) -> np.ndarray:
        jobs = (
            (flat, windows, self.fitting.tiles[i], own, rounded(), noise_pool(), np.int32(0))
            for i, windows, own in zip(self.which, self.windows, weights, strict=True)
        )
        total = np.zeros(flat.size)
        made = tile_gradients.map(jobs, pyramid=self.pyramid, with_networks=True)
        for (_, of_flat), _ in made:
            total += of_flat
        return total


def _signs(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 2, shape, np.int8).astype(np.float32) * 2 - 1


def _cost_of_tile(
    flat: jax.Array, windows: jax.Array, tile: Tile, weights: Weights, *, pyramid: Pyramid
) -> Sums:
    return tile_sums(
        split_params(flat, pyramid), split_windows(windows, pyramid), tile, weights, pyramid
    )


_tile_cost = TileProgram(_cost_of_tile, static=("pyramid",))
