"""The whole story of kind mlp: a picture becomes a field, its weights codes, its codes a file.

encode   picture -> size of the network -> fit -> integer codes -> coder -> container
decode   container -> coder -> weights -> the field drawn at the size asked for

Recipes and files of kinds grid and cae are handed on to their encode.py and decode.py.
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inr.any_file import open_any
from inr.errors import FormatError, UsageError
from inr.fitting.jax_settings import own_jax_settings
from inr.format.container import DEFAULT_MAX_MACS, DEFAULT_MAX_PIXELS, Header
from inr.mlp.file import Opened, PictureInfo, read_weights

if TYPE_CHECKING:
    from PIL import Image

    from inr.cae.file import OpenedCae
    from inr.fitting.checkpoint import Checkpoint
    from inr.fitting.time_budget import TimeBudget
    from inr.grid.file import OpenedGrid
    from inr.image.picture import Picture
    from inr.mlp.decode import Region
    from inr.mlp.fit.problem import Progress
    from inr.mlp.work import Drawing
    from inr.recipes import AnyRecipe, Recipe

_MIN_DEFAULT_BYTES = 128  # without a target, pictures of a few pixels get as much as this
NEAR_DB = 0.1  # of a target in dB: what is near enough
LEAST_SHARE = 0.97  # of a target in bytes: likewise


@dataclass(frozen=True)
class EncodeOptions:
    """What the caller asks of an encoding besides picture and recipe."""

    target_bpp: float | None = None  # bits per pixel the file may have; it ends within 3 % below
    target_bytes: int | None = None  # the same in bytes
    # dB that the decoded picture is to have at least, within 0.1; the smallest file found that has
    # it. Only one of the three targets.
    target_psnr: float | None = None
    seed: int = 0  # same picture, recipe, options and machine: same bytes
    # Seconds of the whole encoding; the fit's schedule is shortened to keep them.
    time_budget: float | None = None
    checkpoint: Path | None = None  # file from which a killed run goes on

    def __post_init__(self) -> None:
        targets = {name: vars(self)[name] for name in ("target_bpp", "target_bytes", "target_psnr")}
        given = [name for name, value in targets.items() if value is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other; give one of them")
        if self.target_psnr is not None and not 5 <= self.target_psnr <= 80:
            raise UsageError(f"target_psnr={self.target_psnr} is outside 5..80 dB")
        if self.target_bpp is not None and not 0 < self.target_bpp < 1e3:
            raise UsageError(f"target_bpp={self.target_bpp}: expected bits per pixel, 0..1000")
        if self.target_bytes is not None and self.target_bytes < 1:
            raise UsageError(f"target_bytes={self.target_bytes}: expected at least 1")
        if self.time_budget is not None and not self.time_budget > 0:
            raise UsageError(f"time_budget={self.time_budget}: expected seconds above 0")
        if not 0 <= self.seed < 1 << 32:
            raise UsageError(f"seed={self.seed} is outside 0..{(1 << 32) - 1}")

    @property
    def has_target(self) -> bool:
        targets = (self.target_bpp, self.target_bytes, self.target_psnr)
        return any(target is not None for target in targets)

    def target_size(self, height: int, width: int) -> int | None:
        """Bytes that are asked for, in bits per pixel or as such; None where neither is."""
        if self.target_bpp is not None:
            return int(self.target_bpp * height * width / 8)
        return self.target_bytes

    def max_bytes(self, recipe: "Recipe", info: PictureInfo) -> int | None:
        """Size that the file must not exceed; None where the recipe fixes the network.

        What is asked for counts the colour profile. The recipe's own size does not: nobody gave it,
        and the profile must not take the place of the picture.
        """
        target = self.target_size(info.height, info.width)
        if target is not None or recipe.fixed_size:
            return target
        return max(_MIN_DEFAULT_BYTES, int(recipe.target_bpp * info.height * info.width / 8))

    def missed(self, n_bytes: int, psnr_db: float, height: int, width: int) -> str | None:
        """Says by what a file misses its target; None where it meets it or there is none.

        A file that gives back every pixel meets all that it does not exceed.
        """
        target = self.target_size(height, width)
        if target is not None and n_bytes > target:
            return f"the file takes {n_bytes} bytes, more than the {target} asked for"
        if psnr_db == float("inf"):
            return None
        if target is not None and n_bytes < LEAST_SHARE * target:
            return (
                f"the file takes only {n_bytes} of the {target} bytes asked for: this recipe found "
                "no use for more; give a larger network, more steps or another recipe"
            )
        if self.target_psnr is not None and psnr_db < self.target_psnr - NEAR_DB:
            return f"the picture came to {psnr_db:.2f} dB, below the {self.target_psnr} asked for"
        return None


@dataclass(frozen=True)
class EncodeResult:
    """A finished file and what it took."""

    data: bytes
    psnr_db: float  # of the pixels decoded from `data`; inf where they are all the same
    n_steps: int
    seconds: float
    missed: str | None = None  # by what the target was missed, in a line; None where it was not
    # What the fit has saved; to be removed when the file is stored.
    checkpoint: "Checkpoint | None" = None


def encode(
    image: "Image.Image | np.ndarray",
    recipe: "AnyRecipe | None" = None,
    *,
    target_bpp: float | None = None,
    target_bytes: int | None = None,
    target_psnr: float | None = None,
    seed: int = 0,
    time_budget: float | None = None,
    checkpoint: str | Path | None = None,
    report: "Callable[[Progress], None] | None" = None,
) -> bytes:
    """Fits a picture and returns the bytes of an .inr file.

    Args:
      image: a Pillow picture, or uint8 or uint16 [height, width] or [height, width, 1..4].
      recipe: `inr.recipes.siren()` if not given.
      target_bpp, target_bytes, target_psnr, seed, time_budget: see `EncodeOptions`. A Python
        warning says where a target is missed by more than 3 % of its bytes.
      checkpoint: file from which a killed call goes on; it stays until the caller deletes it.
      report: called after each block of steps.
    Raises:
      ValueError: arguments that cannot be met.
      FitError: the fit failed.
      BackendError: jax cannot compute here, as where JAX_PLATFORMS names what is not there.
      OutOfMemoryError: jax has not enough memory.
    """
    from PIL import Image

    from inr.image.read import from_array, from_pil

    if isinstance(image, np.ndarray):
        picture = from_array(image)
    elif isinstance(image, Image.Image):
        picture = from_pil(image, warn=lambda text: None)
    else:
        raise TypeError(
            f"cannot encode a {type(image).__name__}: expected a Pillow picture or a numpy array; "
            "open a file with PIL.Image.open"
        )
    checkpoint = Path(checkpoint) if checkpoint is not None else None
    options = EncodeOptions(target_bpp, target_bytes, target_psnr, seed, time_budget, checkpoint)
    notes: list[str] = []
    encoded = encode_picture(picture, recipe, options, warn=notes.append, report=report)
    for text in [*notes, *([] if encoded.missed is None else [encoded.missed])]:
        warnings.warn(text, stacklevel=2)
    return encoded.data


def _be_quiet(text: str) -> None:
    pass


def encode_picture(
    picture: "Picture",
    recipe: "AnyRecipe | None",
    options: EncodeOptions,
    *,
    started_at: float | None = None,
    warn: "Callable[[str], None]" = _be_quiet,
    report: "Callable[[Progress], None] | None" = None,
) -> EncodeResult:
    """`encode` for a picture that is loaded already; also tells its figures.

    Args:
      started_at: time.monotonic() from which options.time_budget counts; None: from now.
      warn: called, before the fit, with a line on a file that decoders will refuse by default.
    """
    from inr.fitting.time_budget import TimeBudget
    from inr.image.hidden_colours import fill_hidden_colours
    from inr.mlp.encode import picture_info
    from inr.recipes import siren

    called_at = time.monotonic()
    budget = None
    if options.time_budget is not None:
        counts_from = called_at if started_at is None else started_at
        budget = TimeBudget(options.time_budget, counts_from)
    picture = fill_hidden_colours(picture)
    recipe = recipe if recipe is not None else siren()
    info = picture_info(picture)
    if info.is_one_colour:
        # The ranges say all there is: whatever the kind, nothing is smaller than a field of zeros.
        small = recipe if recipe.KIND == "mlp" else siren()
        encoded = _encode_one_colour(picture, info, small, options, called_at)
    elif recipe.KIND == "grid":
        with own_jax_settings():
            from inr.grid.encode import encode_grid

            encoded = encode_grid(picture, recipe, options, budget, report)
    elif recipe.KIND == "cae":
        from inr.cae.encode import encode_cae

        encoded = encode_cae(picture, recipe, options, budget)
    else:
        with own_jax_settings():
            encoded = _encode_mlp(picture, recipe, options, budget, warn, report)
    missed = options.missed(len(encoded.data), encoded.psnr_db, picture.height, picture.width)
    return replace(encoded, missed=missed)


def _encode_mlp(
    picture: "Picture",
    recipe: "Recipe",
    options: EncodeOptions,
    budget: "TimeBudget | None",
    warn: "Callable[[str], None]",
    report: "Callable[[Progress], None] | None",
) -> EncodeResult:
    if options.target_psnr is not None:
        from inr.mlp.target_psnr import encode_to_psnr

        return encode_to_psnr(picture, recipe, options, budget, report)
    from inr.fitting.checkpoint import checkpoint_of
    from inr.mlp.encode import before_drawing, prepare
    from inr.mlp.fit.fit import fit
    from inr.mlp.work import macs_of_mlp, too_much_to_decode

    started_at = time.monotonic()
    prepared = prepare(picture, recipe, options)
    too_much = too_much_to_decode(partial(macs_of_mlp, prepared.stages), *picture.pixels.shape)
    if too_much is not None:
        warn(too_much)
    checkpoint = checkpoint_of(options.checkpoint, picture.pixels, prepared.settings(recipe))
    fitted = fit(
        prepared.job,
        recipe.fit,
        time_budget=before_drawing(budget, prepared, recipe),
        store=checkpoint,
        report=report,
    )
    data = prepared.file_of(fitted.codes, fitted.levels)
    return replace(finished(picture, data, fitted.n_steps, started_at), checkpoint=checkpoint)


def _encode_one_colour(
    picture: "Picture",
    info: PictureInfo,
    recipe: "Recipe",
    options: EncodeOptions,
    started_at: float,
) -> EncodeResult:
    from inr.mlp.encode import file_of_one_colour

    data = file_of_one_colour(info, recipe)
    wished = options.target_size(info.height, info.width)
    if wished is not None and len(data) > wished:
        raise UsageError(f"a target of {wished} bytes is too small: this picture takes {len(data)}")
    return finished(picture, data, 0, started_at)


def finished(picture: "Picture", data: bytes, n_steps: int, started_at: float) -> EncodeResult:
    """Draws the file as a decoder would, and measures it."""
    from inr.image.metrics import psnr_db

    psnr = psnr_db(picture.pixels, decode_picture(data, NO_LIMITS).pixels)
    return EncodeResult(data, psnr, n_steps, time.monotonic() - started_at)


MAX_DRAWN_PIXELS = 1 << 40  # at once, whatever the caller allows: what numpy can be asked for
MAX_DRAWN_SIDE = 1 << 40  # pixels; places in a larger picture are not whole numbers of 64 bits


@dataclass(frozen=True)
class DecodeOptions:
    """Which pixels the caller asks of a file."""

    scale: float | None = None  # factor on both sides; 2.0 draws twice as many rows and columns
    size: tuple[int, int] | None = None  # (width, height) instead; not both
    region: tuple[int, int, int, int] | None = None  # (x, y, width, height) of the scaled picture
    max_pixels: int | None = DEFAULT_MAX_PIXELS  # refuse to draw more; None for no limit
    max_macs: float | None = DEFAULT_MAX_MACS  # refuse to do more multiply-adds, as work.py counts
    # them; None for no limit

    def __post_init__(self) -> None:
        if self.scale is not None and self.size is not None:
            raise UsageError("scale and size exclude each other; give one of them")
        if self.scale is not None and not 0 < self.scale < 1e6:
            raise UsageError(
                f"scale={self.scale}: expected a number above 0, such as 2 or 0.5, below 1000000"
            )
        if self.size is not None and min(self.size) < 1:
            raise UsageError(
                f"size {self.size[0]}x{self.size[1]}: each side needs at least 1 pixel"
            )
        if self.size is not None and max(self.size) > MAX_DRAWN_SIDE:
            raise UsageError(
                f"size {self.size[0]}x{self.size[1]}: each side may have {MAX_DRAWN_SIDE} pixels"
            )
        if self.max_macs is not None and not self.max_macs > 0:  # also for NaN
            raise UsageError(f"max_macs={self.max_macs}: expected a number above 0, as {1e13:.0e}")

    def output_size(self, header: Header) -> tuple[int, int]:
        """Height and width of the whole picture that the region is a part of."""
        if self.size is not None:
            width, height = self.size
            return height, width
        factor = 1.0 if self.scale is None else self.scale
        return max(1, round(header.height * factor)), max(1, round(header.width * factor))


_AS_IT_IS = DecodeOptions()
NO_LIMITS = DecodeOptions(
    max_pixels=None, max_macs=None
)  # for files that were written a moment ago


def decode(
    data: bytes,
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    region: tuple[int, int, int, int] | None = None,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    max_macs: float | None = DEFAULT_MAX_MACS,
) -> np.ndarray:
    """Draws the picture of an .inr file, at its own size or any other.

    Args:
      data: the bytes of the file.
      scale, size, region, max_pixels, max_macs: see `DecodeOptions`. A region holds the same
        pixels as that crop of the whole.
    Returns:
      uint8 or uint16, [height, width] for grey, else [height, width, n_channels] with grey +
      alpha, RGB or RGBA.
    Raises:
      FormatError: the data is not a readable .inr file, or asks for more than the limits.
      ValueError: arguments that make no picture, or one above the limits.
    """
    options = DecodeOptions(scale, size, region, max_pixels, max_macs)
    pixels = decode_picture(data, options).pixels
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def decode_picture(data: bytes, options: DecodeOptions = _AS_IT_IS) -> "Picture":
    """`decode` with the colour profile beside the pixels."""
    from inr.image.picture import Picture
    from inr.mlp.work import Drawing

    opened = open_any(data)
    header, max_pixels = opened.header, options.max_pixels
    if max_pixels is not None and header.height * header.width > max_pixels:
        raise FormatError(
            f"the header claims {header.width}x{header.height} pixels, more than the limit of "
            f"{max_pixels}; give a higher --max-pixels if you trust the file"
        )
    height, width = options.output_size(header)
    part = _checked_region(options.region, height, width)
    if max_pixels is not None and part.height * part.width > max_pixels:
        raise UsageError(
            f"{part.width}x{part.height} pixels are more than the limit of {max_pixels}; "
            "draw a smaller size or region, or give a higher --max-pixels"
        )
    if part.height * part.width > MAX_DRAWN_PIXELS:
        raise UsageError(
            f"{part.width}x{part.height} pixels are more than any memory holds; draw a smaller "
            "size or region"
        )
    drawing = Drawing(header.height, header.width, header.n_channels, height, width, part)
    if opened.KIND == "grid":
        pixels = _render_grid(opened, options, drawing)
    elif opened.KIND == "cae":
        pixels = _render_cae(opened, options, drawing)
    else:
        pixels = _render_mlp(opened, options, drawing)
    return Picture(pixels, opened.icc_profile())


def _render_grid(opened: "OpenedGrid", options: DecodeOptions, drawing: "Drawing") -> np.ndarray:
    from inr.grid.decode import render_grid
    from inr.grid.work import macs_of_grid
    from inr.mlp.work import check_macs

    check_macs(partial(macs_of_grid, opened.pyramid), drawing, options.max_macs)
    height, width, region = drawing.height, drawing.width, drawing.region
    return render_grid(opened, height=height, width=width, region=region)


def _render_cae(opened: "OpenedCae", options: DecodeOptions, drawing: "Drawing") -> np.ndarray:
    from inr.cae.decode import codec_of, render_cae
    from inr.cae.work import macs_of_cae
    from inr.mlp.work import check_macs

    codec = codec_of(opened)
    check_macs(partial(macs_of_cae, codec.weights.model), drawing, options.max_macs)
    height, width, region = drawing.height, drawing.width, drawing.region
    return render_cae(opened, height=height, width=width, region=region, codec=codec)


def _render_mlp(opened: Opened, options: DecodeOptions, drawing: "Drawing") -> np.ndarray:
    from inr.mlp.work import check_macs, macs_of_mlp

    check_macs(partial(macs_of_mlp, opened.stages), drawing, options.max_macs)
    height, width, region = drawing.height, drawing.width, drawing.region
    if opened.stages.split.HAS_BANDS:
        _check_bands(opened, options.max_pixels)
        from inr.mlp.decode_bands import render_bands

        return render_bands(opened, height=height, width=width, region=region)
    from inr.mlp.decode import render

    header = opened.header
    return render(
        opened.field_set.parts[0].field,
        read_weights(opened),
        header.ranges,
        header.bit_depth,
        height=height,
        width=width,
        region=region,
    )


def _check_bands(opened: Opened, max_pixels: int | None) -> None:
    """Long filters make many samples of a picture of few rows: 62 of each pixel, if not more."""
    n_channels = opened.header.n_channels
    n_samples = sum(
        part.height * part.width * part.n_channels // n_channels
        for part in opened.stages.split.grids(opened.header.height, opened.header.width, n_channels)
    )
    if max_pixels is not None and n_samples > 2 * max_pixels:
        raise FormatError(
            f"the bands of {opened.header.width}x{opened.header.height} pixels hold {n_samples} "
            f"samples, more than twice the limit of {max_pixels} pixels; give a higher "
            "--max-pixels if you trust the file"
        )


def _checked_region(region: tuple[int, int, int, int] | None, height: int, width: int) -> "Region":
    from inr.mlp.decode import Region

    x, y, region_width, region_height = region if region is not None else (0, 0, width, height)
    inside = 0 <= x and 0 <= y and x + region_width <= width and y + region_height <= height
    if not inside or region_width < 1 or region_height < 1:
        raise UsageError(
            f"region {x},{y},{region_width},{region_height} (x,y,width,height) does not lie "
            f"inside the picture of {width}x{height} pixels"
        )
    return Region(x, y, region_width, region_height)
