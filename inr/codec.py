"""The whole story: a picture becomes a file, and a file a picture again.

encode   picture -> what is hidden in it forgotten -> its kind fits and codes it -> file, measured
decode   file -> its kind reads it -> size, region and work checked -> its kind draws it

How a picture is stored is its kind's matter (kinds.py); nothing here asks which kind it is.
"""

import time
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inr.errors import FormatError, UsageError
from inr.format.container import (
    DEFAULT_MAX_MACS,
    DEFAULT_MAX_PIXELS,
    VERSION,
    Header,
    icc_profile_of,
)
from inr.image.hidden_colours import fill_hidden_colours
from inr.image.metrics import bpp, psnr_db
from inr.image.picture import Picture
from inr.image.region import Region, Size
from inr.kinds import KindFile, find_kind, kind_of, open_file, trusting_options
from inr.options import (
    AS_IT_IS,
    AnyRecipe,
    Candidate,
    DecodeOptions,
    EncodeOptions,
    EncodeResult,
    Job,
    Report,
    Target,
    Warn,
)
from inr.recipes import siren

if TYPE_CHECKING:
    from PIL import Image

# Whoever asks what is in a file waits for about ten seconds at most: what takes more
# multiply-adds (exact/work.py) is not decoded to describe it.
DESCRIBE_OPTIONS = DecodeOptions(max_macs=4 * 10**11)


def encode(
    image: "Image.Image | np.ndarray",
    recipe: AnyRecipe | None = None,
    *,
    target_bpp: float | None = None,
    target_bytes: int | None = None,
    target_psnr: float | None = None,
    seed: int = 0,
    time_budget: float | None = None,
    checkpoint: str | Path | None = None,
    report: Report | None = None,
) -> bytes:
    """Fit a picture and return the bytes of an .inr file.

    Args:
      image: a Pillow picture, or uint8 or uint16 [height, width] or [height, width, 1..4].
      recipe: `inr.recipes.siren()` if not given.
      target_bpp, target_bytes, target_psnr: see `Target`. A Python warning says where a target is
        missed by more than 3 % of its bytes.
      seed, time_budget: see `EncodeOptions`.
      checkpoint: file from which a killed call goes on; it stays until the caller deletes it.
      report: called after each block of steps.
    Raises:
      ValueError: arguments that cannot be met.
      FitError: the fit failed.
      BackendError: jax cannot compute here, as where JAX_PLATFORMS names what is not there.
      OutOfMemoryError: jax has not enough memory.
    """
    checkpoint = Path(checkpoint) if checkpoint is not None else None
    target = Target(target_bpp, target_bytes, target_psnr)
    options = EncodeOptions(target, seed, time_budget, checkpoint)
    notes: list[str] = []
    result = encode_picture(_picture_of(image), recipe, options, warn=notes.append, report=report)
    for text in [*notes, *([] if result.missed is None else [result.missed])]:
        warnings.warn(text, stacklevel=2)
    return result.data


def _picture_of(image: "Image.Image | np.ndarray") -> Picture:
    from PIL import Image

    from inr.image.read import from_array, from_pil

    if isinstance(image, np.ndarray):
        return from_array(image)
    if isinstance(image, Image.Image):
        return from_pil(image, warn=_be_quiet)
    raise TypeError(
        f"cannot encode a {type(image).__name__}: expected a Pillow picture or a numpy array; "
        "open a file with PIL.Image.open"
    )


def _be_quiet(text: str) -> None:
    pass


def encode_picture(
    picture: Picture,
    recipe: AnyRecipe | None,
    options: EncodeOptions,
    *,
    warn: Warn = _be_quiet,
    report: Report | None = None,
) -> EncodeResult:
    """Encode a picture that is loaded already; see `encode_batch`."""
    job = Job(picture, siren() if recipe is None else recipe, options)
    return encode_batch([job], warn=warn, report=report)[0]


def encode_batch(
    jobs: Sequence[Job[Any]], *, warn: Warn = _be_quiet, report: Report | None = None
) -> list[EncodeResult]:
    """Encode one picture, or several at once that have one `batch_key`.

    Args:
      warn: called, before a fit, with a line on a file that decoders will refuse by default.
      report: called after each block of steps.
    Returns:
      One result a job; the seconds of each are its share of the batch's.
    Raises:
      ValueError: the jobs have different keys, or one has to run alone.
      FitError: one of the fits failed.
    """
    started_at = time.monotonic()
    jobs = [_without_hidden_colours(job, started_at) for job in jobs]
    if len(jobs) == 1 and jobs[0].picture.is_one_colour:
        candidates = [_encode_one_colour(jobs[0])]
    else:
        keys = {_key_of_seen(job) for job in jobs} if len(jobs) > 1 else set()
        if len(keys) > 1 or None in keys:
            raise ValueError("these encodings cannot run as one batch; group them by batch_key")
        candidates = kind_of(jobs[0].recipe).encode(jobs, report, warn)
    results = [_measure(job, made) for job, made in zip(jobs, candidates, strict=True)]
    seconds = (time.monotonic() - started_at) / len(jobs)
    return [replace(result, seconds=seconds) for result in results]


def batch_key(job: Job[Any]) -> Hashable | None:
    """Return what is equal for encodings that can run as one batch.

    They may differ in pixels, seed and, as the kind allows, in what does not change the program.

    Returns:
      None for an encoding that has to run alone.
    Raises:
      ValueError: a target that cannot be met.
    """
    return _key_of_seen(_without_hidden_colours(job, 0.0))


