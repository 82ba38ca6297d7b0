"""The analysis network: from a picture and lambda to all latents, in one pass.

    picture    u, brightness and its Laplacian pyramid (Burt and Adelson 1983): the usual latents
    down       2x2 pixels to a place; at each exponent 1..5 a 3x3 block
    up         from the coarsest back, a 3x3 block at each exponent
    heads      what is added to the pyramid at each exponent; four numbers a place for exponent 0
    latents    (pyramid + heads) times a gain that follows lambda

There are three: for the sets of networks that fits of photographs begin with, for that for screens,
and for that for files without a fit, with which it was trained (prior.py).
It belongs to the encoder alone: files do not know it, and a better one may take its place at any
time. Written for numpy and for jax.numpy alike, which is the argument `xp`: encoders run it in
numpy, since compiling would take longer than the pass; scripts/train_grid_analysis.py trains it.
"""

import functools
import io
import math
from types import ModuleType
from typing import Any

import numpy as np

from inr.format.shipped import SHIPPED
from inr.grid.fit.init import CUBIC
from inr.grid.prior import LAMBDA_RANGE, SCREENS, WITHOUT_FIT
from inr.grid.structure import COARSEST_EXPONENT, Pyramid

Array = Any  # of numpy or jax.numpy, f32
Weights = dict[str, Array]

CHANNELS = (24, 32, 48, 48, 48)  # of exponents 1..5
_PHOTOGRAPHS = 1  # number of shipped weights
_OTHERS = {SCREENS: 2, WITHOUT_FIT: 3}  # by set of networks
_REACH = 64  # pixels around a tile that still count: more than 64 change little
_TILE = 512  # pixels a side, without them: a multiple of 2**COARSEST_EXPONENT
_HEAD_UNIT = 0.1  # of brightness: heads sum many numbers, and a step of training moves them all
_STEP_AT_MIDDLE = 0.11  # of brightness: the step of exponent 0 that pays at the middle lambda
# A step goes with the root of lambda.
_STEP_SLOPE = math.log(LAMBDA_RANGE[1] / LAMBDA_RANGE[0]) / 4


def step_of(place: Array, xp: ModuleType = np) -> Array:
    """Return the brightness that a latent of exponent 0 stands for at first, at a place -1..1 of
    lambda (`prior.rate_place`)."""
    return _STEP_AT_MIDDLE * xp.exp(_STEP_SLOPE * place)


