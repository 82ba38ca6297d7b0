"""Steps and codes of the networks, chosen by what they cost: MSE + lambda * bpp of the whole file.

First the step of each group, from the curvature of the loss. Then, as the rate-distortion optimised
rounding of Cool-chic 5.0.1 does, codes move up or down where that pays; which moves are worth a
trial follows from gradient and curvature, and sets of the best of them are tried at once.
"""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np

from inr.coders.model_choice import choose_model, magnitude_bits
from inr.fitting.loop import give_back
from inr.grid.network_coding import MAX_OCTAVES, CodedNetworks, code_limit, quantize_networks
from inr.grid.rdoq_cost import RdoProblem, curvature, gradient, losses
from inr.grid.structure import Pyramid

_FIRST_OCTAVES = 6  # where the search for a step begins
_MODEL_BITS = 20  # of a group in the file, besides its codes: step and distribution
_ROUNDS_A_MODEL = 4  # after which the distributions of the codes are fitted again
_SETS = 8  # of moves, tried in each round
_DISTRUST = 4.0  # factor on the curvature where moves did not pay
_LEAST_GAIN = 1e-4  # of the cost, for which another round is worth its time
_MOST_MOVES = 0.06  # of all numbers in one round: their effects add up only while they are few

Arrays = dict[str, np.ndarray]


def optimize_networks(
    params: Arrays,
    latents: list[np.ndarray],
    picture: np.ndarray,
    lambda_: float,
    pyramid: Pyramid,
    seed: int,
    max_rounds: int = 32,
    deadline: float = float("inf"),
) -> CodedNetworks:
    """Codes of all tensors.

    Args:
      params: f32 tensors as fitted.
      latents: int32[h, w] of each level, as they will stand in the file.
      picture: f32[c, height, width] in 0..1.
      lambda_: weight of a bit per pixel against MSE.
      max_rounds: of moves.
      deadline: time.monotonic() at which the last round of moves has to be done.
    """
    per_bit = lambda_ / (pyramid.height * pyramid.width)
    given = RdoProblem(
        [jnp.asarray(y, jnp.float32) for y in latents], jnp.asarray(picture), jnp.float32(per_bit)
    )
    curved = curvature(_floats(params), given, pyramid, seed)
    give_back()
    curvatures = {name: np.asarray(c, np.float64) for name, c in curved.items()}
    octaves = {
        group: _best_octaves(params, curvatures, group, per_bit, pyramid)
        for group in pyramid.groups
    }
    coded = quantize_networks(params, octaves, pyramid)
    moves = _Moves(coded, curvatures, given, pyramid)
    most = max(_SETS, int(_MOST_MOVES * sum(codes.size for codes in coded.codes.values())))
    round_seconds = 0.0
    for i in range(max_rounds):
        started_at = time.monotonic()
        if started_at + round_seconds > deadline or most < _SETS:
            break
        if i and i % _ROUNDS_A_MODEL == 0:
            moves.fit_distributions()
        paid, gain = moves.round(most)
        if paid < 0.5:
            most //= 2  # fewer, whose effects add up better
        elif gain < _LEAST_GAIN:
            break
        round_seconds = time.monotonic() - started_at
    return moves.coded()


@functools.lru_cache(maxsize=8)  # a search for a target makes several fits of one pyramid
def compile_search(pyramid: Pyramid) -> None:
    """Compile what `optimize_networks` runs, so that it takes no longer than its work."""
    given = RdoProblem(
        [jnp.zeros((level.height, level.width)) for level in pyramid.levels],
        jnp.zeros((pyramid.n_channels, pyramid.height, pyramid.width)),
        jnp.float32(0),
    )
    params = {name: np.zeros(shape, np.float32) for name, shape in pyramid.shapes.items()}
    gradient(_floats(params), given, pyramid)
    stacked = {name: np.stack([w] * _SETS) for name, w in params.items()}
    jax.block_until_ready(losses(stacked, given, pyramid))  # type: ignore[no-untyped-call]


def _best_octaves(
    params: Arrays, curvatures: Arrays, group: str, per_bit: float, pyramid: Pyramid
) -> int:
    """Return the step of one group that costs least."""

    def cost(k: int) -> float:
        trial = quantize_networks(params, dict.fromkeys(pyramid.groups, k), pyramid)
        values = trial.values(pyramid)
        lost = sum(
            float(np.sum(curvatures[name] * (values[name] - params[name]) ** 2)) / 2
            for name in pyramid.groups[group]
        )
        codes = trial.by_group(pyramid)[group]
        return lost + per_bit * (_MODEL_BITS + float(_table(codes)[np.abs(codes)].sum()))

    costs = {k: cost(k) for k in (_FIRST_OCTAVES - 1, _FIRST_OCTAVES, _FIRST_OCTAVES + 1)}
    while True:  # downhill from the usual step: costs have one valley
        best = min(costs, key=lambda k: costs[k])
        missing = [k for k in (best - 1, best + 1) if 0 <= k <= MAX_OCTAVES and k not in costs]
        if not missing:
            return best
        costs |= {k: cost(k) for k in missing}


