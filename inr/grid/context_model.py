"""The context model in fixed point: which density each latent has, the same on every machine.

The model of fit/model.py, with every weight a whole multiple of 2**-16 and every activation rounded
to multiples of 2**-ACTIVATION_BITS, r(v) = floor(v * 2**10 + 0.5) / 2**10:

    x0 = taps of the level itself, then r(feature @ levels before, repeated to the level's size)
    x1 = r(x0 + max(0, context_w0 @ x0 + context_b0))
    x2 = r(x1 + max(0, context_w1 @ x1 + context_b1))
    (mean, log_scale) = context_out @ x2 + context_linear @ x0 + context_b2
    mean index  = floor(mean * 32 + 0.5), clipped to +-LATENT_LIMIT * 32
    scale       = floor(clip(log_scale, -5, 5) * 16 + 0.5) + 80

All latents, so taps and levels before too, count 2**-octaves (Pyramid.octaves, mostly 0);
mean is then taken times 2**octaves, and log_scale plus octaves * 11 / 16.

The numbers are carried by float64, in which BLAS may do sums that are exact in any order (see
`inr.exact.fixed_point`). `check_exact` refuses networks whose sums could be too large. Inside,
activations are in units of 2**-10, and as max(0, .) and adding whole units commute with rounding,
r(x + max(0, v)) is x + max(0, floor(v + 0.5)). A row of ones in x, which all layers keep, lets the
products add the biases and the 0.5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inr.coders.laplace_tables import EVEN_SCALE, LATENT_LIMIT, MEAN_BITS, N_SCALES, SCALE_STEPS
from inr.exact.fixed_point import Bounds, round_in_place
from inr.grid.structure import Pyramid

ACTIVATION_BITS = 10  # fractional bits of activations
UNIT = 1 << ACTIVATION_BITS  # of a latent, in activations as they are carried
WEIGHT_BITS = 16  # fractional bits of a weight, at most
WEIGHT_LIMIT = 64  # largest |weight|

_SEEN_VALUES = 1 << 20  # 8 MB: coarser levels repeated to the size of one would take gigabytes
_MOST_VALUES = 1 << 25  # 256 MB of features; those of 20 million pixels by the recipes are fewer
_OCTAVE_SCALES = 11  # steps of scale to an octave: 16 ln 2, about
_HALF_LATENT = 1 << (MEAN_BITS - 1)
_MOST_MEAN = float(LATENT_LIMIT << MEAN_BITS)
_LOWEST = np.array([[_HALF_LATENT - _MOST_MEAN], [0.0]])  # of the mean index + 16 and of the scale
_HIGHEST = np.array([[_HALF_LATENT + _MOST_MEAN], [N_SCALES - 1.0]])

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Network:
    """The tensors for one level, scaled and put together so that few products are left."""

    tap_unit: float  # of a latent of the level, in units of activations
    features: Array | None  # f64[n_features, levels before], of latents; None where it has none
    first: Array  # f64[width + 3, width + 1]: layer 0, the row of ones, context_linear
    second: Array  # f64[width + 1, width + 1]: layer 1, the row of ones
    last: Array  # f64[2, width + 1]: context_out


@dataclass(frozen=True)
class Workspace:
    """Memory to evaluate n latents at once; all parts are contiguous."""

    x: Array  # f64[width + 1, n]: taps, features, ones
    sums: Array  # f64[width + 3, n]
    out: Array  # f64[2, n]
    # Limits of sums and out, as large as these: so numpy compares faster than with one number.
    zeros: Array  # f64[width + 1, n]
    lowest: Array  # f64[2, n]
    highest: Array  # f64[2, n]

    @classmethod
    def for_latents(cls, n: int, network: Network) -> "Workspace":
        rows = len(network.second)
        x, sums, out = np.empty((rows, n)), np.empty((rows + 2, n)), np.empty((2, n))
        lowest, highest = np.repeat(_LOWEST, n, axis=1), np.repeat(_HIGHEST, n, axis=1)
        return cls(x, sums, out, np.zeros((rows, n)), lowest, highest)


def exact_networks(
    params: Mapping[str, NDArray[np.floating]], pyramid: Pyramid
) -> tuple[Network, ...]:
    """Put the networks together, one for each level.

    Args:
      params: tensors with the names and shapes of pyramid.context_groups, others are ignored;
        multiples of 2**-16 within +-64.

    Raises:
      ValueError: a tensor is missing, has another shape or holds other numbers.
    """
    p = {
        name: _require(name, params, shape)
        for group in pyramid.context_groups.values()
        for name, shape in group.items()
    }
    return tuple(_network_of_level(i, p, pyramid) for i in range(len(pyramid.levels)))


def _network_of_level(i: int, p: dict[str, Array], pyramid: Pyramid) -> Network:
    context, octaves = pyramid.context_of[i], pyramid.octaves[i]
    width = len(p[f"{context}_b0"])
    ones = np.zeros((1, width + 1))
    layers = [
        np.concatenate(
            [np.column_stack([p[f"{context}_w{n}"], p[f"{context}_b{n}"] * UNIT + 0.5]), ones]
        )
        for n in range(2)
    ]
    # Of an index, in a unit of its number.
    steps = np.array([[float(1 << MEAN_BITS << octaves)], [SCALE_STEPS]])
    shift = np.array([[_HALF_LATENT + 0.5], [EVEN_SCALE + _OCTAVE_SCALES * octaves + 0.5]])
    linear = np.column_stack([p[f"{context}_linear"] / UNIT, p[f"{context}_b2"]]) * steps
    linear[:, -1:] += shift
    last = np.column_stack([p[f"{context}_out"] / UNIT * steps, np.zeros(2)])
    name = pyramid.feature_name(i)
    features = None
    if name is not None:
        features = p[name] * UNIT * np.ldexp(1.0, -np.array(pyramid.octaves[:i]))
    unit = np.ldexp(UNIT, -octaves)
    return Network(unit, features, np.concatenate([layers[0], linear]), layers[1], last)


def check_exact(params: Mapping[str, NDArray[np.floating]], pyramid: Pyramid) -> None:
    """Refuse networks whose sums might not be exact in float64.

    Raises:
      FormatError: with latents of LATENT_LIMIT a sum could be too large.
      ValueError: as for `exact_networks`.
    """
    networks = exact_networks(params, pyramid)
    n_taps, n_features = pyramid.structure.n_taps, pyramid.structure.n_features
    for context in pyramid.contexts:
        most, tap_unit = np.zeros(n_features), 0.0
        of_context = [i for i, name in enumerate(pyramid.context_of) if name == context]
        for i in of_context:
            tap_unit = max(tap_unit, networks[i].tap_unit)
            weights = networks[i].features
            if weights is not None:
                latents = Bounds.of([LATENT_LIMIT] * weights.shape[1])
                features = latents.product(weights, 0.5)
                features.check(pyramid.feature_name(i) or "")
                most = np.maximum(most, features.most)
        # Taps, features and a one, all of them whole numbers of units; so are they after each
        # layer.
        x0 = Bounds.of([LATENT_LIMIT * tap_unit] * n_taps).join(Bounds.of([*most, 1.0]))
        first = x0.product(networks[of_context[0]].first)
        first.check(f"{context}_w0")
        x1 = Bounds.of(x0.most + first.most[:-2])
        second = x1.product(networks[of_context[0]].second)
        second.check(f"{context}_w1")
        x2 = Bounds.of(x1.most + second.most)
        for i in of_context:  # these differ by the level's octaves
            # As one product, so that the unit is the finest of both.
            both = np.concatenate([networks[i].last, networks[i].first[-2:]], axis=1)
            x2.join(x0).product(both).check(f"{context}_out")


class Features(Protocol):
    """Features of one level, in units."""

    def at(self, y: NDArray[np.int64], x: NDArray[np.int64]) -> Array:
        """f64[n_features + 1, n]: features of the latents at rows y, columns x; a row of ones."""


@dataclass(frozen=True)
class FeatureGrid:
    """Features made once, on the grid of the level before; see `Features`."""

    values: Array  # f64[n_features, h w of the level before]
    width: int
    octaves: int  # from the level to the one before

    def at(self, y: NDArray[np.int64], x: NDArray[np.int64]) -> Array:
        places = (y >> self.octaves) * self.width + (x >> self.octaves)
        known = np.ones((len(self.values) + 1, y.size))
        # "clip" goes without numpy's buffer for out; all places are inside.
        self.values.take(places, axis=1, out=known[:-1], mode="clip")
        return known


@dataclass(frozen=True)
class FeaturesOnDemand:
    """Features made where they are asked for: slower, without memory; see `Features`."""

    weights: Array  # f64[n_features, levels before]
    latents: tuple[NDArray[np.int32], ...]  # of the levels before
    octaves: tuple[int, ...]  # from the level to each of these

    def at(self, y: NDArray[np.int64], x: NDArray[np.int64]) -> Array:
        seen = np.empty((len(self.latents), y.size))
        for row, latents, octaves in zip(seen, self.latents, self.octaves, strict=True):
            row[:] = latents[y >> octaves, x >> octaves]
        known = np.ones((len(self.weights) + 1, y.size))
        _features(self.weights, seen, out=known[:-1])
        return known


def features_of(
    network: Network,
    pyramid: Pyramid,
    index: int,
    latents: Sequence[NDArray[np.int32]],
    most_values: int = _MOST_VALUES,
) -> Features:
    """Make the features of the level of that index, of latents[:index]; zeros where it has none.

    network: of that level.
    most_values: of more than that, none are kept.
    """
    weights = network.features
    if weights is None:
        return FeatureGrid(np.zeros((pyramid.structure.n_features, 1)), 0, 63)
    level, last = pyramid.levels[index], pyramid.levels[index - 1]
    if len(weights) * last.size > most_values:
        octaves = tuple(each.exponent - level.exponent for each in pyramid.levels[:index])
        return FeaturesOnDemand(weights, tuple(latents[:index]), octaves)
    values = np.empty((len(weights), last.size))
    n_rows = max(1, _SEEN_VALUES // (index * last.width))  # of all levels at once
    for top in range(0, last.height, n_rows):
        rows, cols = np.arange(top, min(top + n_rows, last.height)), np.arange(last.width)
        seen = np.empty((index, rows.size, cols.size))
        for plane, each, y in zip(seen, pyramid.levels[:index], latents[:index], strict=True):
            n = each.exponent - last.exponent
            plane[:] = y[rows >> n].take(cols >> n, axis=1)
        part = values[:, top * last.width : (top + rows.size) * last.width]
        _features(weights, seen.reshape(index, -1), out=part)
    return FeatureGrid(values, last.width, last.exponent - level.exponent)


def _features(weights: Array, seen: Array, out: Array) -> None:
    round_in_place(np.matmul(weights, seen, out=out))


def densities(network: Network, work: Workspace) -> NDArray[np.int64]:
    """Evaluate the network.

    Args:
      work: x holds taps and features in units, and ones; it is overwritten.
    Returns:
      i64[2, n]: mean index + 16, which is 32 * centre + frac + 16, and scale.
    """
    x, out = work.x, work.out
    hidden = work.sums[:-2]
    np.matmul(network.first, x, out=work.sums)
    for layer in range(2):
        if layer:
            np.matmul(network.second, x, out=hidden)
        np.floor(hidden, out=hidden)
        np.maximum(hidden, work.zeros, out=hidden)
        np.add(x, hidden, out=x)
    np.matmul(network.last, x, out=out)
    np.add(out, work.sums[-2:], out=out)
    np.floor(out, out=out)
    np.maximum(out, work.lowest, out=out)
    np.minimum(out, work.highest, out=out)
    return out.astype(np.int64)


def _require(
    name: str, params: Mapping[str, NDArray[np.floating]], shape: tuple[int, ...]
) -> Array:
    if name not in params or params[name].shape != shape:
        given = f"shape {params[name].shape}" if name in params else "no such tensor"
        raise ValueError(f"params[{name!r}]: {given}, but the pyramid's context model has {shape}")
    weights = np.asarray(params[name], np.float64)
    scaled = weights * (1 << WEIGHT_BITS)
    if not (scaled == np.floor(scaled)).all() or not (np.abs(weights) <= WEIGHT_LIMIT).all():
        raise ValueError(
            f"params[{name!r}] are not all multiples of 2**-{WEIGHT_BITS} within "
            f"+-{WEIGHT_LIMIT}; quantise them first"
        )
    return weights
