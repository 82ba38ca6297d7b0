"""Moves of single latents of the finest level, tried on what they change and kept where they pay.

What a fit ends in is at rest under noise, not as it is rounded: of some latents the code beside
theirs costs less, MSE + lambda * bits per pixel. The gradient, through what draws and through the
contexts of other latents, tells which are likely to; what is then drawn, and the decoder's own
densities, tell whether it is so. A move changes pixels within MARGIN of its own, and the bits of
latents within REACH, of which it is a context. Those that are tried at once lie more than REACH
apart: they change no pixel together, and few bits, so each is judged by what changes around it.

All in numpy, as files without a fit need it.
"""

import contextlib
import math
import time
from dataclasses import dataclass

import numpy as np

from inr.coders.laplace_symbols import bits_of_each, to_symbols
from inr.coders.laplace_tables import (
    EVEN_SCALE,
    LATENT_LIMIT,
    LEAST_P,
    MEAN_BITS,
    N_SCALES,
    SCALE_STEPS,
    laplace_tables,
)
from inr.errors import FormatError
from inr.exact.threads import tile_pool
from inr.grid.context_model import Features, Network, exact_networks, features_of
from inr.grid.fit.result import round_codes
from inr.grid.latent_coder import densities_of_level
from inr.grid.structure import REACH, TAPS, Pyramid
from inr.grid.synthesis import MARGIN, draw_samples

Params = dict[str, np.ndarray]

_ROWS = 32  # whose contexts are at hand at once


def move_finest(
    latents: list[np.ndarray],
    picture: np.ndarray,
    params: Params,
    lambda_: float,
    pyramid: Pyramid,
    n_rounds: int,
    deadline: float = math.inf,
    round_seconds: float = 0.0,
) -> list[np.ndarray]:
    """Return the latents with those of the finest level that are better moved replaced by whole
    numbers, f32[h, w] of each level, in codes; as they are where the finest level has no full size,
    where there is alpha, or where no file can hold them.

    Args:
      latents: f32[h, w] of each level, in codes.
      picture: f32[c, height, width] in 0..1.
      params: f64, the networks as the file has them.
      n_rounds: of moves, each of which takes about as long as drawing and coding.
      deadline: in seconds of time.monotonic(); a round that would end later is not begun.
      round_seconds: that the first round takes, at most.
    """
    if pyramid.levels[-1].exponent > 0 or pyramid.has_alpha or n_rounds == 0:
        return latents
    if time.monotonic() + round_seconds > deadline:
        return latents
    codes = [round_codes(y) for y in latents]
    try:
        search = _Search.of(codes, picture, params, lambda_, pyramid)
    except FormatError:  # whoever writes the file will say so
        return latents
    with contextlib.suppress(FormatError):  # of a move: what was found before it stays
        for _ in range(n_rounds):
            started_at = time.monotonic()
            if started_at + round_seconds > deadline or not search.run_round():
                break
            round_seconds = time.monotonic() - started_at
    is_moved = search.finest != codes[-1]
    return [*latents[:-1], np.where(is_moved, search.finest, latents[-1]).astype(np.float32)]


