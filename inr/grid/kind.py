"""Kind grid: the latents of a picture and the networks that draw them are the file."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inr.format.container import SECTION_ICC_PROFILE, SECTION_LATENTS, SECTION_NETWORKS, Header
from inr.grid.file import NUMBER, GridContent, read_content
from inr.grid.recipe import RECIPES, GridRecipe
from inr.grid.structure import Pyramid
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

_OVERHEAD = 6.0  # a fit of a latent grid takes so many times its products; measured
# The search for its networks' codes takes as long as so many steps, and more for each of the fit.
_SEARCH_STEPS, _SEARCH_SHARE = 80, 0.14


@dataclass(frozen=True)
class GridFile:
    """A file of kind grid whose structure is read."""

    content: GridContent

    @property
    def header(self) -> Header:
        return self.content.header

    @property
    def sections(self) -> Sections:
        return self.content.sections

    def decode_work(self, size: Size, region: Region) -> int:
        """See `kinds.KindFile`."""
        from inr.grid.work import rendering_macs

        return rendering_macs(self.content.pyramid, size, region)

    def working_pixels(self) -> int:
        """See `kinds.KindFile`."""
        return 0

    def render(self, size: Size, region: Region) -> np.ndarray:
        """See `kinds.KindFile`."""
        from inr.grid.decode import render_content

        return render_content(self.content, size, region)

    def describe(self, options: DecodeOptions) -> dict[str, Any]:
        """See `kinds.KindFile`."""
        from inr.grid.describe import describe

        return describe(self.content, options)


class GridKind:
    """What the table of kinds holds; see `kinds.Kind`."""

    number = NUMBER
    name = "grid"
    recipe_type = GridRecipe
    recipes: Mapping[str, Callable[[], GridRecipe]] = RECIPES
    stages: Mapping[str, tuple[type[Any], ...]] = {}
    required = frozenset({SECTION_NETWORKS, SECTION_LATENTS})
    allowed = frozenset({SECTION_ICC_PROFILE})
    max_bit_depth = 16
    rate_axis = lambda_axis(0.004, 0.001, 0.0004, 0.0001)

    def encode(
        self, jobs: Sequence[Job[GridRecipe]], report: Report | None, warn: Warn
    ) -> list[Candidate]:
        """See `kinds.Kind`."""
        from inr.grid.choose_prior import choose_prior
        from inr.grid.instant import encode_instant, is_instant, with_steps_for_alpha

        jobs = [choose_prior(with_steps_for_alpha(job)) for job in jobs]
        if all(is_instant(job) for job in jobs):
            return [encode_instant(job) for job in jobs]
        from inr.fitting.jax_settings import own_jax_settings

        with own_jax_settings():
            if jobs[0].options.target.is_given:
                from inr.grid.target_search import encode_to_target

                return [encode_to_target(jobs[0], report)]
            from inr.grid.encode import encode

            return encode(jobs, report)

    def batch_key(self, job: Job[GridRecipe]) -> Hashable | None:
        """See `kinds.Kind`. There is none: tiles of one picture keep all cores busy."""
        return None

    def work(self, job: Job[GridRecipe]) -> float:
        """See `kinds.Kind`."""
        picture, fit = job.picture, job.recipe.fit
        pyramid = Pyramid(picture.height, picture.width, picture.n_channels, job.recipe.structure)
        # Each latent passes one of the context networks, each pixel the synthesis.
        n_context = _n_numbers(pyramid.context_groups) // len(pyramid.contexts)
        n_products = pyramid.n_latents * n_context
        n_products += picture.n_pixels * _n_numbers(pyramid.synthesis_groups)
        n_steps = fit.steps * (1 + (fit.n_starts - 1) * fit.trial)
        # Multiply and add, forward and twice backward.
        n_steps += _SEARCH_STEPS + _SEARCH_SHARE * fit.steps
        return 6.0 * n_products * n_steps * _OVERHEAD

    def fingerprint(self, recipe: GridRecipe) -> str:
        """See `kinds.Kind`."""
        return str(recipe)

    def models_folder(self, recipe: GridRecipe) -> None:
        """See `kinds.Kind`."""

    def open(self, header: Header, sections: Sections, models: Path | None) -> GridFile:
        """See `kinds.Kind`."""
        return GridFile(read_content(header, sections))


def _n_numbers(groups: Mapping[str, Mapping[str, tuple[int, ...]]]) -> int:
    return sum(math.prod(shape) for tensors in groups.values() for shape in tensors.values())


GRID = GridKind()
