"""How much a grid file asks of its decoder, in multiply-adds, from its structure alone.

See inr/work.py. All latents are decoded, whatever the region; drawn are the tiles of the region,
each with what reaches into it.
"""

from inr.grid.structure import FRONT_SLOPE, Level, Pyramid
from inr.grid.synthesis import MARGIN, TILE
from inr.mlp.decode import Region
from inr.mlp.fields.protocol import ACTIVATION_MACS
from inr.mlp.work import CALL_MACS, DOUBLE_MACS, Drawing, macs_of_resampling

_LATENT_MACS = 1 << 14  # to read a latent from its density, beside the context model: 250 ns
_FRONT_MACS = 3 << 20  # to read a front of latents, however few: 60 us
_REACH = 5  # rows of a coarser level that a tile needs beyond half of its own
_TILE_CALLS, _LEVEL_CALLS = 20, 4


def macs_of_grid(pyramid: Pyramid, drawing: Drawing) -> int:
    """Count the multiply-adds of `decode.render_grid`."""
    own = Region(0, 0, pyramid.width, pyramid.height)
    total = macs_of_latents(pyramid)
    if drawing.has_own_size:
        return total + _macs_of_drawing(pyramid, drawing.region)
    total += _macs_of_drawing(pyramid, own)  # for the checksum, if not for more
    if drawing.height >= pyramid.height and drawing.width >= pyramid.width:
        return total + _macs_of_drawing(pyramid, drawing.region, is_larger=True)
    return total + macs_of_resampling(drawing)


def macs_of_latents(pyramid: Pyramid) -> int:
    """Count the multiply-adds of `latent_coder.decode_latents`."""
    return sum(_macs_of_level(pyramid, i, level) for i, level in enumerate(pyramid.levels))


def _macs_of_level(pyramid: Pyramid, i: int, level: Level) -> int:
    s = pyramid.structure
    width = s.n_taps + s.n_features + 1
    context = width * (2 * width + 6)
    n_fronts = min(level.width + FRONT_SLOPE * (level.height - 1), level.size)
    total = level.size * (_LATENT_MACS + DOUBLE_MACS * context) + n_fronts * _FRONT_MACS
    if pyramid.feature_name(i) is not None:
        n_seen = pyramid.levels[i - 1].size * i
        total += n_seen * (ACTIVATION_MACS + DOUBLE_MACS * s.n_features)
    return total


def _macs_of_drawing(pyramid: Pyramid, region: Region, is_larger: bool = False) -> int:
    """Of `draw.draw`. is_larger: features are interpolated, as for a larger picture."""
    return sum(
        n_down * n_across * _macs_of_tile(pyramid, height, width, is_larger)
        for height, n_down in _spans(region.height)
        for width, n_across in _spans(region.width)
    )


def _spans(size: int) -> list[tuple[int, int]]:
    """Sides of tiles, and how many there are of each."""
    n_whole, rest = divmod(size, TILE)
    return [(TILE, n_whole), (rest, 1 if rest else 0)]


def _macs_of_tile(pyramid: Pyramid, height: int, width: int, is_larger: bool) -> int:
    s, c, n = pyramid.structure, pyramid.n_channels, pyramid.n_drawn + 1
    height, width = height + 2 * MARGIN, width + 2 * MARGIN
    products = s.hidden * n + 4 * (s.hidden + n) + 18 * c * c
    per_pixel = DOUBLE_MACS * products + ACTIVATION_MACS * (s.hidden + 4 * c)
    if is_larger:
        per_pixel += 2 * 4 * ACTIVATION_MACS * n  # four taps along both axes
    total = height * width * per_pixel + _TILE_CALLS * CALL_MACS
    for _ in range(pyramid.levels[0].exponent):
        coarse_height, coarse_width = -(-height // 2) + _REACH, -(-width // 2) + _REACH
        products = height * coarse_width * (coarse_height + width)  # rows first, then columns
        total += n * (DOUBLE_MACS * products + ACTIVATION_MACS * height * width)
        total += _LEVEL_CALLS * CALL_MACS
        height, width = coarse_height, coarse_width
    return total
