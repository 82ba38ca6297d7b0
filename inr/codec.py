"""The whole story of kind mlp: a picture becomes a field, its weights codes, its codes a file.

encode   picture -> size of the network -> fit -> integer codes -> coder -> container
decode   container -> coder -> weights -> the field drawn at the size asked for

Recipes and files of kinds grid and cae are handed on to their encode.py and decode.py.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inr.any_file import open_any
from inr.container import DEFAULT_MAX_PIXELS, Header, pack_icc
from inr.errors import FormatError, UsageError
from inr.mlp_file import Opened, PictureFacts, read_weights

if TYPE_CHECKING:
    from PIL import Image

    from inr.checkpoint import Checkpoint
    from inr.fit_types import Progress
    from inr.picture import Picture
    from inr.preparation import Prepared
    from inr.recipes import AnyRecipe, Recipe
    from inr.render import Region

_MIN_DEFAULT_BYTES = 128  # without a target, pictures of a few pixels get as much as this


@dataclass(frozen=True)
class Wish:
    """What the caller asks of an encoding besides picture and recipe."""

    target_bpp: float | None = None  # bits per pixel the file may have; it ends within 3 % below
    target_bytes: int | None = None  # the same in bytes
    target_psnr: float | None = None  # dB that the decoded picture is to have, within 0.1; only
    # one of the three targets
    seed: int = 0  # same picture, recipe, wish and machine: same bytes
    time_budget: float | None = None  # seconds after which to be done; the schedule is shortened
    checkpoint: Path | None = None  # file from which a killed run goes on

    def __post_init__(self) -> None:
        targets = {name: vars(self)[name] for name in ("target_bpp", "target_bytes", "target_psnr")}
        given = [name for name, value in targets.items() if value is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other; give one of them")
        if self.target_psnr is not None and not 5 <= self.target_psnr <= 80:
            raise UsageError(f"target_psnr={self.target_psnr} is outside 5..80 dB")
        if self.target_bpp is not None and not 0 < self.target_bpp < 1e3:
            raise UsageError(f"target_bpp={self.target_bpp}: expected bits per pixel above 0")
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

    def max_bytes(self, recipe: "Recipe", facts: PictureFacts) -> int | None:
        """Size that the file must not exceed; None where the recipe fixes the network."""
        n_pixels = facts.height * facts.width
        if self.target_bytes is not None:
            return self.target_bytes
        if self.target_bpp is not None:
            return int(self.target_bpp * n_pixels / 8)
        if recipe.fixed_size:
            return None
        profile_bytes = 0 if facts.icc_profile is None else len(pack_icc(facts.icc_profile))
        return max(_MIN_DEFAULT_BYTES + profile_bytes, int(recipe.target_bpp * n_pixels / 8))


@dataclass(frozen=True)
class Encoded:
    """A finished file and what it took."""

    data: bytes
    psnr_db: float  # of the pixels decoded from `data`; inf where they are all the same
    n_steps: int
    seconds: float


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
      target_bpp, target_bytes, target_psnr, seed, time_budget, checkpoint: see `Wish`.
      report: called after each block of steps.
    Raises:
      ValueError: arguments that cannot be met.
      FitError: the fit failed.
    """
    from PIL import Image

    from inr.image import from_array, from_pil

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
    wish = Wish(target_bpp, target_bytes, target_psnr, seed, time_budget, checkpoint)
    return encode_picture(picture, recipe, wish, report=report).data


def encode_picture(
    picture: "Picture",
    recipe: "AnyRecipe | None",
    wish: Wish,
    *,
    report: "Callable[[Progress], None] | None" = None,
) -> Encoded:
    """`encode` for a picture that is loaded already; also tells its figures."""
    from inr.preparation import facts_of, prepare
    from inr.recipes import siren

    started_at = time.monotonic()
    recipe = recipe if recipe is not None else siren()
    facts = facts_of(picture)
    if facts.is_one_colour:
        # The ranges say all there is: whatever the kind, nothing is smaller than a field of zeros.
        small = recipe if recipe.KIND == "mlp" else siren()
        return _encode_one_colour(picture, facts, small, wish, started_at)
    if recipe.KIND == "grid":
        from inr.grid.encode import encode_grid

        return encode_grid(picture, recipe, wish, report)
    if recipe.KIND == "cae":
        from inr.cae.encode import encode_cae

        return encode_cae(picture, recipe, wish)
    if wish.target_psnr is not None:
        from inr.rate_control import encode_to_psnr

        return encode_to_psnr(picture, recipe, wish, report=report)
    from inr.fit import fit

    prepared = prepare(picture, recipe, wish)
    fitted = fit(
        prepared.job,
        recipe.fit,
        deadline=None if wish.time_budget is None else started_at + wish.time_budget,
        checkpoint=_checkpoint(picture, recipe, wish, prepared),
        report=report,
    )
    data = prepared.file_of(fitted.codes, fitted.levels)
    return finished(picture, data, fitted.n_steps, started_at)


def _encode_one_colour(
    picture: "Picture", facts: PictureFacts, recipe: "Recipe", wish: Wish, started_at: float
) -> Encoded:
    from inr.preparation import file_of_one_colour

    data = file_of_one_colour(facts, recipe)
    wished = wish.max_bytes(recipe, facts)
    if wished is not None and len(data) > wished:
        raise UsageError(f"a target of {wished} bytes is too small: this picture takes {len(data)}")
    return finished(picture, data, 0, started_at)


