"""Kind mlp: the weights of a coordinate network are the file."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from inr.errors import UsageError
from inr.format.container import SECTION_BANDS, SECTION_ICC_PROFILE, SECTION_WEIGHTS, Header
from inr.image.region import Region, Size
from inr.mlp.file import NUMBER, MlpContent, read_content
from inr.mlp.recipe import RECIPES, STAGES, MlpRecipe
from inr.options import (
    Candidate,
    DecodeOptions,
    Job,
    RateAxis,
    Report,
    Sections,
    Target,
    Warn,
)

_FITS_TO_A_PSNR = 3  # of different sizes; seven at most


@dataclass(frozen=True)
class MlpFile:
    """A file of kind mlp whose stages are read."""

    content: MlpContent

    @property
    def header(self) -> Header:
        return self.content.header

    @property
    def sections(self) -> Sections:
        return self.content.sections

    def decode_work(self, size: Size, region: Region) -> int:
        """See `kinds.KindFile`."""
        from inr.mlp.work import rendering_macs

        header = self.header
        own_size = Size(header.height, header.width)
        return rendering_macs(self.content.stages, own_size, header.n_channels, size, region)

    def working_pixels(self) -> int:
        """Count the samples of bands, of which long filters make 62 from each pixel of a picture
        of few rows, if not more."""
        header, split = self.header, self.content.stages.split
        if not split.HAS_BANDS:
            return 0
        grids = split.grids(header.height, header.width, header.n_channels)
        return sum(
            grid.height * grid.width * grid.n_channels // header.n_channels for grid in grids
        )

    def render(self, size: Size, region: Region) -> np.ndarray:
        """See `kinds.KindFile`."""
        from inr.mlp.decode import render_content

        return render_content(self.content, size, region)

    def describe(self, options: DecodeOptions) -> dict[str, Any]:
        """See `kinds.KindFile`."""
        from inr.mlp.describe import describe

        return describe(self.content, options.max_macs)


class MlpKind:
    """What the table of kinds holds; see `kinds.Kind`."""

    number = NUMBER
    name = "mlp"
    recipe_type = MlpRecipe
    recipes: Mapping[str, Callable[[], MlpRecipe]] = RECIPES
    stages: Mapping[str, tuple[type[Any], ...]] = STAGES
    required = frozenset({SECTION_WEIGHTS})
    allowed = frozenset({SECTION_ICC_PROFILE, SECTION_BANDS})
    max_bit_depth = 16
    rate_axis = RateAxis(
        "target_bpp",
        (0.1, 0.2, 0.3, 0.45, 0.6),
        at=lambda recipe, options, bpp: (recipe, replace(options, target=Target(bpp=bpp))),
    )

    def encode(
        self, jobs: Sequence[Job[MlpRecipe]], report: Report | None, warn: Warn
    ) -> list[Candidate]:
        """See `kinds.Kind`."""
        from inr.fitting.jax_settings import own_jax_settings

        with own_jax_settings():
            if len(jobs) > 1:
                from inr.mlp.encode import encode_batch

                return encode_batch(jobs, report)
            if jobs[0].options.target.psnr_db is not None:
                from inr.mlp.target_psnr import encode_to_psnr

                return [encode_to_psnr(jobs[0], report)]
            from inr.mlp.encode import encode

            return [encode(jobs[0], report, warn)]

    def batch_key(self, job: Job[MlpRecipe]) -> Hashable | None:
        """See `kinds.Kind`. Jobs of one key may differ in pixels, seed, target, sparsity and the
        bits of a uniform quantizer."""
        from inr.mlp.encode import prepare
        from inr.mlp.sparsify.masks import keep_counts

        if job.options.target.psnr_db is not None or job.recipe.fit.n_seeds > 1:
            return None
        problem = prepare(job).problem
        counts = keep_counts(problem.sparsifier, problem.field_set.matrices())
        quantizer = problem.quantizer
        return (
            problem.field_set,
            tuple((s.height, s.width, s.samples.shape, s.samples.dtype) for s in problem.signals),
            problem.signals[-1].has_alpha,
            quantizer.for_training() if quantizer.LEARNS_STEPS else quantizer,
            problem.sparsifier.for_training(),
            tuple(counts),
            problem.budget.max_bytes is not None,
            job.recipe.fit,
        )

    def work(self, job: Job[MlpRecipe]) -> float:
        """See `kinds.Kind`; 0 where the target cannot be met."""
        from inr.mlp.encode import prepare
        from inr.mlp.fields.protocol import n_weights
        from inr.mlp.fit.settings import cpu_batch

        try:
            field_set = prepare(job).problem.field_set
        except UsageError:
            return 0.0
        fit, n_pixels = job.recipe.fit, job.picture.n_pixels
        batch = min(fit.batch or cpu_batch(n_pixels), n_pixels)
        n_starts = 1 + (fit.n_seeds - 1) * fit.seed_trial
        n_fits = 1 if job.options.target.psnr_db is None else _FITS_TO_A_PSNR
        # Multiply and add, forward and twice backward.
        return 6.0 * n_weights(field_set.shapes()) * batch * fit.steps * n_starts * n_fits

    def fingerprint(self, recipe: MlpRecipe) -> str:
        """See `kinds.Kind`."""
        return str(recipe)

    def models_folder(self, recipe: MlpRecipe) -> None:
        """See `kinds.Kind`."""

    def open(self, header: Header, sections: Sections, models: Path | None) -> MlpFile:
        """See `kinds.Kind`."""
        return MlpFile(read_content(header, sections))


MLP = MlpKind()
