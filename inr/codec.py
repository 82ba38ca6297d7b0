"""The whole story of kind mlp: a picture becomes a field, its weights codes, its codes a file.

    encode   picture -> size of the network -> fit -> integer codes -> coder -> container
    decode   container -> coder -> weights -> the field drawn at the size asked for

The weights section holds the q_step of each trained tensor (2 bytes each, quantize/uniform.py),
then what the coder makes of the codes of all tensors, in the order of the field's shapes.
"""

import dataclasses
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inr import container
from inr.container import DEFAULT_MAX_PIXELS, Header, Reader
from inr.errors import FormatError
from inr.fields.protocol import NumpyParams, n_weights
from inr.quantize.uniform import pack_steps, unpack_steps
from inr.tags import Stages, read_stages, write_stages

if TYPE_CHECKING:
    from PIL import Image

    from inr.fit import Progress
    from inr.picture import Picture
    from inr.recipes import Recipe
    from inr.render import Region

MAX_WEIGHTS = 1 << 24  # of one file; more than any target would buy, 64 MB as float32
CODE_BITS = 16  # width that the coders must be able to hold
_MIN_DEFAULT_BYTES = 128  # without a target, pictures of a few pixels get as much as this


@dataclass(frozen=True)
class Encoded:
    """A finished file and what it took."""

    data: bytes
    psnr_db: float  # of the pixels decoded from `data`; inf where they are all the same
    n_steps: int
    seconds: float


@dataclass(frozen=True)
class Opened:
    """A file as far as it can be read without drawing it."""

    header: Header
    stages: Stages
    sections: dict[int, bytes]

    @property
    def n_weights(self) -> int:
        return n_weights(self.stages.field.shapes(self.header.n_channels))


def encode(
    image: "Image.Image | np.ndarray",
    recipe: "Recipe | None" = None,
    *,
    target_bpp: float | None = None,
    target_bytes: int | None = None,
    seed: int = 0,
    time_budget: float | None = None,
    checkpoint: str | Path | None = None,
    report: "Callable[[Progress], None] | None" = None,
) -> bytes:
    """Fits a picture and returns the bytes of an .inr file.

    Args:
      image: a Pillow picture, or uint8 or uint16 [height, width] or [height, width, 1..4].
      recipe: `inr.recipes.siren()` if not given.
      target_bpp: bits per pixel that the file may have at most; it ends within 5 % below.
      target_bytes: the same in bytes of the file.
      seed: same picture, recipe, seed and machine: same bytes.
      time_budget: seconds after which the fit ends, with a shortened schedule.
      checkpoint: file from which a killed run goes on.
      report: called after each block of steps.
    Raises:
      ValueError: arguments that cannot be met.
      FitError: the fit failed.
    """
    from inr.image import from_array, from_pil

    ignore: Callable[[str], None] = lambda text: None  # noqa: E731
    if isinstance(image, np.ndarray):
        picture = from_array(image)
    else:
        picture = from_pil(image, warn=ignore)
    return encode_picture(
        picture,
        recipe,
        target_bpp=target_bpp,
        target_bytes=target_bytes,
        seed=seed,
        time_budget=time_budget,
        checkpoint=Path(checkpoint) if checkpoint is not None else None,
        report=report,
    ).data


def encode_picture(
    picture: "Picture",
    recipe: "Recipe | None" = None,
    *,
    target_bpp: float | None = None,
    target_bytes: int | None = None,
    seed: int = 0,
    time_budget: float | None = None,
    checkpoint: Path | None = None,
    report: "Callable[[Progress], None] | None" = None,
) -> Encoded:
    """`encode` for a picture that is loaded already; also tells its figures."""
    from inr.metrics import psnr_db
    from inr.recipes import siren

    started_at = time.monotonic()
    recipe = recipe if recipe is not None else siren()
    target = _target_in_bytes(picture, recipe, target_bpp, target_bytes)
    if time_budget is not None and not time_budget > 0:
        raise ValueError(f"time_budget={time_budget}: expected seconds above 0")
    if not 0 <= seed < 1 << 32:
        raise ValueError(f"seed={seed} is outside 0..{(1 << 32) - 1}")
    deadline = None if time_budget is None else started_at + time_budget
    data, n_steps = _fitted_file(picture, recipe, target, seed, deadline, checkpoint, report)
    psnr = psnr_db(picture.pixels, decode_picture(data, max_pixels=None).pixels)
    return Encoded(data, psnr, n_steps, time.monotonic() - started_at)


@dataclass(frozen=True)
class _Target:
    n_bytes: int
    is_wish: bool  # asked for by the caller, not the recipe's default