class _Moves:
    """Codes, moved by one step at a time as long as that pays."""

    def __init__(
        self, coded: CodedNetworks, curvatures: Arrays, given: RdoProblem, pyramid: Pyramid
    ) -> None:
        self._octaves, self._given, self._pyramid = coded.octaves, given, pyramid
        self._per_bit = float(given.lambda_per_bit)
        steps, limits = {}, {}
        for group, shapes in pyramid.groups.items():
            for name, shape in shapes.items():
                steps[name] = np.full(shape, 2.0 ** -coded.octaves[group])
                limits[name] = np.full(shape, code_limit(group, coded.octaves[group]))
        self._steps, self._limits = _flat(steps), _flat(limits)
        self._bends = _flat({name: curvatures[name] for name in pyramid.shapes}) * self._steps**2
        self._codes = _flat({name: coded.codes[name] for name in pyramid.shapes}).astype(np.int64)
        self._bits = _BitTables(coded, pyramid)
        # Of as many trials as are compiled for.
        self._loss = self._losses_of(np.repeat(self._codes[None], _SETS, axis=0))[0]

    def coded(self) -> CodedNetworks:
        """Return the networks as they are now."""
        return self._networks(self._codes)

    def round(self, most: int) -> tuple[float, float]:
        """Try the `most` moves that promise most; return which part of the sets of moves paid,
        and by which part the cost has fallen."""
        cost = self._loss + self._per_bit * self._bits.of(self._codes).sum()
        moves, order = self._choose_moves(most)
        if not order.size:
            return 0.0, 0.0
        # Apart first, since one bad move would spoil all; then those that paid, together.
        sets = [order[n::_SETS] for n in range(_SETS)]
        _, costs = self._costs_of(sets, moves)
        paid = [n for n in np.argsort(costs) if costs[n] < cost]
        for n, at in enumerate(sets):
            if costs[n] >= cost:
                self._bends[at] *= _DISTRUST
        if not paid:
            return 0.0, 0.0
        unions = [np.concatenate([sets[n] for n in paid[: k + 1]]) for k in range(len(paid))]
        losses, costs = self._costs_of(unions, moves)
        best = int(np.argmin(costs[: len(unions)]))
        self._codes[unions[best]] += moves[unions[best]]
        self._loss = losses[best]
        return len(paid) / _SETS, float(1 - costs[best] / cost)

    def fit_distributions(self) -> None:
        """Count bits by the distributions that fit the codes as they are now."""
        self._bits = _BitTables(self.coded(), self._pyramid)

    def _choose_moves(self, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the better move of each code, -1 or 1, and the codes whose moves should pay."""
        values = _floats(self.coded().values(self._pyramid))
        slopes = gradient(values, self._given, self._pyramid)
        slope = _flat({n: np.asarray(slopes[n], np.float64) for n in self._pyramid.shapes})
        slope *= self._steps
        bits = self._bits.of(self._codes)
        gains = []
        for by in (-1, 1):
            saved = self._per_bit * (bits - self._bits.of(self._codes + by))
            gain = saved - (by * slope + self._bends / 2)
            gains.append(np.where(np.abs(self._codes + by) <= self._limits, gain, -np.inf))
        gain = np.maximum(*gains)
        order = np.argsort(-gain)[:most]
        return np.where(gains[1] > gains[0], 1, -1), order[gain[order] > 0]

    def _costs_of(self, sets: list[np.ndarray], moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Losses and whole costs after each set of moves, f64[_SETS]; those beyond are of none."""
        trials = np.repeat(self._codes[None], _SETS, axis=0)
        for trial, at in zip(trials, sets, strict=False):
            trial[at] += moves[at]
        losses = self._losses_of(trials)
        bits = np.array([self._bits.of(trial).sum() for trial in trials])
        return losses, losses + self._per_bit * bits

    def _losses_of(self, trials: np.ndarray) -> np.ndarray:
        """What int64[_SETS, codes] cost, f64[_SETS], their own bits left out."""
        values = [self._networks(trial).values(self._pyramid) for trial in trials]
        stacked = {
            n: np.stack([v[n] for v in values]).astype(np.float32) for n in self._pyramid.shapes
        }
        return np.asarray(losses(stacked, self._given, self._pyramid), np.float64)

    def _networks(self, codes: np.ndarray) -> CodedNetworks:
        return CodedNetworks(self._octaves, _unflat(codes.astype(np.int32), self._pyramid))


class _BitTables:
    """What codes cost under the distributions that fit the codes of one moment."""

    def __init__(self, coded: CodedNetworks, pyramid: Pyramid) -> None:
        flats = list(coded.by_group(pyramid).values())
        self._tables = [_table(codes) for codes in flats]
        self._ends = np.cumsum([codes.size for codes in flats])[:-1]

    def of(self, codes: np.ndarray) -> np.ndarray:
        """f64[codes] of all groups."""
        parts = np.split(np.abs(codes), self._ends)
        return np.concatenate(
            [
                table[np.minimum(part, table.size - 1)]
                for table, part in zip(self._tables, parts, strict=True)
            ]
        )


def _table(codes: np.ndarray) -> np.ndarray:
    """Bits of each |code| under the distribution that fits best, a little beyond the largest."""
    magnitudes = np.arange(2 * int(np.abs(codes).max()) + 2)
    return magnitude_bits(magnitudes, choose_model(codes))


def _floats(params: Arrays) -> dict[str, jax.Array]:
    return {name: jnp.asarray(w, jnp.float32) for name, w in params.items()}


def _flat(arrays: Arrays) -> np.ndarray:
    return np.concatenate([each.ravel() for each in arrays.values()])


def _unflat(flat: np.ndarray, pyramid: Pyramid) -> Arrays:
    ends = np.cumsum([int(np.prod(shape)) for shape in pyramid.shapes.values()])[:-1]
    parts = zip(pyramid.shapes.items(), np.split(flat, ends), strict=True)
    return {name: part.reshape(shape) for (name, shape), part in parts}
