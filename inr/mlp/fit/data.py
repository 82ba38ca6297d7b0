"""How much of the picture a step sees, and the shuffled signals it sees them in."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from inr.fitting.jax_settings import platform
from inr.mlp.fields.joint import FieldSet
from inr.mlp.fit.problem import Signal
from inr.mlp.fit.settings import FitSettings, cpu_batch
from inr.mlp.fit.step import Data

_CPU_BLOCK_WORK = 1e11  # floating-point operations of a block, about a second on two cores
_GPU_BLOCK_WORK = 2e13  # the same on a GPU
_MAX_BLOCK = 200  # steps
_BLOCKS_OF_ROUNDING = 4
_CPU_SLICE = 8192  # pixels, at most; larger ones leave the cache and take an eighth longer
_GPU_MAX_ACTIVATIONS = 1 << 32  # sines and cosines of a full batch, 16 GB


def batch_pixels(
    settings: FitSettings, field_set: FieldSet, signals: Sequence[Signal]
) -> tuple[int, ...]:
    """Pixels a step of each signal, together settings.batch, in proportion to their sizes."""
    sizes = [signal.height * signal.width for signal in signals]
    n_pixels = sum(sizes)
    wanted = settings.batch
    if wanted is None:
        n_activations = sum(
            2 * n * part.field.hidden * part.field.n_layers  # sines and cosines
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


def shuffled(signal: Signal, batch: int, seed: int) -> Data:
    """The signal's pixels in random order, its first `batch` ones again at the end."""
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