def _target_in_bytes(
    picture: "Picture",
    recipe: "Recipe",
    target_bpp: float | None,
    target_bytes: int | None,
) -> _Target | None:
    """The size that the file must not exceed; None where the recipe fixes the network."""
    if target_bpp is not None and target_bytes is not None:
        raise ValueError("target_bpp and target_bytes exclude each other; give one of them")
    n_pixels = picture.height * picture.width
    if target_bytes is not None:
        if target_bytes < 1:
            raise ValueError(f"target_bytes={target_bytes}: expected at least 1")
        return _Target(int(target_bytes), True)
    if target_bpp is not None:
        if not 0 < target_bpp < 1e3:
            raise ValueError(f"target_bpp={target_bpp}: expected bits per pixel above 0")
        return _Target(int(target_bpp * n_pixels / 8), True)
    if recipe.fixed_size:
        return None
    return _Target(max(_MIN_DEFAULT_BYTES, int(recipe.target_bpp * n_pixels / 8)), False)


def _fitted_file(
    picture: "Picture",
    recipe: "Recipe",
    target: _Target | None,
    seed: int,
    deadline: float | None,
    checkpoint: Path | None,
    report: "Callable[[Progress], None] | None",
) -> tuple[bytes, int]:
    """Sizes the network, fits it, and writes the file; returns it and the number of steps."""
    from inr.sizing import Size, choose_size, coded_weights, size_of

    channels = picture.pixels.reshape(-1, picture.n_channels)
    ranges = tuple(
        (int(low), int(high)) for low, high in zip(channels.min(0), channels.max(0), strict=True)
    )

    def file_of(net: Any, codes: dict[str, np.ndarray], q_steps: dict[str, float]) -> bytes:
        return _file(picture, ranges, recipe, net, codes, q_steps)

    if all(low == high for low, high in ranges):
        net = dataclasses.replace(recipe.field, hidden=1, n_layers=1)
        return file_of(net, *_nothing(net, picture.n_channels)), 0
    overhead_bytes = len(file_of(recipe.field, {}, {}))
    size: Size | None
    if target is None:
        mean_bits = recipe.quantize.bits
        size = Size(recipe.field, mean_bits * coded_weights(recipe.field, picture.n_channels))
    elif recipe.fixed_size:
        size = size_of(recipe.field, picture.n_channels, target.n_bytes, overhead_bytes)
    else:
        size = choose_size(
            recipe.field,
            picture.n_channels,
            mean_bits=recipe.quantize.bits,
            target_bytes=target.n_bytes,
            overhead_bytes=overhead_bytes,
        )
    if size is None or size.budget_bits < coded_weights(size.field, picture.n_channels):
        assert target is not None
        raise ValueError(
            f"a target of {target.n_bytes} bytes is too small for this picture and recipe: the "
            f"header alone takes {overhead_bytes}; give a larger target or a smaller field.hidden"
        )
    _check_n_weights(n_weights(size.field.shapes(picture.n_channels)), ValueError)
    fitted = _fit(picture, ranges, recipe, size, target, file_of, seed, deadline, checkpoint, report)
    return file_of(size.field, fitted.codes, fitted.q_steps), fitted.n_steps


def _fit(
    picture: "Picture",
    ranges: tuple[tuple[int, int], ...],
    recipe: "Recipe",
    size: Any,
    target: _Target | None,
    file_of: Callable[..., bytes],
    seed: int,
    deadline: float | None,
    checkpoint: Path | None,
    report: "Callable[[Progress], None] | None",
) -> Any:
    from inr.checkpoint import Checkpoint
    from inr.fit import Budget, Signal, fit

    budget = Budget(
        size.budget_bits,
        None if target is None else target.n_bytes,
        lambda codes, q_steps: len(file_of(size.field, codes, q_steps)),
    )
    signal = Signal(
        picture.pixels.reshape(-1, picture.n_channels),
        picture.height,
        picture.width,
        ranges,
        picture.has_alpha,
    )
    fingerprint = hashlib.sha256(picture.pixels.tobytes())
    fingerprint.update(repr((picture.pixels.shape, recipe, target, seed)).encode())
    return fit(
        size.field,
        signal,
        recipe.quantize,
        recipe.fit,
        budget,
        seed=seed,
        deadline=deadline,
        checkpoint=None
        if checkpoint is None
        else Checkpoint(checkpoint, fingerprint.hexdigest()),
        report=report,
    )


