"""What is asked of an encoding or a decoding, and what comes of it: the types between all floors.

A `Job` goes down from codec.py to a kind, a `Candidate` comes back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeVar

import numpy as np

from inr.errors import UsageError
from inr.format.container import DEFAULT_MAX_MACS, DEFAULT_MAX_PIXELS, Header
from inr.image.picture import Picture
from inr.image.region import Region, Size

MAX_DRAWN_PIXELS = 1 << 40  # at once, whatever the caller allows: what numpy can be asked for
MAX_DRAWN_SIDE = 1 << 40  # pixels; places in a larger picture are not whole numbers of 64 bits

Sections = dict[int, bytes]  # of a file: payloads by tag
Warn = Callable[[str], None]  # takes one line for a person


class AnyRecipe(Protocol):
    """A recipe of any kind: all that decides the bytes besides the picture and the options."""

    @property
    def name(self) -> str: ...


R_co = TypeVar("R_co", bound=AnyRecipe, covariant=True)


@dataclass(frozen=True)
class Target:
    """Size or quality that a file is to have; at most one of the three.

    The only place that knows the tolerances, and what bits per pixel mean in bytes.
    """

    bpp: float | None = None  # bits per pixel the file may have; it ends within 3 % below
    n_bytes: int | None = None  # the same in bytes
    # dB that the decoded picture is to have at least, within 0.1; the smallest file found has it.
    psnr_db: float | None = None

    SHORTFALL: ClassVar[float] = 0.03  # of the bytes: a file may end this much below
    TOLERANCE_DB: ClassVar[float] = 0.1
    # As the command line and `inr.encode` call them.
    NAMES: ClassVar[dict[str, str]] = {
        "target_bpp": "bpp",
        "target_bytes": "n_bytes",
        "target_psnr": "psnr_db",
    }

    def __post_init__(self) -> None:
        given = [name for name, own in self.NAMES.items() if vars(self)[own] is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other; give one of them")
        if self.psnr_db is not None and not 5 <= self.psnr_db <= 80:
            raise UsageError(f"target_psnr={self.psnr_db} is outside 5..80 dB")
        if self.bpp is not None and not 0 < self.bpp < 1e3:
            raise UsageError(f"target_bpp={self.bpp}: expected bits per pixel, 0..1000")
        if self.n_bytes is not None and self.n_bytes < 1:
            raise UsageError(f"target_bytes={self.n_bytes}: expected at least 1")

    @property
    def is_given(self) -> bool:
        return self != Target()

    def max_bytes(self, n_pixels: int) -> int | None:
        """Return the bytes that a file may have; None where no size is asked for."""
        if self.bpp is not None:
            return int(self.bpp * n_pixels / 8)
        return self.n_bytes

    def min_bytes(self, n_pixels: int) -> float:
        """Return the bytes below which a file misses the size that is asked for, if one is."""
        return (1 - self.SHORTFALL) * (self.max_bytes(n_pixels) or 0)

    def describe_miss(self, n_bytes: int, psnr_db: float, n_pixels: int) -> str | None:
        """Say by what a file misses the target.

        A file that gives back every pixel meets all that it does not exceed.

        Returns:
          A line; None where the file meets the target or there is none.
        """
        most = self.max_bytes(n_pixels)
        if most is not None and n_bytes > most:
            return f"the file takes {n_bytes} bytes, more than the {most} asked for"
        if psnr_db == float("inf"):
            return None
        if most is not None and n_bytes < self.min_bytes(n_pixels):
            return (
                f"the file takes only {n_bytes} of the {most} bytes asked for: this recipe found "
                "no use for more; give a larger network, more steps or another recipe"
            )
        if self.psnr_db is not None and psnr_db < self.psnr_db - self.TOLERANCE_DB:
            return f"the picture came to {psnr_db:.2f} dB, below the {self.psnr_db} asked for"
        return None


@dataclass(frozen=True)
class EncodeOptions:
    """What the caller asks of an encoding besides picture and recipe."""

    target: Target = field(default_factory=Target)
    seed: int = 0  # same picture, recipe, options and machine: same bytes
    # Seconds of the whole encoding; the fit's schedule is shortened to keep them.
    time_budget: float | None = None
    checkpoint: Path | None = None  # file from which a killed run goes on
    # From when the budget counts, in seconds of time.monotonic(); None: from the call.
    started_at: float | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.time_budget is not None and not self.time_budget > 0:
            raise UsageError(f"time_budget={self.time_budget}: expected seconds above 0")
        if not 0 <= self.seed < 1 << 32:
            raise UsageError(f"seed={self.seed} is outside 0..{(1 << 32) - 1}")


@dataclass(frozen=True)
class Job(Generic[R_co]):
    """One encoding that is to be done."""

    picture: Picture
    recipe: R_co
    options: EncodeOptions = field(default_factory=EncodeOptions)


class SavedFit(Protocol):
    """A checkpoint that has done its service."""

    def remove(self) -> None:
        """Delete its file, if it is still the one that the fit wrote."""


@dataclass(frozen=True)
class Candidate:
    """What a kind hands back: bytes, and what only it knows."""

    data: bytes
    n_steps: int
    pixels: np.ndarray | None = None  # decoded from data, where the kind has done so to check it
    checkpoint: SavedFit | None = None


@dataclass(frozen=True)
class EncodeResult:
    """A finished file and what it took."""

    data: bytes
    psnr_db: float  # of the pixels decoded from `data`; inf where they are all the same
    n_steps: int
    seconds: float
    missed: str | None = None  # by what the target was missed, in a line; None where it was not
    checkpoint: SavedFit | None = None  # to be removed when the file is stored


@dataclass(frozen=True)
class Progress:
    """State of a fit after a block of steps."""

    step: int
    n_steps: int
    psnr_db: float  # over the block's batches with noisy weights: a little pessimistic
    seconds_left: float
    bpp: float | None = None  # estimated, where the fit decides it


Report = Callable[[Progress], None]


@dataclass(frozen=True)
class RateAxis:
    """What steers the rate of a kind: `target_bpp` of mlp, `lambda` of grid and cae."""

    name: str
    default_values: tuple[float, ...]  # at which a rate-distortion curve is drawn
    # (recipe, options, value) -> recipe and options of an encoding at that value
    at: Callable[[AnyRecipe, EncodeOptions, float], tuple[AnyRecipe, EncodeOptions]]


def lambda_axis(*default_values: float) -> RateAxis:
    """Return the axis of a kind whose recipes have a lambda_."""

    def at(
        recipe: AnyRecipe, options: EncodeOptions, lambda_: float
    ) -> tuple[AnyRecipe, EncodeOptions]:
        return replace(recipe, lambda_=lambda_), options  # type: ignore[type-var]

    return RateAxis("lambda", default_values, at)


@dataclass(frozen=True)
class DecodeOptions:
    """Which pixels the caller asks of a file, and how much work they may take."""

    scale: float | None = None  # factor on both sides; 2.0 draws twice as many rows and columns
    size: tuple[int, int] | None = None  # (width, height) instead; not both
    region: tuple[int, int, int, int] | None = None  # (x, y, width, height) of the scaled picture
    max_pixels: int | None = DEFAULT_MAX_PIXELS  # refuse to draw more; None for no limit
    max_macs: float | None = DEFAULT_MAX_MACS  # refuse to do more multiply-adds, as exact/work.py
    # counts them; None for no limit
    models: Path | None = None  # folder of the weights of kind cae that are not shipped

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

    def resolve(self, header: Header) -> tuple[Size, Region]:
        """Return the size of the whole drawing, and the part of it that is asked for.

        Raises:
          UsageError: a region outside of the picture, or more pixels than max_pixels.
        """
        if self.size is not None:
            size = Size(self.size[1], self.size[0])
        else:
            factor = 1.0 if self.scale is None else self.scale
            sides = (max(1, round(side * factor)) for side in (header.height, header.width))
            size = Size(*sides)
        region = Region.whole(size) if self.region is None else Region(*self.region)
        region.check_inside(size)
        if self.max_pixels is not None and region.n_pixels > self.max_pixels:
            raise UsageError(
                f"{region.width}x{region.height} pixels are more than the limit of "
                f"{self.max_pixels}; draw a smaller size or region, or give a higher --max-pixels"
            )
        if region.n_pixels > MAX_DRAWN_PIXELS:
            raise UsageError(
                f"{region.width}x{region.height} pixels are more than any memory holds; draw a "
                "smaller size or region"
            )
        return size, region


AS_IT_IS = DecodeOptions()
NO_LIMITS = DecodeOptions(max_pixels=None, max_macs=None)  # for files written a moment ago


def describe_heavy_decoding(n_macs: int) -> str | None:
    """Say before a fit that its file will be above the limit that decoders have by default.

    Args:
      n_macs: multiply-adds of drawing the file that will be written, at its own size.
    Returns:
      One line for a warning; None for a file that is below.
    """
    if n_macs <= DEFAULT_MAX_MACS:
        return None
    return (
        f"to draw the file will take about {n_macs:.3g} multiply-adds, more than the "
        f"{DEFAULT_MAX_MACS:.3g} that decoders do unless --max-macs says otherwise; give a "
        "smaller target, network or picture, or use a recipe of kind grid"
    )


def parse_target(values: Mapping[str, float | int | None]) -> Target:
    """Return the target of {"target_bpp": 0.3}; raises UsageError for one that cannot be."""
    return Target(**{Target.NAMES[name]: value for name, value in values.items()})  # type: ignore[arg-type]
