"""Steps and codes of the networks, chosen by what they cost: MSE + lambda * bpp of the whole file.

First the step of each group, from the curvature of the loss. Then, as the rate-distortion optimised
rounding of Cool-chic 5.0.1 does, codes move up or down where that pays; which moves are worth a
trial follows from gradient and curvature, and sets of the best of them are tried at once.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np

from inr.coders.model_choice import choose_model, magnitude_bits
from inr.grid.network_coding import CODE_BITS, MAX_OCTAVES, CodedNetworks, code_limit, quantized
from inr.grid.network_cost import Given, curvature, gradient, losses
from inr.grid.structure import Pyramid

_FIRST_OCTAVES = 6  # where the search for a step begins
_MODEL_BITS = 20  # of a group in the file, besides its codes: step and distribution
_MAX_ROUNDS = 32  # of moves
_ROUNDS_A_MODEL = 4  # after which the distributions of the codes are fitted again
_SETS = 8  # of moves, tried in each round
_MOST_MOVES = 0.25  # of all numbers in one round: their effects add up only while they are few

Arrays = dict[str, np.ndarray]


def chosen_networks(
    params: Arrays,
    latents: list[np.ndarray],
    picture: np.ndarray,
    lambda_: float,
    pyramid: Pyramid,
    seed: int,
    deadline: float = float("inf"),
) -> CodedNetworks:
    """Codes of all tensors.

    Args:
      params: f32 tensors as fitted.
      latents: int32[h, w] of each level, as they will stand in the file.
      picture: f32[c, height, width] in 0..1.
      lambda_: weight of a bit per pixel against MSE.
      deadline: time.monotonic() after which no further moves are tried.
    """
    per_bit = lambda_ / (pyramid.height * pyramid.width)
    given = Given(
        [jnp.asarray(y, jnp.float32) for y in latents], jnp.asarray(picture), jnp.float32(per_bit)
    )
    curved = curvature(_floats(params), given, pyramid, seed)
    curvatures = {name: np.asarray(c, np.float64) for name, c in curved.items()}
    octaves = {
        group: _best_octaves(params, curvatures, group, per_bit, pyramid)
        for group in pyramid.groups
    }
    coded = quantized(params, octaves, pyramid)
    return _moved(coded, curvatures, given, per_bit, pyramid, deadline)


def _best_octaves(
    params: Arrays, curvatures: Arrays, group: str, per_bit: float, pyramid: Pyramid
) -> int:
    """The step of one group that costs least."""

    def cost(k: int) -> float:
        trial = quantized(params, dict.fromkeys(pyramid.groups, k), pyramid)
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


def _moved(
    coded: CodedNetworks,
    curvatures: Arrays,
    given: Given,
    per_bit: float,
    pyramid: Pyramid,
    deadline: float,
) -> CodedNetworks:
    """The codes after rounds of moves by one step, as long as they pay."""
    names = list(pyramid.shapes)
    groups = {name: group for group, shapes in pyramid.groups.items() for name in shapes}
    steps = _flat(
        {n: np.full(coded.codes[n].shape, 2.0 ** -coded.octaves[groups[n]]) for n in names}
    )
    limits = _flat(
        {
            n: np.full(coded.codes[n].shape, code_limit(g, coded.octaves[g]))
            for n, g in groups.items()
        }
    )
    bends = _flat({name: curvatures[name] for name in names}) * steps**2
    codes = _flat({name: coded.codes[name] for name in names}).astype(np.int64)

    def networks(codes: np.ndarray) -> CodedNetworks:
        return CodedNetworks(coded.octaves, _unflat(codes.astype(np.int32), pyramid))

    def losses_of(trials: np.ndarray) -> np.ndarray:
        """What int64[_SETS, codes] cost, f64[_SETS], their own bits left out."""
        values = [networks(trial).values(pyramid) for trial in trials]
        stacked = {n: np.stack([v[n] for v in values]).astype(np.float32) for n in names}
        return np.asarray(losses(stacked, given, pyramid), np.float64)

    most = max(1, int(_MOST_MOVES * codes.size))
    loss = losses_of(np.repeat(codes[None], _SETS, axis=0))[0]  # of as many as are compiled for
    for i in range(_MAX_ROUNDS):
        if time.monotonic() > deadline:
            break
        now = networks(codes)
        if i % _ROUNDS_A_MODEL == 0:
            bits = _BitTables(now, pyramid)
        slopes = gradient(_floats(now.values(pyramid)), given, pyramid)
        slope = _flat({name: np.asarray(slopes[name], np.float64) for name in names}) * steps
        gains = []
        for by in (-1, 1):
            gain = per_bit * (bits.of(codes) - bits.of(codes + by)) - (by * slope + bends / 2)
            gains.append(np.where(np.abs(codes + by) <= limits, gain, -np.inf))
        moves = np.where(gains[1] > gains[0], 1, -1)
        gain = np.maximum(*gains)
        order = np.argsort(-gain)[:most]
        order = order[gain[order] > 0]
        if not order.size:
            break
        trials = np.repeat(codes[None], _SETS, axis=0)
        for trial, n in zip(trials, np.geomspace(1, order.size, _SETS), strict=True):
            at = order[: round(n)]
            trial[at] += moves[at]
        trial_losses = losses_of(trials)
        costs = trial_losses + per_bit * np.array([bits.of(trial).sum() for trial in trials])
        best = int(np.argmin(costs))
        if costs[best] >= loss + per_bit * bits.of(codes).sum():
            most = min(most, order.size) // 4  # fewer, whose effects add up better
            if most == 0:
                break
            continue
        codes, loss = trials[best], trial_losses[best]
    return networks(codes)


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
    return magnitude_bits(magnitudes, choose_model(codes, CODE_BITS), CODE_BITS)


def _floats(params: Arrays) -> dict[str, jax.Array]:
    return {name: jnp.asarray(w, jnp.float32) for name, w in params.items()}


def _flat(arrays: Arrays) -> np.ndarray:
    return np.concatenate([each.ravel() for each in arrays.values()])


def _unflat(flat: np.ndarray, pyramid: Pyramid) -> Arrays:
    ends = np.cumsum([int(np.prod(shape)) for shape in pyramid.shapes.values()])[:-1]
    parts = zip(pyramid.shapes.items(), np.split(flat, ends), strict=True)
    return {name: part.reshape(shape) for (name, shape), part in parts}