def _nothing(net: Any, n_channels: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Zero codes for a picture of one colour: the ranges alone say all there is."""
    shapes = net.shapes(n_channels)
    codes = {name: np.zeros(shape, np.int32) for name, shape in shapes.items()}
    return codes, dict.fromkeys(shapes, 1.0) | dict(net.fixed_steps())


def _file(
    picture: "Picture",
    ranges: tuple[tuple[int, int], ...],
    recipe: "Recipe",
    net: Any,
    codes: dict[str, np.ndarray],
    q_steps: dict[str, float],
) -> bytes:
    """The whole file with the given codes."""
    header = Header(
        picture.height,
        picture.width,
        picture.n_channels,
        picture.bit_depth,
        ranges,
        write_stages(Stages(recipe.split, net, recipe.quantize, recipe.coder)),
    )
    fixed = net.fixed_steps()
    trained_steps = [q_step for name, q_step in q_steps.items() if name not in fixed]
    payload = recipe.coder.encode(list(codes.values()), CODE_BITS)
    sections = {container.SECTION_WEIGHTS: pack_steps(trained_steps) + payload}
    if picture.icc_profile is not None:
        sections[container.SECTION_ICC_PROFILE] = container.pack_icc(picture.icc_profile)
    return container.pack(header, sections)


def decode(
    data: bytes,
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    region: tuple[int, int, int, int] | None = None,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
) -> np.ndarray:
    """Draws the picture of an .inr file, at its own size or any other.

    Args:
      data: the bytes of the file.
      scale: factor on both sides; 2.0 draws twice as many rows and columns.
      size: (width, height) to draw instead, pixels.
      region: (x, y, width, height) of the scaled picture to draw; the same pixels as a crop.
      max_pixels: refuse to draw more; None for no limit.
    Returns:
      uint8 or uint16, [height, width] for grey, else [height, width, n_channels] with grey +
      alpha, RGB or RGBA.
    Raises:
      FormatError: the data is not a readable .inr file.
      ValueError: arguments that make no picture.
    """
    pixels = decode_picture(
        data, scale=scale, size=size, region=region, max_pixels=max_pixels
    ).pixels
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def decode_picture(
    data: bytes,
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    region: tuple[int, int, int, int] | None = None,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
) -> "Picture":
    """`decode` with the colour profile beside the pixels."""
    from inr.picture import Picture
    from inr.render import render

    opened = open_file(data)
    header = opened.header
    if max_pixels is not None and header.height * header.width > max_pixels:
        raise FormatError(
            f"the header claims {header.width}x{header.height} pixels, more than the limit of "
            f"{max_pixels}; give a higher --max-pixels if you trust the file"
        )
    height, width = _output_size(header, scale, size)
    part = _checked_region(region, height, width)
    if max_pixels is not None and part.height * part.width > max_pixels:
        raise ValueError(
            f"{part.width}x{part.height} pixels are more than the limit of {max_pixels}; "
            "draw a smaller size or region, or give a higher --max-pixels"
        )
    icc = opened.sections.get(container.SECTION_ICC_PROFILE)
    profile = None if icc is None else container.unpack_icc(icc)
    params = read_weights(opened)
    pixels = render(
        opened.stages.field,
        params,
        header.ranges,
        header.bit_depth,
        height=height,
        width=width,
        region=part,
    )
    return Picture(pixels, profile)


def open_file(data: bytes) -> Opened:
    """Reads header and stages; raises FormatError."""
    header, sections = container.unpack(data)
    opened = Opened(header, read_stages(header.stages), sections)
    _check_n_weights(opened.n_weights, FormatError)
    return opened


def read_weights(opened: Opened) -> NumpyParams:
    """Decodes the weights section into f32 tensors by name."""
    net, coder, quantizer = opened.stages.field, opened.stages.coder, opened.stages.quantizer
    shapes = net.shapes(opened.header.n_channels)
    q_steps = dict(net.fixed_steps())
    reader = Reader(opened.sections[container.SECTION_WEIGHTS], "the weights section")
    trained = [name for name in shapes if name not in q_steps]
    q_steps |= zip(trained, unpack_steps(reader, len(trained)), strict=True)
    sizes = [int(np.prod(shape)) for shape in shapes.values()]
    all_codes = coder.decode(reader.take(reader.n_left), sizes, CODE_BITS)
    return {
        name: quantizer.dequantize(codes, q_steps[name]).reshape(shape)
        for (name, shape), codes in zip(shapes.items(), all_codes, strict=True)
    }


def _check_n_weights(n: int, error: type[Exception]) -> None:
    if n > MAX_WEIGHTS:
        raise error(f"a network of {n} weights is above the limit of {MAX_WEIGHTS}")


def _output_size(
    header: Header, scale: float | None, size: tuple[int, int] | None
) -> tuple[int, int]:
    if scale is not None and size is not None:
        raise ValueError("scale and size exclude each other; give one of them")
    if size is not None:
        width, height = size
        if width < 1 or height < 1:
            raise ValueError(f"size {width}x{height}: each side needs at least 1 pixel")
        return height, width
    factor = 1.0 if scale is None else scale
    if not 0 < factor < 1e6:
        raise ValueError(f"scale={scale}: expected a number above 0, such as 2 or 0.5")
    return max(1, round(header.height * factor)), max(1, round(header.width * factor))


def _checked_region(
    region: tuple[int, int, int, int] | None, height: int, width: int
) -> "Region":
    from inr.render import Region

    x, y, region_width, region_height = region if region is not None else (0, 0, width, height)
    inside = 0 <= x and 0 <= y and x + region_width <= width and y + region_height <= height
    if not inside or region_width < 1 or region_height < 1:
        raise ValueError(
            f"region {x},{y},{region_width},{region_height} (x,y,width,height) does not lie "
            f"inside the picture of {width}x{height} pixels"
        )
    return Region(x, y, region_width, region_height)