def finished(picture: "Picture", data: bytes, n_steps: int, started_at: float) -> Encoded:
    """Draws the file as a decoder would, and measures it."""
    from inr.metrics import psnr_db

    psnr = psnr_db(picture.pixels, decode_picture(data, View(max_pixels=None)).pixels)
    return Encoded(data, psnr, n_steps, time.monotonic() - started_at)


def _checkpoint(
    picture: "Picture", recipe: "Recipe", wish: Wish, prepared: "Prepared"
) -> "Checkpoint | None":
    from inr.checkpoint import checkpoint_of

    budget = prepared.job.budget
    told = (prepared.facts, recipe, prepared.stages, budget.bits, budget.max_bytes, wish.seed)
    return checkpoint_of(wish.checkpoint, picture.pixels, told)


@dataclass(frozen=True)
class View:
    """Which pixels the caller asks of a file."""

    scale: float | None = None  # factor on both sides; 2.0 draws twice as many rows and columns
    size: tuple[int, int] | None = None  # (width, height) instead; not both
    region: tuple[int, int, int, int] | None = None  # (x, y, width, height) of the scaled picture
    max_pixels: int | None = DEFAULT_MAX_PIXELS  # refuse to draw more; None for no limit
    use_jax: bool = False  # draw with jax, for large pictures on a GPU; within one level, of
    # files of kind grid the same pixels; those of kind cae are drawn by numpy alone

    def __post_init__(self) -> None:
        if self.scale is not None and self.size is not None:
            raise UsageError("scale and size exclude each other; give one of them")
        if self.scale is not None and not 0 < self.scale < 1e6:
            raise UsageError(f"scale={self.scale}: expected a number above 0, such as 2 or 0.5")
        if self.size is not None and min(self.size) < 1:
            raise UsageError(
                f"size {self.size[0]}x{self.size[1]}: each side needs at least 1 pixel"
            )

    def output_size(self, header: Header) -> tuple[int, int]:
        """Height and width of the whole picture that the region is a part of."""
        if self.size is not None:
            width, height = self.size
            return height, width
        factor = 1.0 if self.scale is None else self.scale
        return max(1, round(header.height * factor)), max(1, round(header.width * factor))


_AS_IT_IS = View()


def decode(
    data: bytes,
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    region: tuple[int, int, int, int] | None = None,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    use_jax: bool = False,
) -> np.ndarray:
    """Draws the picture of an .inr file, at its own size or any other.

    Args:
      data: the bytes of the file.
      scale, size, region, max_pixels, use_jax: see `View`. A region holds the same pixels as
        that crop of the whole.
    Returns:
      uint8 or uint16, [height, width] for grey, else [height, width, n_channels] with grey +
      alpha, RGB or RGBA.
    Raises:
      FormatError: the data is not a readable .inr file.
      ValueError: arguments that make no picture.
    """
    pixels = decode_picture(data, View(scale, size, region, max_pixels, use_jax)).pixels
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def decode_picture(data: bytes, view: View = _AS_IT_IS) -> "Picture":
    """`decode` with the colour profile beside the pixels."""
    from inr.picture import Picture

    opened = open_any(data)
    header, max_pixels = opened.header, view.max_pixels
    if max_pixels is not None and header.height * header.width > max_pixels:
        raise FormatError(
            f"the header claims {header.width}x{header.height} pixels, more than the limit of "
            f"{max_pixels}; give a higher --max-pixels if you trust the file"
        )
    height, width = view.output_size(header)
    part = _checked_region(view.region, height, width)
    if max_pixels is not None and part.height * part.width > max_pixels:
        raise UsageError(
            f"{part.width}x{part.height} pixels are more than the limit of {max_pixels}; "
            "draw a smaller size or region, or give a higher --max-pixels"
        )
    if opened.KIND == "grid":
        from inr.grid.decode import render_grid

        pixels = render_grid(opened, height=height, width=width, region=part, use_jax=view.use_jax)
    elif opened.KIND == "cae":
        from inr.cae.decode import render_cae

        pixels = render_cae(opened, height=height, width=width, region=part)
    elif opened.stages.split.HAS_BANDS:
        from inr.render_bands import render_bands

        pixels = render_bands(opened, height=height, width=width, region=part)
    else:
        pixels = _render_whole(opened, view.use_jax, height, width, part)
    return Picture(pixels, opened.icc_profile())


def _render_whole(
    opened: Opened, use_jax: bool, height: int, width: int, region: "Region"
) -> np.ndarray:
    if use_jax:
        from inr.render_jax import render
    else:
        from inr.render import render

    header = opened.header
    return render(
        opened.joint.parts[0].field,
        read_weights(opened),
        header.ranges,
        header.bit_depth,
        height=height,
        width=width,
        region=region,
    )


def _checked_region(region: tuple[int, int, int, int] | None, height: int, width: int) -> "Region":
    from inr.render import Region

    x, y, region_width, region_height = region if region is not None else (0, 0, width, height)
    inside = 0 <= x and 0 <= y and x + region_width <= width and y + region_height <= height
    if not inside or region_width < 1 or region_height < 1:
        raise UsageError(
            f"region {x},{y},{region_width},{region_height} (x,y,width,height) does not lie "
            f"inside the picture of {width}x{height} pixels"
        )
    return Region(x, y, region_width, region_height)
