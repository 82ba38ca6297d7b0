"""How much of the picture a step sees, the shuffled signals it sees it in, and its error there."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inr.fitting.jax_settings import platform
from inr.image import coords
from inr.mlp.fields.joint import FieldSet
from inr.mlp.fields.protocol import Field, Params, hidden_of
from inr.mlp.fit.problem import Signal
from inr.mlp.fit.settings import FitSettings, cpu_batch

_CPU_BLOCK_WORK = 1e11  # floating-point operations of a block, about a second on two cores
_GPU_BLOCK_WORK = 2e13  # the same on a GPU
_MAX_BLOCK = 200  # steps
_BLOCKS_OF_ROUNDING = 4
_CPU_SLICE = 8192  # pixels, at most; larger ones leave the cache and take an eighth longer
_GPU_MAX_ACTIVATIONS = 1 << 32  # sines and cosines of a full batch, 16 GB


class Data(NamedTuple):
    """One shuffled signal on the device. Its head stands again at the end, so that every slice
    that begins inside the picture is contiguous."""

    position: jax.Array  # i32[n + slice, ...], in the picture, row by row
    samples: jax.Array  # u8/u16/f32[n + slice, c]
    low: jax.Array  # f32[c]
    span: jax.Array  # f32[c], 0 for a constant channel
    weight: jax.Array  # f32[c], squared share of the channel's span in the peak, times the signal's
    size: jax.Array  # i32[2], height and width
    peak: jax.Array  # f32[], of the samples


def batch_pixels(
    settings: FitSettings, field_set: FieldSet, signals: Sequence[Signal]
) -> tuple[int, ...]:
    """Pixels a step of each signal, together settings.batch, in proportion to their sizes."""
    sizes = [signal.height * signal.width for signal in signals]
    n_pixels = sum(sizes)
    wanted = settings.batch
    if wanted is None:
        n_activations = sum(
            2 * n * hidden_of(part.field) * part.field.n_layers  # sines and cosines
            for n, part in zip(sizes, field_set.parts, strict=True)
        )
        on_gpu = platform() == "gpu"
        wanted = (
            n_pixels if on_gpu and n_activations <= _GPU_MAX_ACTIVATIONS else cpu_batch(n_pixels)
        )
    wanted = min(wanted, n_pixels)
    return tuple(min(n, max(1, round(wanted * n / n_pixels))) for n in sizes)


def slices_of(batch: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """Pixels of a slice of each signal and the number of slices in a batch."""
    n_slices = -(-sum(batch) // _CPU_SLICE)
    if platform() != "cpu" or any(n % n_slices for n in batch):
        return batch, 1
    return tuple(n // n_slices for n in batch), n_slices


def block_steps(n_weights: int, batch: int, n_last: int) -> int:
    """Steps of a block: about a second of work, but few enough for corrections of the file's size
    among the n_last steps that round, after which the weights still settle."""
    block_work = _CPU_BLOCK_WORK if platform() == "cpu" else _GPU_BLOCK_WORK
    work = 6 * n_weights * batch  # multiply and add, forward and twice backward
    return max(1, min(_MAX_BLOCK, int(block_work / work), n_last // _BLOCKS_OF_ROUNDING))


def shuffle(signal: Signal, batch: int, seed: int) -> Data:
    """Return the signal's pixels in random order, its first `batch` ones again at the end."""
    order = np.random.default_rng([seed, 0]).permutation(signal.height * signal.width)
    order = np.concatenate([order, order[:batch]]).astype(np.int32)
    low, high = np.array(signal.ranges, np.float32).T
    return Data(
        position=jnp.asarray(order),
        samples=jnp.asarray(signal.samples[order]),
        low=jnp.asarray(low),
        span=jnp.asarray(high - low),
        weight=jnp.asarray(signal.share * ((high - low) / signal.peak) ** 2, jnp.float32),
        size=jnp.array([signal.height, signal.width], jnp.int32),
        peak=jnp.float32(signal.peak),
    )


def signal_of(samples: jax.Array, low: jax.Array, span: jax.Array) -> jax.Array:
    """Samples in low..low+span -> signal in -1..1; a constant channel becomes 0."""
    safe = jnp.where(span > 0, span, 1)
    return jnp.where(span > 0, 2 * (samples.astype(jnp.float32) - low) / safe - 1, 0)


def _coords(index: jax.Array, size: jax.Array) -> jax.Array:
    """Position in the picture, row by row, -> centre of that pixel. i32[n] -> f32[n, 2]."""
    row = index // size[1]
    pixel = jnp.stack([row, index - row * size[1]], axis=1)  # [n, 2]
    centres: jax.Array = coords.centre(pixel.astype(jnp.float32), size.astype(jnp.float32))
    return centres


def signal_error(
    net: Field, has_alpha: bool, params: Params, data: Data, start: jax.Array, n: int
) -> jax.Array:
    """Mean squared error of n pixels of a signal, of the full range 0..1 of a sample."""
    index = jax.lax.dynamic_slice_in_dim(data.position, start, n)
    samples = jax.lax.dynamic_slice_in_dim(data.samples, start, n)
    signal = signal_of(samples, data.low, data.span)  # [n, c]
    difference = net.apply(params, _coords(index, data.size)) - signal
    if jnp.issubdtype(samples.dtype, jnp.integer):
        # The decoder clips to the range: beyond its ends nothing is wrong. Paper stays white.
        difference = jnp.where(signal >= 1, jnp.minimum(difference, 0), difference)
        difference = jnp.where(signal <= -1, jnp.maximum(difference, 0), difference)
    squared = difference**2 * (data.weight / 4)
    if has_alpha:
        # What is seen is colour times alpha; colours under alpha 0 must cost nothing.
        alpha = samples[:, -1:].astype(jnp.float32) / data.peak
        squared = squared * jnp.concatenate(
            [jnp.broadcast_to(alpha**2, (n, samples.shape[1] - 1)), jnp.ones_like(alpha)], 1
        )
    return jnp.mean(squared)
