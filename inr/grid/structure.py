"""What a grid file is made of: the pyramid of latents and the shapes of all network tensors.

A level of exponent e has ceil(height / 2**e) rows and ceil(width / 2**e) columns of latents. The
levels are coded one after the other, the coarsest first; hyper levels serve only as context, and
each comes just before the level of its size. Of each latent's own level the context model sees
TAPS[:n_taps], all of which lie before it in the order of the wavefront x + FRONT_SLOPE * y, so
that a decoder can treat all latents of one front at once.

Structures of priors 2 to 5 have a rate, for which their networks are taken: they always have the
exponents 0..COARSEST_EXPONENT, and the context model is a network of its own for each exponent up
to N_CONTEXTS - 2, and one for all coarser ones. In those of priors 2 and 5 a latent of exponent e
counts 2**-e for the networks: a coarse latent stands for more pixels, and where nothing mends how
it is rounded, it is worth finer steps. Long fits mend it, and then that costs 3 to 4 %: in those of
priors 3 and 4 all count 1.

Source of the layout: Cool-chic 5.0 (Orange, https://github.com/Orange-OpenSource/Cool-Chic) and C3
(Kim et al., https://arxiv.org/abs/2312.02753).
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from inr.errors import UsageError
from inr.format.wire import Reader, VarintField, Wire, read_fields, write_fields

Shape = tuple[int, ...]

FRONT_SLOPE = 3  # a tap of the row above reaches at most FRONT_SLOPE - 1 columns to the right
# (row, column) offsets, nearest first.
TAPS = (
    (0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, 2), (-2, -1), (-2, 1), (-1, -2),
    (0, -3), (-3, 0), (-2, 2), (-2, -2), (-1, -3), (-3, 1), (-3, -1), (-2, 3), (0, -4), (-2, -3),
)  # fmt: skip
REACH = 4  # rows above and columns to either side that taps need
N_PRIORS = 5  # sets that there are, see prior.py
MAX_RATE = 64  # of Structure.rate
COARSEST_EXPONENT, N_CONTEXTS = 5, 4  # of structures with a rate
_COARSEST = 12  # pixels of the longer side of the coarsest level of others, about
_FIRST_WITH_RATE, _WITH_OCTAVES = 2, (2, 5)  # priors
_RATE = VarintField(0, MAX_RATE)


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
    rate: int = 0  # of priors 2 to 5: lambda for which the set is taken, see prior.py

    WIRE: ClassVar[Wire] = (
        ("first_level", VarintField(0, 3)),
        ("n_hyper", VarintField(0, 20)),
        ("n_taps", VarintField(1, len(TAPS))),
        ("n_features", VarintField(1, 32)),
        ("n_feature_levels", VarintField(0, 40)),
        ("hidden", VarintField(1, 256)),
        ("prior", VarintField(0, N_PRIORS)),
    )
    WIRE_WITH_RATE: ClassVar[Wire] = (*WIRE, ("rate", _RATE))

    @property
    def has_rate(self) -> bool:
        """Whether networks depend on lambda, see the head of this module."""
        return self.prior >= _FIRST_WITH_RATE

    @property
    def wire(self) -> Wire:
        """The fields that a file of this structure holds."""
        return self.WIRE_WITH_RATE if self.has_rate else self.WIRE


def write_structure(structure: Structure) -> bytes:
    """Write what `read_structure` reads; UsageError for what it would refuse."""
    if structure.rate and not structure.has_rate:
        raise UsageError(f"rate={structure.rate} needs prior={_FIRST_WITH_RATE}")
    return write_fields(structure, structure.wire)


def read_structure(reader: Reader) -> Structure:
    """Read the fields of a structure; raises FormatError."""
    structure = read_fields(Structure, Structure.WIRE, reader)
    if not structure.has_rate:
        return structure
    return replace(structure, rate=_RATE.read(reader, "rate"))


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

    def at_rate(self, rate: int) -> "Pyramid":
        """Return the pyramid at another rate; one whose structure has none, as it is."""
        if not self.structure.has_rate:
            return self
        return replace(self, structure=replace(self.structure, rate=rate))

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """In the order of coding, the coarsest first; at least one that is not hyper."""
        coarsest = max(0, math.ceil(math.log2(max(self.height, self.width) / _COARSEST)))
        if self.structure.has_rate:
            coarsest = COARSEST_EXPONENT
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
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha, which no prior knows."""
        return self.n_channels in (2, 4)

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

    @property
    def octaves(self) -> tuple[int, ...]:
        """For each level: a latent counts 2**-octaves for the networks."""
        return tuple(self.octaves_at(level.exponent) for level in self.levels)

    def octaves_at(self, exponent: int) -> int:
        """Return those of a level of that exponent."""
        return exponent if self.structure.prior in _WITH_OCTAVES else 0

    @cached_property
    def context_of(self) -> tuple[str, ...]:
        """For each level, how the names of its context network's tensors begin."""
        if not self.structure.has_rate:
            return ("context",) * len(self.levels)
        return tuple(f"context{min(level.exponent, N_CONTEXTS - 1)}" for level in self.levels)

    @property
    def contexts(self) -> tuple[str, ...]:
        """All context networks, in the order of the levels."""
        return tuple(dict.fromkeys(self.context_of))

    @cached_property
    def context_groups(self) -> dict[str, dict[str, Shape]]:
        """The context model: group -> tensor -> shape, in file order. The tensors of a group share
        one step and one distribution in the file."""
        s = self.structure
        width = s.n_taps + s.n_features
        features: dict[str, dict[str, Shape]] = {context: {} for context in self.contexts}
        for level, context in enumerate(self.context_of):
            name = self.feature_name(level)
            if name is not None:
                features[context][name] = (s.n_features, level)
        if self.structure.has_rate:
            groups: dict[str, dict[str, Shape]] = {}
            for context, of_context in features.items():
                inner: dict[str, Shape] = {f"{context}_w{i}": (width, width) for i in range(2)}
                outer: dict[str, Shape] = {f"{context}_{n}": (2, width) for n in ("out", "linear")}
                biases: dict[str, Shape] = {
                    f"{context}_b{i}": (n,) for i, n in enumerate((width, width, 2))
                }
                groups |= {f"{context}_w": of_context | inner, f"{context}_out": outer}
                groups[f"{context}_b"] = biases
            return groups
        return self._common_context_groups(features["context"], width)

    def _common_context_groups(
        self, features: dict[str, Shape], width: int
    ) -> dict[str, dict[str, Shape]]:
        """Return the groups where all levels have one context network."""
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
