"""Files of every kind, of fresh weights and random latents, written without a fit."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from helpers.tiny_cae import MODELS, weights_of
from inr.cae.alpha import encode_alpha
from inr.cae.codec import CaeCodec
from inr.cae.file import HASH_BYTES, Coded, colours_of, pack_cae
from inr.cae.weights import write_weights
from inr.coders.range_coder import RangeCoder
from inr.format.checksum import pixels_crc
from inr.grid.file import write_grid
from inr.grid.fit.init import first_networks
from inr.grid.network_coding import quantize_networks
from inr.grid.structure import Pyramid, Structure
from inr.grid.synthesis import synthesize
from inr.mlp.fields.siren import Siren
from inr.mlp.file import PictureInfo, write_file
from inr.mlp.quantize.uniform import Uniform, wire_step
from inr.mlp.splits.whole import Whole
from inr.mlp.tags import Stages

SMALL = Siren(hidden=6, n_layers=2)
SMALL_GRID = Structure(n_taps=5, n_features=2, hidden=4)
GRID_WITH_RATE = Structure(n_taps=5, n_features=2, hidden=4, prior=2, rate=20)
_CAE_MODELS = ("hyperprior", "factorized", "slimmable")


def stages_of(
    split=Whole(),  # noqa: B008, frozen, as the others
    field=SMALL,
    quantizer=Uniform(),  # noqa: B008
    coder=RangeCoder(),  # noqa: B008
) -> Stages:
    return Stages(split, field, quantizer, coder)


def built_file(
    stages,
    *,
    height=21,
    width=18,
    n_channels=3,
    bit_depth=8,
    ranges=None,
    icc_profile=None,
    sparsity=0.0,
    peak=0.5,
    seed=0,
) -> bytes:
    """Write a file of kind mlp.

    Args:
      ranges: least and largest sample of each channel; all there can be if not given.
      sparsity: share of codes set to 0.
      peak: coefficient of a band that 1 of its signal stands for.
    """
    field_set = stages.field_set(height, width, n_channels)
    rng = np.random.default_rng(seed)
    params = field_set.init(rng)
    fixed = field_set.fixed_steps()
    qparams = {n: stages.quantizer.fit_qparams(w) for n, w in params.items() if n not in fixed}
    codes = {
        name: Uniform().quantize(w, fixed[name])
        if name in fixed
        else stages.quantizer.quantize(w, qparams[name])
        for name, w in params.items()
    }
    if sparsity:
        codes = {name: c * (rng.random(c.shape) >= sparsity) for name, c in codes.items()}
    peaks = tuple((wire_step(peak),) * part.n_channels for part in field_set.parts)
    ranges = ranges or ((0, 2**bit_depth - 1),) * n_channels
    band_peaks = peaks if stages.split.HAS_BANDS else ()
    info = PictureInfo(height, width, n_channels, bit_depth, ranges, icc_profile, band_peaks)
    return write_file(info, stages, codes, qparams)


def built_grid(
    *,
    n_channels=3,
    bit_depth=8,
    height=7,
    width=9,
    structure=SMALL_GRID,
    icc_profile=None,
    seed=0,
) -> bytes:
    """Write a file of kind grid."""
    pyramid = Pyramid(height, width, n_channels, structure)
    rng = np.random.default_rng(seed)
    params = first_networks(pyramid, np.full(n_channels, 0.5), rng)
    coded = quantize_networks(params, dict.fromkeys(pyramid.groups, 8), pyramid)
    latents = [
        np.rint(rng.laplace(size=(level.height, level.width)) * 2**octaves).astype(np.int32)
        for level, octaves in zip(pyramid.levels, pyramid.octaves, strict=True)
    ]
    drawn = synthesize(latents, coded.values(pyramid), pyramid, bit_depth)
    return write_grid(pyramid, bit_depth, coded, latents, pixels_crc(drawn), icc_profile)


def built_cae(
    model="hyperprior", *, n_channels=3, height=7, width=9, icc_profile=None, seed=0
) -> bytes:
    """Write a file of kind cae; `cae_models` has its weights."""
    weights = weights_of(MODELS[model])
    narrowest = weights.model.widths[0] if weights.model.widths else 0
    codec = CaeCodec(weights.at_width(narrowest))
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, n_channels), np.uint8)
    rate = codec.n_rates // 2
    latents = codec.analyse(colours_of(pixels), rate)
    crc = pixels_crc(codec.synthesize(latents, height, width, rate))
    coded = Coded(0, bytes.fromhex(weights.sha256)[:HASH_BYTES], rate, 0, crc)
    alpha = encode_alpha(pixels[..., -1]) if n_channels in (2, 4) else None
    return pack_cae(pixels.shape, coded, codec.write(latents, rate), alpha, icc_profile)


@contextmanager
def cae_models() -> Iterator[Path]:
    """Make a folder in which decoders find the weights of `built_cae`."""
    with tempfile.TemporaryDirectory() as folder:
        for model in _CAE_MODELS:
            data = write_weights(weights_of(MODELS[model]))
            (Path(folder) / f"{model}.npz").write_bytes(data)
        yield Path(folder)
