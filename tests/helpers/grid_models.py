"""Small grid pictures that tests draw, and the definition of drawing in Python's fractions."""

from fractions import Fraction
from math import floor

import numpy as np

from inr.grid.structure import Pyramid, Structure
from inr.grid.synthesis_bounds import Rounding

NEAREST = np.array([0.0, 1.0, 0.0, 0.0])  # even and odd positions both repeat theirs
SMALL = Structure(hidden=5)
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
        np.rint(rng.laplace(size=(level.height, level.width)) * 3).astype(np.int32)
        for level in pyramid.levels
    ]
    return latents, params, pyramid


def with_fractions(latents, params, pyramid, bit_depth, rounding=EXACT):
    """The whole definition once more, a number at a time and without rounding errors."""
    f = {name: np.vectorize(Fraction, otypes=[object])(w) for name, w in params.items()}

    def rounded(x, bits):
        return Fraction(floor(x * 2**bits + Fraction(1, 2)), 2**bits)

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
    exponent = pyramid.levels[0].exponent
    pairs = zip(pyramid.levels, latents, strict=True)
    every = [(level.exponent, y) for level, y in pairs if not level.is_hyper]
    for e in reversed(range(exponent + 1)):
        height, width = pyramid.size_at(e)
        for i, x in enumerate(stack):
            taps = f[f"up{e}"]
            tall = doubled(x, taps, height)
            if rounding.row_bits[e] is not None:
                tall = np.vectorize(rounded, otypes=[object])(tall, rounding.row_bits[e])
            wide = doubled(tall.T, taps, width).T
            stack[i] = np.vectorize(rounded, otypes=[object])(wide, 10)
        stack += [np.vectorize(Fraction, otypes=[object])(y) for own, y in every if own == e]
    features = np.stack(stack)

    height, width = pyramid.height, pyramid.width
    colours = np.empty((height, width, pyramid.n_channels), object)
    for y, x in np.ndindex(height, width):
        here = features[:, y, x]
        hidden = [max(Fraction(0), v) for v in f["synth_w0"] @ here + f["synth_b0"]]
        if rounding.hidden_bits is not None:
            hidden = [rounded(v, rounding.hidden_bits) for v in hidden]
        out = f["synth_w1"] @ np.array(hidden, object) + f["synth_linear"] @ here + f["synth_b1"]
        colours[y, x] = [min(max(rounded(v, 20), Fraction(-8)), Fraction(8)) for v in out]
    for i in range(2):
        before = colours.copy()
        for y, x in np.ndindex(height, width):
            around = [
                before[min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)]
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
            ]
            change = f[f"conv_w{i}"] @ np.concatenate(around) + f[f"conv_b{i}"]
            change = [max(Fraction(0), v) for v in change] if i == 0 else change
            colours[y, x] = [rounded(v, 20) for v in before[y, x] + change]
    peak = 2**bit_depth - 1
    return np.array(
        [rounded(min(max(v, Fraction(0)), Fraction(1)) * peak, 0) for v in colours.reshape(-1)], int
    ).reshape(colours.shape)
