"""The two sums of the loss, squared errors and bits, block by block.

Activations of a whole picture leave the cache, and a step would take twice as long and the memory
of all of them. Both sums are scalars, so their gradients are known up to a factor as soon as they
are made: each block's value and gradient are computed together, and nothing is kept of it.
"""

import jax
import jax.numpy as jnp

from inr.grid.forward import Params, bits_of, laplace_parameters, synthesis

_COLUMNS = 16384  # latents of a block
_PIXELS = 16384  # of a block of rows, about
_HALO = 2  # rows on either side that the 3x3 layers of the synthesis see


@jax.custom_vjp
def total_bits(params: Params, context: jax.Array, y: jax.Array) -> jax.Array:
    """Bits of latents y, f32[n], in their contexts, f32[n_taps + n_features, n]."""
    return _total_bits(params, context, y)[0]


def _total_bits(
    params: Params, context: jax.Array, y: jax.Array
) -> tuple[jax.Array, tuple[Params, jax.Array, jax.Array]]:
    n = y.size
    size = min(n, _COLUMNS)
    n_blocks = -(-n // size)

    def block(params: Params, context: jax.Array, y: jax.Array, is_new: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(is_new, bits_of(y, *laplace_parameters(context, params)), 0.0))

    def body(total: _Sums, i: jax.Array) -> tuple[_Sums, None]:
        begin = jnp.minimum(i * size, n - size)  # the last block may begin in the one before
        is_new = begin + jnp.arange(size) >= i * size
        at = [jax.lax.dynamic_slice_in_dim(each, begin, size, axis=-1) for each in (context, y)]
        value, grads = jax.value_and_grad(block, (0, 1, 2))(params, *at, is_new)
        return _added(total, value, grads, begin, axis=-1), None

    sums, _ = jax.lax.scan(body, _zeros(params, context, y), jnp.arange(n_blocks))
    return sums


@jax.custom_vjp
def squared_error(params: Params, features: jax.Array, picture: jax.Array) -> jax.Array:
    """Sum of squared errors of the picture drawn of features f32[n_drawn, h, w], against f32[c, h,
    w]; not clipped."""
    return _squared_error(params, features, picture)[0]


def _squared_error(
    params: Params, features: jax.Array, picture: jax.Array
) -> tuple[jax.Array, tuple[Params, jax.Array, jax.Array]]:
    height, width = picture.shape[1:]
    rows = max(1, min(height, _PIXELS // width))
    window = min(height, rows + 2 * _HALO)

    def block(
        params: Params, features: jax.Array, picture: jax.Array, is_counted: jax.Array
    ) -> jax.Array:
        errors = synthesis(features, params) - picture
        return jnp.sum(jnp.where(is_counted[None, :, None], errors**2, 0.0))

    def body(total: _Sums, i: jax.Array) -> tuple[_Sums, None]:
        # At the window's own edges the 3x3 layers repeat rows, which is right only where the
        # picture ends too: elsewhere rows count that are a halo away from them.
        begin = jnp.clip(i * rows - _HALO, 0, height - window)
        row = begin + jnp.arange(window)
        is_counted = (row >= i * rows) & (row < (i + 1) * rows)
        at = [
            jax.lax.dynamic_slice_in_dim(each, begin, window, axis=1)
            for each in (features, picture)
        ]
        value, grads = jax.value_and_grad(block, (0, 1, 2))(params, *at, is_counted)
        return _added(total, value, grads, begin, axis=1), None

    n_blocks = -(-height // rows)
    sums, _ = jax.lax.scan(body, _zeros(params, features, picture), jnp.arange(n_blocks))
    return sums


_Sums = tuple[jax.Array, tuple[Params, jax.Array, jax.Array]]  # value, gradients


def _zeros(params: Params, *arrays: jax.Array) -> _Sums:
    first, second = (jnp.zeros_like(each) for each in arrays)
    return jnp.float32(0), (jax.tree.map(jnp.zeros_like, params), first, second)


def _added(
    total: _Sums,
    value: jax.Array,
    grads: tuple[Params, jax.Array, jax.Array],
    begin: jax.Array,
    axis: int,
) -> _Sums:
    def placed(whole: jax.Array, part: jax.Array) -> jax.Array:
        ax = axis % whole.ndim
        old = jax.lax.dynamic_slice_in_dim(whole, begin, part.shape[ax], axis=ax)
        return jax.lax.dynamic_update_slice_in_dim(whole, old + part, begin, axis=ax)

    old, (params, first, second) = total
    summed = jax.tree.map(jnp.add, params, grads[0])
    return old + value, (summed, placed(first, grads[1]), placed(second, grads[2]))


def _pulled_back(
    grads: tuple[Params, jax.Array, jax.Array], factor: jax.Array
) -> tuple[Params, jax.Array, jax.Array]:
    scaled: tuple[Params, jax.Array, jax.Array] = jax.tree.map(lambda g: factor * g, grads)
    return scaled


total_bits.defvjp(_total_bits, _pulled_back)
squared_error.defvjp(_squared_error, _pulled_back)
