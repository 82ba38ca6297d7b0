"""Small grid pictures that tests draw, and the definition of drawing in Python's fractions."""

from fractions import Fraction
from math import floor

import numpy as np

from inr.grid.structure import Pyramid, Structure
from inr.grid.synthesis_bounds import Rounding

NEAREST = np.array([0.0, 1.0, 0.0, 0.0])  # even and odd positions both repeat theirs
SMALL = Structure(hidden=5)
SMALL_WITH_RATE = Structure(prior=2, hidden=5)
EXACT = Rounding((None,) * 9, None)


def on_grid(w, bits):
    return np.floor(w * 2.0**bits + 0.5) * 2.0**-bits


def zeros(pyramid):
    """A network that draws black, with nearest upsampling."""
    shapes = {n: shape for group in pyramid.synthesis_groups.values() for n, shape in group.items()}
    return {
        n: NEAREST.copy() if n.startswith("up") else np.zeros(shape) for n, shape in shapes.items()
    }


def moderate(height, width, n_channels=3, seed=0, structure=SMALL):
    """Latents, weights and pyramid, of sizes as fits have them."""
    rng = np.random.default_rng(seed)
    pyramid = Pyramid(height, width, n_channels, structure)
    params = {}
    for name, zero in zeros(pyramid).items():
        noise = rng.normal(size=zero.shape)
        if name.startswith("up"):
            params[name] = on_grid(np.array([-0.06, 0.31, 0.81, -0.06]) + 0.02 * noise, 10)
        elif name.startswith("synth_w0"):
            params[name] = on_grid(0.5 * noise, 6)
        elif name == "synth_b1":
            params[name] = on_grid(0.5 + 0.05 * noise, 12)
        else:
            params[name] = on_grid(0.04 * noise, 9)
    latents = [
        np.rint(rng.laplace(size=(level.height, level.width)) * 3 * 2**octaves).astype(np.int32)
        for level, octaves in zip(pyramid.levels, pyramid.octaves, strict=True)
    ]
    return latents, params, pyramid


def _fractions(w):
    return np.vectorize(Fraction, otypes=[object])(w)


def _round(x, bits):
    return Fraction(floor(x * 2**bits + Fraction(1, 2)), 2**bits)


def _rounded(x, bits):
    return x if bits is None else np.vectorize(_round, otypes=[object])(x, bits)


def with_fractions(latents, params, pyramid, bit_depth, rounding=EXACT):
    """The whole definition once more, a number at a time and without rounding errors."""
    f = {name: _fractions(w) for name, w in params.items()}
    has_rate = pyramid.structure.has_rate
    features = (_endless_features if has_rate else _repeated_features)(
        latents, f, pyramid, rounding
    )
    shape = pyramid.n_channels, *features.shape[1:]
    colours = np.empty(shape, object)
    for y, x in np.ndindex(shape[1:]):
        here = features[:, y, x]
        hidden = [max(Fraction(0), v) for v in f["synth_w0"] @ here + f["synth_b0"]]
        if rounding.hidden_bits is not None:
            hidden = [_round(v, rounding.hidden_bits) for v in hidden]
        out = f["synth_w1"] @ np.array(hidden, object) + f["synth_linear"] @ here + f["synth_b1"]
        colours[:, y, x] = [min(max(_round(v, 20), Fraction(-8)), Fraction(8)) for v in out]
    for i in range(2):
        if not has_rate:  # of which the margin shrinks by a pixel
            colours = np.pad(colours, ((0, 0), (1, 1), (1, 1)), mode="edge")
        before, (_, height, width) = colours, colours.shape
        colours = np.empty((shape[0], height - 2, width - 2), object)
        for y, x in np.ndindex(colours.shape[1:]):
            around = [before[:, y + dy, x + dx] for dy in range(3) for dx in range(3)]
            change = f[f"conv_w{i}"] @ np.concatenate(around) + f[f"conv_b{i}"]
            change = [max(Fraction(0), v) for v in change] if i == 0 else change
            colours[:, y, x] = [_round(v, 20) for v in before[:, y + 1, x + 1] + change]
    peak = 2**bit_depth - 1
    limited = [min(max(v, Fraction(0)), Fraction(1)) for v in colours.reshape(-1)]
    samples = np.array([_round(v * peak, 0) for v in limited], int)
    return samples.reshape(colours.shape).transpose(1, 2, 0)


def _repeated_features(latents, f, pyramid, rounding):
    """[n_drawn, height, width]: each size of features repeats its edges."""

    def doubled(x, taps, size):  # along axis 0
        def at(i):
            return x[min(max(i, 0), len(x) - 1)]

        return np.array(
            [
                sum(taps[t] * at(o // 2 - 1 + t) for t in range(4))
                if o % 2
                else sum(taps[t] * at(o // 2 + 1 - t) for t in range(4))
                for o in range(size)
            ]
        )

    stack = []
    pairs = zip(pyramid.levels, latents, strict=True)
    every = [(level.exponent, y) for level, y in pairs if not level.is_hyper]
    for e in reversed(range(pyramid.levels[0].exponent + 1)):
        height, width = pyramid.size_at(e)
        for i, x in enumerate(stack):
            taps = f[f"up{e}"]
            tall = _rounded(doubled(x, taps, height), rounding.row_bits[e])
            stack[i] = _rounded(doubled(tall.T, taps, width).T, 10)
        stack += [_fractions(y) for own, y in every if own == e]
    return np.stack(stack)


def _endless_features(latents, f, pyramid, rounding):
    """[n_drawn, height + 4, width + 4]: latents repeat their edges, features follow from them."""

    def doubled(x, taps, begin, of, to):  # along axis 0, which begins at a position `of`
        out = []
        for o in range(begin, to):
            steps = [t - 1 if o % 2 else 1 - t for t in range(4)]
            out.append(sum(tap * x[o // 2 + n - of] for tap, n in zip(taps, steps, strict=True)))
        return np.array(out)

    pairs = zip(pyramid.levels, latents, strict=True)
    every = [(level.exponent, y) for level, y in pairs if not level.is_hyper]
    stack, margin = [], 8
    for e in reversed(range(pyramid.levels[0].exponent + 1)):
        # Of the coarser size, 8 around the picture are enough for 8 around this one.
        begin = -2 if e == 0 else -margin
        ends = [n - begin for n in pyramid.size_at(e)]
        for i, x in enumerate(stack):
            taps = f[f"up{e}"]
            tall = _rounded(doubled(x, taps, begin, -margin, ends[0]), rounding.row_bits[e])
            stack[i] = _rounded(doubled(tall.T, taps, begin, -margin, ends[1]).T, 10)
        for own, y in every:
            if own == e:
                counted = _fractions(y) * Fraction(1, 2 ** pyramid.octaves_at(e))
                stack.append(np.pad(counted, -begin, mode="edge"))
    return np.stack(stack)
