"""Kind cae: the entropy-coded latents of a trained autoencoder are the file."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inr.cae.file import NUMBER, CaeContent, read_content
from inr.cae.recipe import RECIPES, CaeRecipe
from inr.format.container import SECTION_ALPHA, SECTION_ICC_PROFILE, SECTION_LATENTS, Header
from inr.image.region import Region, Size
from inr.options import (
    Candidate,
    DecodeOptions,
    Job,
    Report,
    Sections,
    Warn,
    lambda_axis,
)

if TYPE_CHECKING:
    from inr.cae.codec import CaeCodec


@dataclass(frozen=True)
class CaeFile:
    """A file of kind cae, before its model is loaded."""

    content: CaeContent
    models: Path | None  # see `DecodeOptions`

    @property
    def header(self) -> Header:
        return self.content.header

    @property
    def sections(self) -> Sections:
        return self.content.sections

    @cached_property
    def _codec(self) -> "CaeCodec":
        from inr.cae.decode import codec_of

        return codec_of(self.content, self.models)

    def decode_work(self, size: Size, region: Region) -> int:
        """See `kinds.KindFile`."""
        from inr.cae.work import rendering_macs

        model, header = self._codec.weights.model, self.header
        own_size = Size(header.height, header.width)
        return rendering_macs(model, own_size, header.n_channels, size, region)

    def working_pixels(self) -> int:
        """See `kinds.KindFile`."""
        return 0

    def render(self, size: Size, region: Region) -> np.ndarray:
        """See `kinds.KindFile`."""
        from inr.cae.decode import render_content

        return render_content(self.content, size, region, self._codec)

    def describe(self, options: DecodeOptions) -> dict[str, Any]:
        """See `kinds.KindFile`."""
        from inr.cae.describe import describe

        return describe(self.content, self._codec)


class CaeKind:
    """What the table of kinds holds; see `kinds.Kind`."""

    number = NUMBER
    name = "cae"
    recipe_type = CaeRecipe
    recipes: Mapping[str, Callable[[], CaeRecipe]] = RECIPES
    stages: Mapping[str, tuple[type[Any], ...]] = {}
    required = frozenset({SECTION_LATENTS})
    allowed = frozenset({SECTION_ICC_PROFILE, SECTION_ALPHA})
    max_bit_depth = 8
    rate_axis = lambda_axis(0.0128, 0.004, 0.0014, 0.0005, 0.0002)

    def encode(
        self, jobs: Sequence[Job[CaeRecipe]], report: Report | None, warn: Warn
    ) -> list[Candidate]:
        """See `kinds.Kind`."""
        from inr.cae.encode import encode

        return [encode(job) for job in jobs]

    def batch_key(self, job: Job[CaeRecipe]) -> Hashable | None:
        """See `kinds.Kind`; each picture runs alone."""
        return None

    def work(self, job: Job[CaeRecipe]) -> float:
        """See `kinds.Kind`; nothing is fitted."""
        return 0.0

    def fingerprint(self, recipe: CaeRecipe) -> str:
        """Return the settings, and the hash of the weights: a path may hold others tomorrow.

        Raises:
          UsageError: there is no such file of weights.
        """
        from inr.cae.weight_store import find_hash

        return f"{recipe}, weights of SHA-256 {find_hash(recipe.model)}"

    def models_folder(self, recipe: CaeRecipe) -> Path | None:
        """See `kinds.Kind`."""
        from inr.cae.weight_store import find_folder

        return find_folder(recipe.model)

    def open(self, header: Header, sections: Sections, models: Path | None) -> CaeFile:
        """See `kinds.Kind`."""
        return CaeFile(read_content(header, sections), models)


CAE = CaeKind()
