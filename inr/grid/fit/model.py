"""Context model, upsampling and synthesis in float32 jax, as the fit sees them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from inr.grid.structure import REACH, TAPS, Pyramid

Params = dict[str, jax.Array]
Latents = list[jax.Array]  # f32[h, w] of each level, in the order of coding

LOG_SCALE_RANGE = 5.0  # |log of a Laplace scale|, at most
LEAST_P = 2.0**-16  # probability floor, as the coder's tables have it


def soft_round(x: jax.Array, temperature: jax.Array) -> jax.Array:
    """Round softly: the identity for high temperatures, `round` for low ones."""
    floor = jnp.floor(x)
    rest = x - floor - 0.5
    return floor + 0.5 + 0.5 * jnp.tanh(rest / temperature) / jnp.tanh(0.5 / temperature)


def _repeat(x: jax.Array, octaves: int, height: int, width: int) -> jax.Array:
    """Return each latent 2**octaves times in both directions, cropped to height x width."""
    if octaves == 0:
        return x
    h, w = x.shape
    n = 1 << octaves
    wide = jnp.broadcast_to(x[:, None, :, None], (h, n, w, n)).reshape(n * h, n * w)
    return wide[:height, :width]


class ContextInputs(NamedTuple):
    """What the context model is given of the latents of one level."""

    taps: jax.Array  # f32[n_taps, n], neighbours in the level itself
    before: jax.Array | None  # f32[levels, n], co-located latents of the levels before


def context_inputs(latents: Latents, pyramid: Pyramid) -> list[ContextInputs]:
    """Return the inputs of the context model, level by level, the latents of a level row by row."""
    seen = []
    before: list[jax.Array] = []  # at the size of the level at hand
    exponent = pyramid.levels[0].exponent
    for i, (level, y) in enumerate(zip(pyramid.levels, latents, strict=True)):
        h, w = y.shape
        before = [_repeat(each, exponent - level.exponent, h, w) for each in before]
        exponent = level.exponent
        padded = jnp.pad(y, ((REACH, 0), (REACH, REACH)))
        taps = [
            padded[REACH + dy : REACH + dy + h, REACH + dx : REACH + dx + w].reshape(-1)
            for dy, dx in TAPS[: pyramid.structure.n_taps]
        ]
        has_features = pyramid.feature_name(i) is not None
        stack = jnp.stack([each.reshape(-1) for each in before]) if has_features else None
        seen.append(ContextInputs(jnp.stack(taps), stack))
        before.append(y)
    return seen


def contexts(seen: list[ContextInputs], params: Params, pyramid: Pyramid) -> jax.Array:
    """Taps and features, f32[n_taps + n_features, latents], level after level."""
    columns = []
    for i, (taps, before) in enumerate(seen):
        name = pyramid.feature_name(i)
        if name is None or before is None:
            features = jnp.zeros((pyramid.structure.n_features, taps.shape[1]), jnp.float32)
        else:
            features = params[name] @ before
        columns.append(jnp.concatenate([taps, features]))
    return jnp.concatenate(columns, axis=1)


def laplace_parameters(context: jax.Array, params: Params) -> tuple[jax.Array, jax.Array]:
    """mean and log of scale of each latent, f32[n_latents] each."""
    x = context
    for layer in range(2):
        x = x + jax.nn.relu(params[f"context_w{layer}"] @ x + params[f"context_b{layer}"][:, None])
    out = params["context_out"] @ x + params["context_linear"] @ context
    out = out + params["context_b2"][:, None]
    return out[0], jnp.clip(out[1], -LOG_SCALE_RANGE, LOG_SCALE_RANGE)


def bits_of(y: jax.Array, mean: jax.Array, log_scale: jax.Array) -> jax.Array:
    """-log2 of the probability of each latent under a Laplace density over y -+ 0.5."""
    inverse = jnp.exp(-log_scale)
    d = jnp.abs(y - mean)
    near, far = jnp.exp(-jnp.abs(d - 0.5) * inverse), jnp.exp(-(d + 0.5) * inverse)
    p = jnp.where(d < 0.5, 1 - 0.5 * (near + far), 0.5 * (near - far))
    return -jnp.log2(jnp.maximum(p, LEAST_P))


def rate_bits(latents: Latents, params: Params, pyramid: Pyramid) -> jax.Array:
    """Bits of all latents."""
    context = contexts(context_inputs(latents, pyramid), params, pyramid)
    y = jnp.concatenate([each.reshape(-1) for each in latents])
    return jnp.sum(bits_of(y, *laplace_parameters(context, params)))


def _upsample(x: jax.Array, taps: jax.Array, axis: int, size: int) -> jax.Array:
    """Double one axis of [channels, h, w] with a mirrored pair of 4-tap filters."""
    n = x.shape[axis]
    widths = [(0, 0)] * 3
    widths[axis] = (2, 2)
    padded = jnp.pad(x, widths, mode="edge")
    shifted = [jax.lax.slice_in_dim(padded, i, i + n, axis=axis) for i in range(5)]
    zero = jnp.zeros(1, jnp.float32)
    kernel = jnp.stack([jnp.concatenate([taps[::-1], zero]), jnp.concatenate([zero, taps])])
    # As a matrix product rather than a sum: XLA would fuse sums across octaves, and compile long.
    both = kernel @ jnp.stack(shifted).reshape(5, -1)  # [2, channels h w], even and odd
    shape = list(x.shape)
    shape[axis] = 2 * n
    doubled = jnp.moveaxis(both.reshape(2, *x.shape), 0, axis + 1).reshape(shape)
    return jax.lax.slice_in_dim(doubled, 0, size, axis=axis)


def features_of(latents: Latents, params: Params, pyramid: Pyramid) -> jax.Array:
    """Return the levels that are drawn at the picture's size, f32[n_drawn, height, width], coarsest
    first."""
    stack = jnp.zeros((0, *pyramid.size_at(pyramid.levels[0].exponent)), jnp.float32)
    drawn = [
        (level.exponent, y)
        for level, y in zip(pyramid.levels, latents, strict=True)
        if not level.is_hyper
    ]
    for i, (exponent, y) in enumerate(drawn):
        stack = jnp.concatenate([stack, y[None]])
        finer = drawn[i + 1][0] if i + 1 < len(drawn) else 0
        for e in reversed(range(finer, exponent)):
            height, width = pyramid.size_at(e)
            taps = params[f"up{e}"]
            stack = _upsample(_upsample(stack, taps, 1, height), taps, 2, width)
    return stack


def _patches(x: jax.Array) -> jax.Array:
    """[c, h, w] -> [9 c, h w], edges repeated."""
    c, h, w = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return jnp.concatenate(
        [padded[:, i : i + h, j : j + w].reshape(c, -1) for i in range(3) for j in range(3)]
    )


def synthesis(features: jax.Array, params: Params) -> jax.Array:
    """Colours in about 0..1, f32[n_channels, h, w], of features f32[n_drawn, h, w]."""
    n_drawn, h, w = features.shape
    x = features.reshape(n_drawn, -1)
    hidden = jax.nn.relu(params["synth_w0"] @ x + params["synth_b0"][:, None])
    out = params["synth_w1"] @ hidden + params["synth_linear"] @ x + params["synth_b1"][:, None]
    for i in range(2):
        change = params[f"conv_w{i}"] @ _patches(out.reshape(-1, h, w))
        change = change + params[f"conv_b{i}"][:, None]
        out = out + (jax.nn.relu(change) if i == 0 else change)
    return out.reshape(-1, h, w)


def synthesize(latents: Latents, params: Params, pyramid: Pyramid) -> jax.Array:
    """Return the picture, f32[n_channels, height, width], clipped to 0..1."""
    return jnp.clip(synthesis(features_of(latents, params, pyramid), params), 0.0, 1.0)