@dataclass
class _Search:
    """The finest latents, and what they draw and cost."""

    coarser: list[np.ndarray]  # codes of the other levels
    finest: np.ndarray  # i32[h, w]
    picture: np.ndarray  # f32[h, w, c]
    params: Params
    per_bit: float  # what a bit costs, in sums of squares
    pyramid: Pyramid
    network: Network  # the context model of the finest level
    features: Features
    drawn: np.ndarray  # f32[h, w, c]
    density: np.ndarray  # i64[2, h, w]
    bits: np.ndarray  # f64[h, w]
    colour: np.ndarray  # f32[h, w, c]: how a code more of all latents changes what is drawn
    is_refused: np.ndarray  # bool[h, w]: tried in vain, and nothing has moved beside it since

    @classmethod
    def of(
        cls,
        codes: list[np.ndarray],
        picture: np.ndarray,
        params: Params,
        lambda_: float,
        pyramid: Pyramid,
    ) -> "_Search":
        last = len(codes) - 1
        network = exact_networks(params, pyramid)[last]
        drawn = draw_samples(codes, params, pyramid)
        density = densities_of_level(last, codes, params, pyramid)
        more = np.minimum(codes[last] + 1, LATENT_LIMIT)
        return cls(
            coarser=codes[:last],
            finest=codes[last],
            picture=np.ascontiguousarray(picture.transpose(1, 2, 0)),
            params=params,
            per_bit=lambda_ * pyramid.n_channels,
            pyramid=pyramid,
            network=network,
            features=features_of(network, pyramid, last, codes),
            drawn=drawn,
            density=density,
            bits=_bits(codes[last], density),
            colour=draw_samples([*codes[:last], more], params, pyramid) - drawn,
            is_refused=np.zeros(codes[last].shape, bool),
        )

    def run_round(self) -> bool:
        """Try one move in each neighbourhood; tell whether there was any to try."""
        moves, gains = self._promising()
        is_tried = (gains > 0) & (gains == _largest_within(gains, REACH))
        if not is_tried.any():
            return False
        moved = np.where(is_tried, self.finest + moves, self.finest).astype(np.int32)
        codes = [*self.coarser, moved]
        drawn = draw_samples(codes, self.params, self.pyramid)
        density = densities_of_level(len(codes) - 1, codes, self.params, self.pyramid)
        bits = _bits(moved, density)
        squares = ((drawn - self.picture) ** 2 - (self.drawn - self.picture) ** 2).sum(axis=2)
        change = _sum_within(squares, MARGIN) + self.per_bit * _sum_within(bits - self.bits, REACH)
        pays = is_tried & (change < 0)
        self.finest = np.where(pays, moved, self.finest)
        near = _largest_within(pays, MARGIN)[..., None]
        self.drawn = np.where(near, drawn, self.drawn)
        sees_moved = _largest_within(pays, REACH)
        # A few of these still have a refused move in their context; the file's are made anew.
        self.density = np.where(sees_moved, density, self.density)
        self.is_refused = (self.is_refused | is_tried & ~pays) & ~sees_moved
        self.bits = _bits(self.finest, self.density)
        return True

    def _promising(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the better move of each latent, -1 or 1, and about what it gains, in squares."""
        missing = self.picture - self.drawn
        slope = -2 * np.sum(missing * self.colour, axis=2)
        slope += self.per_bit * _context_slopes(
            self.finest, self.network, self.features, self.pyramid.structure.n_taps
        )
        curve = np.sum(self.colour**2, axis=2)
        costs = []
        for move in (-1, 1):
            code = np.clip(self.finest + move, -LATENT_LIMIT, LATENT_LIMIT)
            own = _bits(code, self.density) - self.bits
            costs.append(move * slope + curve + self.per_bit * own)
        moves = np.where(costs[0] <= costs[1], -1, 1)
        moves[np.abs(self.finest + moves) > LATENT_LIMIT] = 0
        gains = -np.minimum(*costs)
        gains[self.is_refused | (moves == 0)] = 0
        return moves, gains


def _bits(codes: np.ndarray, density: np.ndarray) -> np.ndarray:
    """f64[h, w] of i32[h, w] and i64[2, h, w]."""
    tables, bits = laplace_tables(), np.empty(codes.shape)

    def count(top: int) -> None:
        rows = slice(top, top + _ROWS)
        part = codes[rows]
        symbols = to_symbols(part.ravel(), density[:, rows].reshape(2, -1), tables)
        bits[rows] = bits_of_each(symbols, tables).reshape(part.shape)

    with tile_pool(None) as pool:
        for _ in pool.map(count, range(0, len(codes), _ROWS)):
            pass
    return bits


def _context_slopes(
    codes: np.ndarray, network: Network, features: Features, n_taps: int
) -> np.ndarray:
    """Return the derivative of all bits by each latent as a context of others, f64[h, w].

    codes: i32[h, w] of a level without octaves.
    """
    height, width = codes.shape
    padded = np.pad(codes, ((REACH, 0), (REACH, REACH))).astype(np.float32)
    tap_unit = np.float32(network.tap_unit)
    first, second, last = (
        m.astype(np.float32) for m in (network.first, network.second, network.last)
    )

    def slopes(top: int) -> np.ndarray:
        """f32[rows + REACH, width + 2 REACH], by the latents from row top on."""
        n_rows = min(_ROWS, height - top)
        y, x = (each.ravel() for each in np.mgrid[top : top + n_rows, :width])
        taps = [
            padded[REACH + top + dy : REACH + top + dy + n_rows, REACH + dx : REACH + dx + width]
            for dy, dx in TAPS[:n_taps]
        ]
        seen = np.stack(taps).reshape(n_taps, -1) * tap_unit
        x0 = np.concatenate([seen, features.at(y, x).astype(np.float32)])
        sums = first @ x0
        hidden0 = sums[:-2]
        x1 = x0 + np.maximum(hidden0, 0)
        hidden1 = second @ x1
        x2 = x1 + np.maximum(hidden1, 0)
        by_out = _slopes_of_bits(codes[top : top + n_rows].ravel(), last @ x2 + sums[-2:])
        by_x2 = last.T @ by_out
        by_x1 = by_x2 + second.T @ (by_x2 * (hidden1 > 0))
        by_x0 = by_x1 + first[:-2].T @ (by_x1 * (hidden0 > 0)) + first[-2:].T @ by_out
        found = np.zeros((n_rows + REACH, width + 2 * REACH), np.float32)
        for (dy, dx), by_tap in zip(TAPS[:n_taps], by_x0, strict=False):
            rows = found[REACH + dy : REACH + dy + n_rows, REACH + dx : REACH + dx + width]
            rows += tap_unit * by_tap.reshape(n_rows, width)
        return found

    total = np.zeros((height + REACH, width + 2 * REACH))
    with tile_pool(None) as pool:
        tops = range(0, height, _ROWS)
        for top, found in zip(tops, pool.map(slopes, tops), strict=True):
            total[top : top + len(found)] += found
    return total[REACH:, REACH:-REACH]


def _slopes_of_bits(codes: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return the derivatives of the bits of latents by what their network makes, f32[2, n].

    Args:
      codes: i32[n].
      out: f32[2, n], mean index + 16.5 and scale + 0.5, as `context_model.densities` has them
        before it rounds down.
    """
    mean = (out[0] - 0.5) / (1 << MEAN_BITS) - 0.5
    inverse = np.exp((EVEN_SCALE + 0.5 - np.clip(out[1], 0.5, N_SCALES - 0.5)) / SCALE_STEPS)
    away = codes - mean
    d = np.abs(away)
    inner, outer = (d - 0.5) * inverse, (d + 0.5) * inverse
    near, far = np.exp(-np.abs(inner)), np.exp(-outer)
    p = np.where(d < 0.5, 1 - 0.5 * (near + far), 0.5 * (near - far))
    per_p = np.where(p > LEAST_P, -1 / (np.maximum(p, LEAST_P) * math.log(2)), 0)
    by_mean = per_p * 0.5 * (near - far) * inverse * np.sign(away)
    by_log_scale = per_p * 0.5 * (inner * near - outer * far)
    by_log_scale[(out[1] < 0) | (out[1] > N_SCALES)] = 0
    return np.stack([by_mean / (1 << MEAN_BITS), by_log_scale / SCALE_STEPS]).astype(np.float32)


def _largest_within(x: np.ndarray, reach: int) -> np.ndarray:
    """Return the largest number within reach along both axes of each, as x[h, w]."""
    for axis in (0, 1):
        n, largest = x.shape[axis], x.copy()
        padded = np.pad(x, _margins(axis, reach), mode="edge")
        for at in range(2 * reach + 1):
            np.maximum(largest, _part(padded, at, n, axis), out=largest)
        x = largest
    return x


def _sum_within(x: np.ndarray, reach: int) -> np.ndarray:
    """Return the sum within reach along both axes of each, f64[h, w]."""
    for axis in (0, 1):
        n, sums = x.shape[axis], np.zeros(x.shape)
        padded = np.pad(x, _margins(axis, reach))
        for at in range(2 * reach + 1):
            sums += _part(padded, at, n, axis)
        x = sums
    return x


def _margins(axis: int, reach: int) -> list[tuple[int, int]]:
    return [(reach, reach) if i == axis else (0, 0) for i in range(2)]


def _part(x: np.ndarray, start: int, size: int, axis: int) -> np.ndarray:
    return x[start : start + size] if axis == 0 else x[:, start : start + size]
