"""What a grid file is made of: the pyramid of latents and the shapes of all network tensors.

A level of exponent e has ceil(height / 2**e) rows and ceil(width / 2**e) columns of latents. The
levels are coded one after the other, the coarsest first; hyper levels serve only as context, and
each comes just before the level of its size. Of each latent's own level the context model sees
TAPS[:n_taps], all of which lie before it in the order of the wavefront x + FRONT_SLOPE * y, so
that a decoder can treat all latents of one front at once.

Source of the layout: Cool-chic 5.0 (Orange, https://github.com/Orange-OpenSource/Cool-Chic) and C3
(Kim et al., https://arxiv.org/abs/2312.02753).
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from inr.format.wire import VarintField, Wire

Shape = tuple[int, ...]

FRONT_SLOPE = 3  # a tap of the row above reaches at most FRONT_SLOPE - 1 columns to the right
# (row, column) offsets, nearest first.
TAPS = (
    (0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, 2), (-2, -1), (-2, 1), (-1, -2),
    (0, -3), (-3, 0), (-2, 2), (-2, -2), (-1, -3), (-3, 1), (-3, -1), (-2, 3), (0, -4), (-2, -3),
)  # fmt: skip
REACH = 4  # rows above and columns to either side that taps need
N_PRIORS = 1  # sets that there are, see prior.py
_COARSEST = 12  # pixels of the longer side of the coarsest level, about


@dataclass(frozen=True)
class Structure:
    """Sizes of the pyramid and of its networks; the file holds all of them."""

    first_level: int = 0  # exponent of the finest latents: 1 has none at full size
    n_hyper: int = 0  # hyper levels: the coarsest so many exponents have one each
    n_taps: int = 14  # neighbours of its own level that the context model sees
    n_features: int = 6  # numbers made of the levels before that it sees beside them
    n_feature_levels: int = 40  # last levels that have such features
    hidden: int = 48  # width of the synthesis
    prior: int = 0  # set of shipped networks that this file's are counted from; 0 for none

    WIRE: ClassVar[Wire] = (
        ("first_level", VarintField(0, 3)),
        ("n_hyper", VarintField(0, 20)),
        ("n_taps", VarintField(1, len(TAPS))),
        ("n_features", VarintField(1, 32)),
        ("n_feature_levels", VarintField(0, 40)),
        ("hidden", VarintField(1, 256)),
        ("prior", VarintField(0, N_PRIORS)),
    )


@dataclass(frozen=True)
class Level:
    """One grid of latents."""

    exponent: int
    is_hyper: bool
    height: int
    width: int

    @property
    def size(self) -> int:
        return self.height * self.width


@dataclass(frozen=True)
class Pyramid:
    """Levels and tensors of one picture."""

    height: int
    width: int
    n_channels: int
    structure: Structure

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """In the order of coding, the coarsest first; at least one that is not hyper."""
        coarsest = max(0, math.ceil(math.log2(max(self.height, self.width) / _COARSEST)))
        first = min(self.structure.first_level, coarsest)
        levels = []
        for e in reversed(range(first, coarsest + 1)):
            size = self.size_at(e)
            if coarsest - e < self.structure.n_hyper:
                levels.append(Level(e, True, *size))
            levels.append(Level(e, False, *size))
        return tuple(levels)

    def size_at(self, exponent: int) -> tuple[int, int]:
        """Rows and columns of a level."""
        return -(-self.height >> exponent), -(-self.width >> exponent)

    @property
    def n_latents(self) -> int:
        return sum(level.size for level in self.levels)

    @property
    def n_drawn(self) -> int:
        """Levels that the synthesis sees: all but the hyper levels."""
        return sum(not level.is_hyper for level in self.levels)

    def feature_name(self, level: int) -> str | None:
        """Return the tensor that makes features for the level of that index; None where it has
        none."""
        from_last = len(self.levels) - 1 - level
        has_features = level > 0 and from_last < self.structure.n_feature_levels
        return f"feature{from_last}" if has_features else None

    @cached_property
    def context_groups(self) -> dict[str, dict[str, Shape]]:
        """The context model: group -> tensor -> shape, in file order. The tensors of a group share
        one step and one distribution in the file."""
        s = self.structure
        width = s.n_taps + s.n_features
        features: dict[str, Shape] = {}
        for level in range(len(self.levels)):
            name = self.feature_name(level)
            if name is not None:
                features[name] = (s.n_features, level)
        return {
            **({"features": features} if features else {}),
            "context_w0": {"context_w0": (width, width)},
            "context_w1": {"context_w1": (width, width)},
            "context_out": {"context_out": (2, width), "context_linear": (2, width)},
            "context_b": {"context_b0": (width,), "context_b1": (width,), "context_b2": (2,)},
        }

    @cached_property
    def synthesis_groups(self) -> dict[str, dict[str, Shape]]:
        """Upsampling and synthesis, likewise."""
        c, hidden, n = self.n_channels, self.structure.hidden, self.n_drawn
        ups: dict[str, Shape] = {f"up{e}": (4,) for e in range(self.levels[0].exponent)}
        return {
            **({"up": ups} if ups else {}),
            "synth_w0": {"synth_w0": (hidden, n)},
            "synth_w1": {"synth_w1": (c, hidden), "synth_linear": (c, n)},
            "synth_b": {"synth_b0": (hidden,), "synth_b1": (c,)},
            "conv_w": {"conv_w0": (c, 9 * c), "conv_w1": (c, 9 * c)},
            "conv_b": {"conv_b0": (c,), "conv_b1": (c,)},
        }

    @property
    def groups(self) -> dict[str, dict[str, Shape]]:
        """All groups, in file order."""
        return self.context_groups | self.synthesis_groups

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """All tensors, in file order."""
        return {name: shape for group in self.groups.values() for name, shape in group.items()}
