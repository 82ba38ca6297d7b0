"""The two sums of the loss, squared errors and bits, block by block.

Activations of a whole picture leave the cache, and a step would take twice as long and the memory
of all of them. Both sums are scalars, so their gradients are known up to a factor as soon as they
are made: each block's value and gradient are computed together, and nothing is kept of it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from inr.grid.fit.model import Params, bits_of, laplace_parameters, synthesis

_COLUMNS = 16384  # latents of a block
_PIXELS = 16384  # of a block of rows, about
_HALO = 2  # rows on either side that the 3x3 layers of the synthesis see


@jax.custom_vjp
def total_bits(params: Params, context: jax.Array, y: jax.Array, weights: jax.Array) -> jax.Array:
    """Weighted sum of the bits of latents y, f32[n], in contexts f32[n_taps + n_features, n]; the
    weights, f32[n], have no gradient."""
    return _bits_blocks(params, context, y, weights, _value_alone)[0]


def _bits_blocks(
    params: Params, context: jax.Array, y: jax.Array, weights: jax.Array, evaluate: "_Evaluate"
) -> "_Sums":
    n = y.size
    size = min(n, _COLUMNS)

    def block(params: Params, context: jax.Array, y: jax.Array, weights: jax.Array) -> jax.Array:
        return weights @ bits_of(y, *laplace_parameters(context, params))

    def body(total: _Sums, i: jax.Array) -> tuple[_Sums, None]:
        begin = jnp.minimum(i * size, n - size)  # the last block may begin in the one before
        is_new = begin + jnp.arange(size) >= i * size
        at = [
            jax.lax.dynamic_slice_in_dim(each, begin, size, axis=-1)
            for each in (context, y, weights)
        ]
        found = evaluate(block, params, at[0], at[1], jnp.where(is_new, at[2], 0.0))
        return _add(total, found, begin, axis=-1), None

    zeros = _zeros(params, context, y)
    sums, _ = jax.lax.scan(body, zeros, jnp.arange(-(-n // size)))
    return sums


@jax.custom_vjp
def squared_error(
    params: Params, features: jax.Array, picture: jax.Array, slopes: jax.Array
) -> jax.Array:
    """Sum of errors * (errors + slopes) of the picture drawn of features f32[n_drawn, h, w],
    against f32[c, h, w]; not clipped, and with alpha as it is seen. The slopes, f32[c, h, w], have
    no gradient."""
    return _error_blocks(params, features, picture, slopes, _value_alone)[0]


def _error_blocks(
    params: Params,
    features: jax.Array,
    picture: jax.Array,
    slopes: jax.Array,
    evaluate: "_Evaluate",
) -> "_Sums":
    height, width = picture.shape[1:]
    rows = max(1, min(height, _PIXELS // width))
    window = min(height, rows + 2 * _HALO)

    def body(total: _Sums, i: jax.Array) -> tuple[_Sums, None]:
        # At the window's own edges the 3x3 layers repeat rows, which is right only where the
        # picture ends too: elsewhere rows count that are a halo away from them.
        begin = jnp.clip(i * rows - _HALO, 0, height - window)
        row = begin + jnp.arange(window)
        is_counted = ((row >= i * rows) & (row < (i + 1) * rows))[None, :, None]

        def block(
            params: Params, features: jax.Array, picture: jax.Array, slopes: jax.Array
        ) -> jax.Array:
            errors = _as_seen(synthesis(features, params)) - _as_seen(picture)
            return jnp.sum(jnp.where(is_counted, errors * (errors + slopes), 0.0))

        at = [
            jax.lax.dynamic_slice_in_dim(each, begin, window, axis=1)
            for each in (features, picture, slopes)
        ]
        return _add(total, evaluate(block, params, *at), begin, axis=1), None

    zeros = _zeros(params, features, picture)
    sums, _ = jax.lax.scan(body, zeros, jnp.arange(-(-height // rows)))
    return sums


def _as_seen(samples: jax.Array) -> jax.Array:
    """f32[c, h, w] as metrics.py compares it: where there is alpha, the last of 2 or 4 channels,
    colours times alpha."""
    if samples.shape[0] in (1, 3):
        return samples
    colours, alpha = samples[:-1], samples[-1:]
    return jnp.concatenate([colours * alpha, alpha])


_Sums = tuple[jax.Array, tuple[Params, jax.Array, jax.Array]]  # value, gradients
_Block = Callable[[Params, jax.Array, jax.Array, jax.Array], jax.Array]
_Evaluate = Callable[[_Block, Params, jax.Array, jax.Array, jax.Array], _Sums]


def _value_alone(
    block: _Block, params: Params, first: jax.Array, second: jax.Array, third: jax.Array
) -> _Sums:
    _, zeros = _zeros(params, first, second)
    return block(params, first, second, third), zeros


def _with_gradients(
    block: _Block, params: Params, first: jax.Array, second: jax.Array, third: jax.Array
) -> _Sums:
    found: _Sums = jax.value_and_grad(block, (0, 1, 2))(params, first, second, third)
    return found


def _zeros(params: Params, first: jax.Array, second: jax.Array) -> _Sums:
    zeros = jax.tree.map(jnp.zeros_like, params), jnp.zeros_like(first), jnp.zeros_like(second)
    return jnp.float32(0), zeros


def _add(total: _Sums, found: _Sums, begin: jax.Array, axis: int) -> _Sums:
    """Return the sums with those of a block, whose gradients by arrays begin there along the
    axis."""

    def place(whole: jax.Array, part: jax.Array) -> jax.Array:
        ax = axis % whole.ndim
        old = jax.lax.dynamic_slice_in_dim(whole, begin, part.shape[ax], axis=ax)
        return jax.lax.dynamic_update_slice_in_dim(whole, old + part, begin, axis=ax)

    value, (params, first, second) = total
    summed = jax.tree.map(jnp.add, params, found[1][0])
    return value + found[0], (summed, place(first, found[1][1]), place(second, found[1][2]))


_Grads = tuple[Params, jax.Array, jax.Array]


def _pull_back(grads: _Grads, factor: jax.Array) -> tuple[Params, jax.Array, jax.Array, None]:
    params, first, second = jax.tree.map(lambda g: factor * g, grads)
    return params, first, second, None


def _bits_forward(params: Params, context: jax.Array, y: jax.Array, weights: jax.Array) -> _Sums:
    return _bits_blocks(params, context, y, weights, _with_gradients)


def _error_forward(
    params: Params, features: jax.Array, picture: jax.Array, slopes: jax.Array
) -> _Sums:
    return _error_blocks(params, features, picture, slopes, _with_gradients)


total_bits.defvjp(_bits_forward, _pull_back)
squared_error.defvjp(_error_forward, _pull_back)
