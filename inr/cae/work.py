"""How much a cae file asks of its decoder, in multiply-adds, from its header and model alone.

See inr/work.py. All latents are decoded, whatever the region; the synthesis computes the tiles of
the region, each with the blocks around it that reach into it.
"""

from inr.cae import layers
from inr.cae.exact.tiles import Span, side, spans
from inr.cae.model import HYPER_BLOCK, Hyperprior, Model
from inr.cae.transforms import BLOCK
from inr.mlp.decode import Region
from inr.mlp.work import CALL_MACS, DOUBLE_MACS, Drawing, macs_of_resampling

_LATENT_MACS = 1 << 14  # to read a latent: 250 ns
_ALPHA_MACS = 1 << 10  # to unpack a sample of the alpha channel
_PIXEL_MACS = (
    1 << 13
)  # to round, clip and copy the features of a pixel: 160 ns of the smallest model
_LAYER_CALLS = 16


def macs_of_cae(model: Model, drawing: Drawing) -> int:
    """Count the multiply-adds of `decode.render_cae`. model: of the one width that is used."""
    height, width = drawing.own_height, drawing.own_width
    rows, cols = -(-height // BLOCK), -(-width // BLOCK)
    total = _LATENT_MACS * rows * cols * model.n_latents
    if isinstance(model.prior, Hyperprior):
        chain = model.chains()["hyper_synthesis"]
        each = _LATENT_MACS * model.n_coded + DOUBLE_MACS * round(layers.macs(chain))
        total += -(-rows // HYPER_BLOCK) * -(-cols // HYPER_BLOCK) * each
    if drawing.n_channels in (2, 4):
        total += _ALPHA_MACS * height * width
    if drawing.has_own_size:
        return total + _macs_of_drawing(model, drawing, drawing.region)
    total += _macs_of_drawing(model, drawing, Region(0, 0, width, height))
    return total + macs_of_resampling(drawing)


def _macs_of_drawing(model: Model, drawing: Drawing, region: Region) -> int:
    """Of `exact.drawn`."""
    chain = model.chains()["synthesis"]
    size, halo = side(chain, 1, None), -(-layers.reach(chain) // BLOCK)
    down = spans(region.y, region.y + region.height, drawing.own_height, size)
    across = spans(region.x, region.x + region.width, drawing.own_width, size)
    n_blocks = _n_blocks(down, halo) * _n_blocks(across, halo)
    each = DOUBLE_MACS * round(layers.macs(chain)) + _PIXEL_MACS * BLOCK**2
    n_calls = _LAYER_CALLS * sum(1 for _ in layers.walk(chain)) * len(down) * len(across)
    return n_blocks * each + CALL_MACS * n_calls


def _n_blocks(tiles: list[Span], halo: int) -> int:
    """Rows or columns of blocks that the tiles compute."""
    parts = [tile.widened(halo) for tile in tiles]
    return sum(int(part.stop - part.start) for part in parts)
