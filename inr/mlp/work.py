"""How much a file of kind mlp asks of its decoder, in multiply-adds (see exact/work.py)."""

from inr.exact.work import CALL_MACS
from inr.image.region import Region, Size
from inr.image.resample import resampling_macs
from inr.mlp.decode import tile_size
from inr.mlp.fields.protocol import Field, n_weights
from inr.mlp.tags import Stages

_SYMBOL_MACS = 1 << 12  # to read one code of a network and make a weight of it
_SAMPLE_MACS = 1 << 8  # to make a point, and to round what is drawn there, each channel
_BAND_MACS = 1 << 12  # to join one sample of a wavelet band with the others


def rendering_macs(
    stages: Stages, own_size: Size, n_channels: int, size: Size, region: Region
) -> int:
    """Count the multiply-adds of reading the weights and of `decode.render_weights`."""
    field_set = stages.field_set(own_size.height, own_size.width, n_channels)
    total = reading_macs(n_weights(field_set.shapes()))
    if not stages.split.HAS_BANDS:
        return total + _tiles_macs(stages.field, n_channels, size, region)
    grids = stages.split.grids(own_size.height, own_size.width, n_channels)
    for grid, part in zip(grids, field_set.parts, strict=True):
        band = Size(grid.height, grid.width)
        total += _tiles_macs(part.field, grid.n_channels, band, Region.whole(band))
        total += _BAND_MACS * band.n_pixels * grid.n_channels
    return total + resampling_macs(own_size, n_channels, size, region)


def reading_macs(n_weights: int) -> int:
    """Count the multiply-adds of `file.read_weights`."""
    return _SYMBOL_MACS * n_weights


def _tiles_macs(net: Field, n_channels: int, size: Size, region: Region) -> int:
    """Count those of `decode.render`: the tiles that the region touches, each of them whole."""
    rows, cols = tile_size(net, size.height, size.width)
    n_down = (region.y + region.height - 1) // rows - region.y // rows + 1
    n_across = (region.x + region.width - 1) // cols - region.x // cols + 1
    macs = net.macs(n_channels, rows * cols) + CALL_MACS * (net.n_layers + 1)
    macs += _SAMPLE_MACS * rows * cols * (1 + n_channels)
    return n_down * n_across * macs
