"""The kinds: ways to store a picture. The only place that lists them.

A kind is a folder with a `kind.py`, and one line in `KINDS`.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from inr.cae.kind import CAE
from inr.errors import FormatError
from inr.format import container
from inr.format.container import Header
from inr.grid.kind import GRID
from inr.image.region import Region, Size
from inr.mlp.kind import MLP
from inr.options import (
    NO_LIMITS,
    AnyRecipe,
    Candidate,
    DecodeOptions,
    Job,
    RateAxis,
    Report,
    Sections,
    Warn,
)

R = TypeVar("R", bound=AnyRecipe)


class KindFile(Protocol):
    """A file of one kind as far as it can be read without drawing it."""

    @property
    def header(self) -> Header: ...
    @property
    def sections(self) -> Sections: ...

    def decode_work(self, size: Size, region: Region) -> int:
        """Count the multiply-adds of `render`, as exact/work.py counts them."""

    def working_pixels(self) -> int:
        """Count the pixels that `render` holds in memory besides what it returns."""

    def render(self, size: Size, region: Region) -> np.ndarray:
        """Draw a part of the picture at any size.

        Args:
          size: of the whole drawing.
          region: the part of it to draw, inside.
        Returns:
          u8 or u16 [region.height, region.width, n_channels]
        Raises:
          FormatError: the file is damaged.
        """

    def describe(self, options: DecodeOptions) -> dict[str, Any]:
        """Tell what the kind has in the file, ready for JSON.

        Args:
          options: whose limits say how much may be decoded for it; what would be said of the
            rest is None.
        Raises:
          FormatError: the file is damaged.
        """


class Kind(Protocol[R]):
    """One way to store a picture. Importing it costs nothing; its methods import what they need."""

    @property
    def number(self) -> int:
        """In the header; never used again for another kind."""

    @property
    def name(self) -> str: ...
    @property
    def recipe_type(self) -> type[R]: ...
    @property
    def recipes(self) -> Mapping[str, Callable[[], R]]:
        """Named recipes; the first line of a docstring says what each is for."""

    @property
    def stages(self) -> Mapping[str, tuple[type[Any], ...]]:
        """Stages of a recipe that `--set PATH=NAME` exchanges, with the methods there are."""

    @property
    def required(self) -> frozenset[int]:
        """Tags of sections that a file must have."""

    @property
    def allowed(self) -> frozenset[int]:
        """Tags of sections that a file may have besides."""

    @property
    def max_bit_depth(self) -> int:
        """Of the samples that its files can hold."""

    @property
    def rate_axis(self) -> RateAxis:
        """What a rate-distortion curve of this kind runs along."""

    def encode(self, jobs: Sequence[Job[R]], report: Report | None, warn: Warn) -> list[Candidate]:
        """Make the files of pictures that have more than one colour.

        Args:
          jobs: one, or several that share a `batch_key`. The pictures have no hidden colours.
          report: called after each block of steps.
          warn: called, before a fit, with a line on a file that decoders will refuse by default.
        Raises:
          UsageError: a picture or options that this recipe cannot serve.
          FitError: a fit failed, or missed its target.
        """

    def batch_key(self, job: Job[R]) -> Hashable | None:
        """Return what is equal for jobs that can run at once; None for one that runs alone."""

    def work(self, job: Job[R]) -> float:
        """Estimate the floating-point operations of an encoding; 0 where nothing is fitted."""

    def fingerprint(self, recipe: R) -> str:
        """Return all that the recipe decides by, also what stands in files that it names."""

    def models_folder(self, recipe: R) -> Path | None:
        """Return the folder of weights that files of the recipe need, if those are not shipped."""

    def open(self, header: Header, sections: Sections, models: Path | None) -> KindFile:
        """Read a file as far as it can be without drawing it; raises FormatError.

        Args:
          models: see `DecodeOptions`.
        """


KINDS: tuple[Kind[Any], ...] = (MLP, GRID, CAE)


def kind_of(recipe: AnyRecipe) -> Kind[Any]:
    """Return the kind of a recipe."""
    for kind in KINDS:
        if isinstance(recipe, kind.recipe_type):
            return kind
    known = ", ".join(kind.recipe_type.__name__ for kind in KINDS)
    raise TypeError(f"a {type(recipe).__name__} is no recipe; expected one of {known}")


def find_kind(number: int) -> Kind[Any]:
    """Return the kind that a header names; raises FormatError for one that is not known."""
    for kind in KINDS:
        if kind.number == number:
            return kind
    known = ", ".join(f"{kind.number} ({kind.name})" for kind in KINDS)
    raise FormatError(f"kind {number} is not known; this version reads {known}")


def trusting_options(recipe: AnyRecipe) -> DecodeOptions:
    """Return options that decode a file of that recipe, written a moment ago: without limits."""
    return replace(NO_LIMITS, models=kind_of(recipe).models_folder(recipe))


def open_file(data: bytes, models: Path | None = None) -> KindFile:
    """Read a file as far as it can be without drawing it.

    Args:
      models: see `DecodeOptions`.
    Raises:
      FormatError: the bytes are no readable .inr file.
      TypeError: data is something else than bytes.
    """
    header, sections = container.unpack(data)
    kind = find_kind(header.kind)
    container.check_sections(sections, kind.name, kind.required, kind.allowed)
    return kind.open(header, sections, models)