def first_weights(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Make f32 tensors with which the latents are the Laplacian pyramid alone."""
    weights: dict[str, np.ndarray] = {}

    def linear(name: str, n_out: int, n_in: int, gain: float) -> None:
        scale = gain / math.sqrt(n_in)
        weights[name] = scale * rng.standard_normal((n_out, n_in))

    def block(name: str, n: int) -> None:
        linear(f"{name}_w", n, 9 * n, math.sqrt(2))
        linear(f"{name}_out", n, n, 0.3)
        weights[f"{name}_b"] = np.zeros((3, n))  # for 1, t, t**2
        weights[f"{name}_gain"] = np.zeros(n)

    for e, n in enumerate(CHANNELS, 1):
        n_finer = CHANNELS[e - 2] if e > 1 else 3
        linear(f"down{e}", n, 4 * n_finer, 1.0)
        block(f"down{e}_block", n)
        block(f"up{e}_block", n)
        if e < COARSEST_EXPONENT:
            linear(f"up{e}", n, CHANNELS[e], 0.5)
        weights[f"head{e}"] = np.zeros((1, n))
    weights["head0"] = np.zeros((4, CHANNELS[0]))
    weights["gain"] = np.zeros((3, COARSEST_EXPONENT + 1))  # of log gain, for 1, t, t**2
    return {name: w.astype(np.float32) for name, w in weights.items()}


def predict(picture: Array, place: Array, weights: Weights, xp: ModuleType = np) -> list[Array]:
    """Predict the latents of one picture, neither rounded nor limited.

    Args:
      picture: f32[3, height, width] in 0..1; both sides multiples of 2**COARSEST_EXPONENT.
      place: of lambda, f32[] or a float, -1..1, see `prior.rate_place`.
    Returns:
      f32[height / 2**e, width / 2**e] for e = COARSEST_EXPONENT..0, as the networks of a file see
      them; see `in_codes`.
    """
    powers = xp.stack([xp.ones_like(place), place, place**2])
    down, x = [], picture - 0.5
    for e in range(1, COARSEST_EXPONENT + 1):
        x = _mix(weights[f"down{e}"], _gather(x))
        x = _block(x, f"down{e}_block", powers, weights, xp)
        down.append(x)
    heads = []
    for e in range(COARSEST_EXPONENT, 0, -1):
        if e < COARSEST_EXPONENT:
            x = down[e - 1] + _repeat(_mix(weights[f"up{e}"], x), xp)
        x = _block(x, f"up{e}_block", powers, weights, xp)
        heads.append(_mix(weights[f"head{e}"], x)[0])
    heads.append(_spread(_mix(weights["head0"], x)))
    bands = _laplacian_pyramid(xp.mean(picture, axis=0) - 0.5, xp)
    log_gains = powers @ weights["gain"]
    step = step_of(place, xp)
    latents = []
    for band, head, e in zip(bands, heads, range(COARSEST_EXPONENT, -1, -1), strict=True):
        latents.append((band + _HEAD_UNIT * head) * (xp.exp(log_gains[e]) / step))
    return latents


def _block(x: Array, name: str, powers: Array, weights: Weights, xp: ModuleType) -> Array:
    """x + out @ relu(3x3 convolution of x), with gain and bias that follow lambda."""
    gain = xp.exp(powers[1] * weights[f"{name}_gain"])
    bias = powers @ weights[f"{name}_b"]
    hidden = _mix(weights[f"{name}_w"], _neighbours(x, xp)) * gain[:, None, None]
    hidden = xp.maximum(hidden + bias[:, None, None], 0)
    return x + _mix(weights[f"{name}_out"], hidden)


def _mix(w: Array, x: Array) -> Array:
    """[m, n] times [n, h, w]."""
    return (w @ x.reshape(x.shape[0], -1)).reshape(w.shape[0], *x.shape[1:])


def _neighbours(x: Array, xp: ModuleType) -> Array:
    """[c, h, w] -> [9 c, h, w], edges repeated."""
    h, w = x.shape[1:]
    padded = xp.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return xp.concatenate([padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3)])


def _gather(x: Array) -> Array:
    """[c, h, w] -> [4 c, h / 2, w / 2]."""
    c, h, w = x.shape
    blocks = x.reshape(c, h // 2, 2, w // 2, 2).transpose(2, 4, 0, 1, 3)
    return blocks.reshape(4 * c, h // 2, w // 2)


def _spread(x: Array) -> Array:
    """[4, h, w] -> [2 h, 2 w], the inverse of `_gather`."""
    h, w = x.shape[1:]
    return x.reshape(2, 2, h, w).transpose(2, 0, 3, 1).reshape(2 * h, 2 * w)


def _repeat(x: Array, xp: ModuleType) -> Array:
    """[c, h, w] -> [c, 2 h, 2 w]."""
    c, h, w = x.shape
    return xp.broadcast_to(x[:, :, None, :, None], (c, h, 2, w, 2)).reshape(c, 2 * h, 2 * w)


def _laplacian_pyramid(x: Array, xp: ModuleType) -> list[Array]:
    """f32[h, w] as bands, the coarsest first, whose doubled sum is the picture."""
    bands = []
    for _ in range(COARSEST_EXPONENT):
        h, w = x.shape
        coarser = x.reshape(h // 2, 2, w // 2, 2).mean(axis=(1, 3))
        bands.append(x - _double(_double(coarser, xp).T, xp).T)
        x = coarser
    return [x, *reversed(bands)]


def _double(x: Array, xp: ModuleType) -> Array:
    """[h, w] -> [2 h, w], as the synthesis of pictures upsamples."""
    h, w = x.shape
    padded = xp.pad(x, ((2, 2), (0, 0)), mode="edge")
    even = sum(CUBIC[3 - t] * padded[t : t + h] for t in range(4))
    odd = sum(CUBIC[t] * padded[t + 1 : t + 1 + h] for t in range(4))
    return xp.stack([even, odd], axis=1).reshape(2 * h, w)


def predict_latents(picture: np.ndarray, place: float, pyramid: Pyramid) -> list[np.ndarray]:
    """Predict the latents of a picture of any size, tile by tile.

    Args:
      picture: f32[c, height, width] in 0..1.
      place: of lambda, -1..1.
      pyramid: of the picture; its structure has a rate.
    Returns:
      f32[h, w] of each level, in codes, neither rounded nor limited.
    """
    weights = _shipped(_OTHERS.get(pyramid.structure.prior, _PHOTOGRAPHS))
    height, width = pyramid.height, pyramid.width
    unit = 1 << COARSEST_EXPONENT
    sides = [-(-side // unit) * unit for side in (height, width)]
    margins = [
        (_REACH, side - size + _REACH) for side, size in zip(sides, (height, width), strict=True)
    ]
    padded = np.pad(as_colours(picture), ((0, 0), *margins), mode="edge")
    whole = [
        np.empty((sides[0] >> e, sides[1] >> e), np.float32) for e in range(COARSEST_EXPONENT + 1)
    ]
    for top in range(0, sides[0], _TILE):
        for left in range(0, sides[1], _TILE):
            bottom, right = min(top + _TILE, sides[0]), min(left + _TILE, sides[1])
            tile = padded[:, top : bottom + 2 * _REACH, left : right + 2 * _REACH]
            found = predict(tile, np.float32(place), weights)
            for e, y in zip(range(COARSEST_EXPONENT, -1, -1), found, strict=True):
                inner = y[
                    _REACH >> e : y.shape[0] - (_REACH >> e),
                    _REACH >> e : y.shape[1] - (_REACH >> e),
                ]
                whole[e][top >> e : bottom >> e, left >> e : right >> e] = inner
    found = [whole[level.exponent][: level.height, : level.width] for level in pyramid.levels]
    return in_codes(found, pyramid)


def in_codes(latents: list[Array], pyramid: Pyramid) -> list[Array]:
    """Count latents of each level of a pyramid in its codes."""
    return [y * 2.0**octaves for y, octaves in zip(latents, pyramid.octaves, strict=True)]


def as_colours(picture: np.ndarray) -> np.ndarray:
    """f32[3, h, w] of f32[c, h, w]: grey three times; colours times alpha where there is one."""
    colours = picture[:-1] * picture[-1:] if len(picture) in (2, 4) else picture
    return np.broadcast_to(colours, (3, *picture.shape[1:]))


@functools.cache
def _shipped(number: int) -> dict[str, np.ndarray]:
    """Read weights of the package, f32."""
    entry = next(entry for entry in SHIPPED.entries("grid_analysis") if entry.id == number)
    with np.load(io.BytesIO(SHIPPED.read(entry))) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}
