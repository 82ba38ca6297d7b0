"""Several like pictures or settings fitted at once, as one vmapped batch."""

import time
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from inr.codec import EncodeOptions, EncodeResult, encode_picture, finished
from inr.fitting.jax_settings import own_jax_settings, platform

if TYPE_CHECKING:
    from inr.grid.recipe import GridRecipe
    from inr.image.picture import Picture
    from inr.mlp.encode import Prepared
    from inr.mlp.file import PictureInfo
    from inr.mlp.fit.problem import Progress
    from inr.recipes import AnyRecipe, Recipe

_NOT_ONE_BATCH = "these encodings cannot run as one batch; group them by batch_key"

BatchJob = tuple["Picture", "AnyRecipe", EncodeOptions]


def batch_key(picture: "Picture", recipe: "AnyRecipe", options: EncodeOptions) -> Hashable | None:
    """Equal for encodings that can run as one batch: same sizes, same methods, same schedule.

    They may differ in pixels, seed, target, sparsity and the bits of a uniform quantizer; of kind
    grid in pixels, seed and lambda, and only where there is a GPU: cores are busy with one. None
    for an encoding that has to run on its own. Raises ValueError for a target that cannot be met.
    """
    from inr.image.hidden_colours import fill_hidden_colours
    from inr.mlp.encode import picture_info, prepare

    picture = fill_hidden_colours(picture)
    if recipe.KIND == "cae" or _runs_alone(picture_info(picture), recipe, options):
        return None
    if recipe.KIND == "grid":
        return _grid_key(picture, recipe) if _has_gpu() else None
    return _key(prepare(picture, recipe, options), recipe)


def _runs_alone(info: "PictureInfo", recipe: "AnyRecipe", options: EncodeOptions) -> bool:
    if options.target_psnr or options.time_budget or options.checkpoint or info.is_one_colour:
        return True
    if recipe.KIND == "cae":
        return True
    return options.has_target if recipe.KIND == "grid" else recipe.fit.n_seeds > 1


def _has_gpu() -> bool:
    return platform() != "cpu"


def _grid_key(picture: "Picture", recipe: "GridRecipe") -> Hashable:
    return recipe.KIND, picture.pixels.shape, recipe.structure, recipe.fit


def _key(prepared: "Prepared", recipe: "Recipe") -> Hashable:
    job = prepared.job
    counts = job.sparsifier.keep_counts(job.field_set.trained_shapes())
    signals = tuple((s.height, s.width, s.samples.shape, s.samples.dtype) for s in job.signals)
    quantizer = job.quantizer.for_training() if job.quantizer.LEARNS_STEPS else job.quantizer
    alpha = job.signals[-1].has_alpha
    has_target = job.budget.max_bytes is not None
    return (
        job.field_set,
        signals,
        alpha,
        quantizer,
        job.sparsifier.for_training(),
        tuple(counts),
        has_target,
        recipe.fit,
    )


def encode_batch(
    jobs: Sequence[BatchJob],
    report: "Callable[[Progress], None] | None" = None,
) -> list[EncodeResult]:
    """`encode_picture` for encodings of one `batch_key`, fitted at once.

    The seconds of each are its share of the batch's.

    Raises:
      ValueError: the jobs have different keys, or one has to run on its own.
      FitError: one of the fits failed.
    """
    from inr.image.hidden_colours import fill_hidden_colours
    from inr.mlp.encode import picture_info

    if len(jobs) == 1:
        picture, recipe, options = jobs[0]
        return [encode_picture(picture, recipe, options, report=report)]
    jobs = [(fill_hidden_colours(picture), recipe, options) for picture, recipe, options in jobs]
    of_mlp = [
        (picture, recipe, options) for picture, recipe, options in jobs if recipe.KIND == "mlp"
    ]
    of_grid = [
        (picture, recipe, options) for picture, recipe, options in jobs if recipe.KIND == "grid"
    ]
    grid_keys = {_grid_key(picture, recipe) for picture, recipe, _ in of_grid}
    alone = [
        _runs_alone(picture_info(picture), recipe, options) for picture, recipe, options in jobs
    ]
    if any(alone) or len(grid_keys) > 1 or (of_mlp and of_grid):
        raise ValueError(_NOT_ONE_BATCH)
    if of_grid:
        with own_jax_settings():
            from inr.grid.encode import encode_grids

            return encode_grids(of_grid, report=report)
    with own_jax_settings():
        return _encode_mlps(of_mlp, report)


def _encode_mlps(
    jobs: "Sequence[tuple[Picture, Recipe, EncodeOptions]]",
    report: "Callable[[Progress], None] | None",
) -> list[EncodeResult]:
    from inr.mlp.encode import prepare
    from inr.mlp.fit.fit import fit_batch

    started_at = time.monotonic()
    prepared = [prepare(*job) for job in jobs]
    if len({_key(one, job[1]) for one, job in zip(prepared, jobs, strict=True)}) > 1:
        raise ValueError(_NOT_ONE_BATCH)
    all_fitted = fit_batch([one.job for one in prepared], jobs[0][1].fit, report=report)
    fit_seconds = (time.monotonic() - started_at) / len(jobs)
    encoded = []
    for (picture, _, _), one, fitted in zip(jobs, prepared, all_fitted, strict=True):
        drawing_at = time.monotonic() - fit_seconds  # counts as started its share ago
        data = one.file_of(fitted.codes, fitted.levels)
        encoded.append(finished(picture, data, fitted.n_steps, drawing_at))
    return encoded
