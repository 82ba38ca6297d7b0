"""Several like pictures or settings fitted at once, as one vmapped batch."""

import time
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from inr.codec import Encoded, Wish, encode_picture, finished

if TYPE_CHECKING:
    from inr.fit_types import Progress
    from inr.mlp_file import PictureFacts
    from inr.picture import Picture
    from inr.preparation import Prepared
    from inr.recipes import Recipe

BatchJob = tuple["Picture", "Recipe", Wish]


def batch_key(picture: "Picture", recipe: "Recipe", wish: Wish) -> Hashable | None:
    """Equal for encodings that can run as one batch: same sizes, same methods, same schedule.

    They may differ in pixels, seed, target, sparsity and the bits of a uniform quantizer. None for
    an encoding that has to run on its own. Raises ValueError for a target that cannot be met.
    """
    from inr.preparation import facts_of, prepare

    if _runs_alone(facts_of(picture), recipe, wish):
        return None
    return _key(prepare(picture, recipe, wish), recipe)


def _runs_alone(facts: "PictureFacts", recipe: "Recipe", wish: Wish) -> bool:
    if wish.target_psnr or wish.time_budget or wish.checkpoint or recipe.fit.n_seeds > 1:
        return True
    return facts.is_one_colour


def _key(prepared: "Prepared", recipe: "Recipe") -> Hashable:
    job = prepared.job
    counts = job.sparsifier.keep_counts(job.joint.trained_shapes())
    signals = tuple((s.height, s.width, s.samples.shape, s.samples.dtype) for s in job.signals)
    quantizer = job.quantizer.for_training() if job.quantizer.LEARNS_STEPS else job.quantizer
    alpha = job.signals[-1].has_alpha
    has_target = job.budget.max_bytes is not None
    return (
        job.joint,
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
) -> list[Encoded]:
    """`encode_picture` for encodings of one `batch_key`, fitted at once.

    The seconds of each are its share of the batch's.

    Raises:
      ValueError: the jobs have different keys, or one has to run on its own.
      FitError: one of the fits failed.
    """
    if len(jobs) == 1:
        picture, recipe, wish = jobs[0]
        return [encode_picture(picture, recipe, wish, report=report)]
    from inr.fit import fit_batch
    from inr.preparation import prepare

    started_at = time.monotonic()
    prepared = [prepare(*job) for job in jobs]
    keys = {_key(one, job[1]) for one, job in zip(prepared, jobs, strict=True)}
    alone = [
        _runs_alone(one.facts, recipe, wish)
        for one, (_, recipe, wish) in zip(prepared, jobs, strict=True)
    ]
    if len(keys) > 1 or any(alone):
        raise ValueError("these encodings cannot run as one batch; group them by batch_key")
    all_fitted = fit_batch([one.job for one in prepared], jobs[0][1].fit, report=report)
    fit_seconds = (time.monotonic() - started_at) / len(jobs)
    encoded = []
    for (picture, _, _), one, fitted in zip(jobs, prepared, all_fitted, strict=True):
        drawing_at = time.monotonic() - fit_seconds  # counts as started its share ago
        data = one.file_of(fitted.codes, fitted.levels)
        encoded.append(finished(picture, data, fitted.n_steps, drawing_at))
    return encoded
