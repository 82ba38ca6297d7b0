"""How large a network fits a target: from bytes to field.hidden and a budget of bits."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from inr.fields.fourier import Fourier
from inr.fields.protocol import n_weights
from inr.fields.siren import Siren

_MIN_HIDDEN = 12  # a narrower network gives up layers first
MAX_BITS = 16.0  # a weight, whatever the target
_MAX_HIDDEN = 4096  # as in the file
AIM = 0.995  # of the target: the codes drift by a few tenths of a percent after the last correction
_BYTES_A_TENSOR = 4  # its step and its entry in the coder


@dataclass(frozen=True)
class Size:
    """A field of a certain width, and what its codes may cost."""

    field: Siren | Fourier
    budget_bits: float


def coded_weights(field: Siren | Fourier, n_channels: int) -> int:
    """Numbers whose codes the budget pays for: all that are trained."""
    fixed = field.fixed_steps()
    shapes = field.shapes(n_channels)
    return n_weights({name: shape for name, shape in shapes.items() if name not in fixed})


def budget_of(
    field: Siren | Fourier, n_channels: int, target_bytes: int, overhead_bytes: int
) -> float:
    """Bits left for the trained codes of a field in a file of target_bytes."""
    side_bytes = overhead_bytes + _BYTES_A_TENSOR * len(field.shapes(n_channels))
    return 8 * (AIM * target_bytes - side_bytes) - field.fixed_bits()


def choose_size(
    field: Siren | Fourier,
    n_channels: int,
    *,
    mean_bits: float,
    target_bytes: int,
    overhead_bytes: int,
) -> Size | None:
    """The width at which codes of mean_bits come closest to the target, with fewer layers where
    the network would else be a thread; None where not even the smallest network fits."""
    for n_layers in range(field.n_layers, 0, -1):
        thinner = dataclasses.replace(field, n_layers=n_layers)
        hidden = _nearest_width(thinner, n_channels, mean_bits, target_bytes, overhead_bytes)
        if hidden >= _MIN_HIDDEN or (n_layers == 1 and hidden >= 1):
            sized = dataclasses.replace(thinner, hidden=hidden)
            return size_of(sized, n_channels, target_bytes, overhead_bytes)
    return None


def size_of(
    field: Siren | Fourier, n_channels: int, target_bytes: int, overhead_bytes: int
) -> Size:
    """A field of given width with the budget that the target leaves it."""
    most = MAX_BITS * coded_weights(field, n_channels)
    return Size(field, min(budget_of(field, n_channels, target_bytes, overhead_bytes), most))


def _nearest_width(
    field: Siren | Fourier,
    n_channels: int,
    mean_bits: float,
    target_bytes: int,
    overhead_bytes: int,
) -> int:
    """The width whose codes come nearest to mean_bits by ratio; 0 where width 1 has under half."""
    best, best_miss = 0, 1.0  # in octaves
    for hidden in range(1, _MAX_HIDDEN + 1):
        wider = dataclasses.replace(field, hidden=hidden)
        budget_bits = budget_of(wider, n_channels, target_bytes, overhead_bytes)
        if budget_bits <= 0:
            break
        octaves = float(np.log2(budget_bits / coded_weights(wider, n_channels) / mean_bits))
        if abs(octaves) < best_miss or (hidden == 1 and octaves >= 1):
            best, best_miss = hidden, abs(octaves)
        if octaves < -1:
            break
    return best
