"""How large a network fits a target: from bytes to field.hidden and a budget of bits."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from inr.fitting.search import bisect_integers
from inr.mlp.fields.joint import FieldSet, field_set_of
from inr.mlp.fields.protocol import Field
from inr.mlp.quantize.protocol import Quantizer
from inr.mlp.sparsify.masks import keep_counts, n_kept_weights
from inr.mlp.sparsify.protocol import Sparsifier
from inr.mlp.splits.protocol import Split

_MIN_HIDDEN = 12  # a narrower network gives up layers first
MAX_BITS = 16.0  # a weight, whatever the target
_MAX_HIDDEN = 4096  # as in the file
AIM = 0.992  # of the target: the codes drift by half a percent after the last correction
_CODER_BYTES = 2  # what a tensor takes in the coder besides its codes


@dataclass(frozen=True)
class Design:
    """A network for one picture, as far as its size goes."""

    field: Field  # as the recipe has it, or with hidden and n_layers as they were chosen
    split: Split
    sparsifier: Sparsifier
    quantizer: Quantizer
    height: int
    width: int
    n_channels: int

    def with_size(self, hidden: int, n_layers: int) -> "Design":
        return dataclasses.replace(self, field=self.field.with_size(hidden, n_layers))

    @cached_property
    def prepared(self) -> Field:
        """The field that stands in the file."""
        return self.sparsifier.prepare(self.field, self.n_channels)

    @cached_property
    def field_set(self) -> FieldSet:
        return field_set_of(self.split, self.prepared, self.height, self.width, self.n_channels)

    @cached_property
    def keep_counts(self) -> dict[str, int]:
        return keep_counts(self.sparsifier, self.field_set.matrices())

    @property
    def n_kept(self) -> int:
        """Numbers whose codes the budget pays for: all that are trained and not masked."""
        return n_kept_weights(self.field_set.trained_shapes(), self.keep_counts)

    def mask_bits(self) -> float:
        """Estimate the bits that say which weights are kept: the entropy of the masks."""
        shapes = self.field_set.trained_shapes()
        bits = 0.0
        for name, n_kept in self.keep_counts.items():
            n = int(np.prod(shapes[name]))
            for count in (n_kept, n - n_kept):
                bits += count * np.log2(n / count) if count else 0.0
        return bits

    def side_bits(self) -> float:
        """Estimate the bits of what the file holds beside header and codes of kept weights."""
        sizes = [int(np.prod(shape)) for shape in self.field_set.trained_shapes().values()]
        qparam_bytes = sum(self.quantizer.qparam_bytes(size) for size in sizes)
        coder_bytes = _CODER_BYTES * len(self.field_set.shapes())
        return 8 * (qparam_bytes + coder_bytes) + self.field_set.fixed_bits() + self.mask_bits()

    def budget_bits(self, target_bytes: int, overhead_bytes: int) -> float:
        """Return the bits left for the codes of kept weights in a file of target_bytes."""
        return 8 * (AIM * target_bytes - overhead_bytes) - self.side_bits()


@dataclass(frozen=True)
class Size:
    """A design of a certain width, and what its codes may cost."""

    design: Design
    budget_bits: float


def choose_size(design: Design, *, target_bytes: int, overhead_bytes: int) -> Size | None:
    """Choose the width at which codes of quantizer.bits come closest to the target.

    A network narrower than _MIN_HIDDEN gives up layers, one after the other.

    Returns:
      None where not even the smallest network fits.
    """
    for n_layers in range(design.field.n_layers, 0, -1):
        hidden = _nearest_width(design, n_layers, target_bytes, overhead_bytes)
        if hidden >= _MIN_HIDDEN or (n_layers == 1 and hidden >= 1):
            return size_of(design.with_size(hidden, n_layers), target_bytes, overhead_bytes)
    return None


def size_of(design: Design, target_bytes: int, overhead_bytes: int) -> Size:
    """Return a design of given width with the budget that the target leaves it."""
    most = MAX_BITS * design.n_kept
    return Size(design, min(design.budget_bits(target_bytes, overhead_bytes), most))


def _nearest_width(design: Design, n_layers: int, target_bytes: int, overhead_bytes: int) -> int:
    """Return the width whose codes come nearest to quantizer.bits by ratio; 0 where even a width of
    1 leaves less than half of them."""

    def log2_ratio(hidden: int) -> float:
        """Compare the bits that a code may have with those asked for; falls with the width."""
        wider = design.with_size(hidden, n_layers)
        budget_bits = wider.budget_bits(target_bytes, overhead_bytes)
        if budget_bits <= 0:
            return -np.inf
        return float(np.log2(budget_bits / wider.n_kept / design.quantizer.bits))

    if log2_ratio(1) < -1:
        return 0
    low, high = 1, 2
    while high <= _MAX_HIDDEN and log2_ratio(high) >= 0:  # from below: sparsifiers have limits
        low, high = high, 2 * high
    high = min(high, _MAX_HIDDEN + 1)  # too wide
    low, high = bisect_integers(lambda hidden: log2_ratio(hidden) >= 0, low=low, high=high)
    if high <= _MAX_HIDDEN and abs(log2_ratio(high)) < abs(log2_ratio(low)):
        return high
    return low
