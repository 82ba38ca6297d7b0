"""What a grid picture is, once more in float64: plain loops over taps and levels, no tiles.

Features and colours lie at any position, also beyond the picture, where latents repeat their edges;
in structures that are not scaled each size of features repeats them.
"""

import numpy as np

from inr.grid.structure import REACH, TAPS, Pyramid

LOG_SCALE_RANGE, LEAST_P = 5.0, 2.0**-16


def random_networks(pyramid, seed=0, scale=0.3):
    """f32 tensors, none of them zero, kernels near the usual one."""
    rng = np.random.default_rng(seed)
    params = {}
    for name, shape in pyramid.shapes.items():
        params[name] = rng.normal(0, scale, shape).astype(np.float32)
        if name.startswith("up"):
            params[name] = np.array([-0.07, 0.87, 0.23, -0.02], np.float32) + 0.1 * params[name]
    return params


def random_latents(pyramid, seed=0, scale=2.0):
    """i32[h, w] of each level: those that count less are as much larger."""
    rng = np.random.default_rng(seed)
    return [
        np.rint(rng.laplace(0, scale * 2.0**octaves, (level.height, level.width))).astype(np.int32)
        for level, octaves in zip(pyramid.levels, pyramid.octaves, strict=True)
    ]


# Contexts and bits


def contexts(latents, params, pyramid):
    """f64[n_taps + n_features, h, w] of each level."""
    s, known = pyramid.structure, []
    counted = [y * 2.0**-octaves for y, octaves in zip(latents, pyramid.octaves, strict=True)]
    for i, (level, own) in enumerate(zip(pyramid.levels, counted, strict=True)):
        h, w = level.height, level.width
        context, padded = np.zeros((s.n_taps + s.n_features, h, w)), np.pad(own, REACH)
        for t, (dy, dx) in enumerate(TAPS[: s.n_taps]):
            context[t] = padded[REACH + dy : REACH + dy + h, REACH + dx : REACH + dx + w]
        name, features = pyramid.feature_name(i), context[s.n_taps :]
        for k in range(i if name is not None else 0):
            octaves = pyramid.levels[k].exponent - level.exponent
            above = counted[k][np.ix_(np.arange(h) >> octaves, np.arange(w) >> octaves)]
            features += params[name][:, k, None, None].astype(np.float64) * above
        known.append(context)
    return known


def laplace_bits(y, mean, scale):
    """-log2 of F(y + 1/2) - F(y - 1/2)."""

    def distribution(x):
        return np.where(x < 0, 0.5 * np.exp(-np.abs(x)), 1 - 0.5 * np.exp(-np.abs(x)))

    high, low = (distribution((y + side - mean) / scale) for side in (0.5, -0.5))
    return -np.log2(np.maximum(high - low, LEAST_P))


def bits_of_levels(latents, params, pyramid, known=None):
    """f64[h, w] of each level."""
    known = contexts(latents, params, pyramid) if known is None else known
    all_bits = []
    for i, (context, y) in enumerate(zip(known, latents, strict=True)):
        p = {n: params[f"{pyramid.context_of[i]}_{n}"] for n in ("out", "linear", "b2")}
        x = context
        for layer in range(2):
            w, b = (params[f"{pyramid.context_of[i]}_{n}{layer}"] for n in "wb")
            x = x + np.maximum(0, np.tensordot(w, x, 1) + b[:, None, None])
        out = np.tensordot(p["out"], x, 1) + np.tensordot(p["linear"], context, 1)
        octaves = pyramid.octaves[i]
        mean = (out[0] + p["b2"][0]) * 2**octaves
        log_scale = out[1] + p["b2"][1] + octaves * 11 / 16
        scale = np.exp(np.clip(log_scale, -LOG_SCALE_RANGE, LOG_SCALE_RANGE))
        all_bits.append(laplace_bits(y, mean, scale))
    return all_bits


# Features and colours


def made_of(position, exponent, params):
    """A position of full size as a sum of positions at that exponent: position -> weight."""
    weights = {position: 1.0}
    for e in range(exponent):
        coarser: dict[int, float] = {}
        for o, weight in weights.items():
            # Position o lies a quarter of a pixel left or right of the middle of o // 2. Taps in
            # order: one pixel away from its side, the nearest, and two towards it.
            side = 1 if o % 2 else -1
            for t, tap in enumerate(params[f"up{e}"].astype(np.float64)):
                i = o // 2 + side * (t - 1)
                coarser[i] = coarser.get(i, 0.0) + weight * tap
        weights = coarser
    return weights


