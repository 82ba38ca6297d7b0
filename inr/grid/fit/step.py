"""One step of the fit of a latent grid: the gradients of all tiles, put together, and the moves.

Order of one step: round the latents softly, add noise, round softly again; draw them and count
their bits, tile by tile (tile.py); gradients of MSE + lambda * bpp; SOAP for the networks, Adam for
the latents. Either may stay: the networks at first, the latents, rounded, in the tail (program.py).

What is compiled is one tile and the networks' update: no program depends on a picture's size.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inr.coders.laplace_tables import LATENT_LIMIT
from inr.grid.fit.analysis import step_of
from inr.grid.fit.model import Params, soft_round
from inr.grid.fit.side_by_side import COMPILER_OPTIONS, TileProgram
from inr.grid.fit.soap import SoapState, scale_by_soap
from inr.grid.fit.tile import (
    Sums,
    Tile,
    Weights,
    n_pixels,
    split_params,
    split_windows,
    tile_sums,
)
from inr.grid.fit.tiling import Tiling
from inr.grid.prior import GAINED, rate_place
from inr.grid.structure import Pyramid

# Of the latents. Short means: gradients change quickly as latents cross from code to code.
_B1, _B2 = 0.8, 0.95
# Bits a code, of a latent that counts for one pixel: much smaller gradients move a latent in
# proportion, as the curvature is about the same everywhere, and do not make it restless.
_EPS = 10.0
_MAX_NORM = 0.1  # of the networks' gradient
_WEIGHT_STEP = 2.0**-6  # of the networks' codes, about
_POOL = 1 << 21  # normal numbers, of which each tile takes a slice: drawing them anew is slow


class Latents(NamedTuple):
    """Latents of one picture and the means of Adam; f32[h, w] of each level, in codes."""

    y: list[np.ndarray]
    mean: list[np.ndarray]
    square: list[np.ndarray]
    n_steps: np.ndarray  # i64[], common to all members


class Networks(NamedTuple):
    """The networks of one picture and the state of SOAP."""

    flat: jax.Array  # f32[numbers], all tensors one after the other
    soap: SoapState


class Rounding(NamedTuple):
    """How latents are seen while they are fitted."""

    temperature: Any  # f32[], of soft rounding
    noise: Any  # f32[], standard deviation in codes
    is_hard: Any  # bool[]: rounded, without noise


class Measured(NamedTuple):
    """What a step measures on its way."""

    mse: float  # on 0..1, neither clipped nor rounded to samples
    bits: float  # of the latents


class Gradients(NamedTuple):
    """Of bits + MSE / lambda_per_bit."""

    latents: list[np.ndarray]  # f32[h, w] of each level
    networks: np.ndarray | None  # f32[numbers]
    measured: Measured


def _tile_gradients(
    flat: jax.Array,
    windows: jax.Array,
    tile: Tile,
    weights: Weights,
    rounding: Rounding,
    noise: jax.Array,
    noise_at: jax.Array,
    *,
    pyramid: Pyramid,
    with_networks: bool,
) -> tuple[tuple[list[jax.Array], jax.Array | None], Sums]:
    """Gradients of `tile_sums(...).weighted` by the window of each level and by the networks, and
    the sums.

    Args:
      flat: the networks, as in `Networks`.
      windows: f32[windows] in codes, not yet rounded.
      noise: f32 normal numbers, of which those from noise_at on are taken.
      pyramid: of one tile.
    """

    def total(windows: list[jax.Array], params: Params) -> tuple[jax.Array, Sums]:
        seen = [_as_seen(*each, rounding) for each in zip(windows, added, strict=True)]
        sums = tile_sums(params, seen, tile, weights, pyramid)
        return sums.weighted, sums

    added = split_windows(jax.lax.dynamic_slice(noise, (noise_at,), windows.shape), pyramid)
    # Cut before, and not put together after what is differentiated: XLA would make one slow loop of
    # all the sums that this stands for.
    parts = split_windows(windows, pyramid), split_params(flat, pyramid)
    if with_networks:
        (of_windows, of_params), sums = jax.grad(total, (0, 1), has_aux=True)(*parts)
        of_flat = jnp.concatenate([of_params[name].reshape(-1) for name in pyramid.shapes])
        return (of_windows, of_flat), sums
    of_windows, sums = jax.grad(total, has_aux=True)(*parts)
    return (of_windows, None), sums


def _as_seen(y: jax.Array, noise: jax.Array, rounding: Rounding) -> jax.Array:
    soft = soft_round(y, rounding.temperature) + rounding.noise * noise
    return jnp.where(rounding.is_hard, jnp.round(y), soft_round(soft, rounding.temperature))


tile_gradients = TileProgram(_tile_gradients, static=("pyramid", "with_networks"))


@functools.partial(jax.jit, static_argnames="pyramid", compiler_options=COMPILER_OPTIONS)
def _update_networks(
    networks: Networks,
    gradient: jax.Array,
    prior: jax.Array,
    per_bit: jax.Array,
    rates: jax.Array,
    *,
    pyramid: Pyramid,
) -> Networks:
    """One step of SOAP.

    Args:
      gradient: of MSE + lambda * bpp of latents, f32[numbers].
      per_bit: what a bit of the networks costs.
      rates: f32[numbers].
    """
    gradient = gradient + per_bit * jax.grad(network_bits)(networks.flat, prior)
    gradient *= jnp.minimum(1.0, _MAX_NORM / jnp.maximum(jnp.linalg.norm(gradient), 1e-30))
    updates, soap = scale_by_soap().update(split_params(gradient, pyramid), networks.soap)
    flat_updates = jnp.concatenate([updates[name].reshape(-1) for name in pyramid.shapes])
    return Networks(networks.flat - rates * flat_updates, soap)


def network_bits(flat: jax.Array, prior: jax.Array) -> jax.Array:
    """About what the networks' codes will cost: steep near the prior, so that weights of no use go
    there, and flat far from it."""
    return jnp.sum(jnp.log2(1 + jnp.abs(flat - prior) / _WEIGHT_STEP))


@dataclass(frozen=True)
class Fitting:
    """One picture, cut into tiles, with what a step needs besides its state."""

    tiling: Tiling
    tiles: list[Tile]
    picture_size: int  # samples
    lambda_per_bit: float  # lambda / pixels
    prior: np.ndarray  # f32[numbers]
    seed: tuple[int, ...]

    @classmethod
    def of(
        cls,
        picture: np.ndarray,
        pyramid: Pyramid,
        lambda_: float,
        prior: np.ndarray,
        seed: tuple[int, ...] = (0,),
    ) -> "Fitting":
        """Cut f32[c, height, width] in 0..1."""
        tiling = Tiling(pyramid)
        per_bit = lambda_ / (pyramid.height * pyramid.width)
        return cls(tiling, tiling.tiles(picture), picture.size, per_bit, prior, seed)

    @property
    def weights(self) -> Weights:
        """Those of bits + MSE / lambda_per_bit."""
        pyramid = self.tiling.tile_pyramid
        slopes, ones = _constants(pyramid)
        return Weights(np.float32(1 / (self.picture_size * self.lambda_per_bit)), slopes, ones)

    def gradients(
        self,
        flat: jax.Array,
        latents: list[np.ndarray],
        rounding: Rounding,
        step: int,
        *,
        some: slice = slice(None),
        networks_by: slice | None = None,
    ) -> Gradients:
        """Compute the gradients of all tiles, or of some, counted for all.

        networks_by: tiles that the gradient of the networks is measured on; None for no such
          gradient.
        """
        windows = self.tiling.cut(latents)
        noise, pyramid = noise_pool(), self.tiling.tile_pyramid
        rng, last = np.random.default_rng([*self.seed, step]), noise.size - windows.shape[1]
        places = rng.integers(0, last, len(windows), np.int32)
        tiles = range(len(windows))
        which = tiles[some]
        with_networks = tiles[networks_by] if networks_by is not None else range(0)
        of_networks, errors, bits = np.zeros(flat.size), 0.0, 0.0
        of_windows = np.zeros_like(windows)
        weights, n_measured = self.weights, 0
        for by_networks in (True, False):
            part = [i for i in which if (i in with_networks) == by_networks]
            jobs = (
                (flat, windows[i], self.tiles[i], weights, rounding, noise, places[i]) for i in part
            )
            made = tile_gradients.map(jobs, pyramid=pyramid, with_networks=by_networks)
            for i, ((of_window, of_flat), sums) in zip(part, made, strict=True):
                np.concatenate([each.reshape(-1) for each in of_window], out=of_windows[i])
                if by_networks:
                    of_networks += of_flat
                    n_measured += 1
                errors += float(sums.errors)
                bits += float(sums.bits)
        share = len(which) / len(windows)
        of_flat = None
        if networks_by is not None:
            of_flat = (of_networks * (len(windows) / n_measured)).astype(np.float32)
        measured = Measured(errors / (share * self.picture_size), bits / share)
        return Gradients(self.tiling.add(of_windows), of_flat, measured)


def rounded() -> Rounding:
    """Return how a file has the latents."""
    return Rounding(np.float32(1), np.float32(0), np.bool_(True))


@functools.lru_cache(maxsize=4)
def _constants(pyramid: Pyramid) -> tuple[jax.Array, jax.Array]:
    slopes = jnp.zeros((pyramid.n_channels, n_pixels(pyramid)), jnp.float32)
    return slopes, jnp.ones(pyramid.n_latents, jnp.float32)


@functools.cache
def noise_pool() -> jax.Array:
    """f32 normal numbers, the same for all fits, whose seeds decide where each tile reads."""
    return jnp.asarray(np.random.default_rng([0, 2]).standard_normal(_POOL, np.float32))


def start_latents(predicted: Sequence[np.ndarray]) -> Latents:
    """Begin at f32[h, w] of each level, in codes."""
    y = [np.clip(each, -LATENT_LIMIT, LATENT_LIMIT).astype(np.float32) for each in predicted]
    return Latents(
        y, [np.zeros_like(each) for each in y], [np.zeros_like(each) for each in y], np.array(0)
    )


def start_networks(params: dict[str, np.ndarray], pyramid: Pyramid) -> Networks:
    """Begin with tensors of pyramid.shapes."""
    soap = scale_by_soap().init({name: params[name] for name in pyramid.shapes})
    return Networks(jnp.asarray(flatten(params, pyramid)), soap)


def flatten(params: dict[str, np.ndarray], pyramid: Pyramid) -> np.ndarray:
    """f32[numbers] of tensors of pyramid.shapes."""
    tensors = [np.asarray(params[name]).reshape(-1) for name in pyramid.shapes]
    return np.concatenate(tensors).astype(np.float32)


def unflatten(flat: np.ndarray, pyramid: Pyramid) -> dict[str, np.ndarray]:
    """Undo `flatten`."""
    tensors: dict[str, np.ndarray] = split_params(np.asarray(flat), pyramid)  # type: ignore
    return tensors


def move_latents(
    latents: Latents, grads: list[np.ndarray], rates: Sequence[float], pyramid: Pyramid
) -> Latents:
    """Make one step of Adam; rates: of each level, in codes."""
    n = latents.n_steps + 1  # numpy scalar
    moved = Latents([], [], [], n)
    epsilons = [
        _EPS * 2.0 ** (level.exponent - octaves)
        for level, octaves in zip(pyramid.levels, pyramid.octaves, strict=True)
    ]
    for y, mean, square, g, rate, eps in zip(*latents[:3], grads, rates, epsilons, strict=True):
        mean = _B1 * mean + np.float32(1 - _B1) * g
        square = _B2 * square + np.float32(1 - _B2) * g * g
        size = np.sqrt(square / np.float32(1 - _B2**n)) + np.float32(eps)
        y = y - np.float32(rate / (1 - _B1**n)) * mean / size
        moved.y.append(np.clip(y, -LATENT_LIMIT, LATENT_LIMIT, out=y))
        moved.mean.append(mean)
        moved.square.append(square)
    return moved


@functools.lru_cache(maxsize=8)
def _relative_rates(pyramid: Pyramid, drawing_rate: float) -> np.ndarray:
    """f32[numbers], of each network against the rate of the context model's."""
    rates = dict.fromkeys(pyramid.shapes, 1.0)
    if not pyramid.has_alpha:  # else what draws begins with random numbers
        gain = float(step_of(rate_place(pyramid.structure.rate)) / step_of(0))
        in_context = {name for group in pyramid.context_groups.values() for name in group}
        for name in pyramid.shapes.keys() - in_context:
            rates[name] = drawing_rate * (gain if name in GAINED else 1.0)
    return flatten(
        {name: np.full(shape, rates[name]) for name, shape in pyramid.shapes.items()}, pyramid
    )


def move_networks(
    networks: Networks,
    gradient: np.ndarray,
    fitting: Fitting,
    network_rate: float,
    rate: float,
    drawing_rate: float = 1.0,
) -> Networks:
    """Make one step of SOAP.

    Args:
      gradient: of bits + MSE / lambda_per_bit, f32[numbers].
      network_rate: weight of the networks' bits against those of the latents.
      rate: of the context model.
      drawing_rate: of what draws, against that. Of GAINED weights it goes with their gain.
    """
    per_bit = np.float32(fitting.lambda_per_bit)
    moved: Networks = _update_networks(
        networks,
        gradient * per_bit,
        fitting.prior,
        per_bit * np.float32(network_rate),
        np.float32(rate) * _relative_rates(fitting.tiling.pyramid, drawing_rate),
        pyramid=fitting.tiling.tile_pyramid,
    )
    return moved
