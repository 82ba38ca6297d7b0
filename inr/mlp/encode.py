"""Pictures to files of kind mlp: size of the network, fit, codes, file."""

import dataclasses
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from inr.errors import UsageError
from inr.fitting.checkpoint import checkpoint_of
from inr.fitting.compile_time import OF_MLP, seconds_to_compile
from inr.fitting.time_budget import (
    LEAST_STEPS,
    ROUNDING_COMPILE_SHARE,
    TimeBudget,
    budget_of,
)
from inr.format.container import pack_icc
from inr.image.picture import Picture
from inr.image.region import Region
from inr.mlp.decode import draw_signal, tile_size
from inr.mlp.fields.protocol import n_weights
from inr.mlp.file import MAX_WEIGHTS, BandPeaks, PictureInfo, write_file
from inr.mlp.fit.problem import Budget, FitProblem, Signal
from inr.mlp.fit.settings import cpu_batch
from inr.mlp.quantize.uniform import Uniform, wire_step
from inr.mlp.recipe import MlpRecipe, siren
from inr.mlp.size import Design, choose_size, size_of
from inr.mlp.size import Size as NetworkSize
from inr.mlp.splits.whole import Whole
from inr.mlp.tags import Stages
from inr.mlp.work import rendering_macs
from inr.options import (
    AnyRecipe,
    Candidate,
    EncodeOptions,
    Job,
    Report,
    Warn,
    describe_heavy_decoding,
)

_MIN_DEFAULT_BYTES = 128  # without a target, pictures of a few pixels get as much as this


def encode(job: Job[MlpRecipe], report: Report | None, warn: Warn) -> Candidate:
    """Fit one picture of more than one colour, without a target of quality.

    Raises:
      UsageError: a target that no network of this recipe can meet, a time budget that is too
        short, or a checkpoint of another run.
      FitError: the fit failed.
    """
    from inr.mlp.fit.program import fit

    picture, recipe, options = job.picture, job.recipe, job.options
    prepared = prepare(job)
    own_size = picture.size
    n_macs = rendering_macs(
        prepared.stages, own_size, picture.n_channels, own_size, Region.whole(own_size)
    )
    heavy = describe_heavy_decoding(n_macs)
    if heavy is not None:
        warn(heavy)
    checkpoint = checkpoint_of(options.checkpoint, picture.pixels, prepared.settings(recipe))
    result = fit(
        prepared.problem,
        recipe.fit,
        time_budget=before_drawing(budget_of(options), prepared, recipe),
        store=checkpoint,
        report=report,
    )
    data = prepared.write_file(result.codes, result.qparams)
    return Candidate(data, result.n_steps, checkpoint=checkpoint)


def encode_batch(jobs: Sequence[Job[MlpRecipe]], report: Report | None) -> list[Candidate]:
    """Fit several jobs of one `batch_key` at once; raises FitError."""
    from inr.mlp.fit.program import fit_batch

    all_prepared = [prepare(job) for job in jobs]
    problems = [prepared.problem for prepared in all_prepared]
    results = fit_batch(problems, jobs[0].recipe.fit, report=report)
    return [
        Candidate(prepared.write_file(result.codes, result.qparams), result.n_steps)
        for prepared, result in zip(all_prepared, results, strict=True)
    ]


def encode_one_colour(picture: Picture, recipe: AnyRecipe) -> bytes:
    """Return the file of the smallest network, all weights zero: the ranges alone say all there is.

    Args:
      picture: all of its pixels are alike.
      recipe: whose field and coder the file names, if it is of this kind.
    """
    recipe = recipe if isinstance(recipe, MlpRecipe) else siren()
    info = picture_info(picture)
    net = recipe.field.with_size(1, 1)
    codes = {k: np.zeros(shape, np.int32) for k, shape in net.shapes(info.n_channels).items()}
    trained = [name for name in codes if name not in net.fixed_steps()]
    stages = Stages(Whole(), net, Uniform(), recipe.coder)
    return write_file(info, stages, codes, dict.fromkeys(trained, np.ones((), np.float32)))


