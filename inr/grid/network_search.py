"""Steps and codes of the networks, chosen by what they cost: MSE + lambda * bpp of the whole file.

First the step of each group, by trying all; then, as the rate-distortion optimised rounding of
Cool-chic 5.0.1 does, single codes move up or down where that pays. Many trials run at once
(network_trials.py).
"""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np

from inr.coders.model_choice import choose_model, magnitude_bits
from inr.grid.network_coding import CODE_BITS, MAX_OCTAVES, CodedNetworks, code_limit, quantized
from inr.grid.network_trials import ContextTrials, DrawTrials
from inr.grid.structure import Pyramid

_MODEL_BITS = 20  # of a group in the file, besides its codes: step and distribution
_FIRST_OCTAVES = 8  # steps of groups not chosen yet
_N_PASSES = 2  # over the groups
_TRIALS = 32  # networks evaluated at once
_MAX_ROUNDS = 8  # of moves
_TRIED_AGAIN = 4  # of the moves tried, one in so many is tried again in the next round

Arrays = Mapping[str, np.ndarray]
Losses = Callable[[dict[str, np.ndarray]], np.ndarray]  # stacked networks -> f32[n]


def chosen_networks(
    params: Arrays,
    latents: list[np.ndarray],
    picture: np.ndarray,
    lambda_: float,
    pyramid: Pyramid,
    seed: int,
) -> CodedNetworks:
    """Codes of all tensors.

    Args:
      params: f32 tensors as fitted.
      latents: int32[h, w] of each level, as they will stand in the file.
      picture: f32[c, height, width] in 0..1.
      lambda_: weight of a bit per pixel against MSE.
    """
    rng = np.random.default_rng([seed, 3])
    per_bit = lambda_ / (pyramid.height * pyramid.width)
    floats = [jnp.asarray(y, jnp.float32) for y in latents]
    context = ContextTrials(floats, pyramid, per_bit, rng)
    draw = DrawTrials(floats, picture, pyramid, rng)
    draw.upsample({name: jnp.asarray(w) for name, w in params.items()})
    octaves = dict.fromkeys(pyramid.groups, _FIRST_OCTAVES)
    for _ in range(_N_PASSES):
        for group in pyramid.groups:
            losses: Losses = context.losses if group in pyramid.context_groups else draw.losses
            if group == "up":
                losses = draw.kernel_losses
            octaves[group] = _best_octaves(params, octaves, group, losses, per_bit, pyramid)
            if group == "up":
                kernels = quantized(params, octaves, pyramid).values(pyramid)
                draw.upsample({name: w.astype(np.float32) for name, w in kernels.items()})
    coded = quantized(params, octaves, pyramid)
    for group in pyramid.groups:
        if group != "up":  # a dozen numbers, whose trials would draw the whole picture
            losses = context.losses if group in pyramid.context_groups else draw.losses
            coded = _moved(coded, group, losses, per_bit, pyramid)
    return coded


def _best_octaves(
    params: Arrays,
    octaves: dict[str, int],
    group: str,
    losses: Losses,
    per_bit: float,
    pyramid: Pyramid,
) -> int:
    """The step of one group that costs least, with the others as they are."""
    trials = [quantized(params, octaves | {group: k}, pyramid) for k in range(MAX_OCTAVES + 1)]
    stacked = _stacked([trial.values(pyramid) for trial in trials])
    codes = [_flat(trial, group, pyramid) for trial in trials]
    costs = losses(stacked) + per_bit * np.array([_code_bits(each) for each in codes])
    return int(np.argmin(np.where(np.isfinite(costs), costs, np.inf)))


def _moved(
    coded: CodedNetworks, group: str, losses: Losses, per_bit: float, pyramid: Pyramid
) -> CodedNetworks:
    """The codes of one group after moves of one step that each pay."""
    shapes = pyramid.groups[group]
    limit = code_limit(group, coded.octaves[group])
    codes = _flat(coded, group, pyramid)
    others = coded.values(pyramid)

    def loss_of(trials: np.ndarray) -> np.ndarray:
        """What int32[n, codes] cost."""
        largest = int(np.abs(trials).max())
        table = magnitude_bits(largest + 1, choose_model(codes, CODE_BITS), CODE_BITS)
        costs = []
        for begin in range(0, len(trials), _TRIALS):
            batch = trials[begin : begin + _TRIALS]
            padded = np.concatenate([batch, np.repeat(batch[:1], _TRIALS - len(batch), axis=0)])
            values = np.ldexp(padded.astype(np.float64), -coded.octaves[group])
            stacked = {
                name: np.broadcast_to(w.astype(np.float32), (_TRIALS, *w.shape))
                for name, w in others.items()
            }
            at = 0
            for name, shape in shapes.items():
                n = int(np.prod(shape))
                part = values[:, at : at + n].reshape(_TRIALS, *shape)
                stacked[name] = part.astype(np.float32)
                at += n
            costs.append(losses(stacked)[: len(batch)] + per_bit * table[np.abs(batch)].sum(1))
        return np.concatenate(costs)

    at = np.tile(np.arange(codes.size), 2)
    by = np.repeat(np.array([-1, 1], np.int32), codes.size)
    best = float(loss_of(codes[None])[0])
    for _ in range(_MAX_ROUNDS):
        allowed = np.abs(codes[at] + by) <= limit
        at, by = at[allowed], by[allowed]
        if not at.size:
            break
        trials = np.repeat(codes[None], at.size, axis=0)
        trials[np.arange(at.size), at] += by
        order = np.argsort(loss_of(trials) , kind="stable")
        at, by = at[order], by[order]
        # All the best so many moves together; a code that could go both ways goes the better.
        first = np.unique(at, return_index=True)[1]
        is_first = np.zeros(at.size, bool)
        is_first[first] = True
        once, step = at[is_first], by[is_first]
        counts = np.unique(np.geomspace(1, once.size, 24).astype(int))
        joint = np.repeat(codes[None], counts.size, axis=0)
        for trial, n in zip(joint, counts, strict=True):
            trial[once[:n]] += step[:n]
        costs = loss_of(joint)
        if costs.min() >= best:
            break
        best = float(costs.min())
        codes = joint[int(np.argmin(costs))]
        kept = max(_TRIALS, at.size // _TRIED_AGAIN)
        at, by = at[:kept], by[:kept]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])[:-1]
    parts = zip(shapes.items(), np.split(codes, ends), strict=True)
    moved = {name: part.reshape(shape) for (name, shape), part in parts}
    return CodedNetworks(coded.octaves, coded.codes | moved)


def _flat(coded: CodedNetworks, group: str, pyramid: Pyramid) -> np.ndarray:
    return np.concatenate([coded.codes[name].ravel() for name in pyramid.groups[group]])


def _code_bits(codes: np.ndarray) -> float:
    """Bits of a group in the file."""
    model = choose_model(codes, CODE_BITS)
    table = magnitude_bits(int(np.abs(codes).max()) + 1, model, CODE_BITS)
    return _MODEL_BITS + float(table[np.abs(codes)].sum())


def _stacked(networks: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {
        name: np.stack([each[name] for each in networks]).astype(np.float32) for name in networks[0]
    }
