"""How much a cae file asks of its decoder, in multiply-adds, from its header and model alone.

See exact/work.py. All latents are decoded, whatever the region; the synthesis computes the tiles of
the region, each with the blocks around it that reach into it.
"""

from inr.cae import layers
from inr.cae.entropy_models import HYPER_BLOCK
from inr.cae.exact.tiles import Span, side, spans
from inr.cae.model import Model
from inr.cae.transforms import BLOCK
from inr.exact.work import CALL_MACS, DOUBLE_MACS, LATENT_MACS
from inr.image.region import Region, Size
from inr.image.resample import resampling_macs

_ALPHA_MACS = 1 << 10  # to unpack a sample of the alpha channel
# To round, clip and copy the features of a pixel: 160 ns of the smallest model.
_PIXEL_MACS = 1 << 13
_LAYER_CALLS = 16


def rendering_macs(
    model: Model, own_size: Size, n_channels: int, size: Size, region: Region
) -> int:
    """Count the multiply-adds of `decode.render_content`. model: of the one width that is used."""
    rows, cols = -(-own_size.height // BLOCK), -(-own_size.width // BLOCK)
    total = LATENT_MACS * rows * cols * model.n_latents
    chain = model.chains().get("hyper_synthesis")
    if chain is not None:
        each = LATENT_MACS * model.n_coded + DOUBLE_MACS * round(layers.macs(chain))
        total += -(-rows // HYPER_BLOCK) * -(-cols // HYPER_BLOCK) * each
    if n_channels in (2, 4):
        total += _ALPHA_MACS * own_size.n_pixels
    if size == own_size:
        return total + _drawing_macs(model, own_size, region)
    total += _drawing_macs(model, own_size, Region.whole(own_size))
    return total + resampling_macs(own_size, n_channels, size, region)


def _drawing_macs(model: Model, own_size: Size, region: Region) -> int:
    """Count those of `CaeCodec.synthesize`."""
    chain = model.chains()["synthesis"]
    tile, halo = side(chain, 1, None), -(-layers.reach(chain) // BLOCK)
    down = spans(region.y, region.y + region.height, own_size.height, tile)
    across = spans(region.x, region.x + region.width, own_size.width, tile)
    n_blocks = _n_blocks(down, halo) * _n_blocks(across, halo)
    each = DOUBLE_MACS * round(layers.macs(chain)) + _PIXEL_MACS * BLOCK**2
    n_calls = _LAYER_CALLS * sum(1 for _ in layers.walk(chain)) * len(down) * len(across)
    return n_blocks * each + CALL_MACS * n_calls


def _n_blocks(tiles: list[Span], halo: int) -> int:
    """Count rows or columns of blocks that the tiles compute."""
    parts = [tile.widen(halo) for tile in tiles]
    return sum(int(part.stop - part.start) for part in parts)