def _key_of_seen(job: Job[Any]) -> Hashable | None:
    options = job.options
    if options.time_budget or options.checkpoint or job.picture.is_one_colour:
        return None
    kind = kind_of(job.recipe)
    key = kind.batch_key(job)
    return None if key is None else (kind.name, key)


def _without_hidden_colours(job: Job[Any], now: float) -> Job[Any]:
    options = job.options
    if options.started_at is None:
        options = replace(options, started_at=now)
    return replace(job, picture=fill_hidden_colours(job.picture), options=options)


def _encode_one_colour(job: Job[Any]) -> Candidate:
    """Make the file of a picture of one colour, which is of kind mlp whatever the recipe: the
    ranges say all there is, and nothing is smaller than a network of zeros."""
    from inr.mlp.encode import encode_one_colour

    data = encode_one_colour(job.picture, job.recipe)
    most = job.options.target.max_bytes(job.picture.n_pixels)
    if most is not None and len(data) > most:
        raise UsageError(f"a target of {most} bytes is too small: this picture takes {len(data)}")
    return Candidate(data, 0)


def _measure(job: Job[Any], made: Candidate) -> EncodeResult:
    options = trusting_options(job.recipe)
    pixels = made.pixels if made.pixels is not None else decode_picture(made.data, options).pixels
    psnr = psnr_db(job.picture.pixels, pixels)
    missed = job.options.target.describe_miss(len(made.data), psnr, job.picture.n_pixels)
    return EncodeResult(made.data, psnr, made.n_steps, 0.0, missed, made.checkpoint)


def decode(
    data: bytes,
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    region: tuple[int, int, int, int] | None = None,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    max_macs: float | None = DEFAULT_MAX_MACS,
    models: str | Path | None = None,
) -> np.ndarray:
    """Draw the picture of an .inr file, at its own size or any other.

    Args:
      data: the bytes of the file.
      scale, size, region, max_pixels, max_macs, models: see `DecodeOptions`. A region holds the
        same pixels as that crop of the whole.
    Returns:
      uint8 or uint16, [height, width] for grey, else [height, width, n_channels] with grey +
      alpha, RGB or RGBA.
    Raises:
      FormatError: the data is not a readable .inr file, or asks for more than the limits.
      ValueError: arguments that make no picture, or one above the limits.
    """
    folder = None if models is None else Path(models)
    options = DecodeOptions(scale, size, region, max_pixels, max_macs, folder)
    pixels = decode_picture(data, options).pixels
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def decode_picture(data: bytes, options: DecodeOptions = AS_IT_IS) -> Picture:
    """Draw the picture of an .inr file, with its colour profile; see `decode`."""
    file = open_file(data, options.models)
    _check_header(file.header, options.max_pixels)
    size, region = options.resolve(file.header)
    _check_work(file, size, region, options)
    return Picture(file.render(size, region), icc_profile_of(file.sections))


def _check_header(header: Header, max_pixels: int | None) -> None:
    if max_pixels is not None and header.height * header.width > max_pixels:
        raise FormatError(
            f"the header claims {header.width}x{header.height} pixels, more than the limit of "
            f"{max_pixels}; give a higher --max-pixels if you trust the file"
        )


def _check_work(file: KindFile, size: Size, region: Region, options: DecodeOptions) -> None:
    """Refuse to begin what is above the limits.

    Raises:
      FormatError: the file asks for too much even at its own size.
      UsageError: the size asked for makes it too much.
    """
    header, max_macs = file.header, options.max_macs
    n_macs = file.decode_work(size, region)
    if max_macs is not None and n_macs > max_macs:
        text = (
            f"to draw it takes about {n_macs:.3g} multiply-adds, more than the limit of "
            f"{max_macs:.3g}; draw a smaller size or region, or give a higher --max-macs "
            "(max_macs of inr.decode)"
        )
        own_size = Size(header.height, header.width)
        if file.decode_work(own_size, Region.whole(own_size)) > max_macs:
            raise FormatError(f"{text} if you trust the file")
        raise UsageError(text)
    max_pixels, n_working = options.max_pixels, file.working_pixels()
    if max_pixels is not None and n_working > 2 * max_pixels:
        raise FormatError(
            f"to draw {header.width}x{header.height} pixels it takes {n_working} others, more than "
            f"twice the limit of {max_pixels} pixels; give a higher --max-pixels if you trust the "
            "file"
        )


def describe(data: bytes, options: DecodeOptions = DESCRIBE_OPTIONS) -> dict[str, Any]:
    """Tell header, stages, sections and tensors of a file, ready for JSON.

    Args:
      data: the bytes of the file.
      options: whose limits say how much may be decoded for it; what would be said of the rest
        is None.
    Raises:
      FormatError: the data is not a readable .inr file.
    """
    file = open_file(data, options.models)
    header, n_bytes = file.header, len(data)
    return {
        "n_bytes": n_bytes,
        "bpp": bpp(n_bytes, header.height, header.width),
        "version": VERSION,
        "kind": find_kind(header.kind).name,
        "height": header.height,
        "width": header.width,
        "n_channels": header.n_channels,
        "bit_depth": header.bit_depth,
        **file.describe(options),
        "overhead_bytes": n_bytes - sum(map(len, file.sections.values())),
    }
