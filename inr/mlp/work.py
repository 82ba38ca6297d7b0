"""How much a file asks of its decoder, counted from its header before any of it is done.

A few bytes can name a network of millions of weights, all zero, and a picture of millions of
pixels: each within its own limit, together hours of work. So decoders count the multiply-adds of
what will be drawn and hold them against a limit, `DecodeOptions.max_macs`.

Everything else counts as the multiply-adds that take as long, about 50 billion a second on each
core: sines, what is read symbol by symbol, calls of numpy on small arrays. So a count tells the
time within a factor of about two; latents are read by one core alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from inr.errors import FormatError, UsageError
from inr.format.container import DEFAULT_MAX_MACS
from inr.image.resample import n_taps_between
from inr.mlp.decode import Region, tile_size
from inr.mlp.fields.protocol import ACTIVATION_MACS, Field, n_weights
from inr.mlp.tags import Stages

DOUBLE_MACS = 2  # one multiply-add in float64
CALL_MACS = 1 << 19  # to call what computes a layer, on however few numbers: about 10 us
_SYMBOL_MACS = 1 << 12  # to read one code of a network and make a weight of it
_SAMPLE_MACS = 1 << 8  # to make a point, and to round what is drawn there, each channel
_BAND_MACS = 1 << 12  # to join one sample of a wavelet band with the others


@dataclass(frozen=True)
class Drawing:
    """What is to be drawn of a picture."""

    own_height: int  # of the picture, as the header has it
    own_width: int
    n_channels: int
    height: int  # at which it is drawn
    width: int
    region: Region  # the part of height x width that is asked for

    @classmethod
    def whole(cls, height: int, width: int, n_channels: int) -> "Drawing":
        """Draw all of it, at its own size."""
        size = height, width
        return cls(*size, n_channels, *size, Region(0, 0, width, height))

    @property
    def has_own_size(self) -> bool:
        return (self.height, self.width) == (self.own_height, self.own_width)


def check_macs(count: Callable[[Drawing], int], drawing: Drawing, max_macs: float | None) -> None:
    """Refuse to begin work that is above a limit.

    Args:
      count: the multiply-adds of any drawing of the file.
      max_macs: the limit; None for no limit.
    Raises:
      FormatError: the file asks for too much even at its own size.
      UsageError: the size asked for makes it too much.
    """
    n_macs = count(drawing)
    if max_macs is None or n_macs <= max_macs:
        return
    text = (
        f"to draw it takes about {n_macs:.3g} multiply-adds, more than the limit of "
        f"{max_macs:.3g}; draw a smaller size or region, or give a higher --max-macs "
        "(max_macs of inr.decode)"
    )
    if count(Drawing.whole(drawing.own_height, drawing.own_width, drawing.n_channels)) > max_macs:
        raise FormatError(f"{text} if you trust the file")
    raise UsageError(text)


def macs_of_mlp(stages: Stages, drawing: Drawing) -> int:
    """Count the multiply-adds of drawing a file of kind mlp."""
    size = drawing.own_height, drawing.own_width, drawing.n_channels
    field_set = stages.field_set(*size)
    total = macs_of_codes(n_weights(field_set.shapes()))
    if not stages.split.HAS_BANDS:
        return total + _macs_of_tiles(stages.field, drawing)
    for grid, part in zip(stages.split.grids(*size), field_set.parts, strict=True):
        band = Drawing.whole(grid.height, grid.width, grid.n_channels)
        total += _macs_of_tiles(part.field, band)
        total += _BAND_MACS * grid.height * grid.width * grid.n_channels
    return total if drawing.has_own_size else total + macs_of_resampling(drawing)


def macs_of_codes(n_weights: int) -> int:
    """Count the multiply-adds of `mlp_file.read_weights`."""
    return _SYMBOL_MACS * n_weights


def macs_of_resampling(drawing: Drawing) -> int:
    """Count the multiply-adds of `resample.resample` from the picture's own size."""
    rows = n_taps_between(drawing.own_height, drawing.height)
    cols = n_taps_between(drawing.own_width, drawing.width)
    region = drawing.region
    reached = math.ceil(region.width * drawing.own_width / drawing.width) + cols
    strip = min(drawing.own_width, reached)
    n_values = region.height * (strip * rows + region.width * cols)
    return ACTIVATION_MACS * drawing.n_channels * n_values


def too_much_to_decode(
    count: Callable[[Drawing], int], height: int, width: int, n_channels: int
) -> str | None:
    """Say before a fit that its file will be above the limit that decoders have by default.

    Args:
      count: as for `check_macs`, of the file that will be written.
      height, width, n_channels: of the picture.
    Returns:
      One line for a warning; None for a file that is below.
    """
    n_macs = count(Drawing.whole(height, width, n_channels))
    if n_macs <= DEFAULT_MAX_MACS:
        return None
    return (
        f"to draw the file will take about {n_macs:.3g} multiply-adds, more than the "
        f"{DEFAULT_MAX_MACS:.3g} that decoders do unless told otherwise by --max-macs; give a "
        "smaller target, network or picture, or use a recipe of kind grid"
    )


def _macs_of_tiles(net: Field, drawing: Drawing) -> int:
    """Of `render.render`: the tiles that the region touches, each of them whole."""
    rows, cols = tile_size(net, drawing.height, drawing.width)
    region = drawing.region
    n_down = (region.y + region.height - 1) // rows - region.y // rows + 1
    n_across = (region.x + region.width - 1) // cols - region.x // cols + 1
    macs = net.macs(drawing.n_channels, rows * cols) + CALL_MACS * (net.n_layers + 1)
    macs += _SAMPLE_MACS * rows * cols * (1 + drawing.n_channels)
    return n_down * n_across * macs
