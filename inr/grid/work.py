"""How much a grid file asks of its decoder, in multiply-adds, from its structure alone.

See exact/work.py. All latents are decoded, whatever the region; drawn are the tiles of the region,
each with what reaches into it.
"""

from inr.exact.work import ACTIVATION_MACS, CALL_MACS, DOUBLE_MACS, LATENT_MACS
from inr.grid.structure import FRONT_SLOPE, Level, Pyramid
from inr.grid.synthesis import MARGIN, TILE
from inr.image.region import Region, Size
from inr.image.resample import resampling_macs

_FRONT_MACS = 3 << 20  # to read a front of latents, however few: 60 us
_REACH = 5  # rows of a coarser level that a tile needs beyond half of its own
_TILE_CALLS, _LEVEL_CALLS = 20, 4


def rendering_macs(pyramid: Pyramid, size: Size, region: Region) -> int:
    """Count the multiply-adds of `decode.render_content`."""
    own_size = Size(pyramid.height, pyramid.width)
    total = latents_macs(pyramid)
    if size == own_size:
        return total + _drawing_macs(pyramid, region)
    total += _drawing_macs(pyramid, Region.whole(own_size))  # for the checksum, if not for more
    if size.height >= pyramid.height and size.width >= pyramid.width:
        return total + _drawing_macs(pyramid, region, is_larger=True)
    return total + resampling_macs(own_size, pyramid.n_channels, size, region)


def latents_macs(pyramid: Pyramid) -> int:
    """Count the multiply-adds of `latent_coder.decode_latents`."""
    return sum(_level_macs(pyramid, i, level) for i, level in enumerate(pyramid.levels))


def _level_macs(pyramid: Pyramid, i: int, level: Level) -> int:
    s = pyramid.structure
    width = s.n_taps + s.n_features + 1
    context = width * (2 * width + 6)
    n_fronts = min(level.width + FRONT_SLOPE * (level.height - 1), level.size)
    total = level.size * (LATENT_MACS + DOUBLE_MACS * context) + n_fronts * _FRONT_MACS
    if pyramid.feature_name(i) is not None:
        n_seen = pyramid.levels[i - 1].size * i
        total += n_seen * (ACTIVATION_MACS + DOUBLE_MACS * s.n_features)
    return total


def _drawing_macs(pyramid: Pyramid, region: Region, is_larger: bool = False) -> int:
    """Count those of `synthesis.synthesize`. is_larger: features are interpolated."""
    return sum(
        n_down * n_across * _tile_macs(pyramid, height, width, is_larger)
        for height, n_down in _spans(region.height)
        for width, n_across in _spans(region.width)
    )


def _spans(size: int) -> list[tuple[int, int]]:
    """Sides of tiles, and how many there are of each."""
    n_whole, rest = divmod(size, TILE)
    return [(TILE, n_whole), (rest, 1 if rest else 0)]


def _tile_macs(pyramid: Pyramid, height: int, width: int, is_larger: bool) -> int:
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