def upsampling(positions, exponent, size, params):
    """f64[positions, size]: the same as a matrix, latents repeating their edges."""
    matrix = np.zeros((len(positions), size))
    for row, position in zip(matrix, positions, strict=True):
        for i, weight in made_of(position, exponent, params).items():
            row[min(max(i, 0), size - 1)] += weight
    return matrix


def features(latents, params, pyramid, margin=0):
    """f64[n_drawn, height + 2 margin, width + 2 margin]."""
    drawn = []
    rows, cols = (range(-margin, n + margin) for n in (pyramid.height, pyramid.width))
    for level, octaves, y in zip(pyramid.levels, pyramid.octaves, latents, strict=True):
        if not level.is_hyper:
            down = upsampling(rows, level.exponent, level.height, params)
            across = upsampling(cols, level.exponent, level.width, params)
            drawn.append(down @ (y * 2.0**-octaves) @ across.T)
    return np.stack(drawn)


def mixed(x, params):
    """f64[c, h, w]: colours before the convolutions."""
    p = {name: w.astype(np.float64) for name, w in params.items() if name.startswith("synth")}
    b0, b1 = (p[f"synth_b{i}"][:, None, None] for i in range(2))
    hidden = np.maximum(0, np.tensordot(p["synth_w0"], x, 1) + b0)
    return np.tensordot(p["synth_w1"], hidden, 1) + np.tensordot(p["synth_linear"], x, 1) + b1


def convolved(x, params, i):
    """[c, h + 2, w + 2] -> [c, h, w]: convolution i, added to the pixel itself."""
    c, h, w = x.shape[0], x.shape[1] - 2, x.shape[2] - 2
    kernel = params[f"conv_w{i}"].astype(np.float64).reshape(c, 3, 3, c)  # [out, y, x, in]
    change = np.zeros((c, h, w)) + params[f"conv_b{i}"].astype(np.float64)[:, None, None]
    for dy, dx in np.ndindex(3, 3):
        change += np.tensordot(kernel[:, dy, dx], x[:, dy : dy + h, dx : dx + w], 1)
    return x[:, 1:-1, 1:-1] + (np.maximum(0, change) if i == 0 else change)


def features_repeated(latents, params, pyramid):
    """f64[n_drawn, height, width] of others than scaled structures: each size repeats its edges."""
    drawn = []
    for level, y in zip(pyramid.levels, latents, strict=True):
        if level.is_hyper:
            continue
        for e in reversed(range(level.exponent)):
            down, across = (
                upsampling(range(n), 1, coarser, {"up0": params[f"up{e}"]})
                for n, coarser in zip(pyramid.size_at(e), y.shape, strict=True)
            )
            y = down @ y @ across.T
        drawn.append(y.astype(np.float64))
    return np.stack(drawn)


def colours_of_repeated(x, params):
    """f64[c, h, w] of features of that size: colours beyond them repeat their edges."""
    x = mixed(x, params)
    for i in range(2):
        x = convolved(np.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge"), params, i)
    return x


def colours(latents, params, pyramid):
    """f64[c, height, width], not clipped."""
    if not pyramid.structure.has_rate:
        return colours_of_repeated(features_repeated(latents, params, pyramid), params)
    x = mixed(features(latents, params, pyramid, margin=2), params)
    return convolved(convolved(x, params, 0), params, 1)


def as_seen(samples):
    """[c, h, w] as it is compared: where there is alpha, colours times it."""
    if len(samples) in (1, 3):
        return samples
    return np.concatenate([samples[:-1] * samples[-1:], samples[-1:]])


def errors_and_bits(latents, params, picture, pyramid: Pyramid):
    """Summed squared errors, and summed bits."""
    errors = as_seen(colours(latents, params, pyramid)) - as_seen(picture.astype(np.float64))
    bits = bits_of_levels(latents, params, pyramid)
    return float((errors**2).sum()), float(sum(each.sum() for each in bits))
