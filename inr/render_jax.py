"""Draws a field with jax: for large pictures where a GPU is at hand.

The decoder of record is render.py. This one stays within one level of it: full float32 products
are asked for, since the TF32 of a GPU's default would be visible.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from inr.fitting.jax_settings import own_jax_settings
from inr.image import coords
from inr.mlp.decode import Region
from inr.mlp.fields.protocol import Field, NumpyParams, Params

_CHUNK_VALUES = 1 << 26  # activations of one layer at once, 256 MB


@own_jax_settings()
def render(
    net: Field,
    params: NumpyParams,
    ranges: tuple[tuple[int, int], ...],
    bit_depth: int,
    *,
    height: int,
    width: int,
    region: Region,
) -> np.ndarray:
    """Evaluates the field as `inr.mlp.decode.render` does, rows at a time."""
    low, high = np.array(ranges, np.float32).T
    out = np.empty(
        (region.height, region.width, len(ranges)), np.uint8 if bit_depth == 8 else np.uint16
    )
    on_device = {name: jnp.asarray(w) for name, w in params.items()}
    cols = jnp.asarray(coords.axis(width, region.x, region.x + region.width))
    widest = max(side for w in params.values() for side in w.shape)  # frequencies too
    n_rows = min(region.height, max(1, _CHUNK_VALUES // (widest * region.width)))
    for top in range(0, region.height, n_rows):
        rows = coords.axis(height, region.y + top, region.y + top + n_rows)  # beyond the edge too
        samples = np.asarray(_samples(net, on_device, jnp.asarray(rows), cols, low, high))
        out[top : top + n_rows] = samples[: region.height - top]
    return out


@functools.partial(jax.jit, static_argnums=0)
def _samples(
    net: Field, params: Params, rows: jax.Array, cols: jax.Array, low: jax.Array, high: jax.Array
) -> jax.Array:
    """f32[h, w, n_channels], whole numbers in the ranges."""
    shape = (rows.size, cols.size)
    points = jnp.stack(
        [jnp.broadcast_to(rows[:, None], shape), jnp.broadcast_to(cols[None], shape)], axis=-1
    )
    with jax.default_matmul_precision("highest"):
        signal = net.apply(params, points.reshape(-1, 2))  # [h * w, n_channels]
    samples = jnp.rint((signal + 1) * ((high - low) / 2)[None] + low[None])
    return jnp.clip(jnp.nan_to_num(samples), low[None], high[None]).reshape(*shape, low.size)
