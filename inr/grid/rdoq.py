"""Steps and codes of the networks, chosen by what they cost: MSE + lambda * bpp of the whole file.

First the step of each group, from the curvature of the loss. Then groups go back to the prior,
whose zeros cost nothing, where their codes do not pay. Then, as the rate-distortion optimised
rounding of Cool-chic 5.0.1 does, codes move up or down where that pays; which moves are worth a
trial follows from gradient and curvature, and sets of the best of them are tried at once. At last
groups that do not pay as they are then go back as well.
"""

import time

import numpy as np

from inr.coders.model_choice import choose_model, magnitude_bits
from inr.grid.fit.step import Fitting, flatten, unflatten
from inr.grid.network_coding import MAX_OCTAVES, CodedNetworks, code_limit, quantize_networks
from inr.grid.rdoq_cost import RdoProblem
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
    fitting: Fitting,
    pyramid: Pyramid,
    seed: int,
    max_rounds: int = 8,
    deadline: float = float("inf"),
) -> CodedNetworks:
    """Codes of all tensors.

    Args:
      params: f32 tensors as fitted.
      latents: int32[h, w] of each level, as they will stand in the file.
      fitting: the picture, and lambda.
      pyramid: of the picture.
      max_rounds: of moves.
      deadline: time.monotonic() at which the last round of moves, or what follows, has to be done.
    """
    given = RdoProblem.of(fitting, latents)
    per_bit = fitting.lambda_per_bit
    curvatures = unflatten(given.curvature(flatten(params, pyramid), seed), pyramid)
    octaves = {
        group: _best_octaves(params, curvatures, group, per_bit, pyramid)
        for group in pyramid.groups
    }
    started_at = time.monotonic()
    coded = _drop_groups(quantize_networks(params, octaves, pyramid), given, pyramid)
    dropping_seconds = time.monotonic() - started_at
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
    found = moves.coded()
    if time.monotonic() + dropping_seconds > deadline:
        return found
    return _drop_groups(found, given, pyramid)


def compile_search(fitting: Fitting, pyramid: Pyramid) -> None:
    """Compile what `optimize_networks` runs, so that it takes no longer than its work."""
    zeros = [np.zeros((level.height, level.width), np.int32) for level in pyramid.levels]
    given, flat = RdoProblem.of(fitting, zeros), fitting.prior
    given.gradient(flat)
    given.losses([flat])


def _drop_groups(coded: CodedNetworks, given: RdoProblem, pyramid: Pyramid) -> CodedNetworks:
    """Return the networks with those groups at the prior that are not worth their codes."""

    def without(groups: list[str]) -> CodedNetworks:
        dropped = {name for group in groups for name in pyramid.groups[group]}
        codes = {n: 0 * c if n in dropped else c for n, c in coded.codes.items()}
        return CodedNetworks(coded.octaves, codes)

    groups = list(pyramid.groups)
    trials = [without([]), *(without([group]) for group in groups)]
    whole, *losses = given.losses([_flat_values(trial, pyramid) for trial in trials])
    bits = [_group_bits(codes) for codes in coded.by_group(pyramid).values()]
    per_bit = given.fitting.lambda_per_bit
    gains = [per_bit * n_bits - (loss - whole) for n_bits, loss in zip(bits, losses, strict=True)]
    order = [groups[i] for i in np.argsort(gains)[::-1] if gains[i] > 0]
    # Those that pay alone may not pay together: the best so many of them.
    unions = [without(order[:n]) for n in range(len(order) + 1)]
    costs = given.losses([_flat_values(union, pyramid) for union in unions])
    costs += [per_bit * sum(map(_group_bits, union.by_group(pyramid).values())) for union in unions]
    return unions[int(np.argmin(costs))]


def _group_bits(codes: np.ndarray) -> float:
    """Count the bits of a group, its step and distribution with them; none where all are 0."""
    return _MODEL_BITS + float(_table(codes)[np.abs(codes)].sum()) if codes.any() else 0.0


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
        self._per_bit = given.fitting.lambda_per_bit
        steps, limits = {}, {}
        for group, shapes in pyramid.groups.items():
            for name, shape in shapes.items():
                steps[name] = np.full(shape, 2.0 ** -coded.octaves[group])
                is_dropped = not any(coded.codes[each].any() for each in shapes)
                limit = 0 if is_dropped else code_limit(group, coded.octaves[group])
                limits[name] = np.full(shape, limit)
        self._steps, self._limits = _flat(steps), _flat(limits)
        self._bends = _flat({name: curvatures[name] for name in pyramid.shapes}) * self._steps**2
        self._codes = _flat({name: coded.codes[name] for name in pyramid.shapes}).astype(np.int64)
        self._bits = _BitTables(coded, pyramid)
        self._loss = self._losses_of(self._codes[None])[0]

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
        best = int(np.argmin(costs))
        self._codes[unions[best]] += moves[unions[best]]
        self._loss = losses[best]
        return len(paid) / _SETS, float(1 - costs[best] / cost)

    def fit_distributions(self) -> None:
        """Count bits by the distributions that fit the codes as they are now."""
        self._bits = _BitTables(self.coded(), self._pyramid)

    def _choose_moves(self, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the better move of each code, -1 or 1, and the codes whose moves should pay."""
        slope = self._given.gradient(_flat_values(self.coded(), self._pyramid)) * self._steps
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
        """Losses and whole costs after each set of moves, f64[sets]."""
        trials = np.repeat(self._codes[None], len(sets), axis=0)
        for trial, at in zip(trials, sets, strict=True):
            trial[at] += moves[at]
        losses = self._losses_of(trials)
        bits = np.array([self._bits.of(trial).sum() for trial in trials])
        return losses, losses + self._per_bit * bits

    def _losses_of(self, trials: np.ndarray) -> np.ndarray:
        """What int64[n, codes] cost, f64[n], their own bits left out."""
        return self._given.losses(
            [_flat_values(self._networks(trial), self._pyramid) for trial in trials]
        )

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


def _flat_values(coded: CodedNetworks, pyramid: Pyramid) -> np.ndarray:
    return flatten(coded.values(pyramid), pyramid)


def _flat(arrays: Arrays) -> np.ndarray:
    return np.concatenate([each.ravel() for each in arrays.values()])


def _unflat(flat: np.ndarray, pyramid: Pyramid) -> Arrays:
    ends = np.cumsum([int(np.prod(shape)) for shape in pyramid.shapes.values()])[:-1]
    parts = zip(pyramid.shapes.items(), np.split(flat, ends), strict=True)
    return {name: part.reshape(shape) for (name, shape), part in parts}