@dataclass(frozen=True)
class Prepared:
    """The problem of a fit, and what its file says beside the codes."""

    info: PictureInfo
    stages: Stages
    problem: FitProblem

    def write_file(self, codes: dict[str, np.ndarray], qparams: dict[str, np.ndarray]) -> bytes:
        """Return the whole file with these codes."""
        return write_file(self.info, self.stages, codes, qparams)

    def settings(self, recipe: MlpRecipe) -> object:
        """Return all that decides a fit besides the pixels, for its checkpoint."""
        budget = self.problem.budget
        return self.info, recipe, self.stages, budget.bits, budget.max_bytes, self.problem.seed


def picture_info(picture: Picture) -> PictureInfo:
    """Return what a file says of the picture itself."""
    return PictureInfo(
        picture.height,
        picture.width,
        picture.n_channels,
        picture.bit_depth,
        picture.ranges(),
        picture.icc_profile,
    )


def max_bytes(options: EncodeOptions, recipe: MlpRecipe, info: PictureInfo) -> int | None:
    """Return the size that the file must not exceed; None where the recipe fixes the network.

    What is asked for counts the colour profile. The recipe's own size does not: nobody gave it,
    and the profile must not take the place of the picture.
    """
    target = options.target.max_bytes(info.height * info.width)
    if target is not None or recipe.field.hidden is not None:
        return target
    return max(_MIN_DEFAULT_BYTES, int(recipe.target_bpp * info.height * info.width / 8))


def prepare(job: Job[MlpRecipe]) -> Prepared:
    """Choose the network for a picture that has more than one colour, and what its fit is given.

    Raises:
      ValueError: a target that no network of this recipe can meet.
    """
    picture, recipe, options = job.picture, job.recipe, job.options
    info = picture_info(picture)
    design = Design(
        recipe.field,
        recipe.split,
        recipe.sparsify,
        recipe.quantize,
        info.height,
        info.width,
        info.n_channels,
    )
    bands = []
    if recipe.split.HAS_BANDS:
        bands = recipe.split.forward(picture.pixels / float((1 << info.bit_depth) - 1))
        info = dataclasses.replace(info, band_peaks=_peaks(bands))
    limit = max_bytes(options, recipe, info)
    counted = info  # what of the file the size is for
    if info.icc_profile is not None and options.target.max_bytes(picture.n_pixels) is None:
        pack_icc(info.icc_profile)  # finds out before the fit that it is too long
        counted = dataclasses.replace(info, icc_profile=None)
    _check_rate_term(recipe, has_target=limit is not None)
    size = _choose_size(design, counted, recipe, limit)
    stages = Stages(recipe.split, size.design.prepared, recipe.quantize, recipe.coder)
    n_pixels = info.height * info.width
    budget = Budget(size.budget_bits, n_pixels, limit, partial(write_file, counted, stages))
    signals = _band_signals(bands, info) if bands else (_whole_signal(picture, info),)
    problem = FitProblem(
        field_set=size.design.field_set,
        signals=signals,
        quantizer=recipe.quantize,
        sparsifier=recipe.sparsify,
        budget=budget,
        seed=options.seed,
    )
    return Prepared(info, stages, problem)


def before_drawing(
    budget: TimeBudget | None, prepared: Prepared, recipe: MlpRecipe
) -> TimeBudget | None:
    """Return the part of a time budget that comes before the file is drawn, to check it.

    Raises:
      TooShort: there is no time to draw it, or none for a short fit before.
    """
    if budget is None:
        return None
    draw_seconds = seconds_to_draw(prepared)
    n_pixels = sum(signal.height * signal.width for signal in prepared.problem.signals)
    batch = min(n_pixels, recipe.fit.batch or cpu_batch(n_pixels))
    # A step draws its batch, and takes as long twice again for the gradient.
    step_seconds = 3 * draw_seconds * batch / n_pixels
    least_steps = min(recipe.fit.steps, LEAST_STEPS)
    compile_seconds = (1 + ROUNDING_COMPILE_SHARE) * seconds_to_compile(OF_MLP)
    rest = budget.reserving(draw_seconds)
    rest.require(
        compile_seconds + least_steps * step_seconds,
        "compiling, a short fit of this network and drawing it once",
    )
    return rest


def seconds_to_draw(prepared: Prepared) -> float:
    """Measure on a part of the picture how long drawing all of it takes."""
    field_set, signals = prepared.problem.field_set, prepared.problem.signals
    params = field_set.init(np.random.default_rng(0))
    seconds = 0.0
    for i, (part, signal) in enumerate(zip(field_set.parts, signals, strict=True)):
        n_rows, n_cols = tile_size(part.field, signal.height, signal.width)
        height, width = n_rows, min(signal.width, 2 * (os.cpu_count() or 1) * n_cols)
        of_part, n_channels = field_set.params_of(params, i), part.n_channels
        draw_signal(part.field, of_part, n_channels, height=1, width=1)  # its threads begin
        started_at = time.perf_counter()
        draw_signal(part.field, of_part, n_channels, height=height, width=width)
        share = signal.height * signal.width / (height * width)
        seconds += share * (time.perf_counter() - started_at)
    return seconds


def _choose_size(
    design: Design, info: PictureInfo, recipe: MlpRecipe, max_bytes: int | None
) -> NetworkSize:
    """Return the network that fits the size asked for, and what its codes may cost."""
    is_open = design.field.hidden is None
    # A width of 1 in place of one that is not chosen yet: nearly all widths take as many bytes.
    some = design.with_size(1, design.field.n_layers) if is_open else design
    stages = Stages(recipe.split, some.prepared, recipe.quantize, recipe.coder)
    overhead_bytes = len(write_file(info, stages, {}, {}))
    size: NetworkSize | None
    if max_bytes is None:
        size = NetworkSize(design, recipe.quantize.bits * design.n_kept)
    elif is_open:
        size = choose_size(design, target_bytes=max_bytes, overhead_bytes=overhead_bytes)
    else:
        size = size_of(design, max_bytes, overhead_bytes)
    if size is None or size.budget_bits < size.design.n_kept:
        raise UsageError(
            f"a target of {max_bytes} bytes is too small for this picture and recipe, whose "
            f"header takes {overhead_bytes}; give a larger target or a smaller field.hidden"
        )
    n_all = n_weights(size.design.field_set.shapes())
    if n_all > MAX_WEIGHTS:
        raise UsageError(
            f"a network of {n_all} weights is above the limit of {MAX_WEIGHTS}; give a smaller "
            "target or field.hidden"
        )
    return size


def _check_rate_term(recipe: MlpRecipe, has_target: bool) -> None:
    """Refuse settings of a rate term that nothing would read."""
    recipe.fit.weight_of_bpp(has_target)
    if recipe.fit.has_rate_term and not recipe.quantize.LEARNS_STEPS:
        raise UsageError(
            f"a rate term needs the quantizer uniform, whose steps are learned, not "
            f"{type(recipe.quantize).__name__.lower()}; leave quantize as it is, or give "
            "fit.rate_term=false"
        )


def _whole_signal(picture: Picture, info: PictureInfo) -> Signal:
    return Signal(
        picture.pixels.reshape(-1, picture.n_channels),
        picture.height,
        picture.width,
        info.ranges,
        peak=float((1 << info.bit_depth) - 1),
        has_alpha=picture.has_alpha,
    )


def _band_signals(bands: list[np.ndarray], info: PictureInfo) -> tuple[Signal, ...]:
    """Each group spans its peaks; its share of the error is that of its coefficients."""
    n_samples = info.height * info.width * info.n_channels
    return tuple(
        Signal(
            band.astype(np.float32).reshape(-1, band.shape[2]),
            band.shape[0],
            band.shape[1],
            tuple((-peak, peak) for peak in peaks),
            peak=1.0,
            share=band.size / n_samples,
        )
        for band, peaks in zip(bands, info.band_peaks, strict=True)
    )


def _peaks(bands: list[np.ndarray]) -> BandPeaks:
    """Return the largest coefficient of each channel, as the file holds it; all-zero channels get
    1."""
    return tuple(
        tuple(wire_step(float(peak) or 1.0) for peak in np.abs(band).max((0, 1))) for band in bands
    )
