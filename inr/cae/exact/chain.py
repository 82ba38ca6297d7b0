"""Transforms of a trained autoencoder in exact arithmetic: the same bits on every machine.

    round(v, k)     floor(v * 2**k + 0.5) * 2**-k
    features        multiples of 2**-12, clipped to +-2**13 after every layer that computes
    Conv, Deconv    w round(., 14), b round(., 26); the sum is exact, then round(., 12)
    Gdn             u = round(x, 8) clipped to +-2**10, norm = beta + sum_j gamma_ij u_j^2,
                    round(x / sqrt(norm), 12), of the inverse round(x * sqrt(norm), 12);
                    gamma round(., g), beta round(., 16 + g) but at least 1e-6, with the
                    largest g <= 24, one for the layer, for which all sums are exact
    Scale           m round(., 14), then round(x * m, 12)
    Relu            max(x, round(slope * x, 12))
    Sum             exact
    Gate            round(value * (1 + g / sqrt(1 + g * g)) / 2, 12)
    picture         sample s becomes round(s / 255 - 0.5, 12); its last row and column are
                    repeated up to whole blocks of 16 x 16; the feature v becomes the sample
                    round(clip(v + 0.5, 0, 1) * 255, 0)

float64 carries all of it. Sums of products stay below 2**53 in units of the finest number, so they
are exact in any order and with or without fused multiply-add: any BLAS and any number of threads
give the same bits. The rest are single operations that IEEE 754 defines to the last bit, each a
numpy call of its own, so that no compiler fuses two.

Large pictures are computed in tiles with so much around them as reaches into them: the same bits.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from inr.cae.exact.layers import compute
from inr.cae.exact.pointwise import LIMIT, ONE, Tensors
from inr.cae.exact.tensors import exact_scales, exact_tensors
from inr.cae.exact.tiles import compute_tile, side, spans
from inr.cae.layers import Chain
from inr.cae.transforms import BLOCK, N_COLOURS
from inr.exact.threads import tile_pool
from inr.image.region import Region, Size


@dataclass(frozen=True)
class ExactChain:
    """Layers with their tensors, f64 and rounded as above, all sums proven exact."""

    chain: Chain
    tensors: dict[str, np.ndarray]

    @classmethod
    def of(cls, chain: Chain, params: Tensors) -> "ExactChain":
        """Round the tensors; see `exact_tensors` for what is accepted and what is refused."""
        return cls(chain, exact_tensors(chain, params))

    def apply(self, x: np.ndarray, scales: Tensors, n_threads: int | None = None) -> np.ndarray:
        """Compute what the chain makes of the whole of x.

        Args:
          x: f64[height, width, channels], multiples of 2**-12 within +-2**13.
          scales: for each Scale layer the vector of its name, f16, f32 or f64[channels].
          n_threads: bands of rows computed at once; None for one a core.
        Returns:
          f64[height', width', channels'], again such multiples.
        Raises:
          ValueError: x is something else, or a vector is missing, misshapen or too large.
        """
        features, vectors = _features(x), exact_scales(self.chain, scales)
        with tile_pool(n_threads) as pool:
            return compute(self.chain, self.tensors, vectors, features, pool) * (1 / ONE)


def analyse(
    chain: ExactChain,
    pixels: np.ndarray,
    scales: Tensors,
    n_threads: int | None = None,
    tile: int | None = None,
) -> np.ndarray:
    """Compute the latents of a picture, not yet rounded to integers.

    Args:
      chain: from 3 channels to latents at a sixteenth of the sides.
      pixels: u8[height, width, 3].
      scales, n_threads: see `ExactChain.apply`.
      tile: pixels a side, a multiple of 16, that are computed at once; None for what keeps the
        memory bounded.
    Returns:
      f64[ceil(height / 16), ceil(width / 16), n_latents], multiples of 2**-12.
    Raises:
      ValueError: pixels or tile are something else; for the scales see `ExactChain.apply`.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != N_COLOURS:
        raise ValueError(f"pixels are {_kind(pixels)}, not uint8[height, width, {N_COLOURS}]")
    if not pixels.size:
        raise ValueError(f"pixels are {_kind(pixels)}: none; pass at least one")
    height, width, _ = pixels.shape
    vectors, size = exact_scales(chain.chain, scales), side(chain.chain, BLOCK, tile)
    of_sample = np.floor((np.arange(256) / 255 - 0.5) * ONE + 0.5)

    def load(rows: slice, cols: slice) -> np.ndarray:
        y = np.minimum(np.arange(rows.start * BLOCK, rows.stop * BLOCK), height - 1)
        x = np.minimum(np.arange(cols.start * BLOCK, cols.stop * BLOCK), width - 1)
        features: np.ndarray = of_sample[pixels[y[:, None], x]]
        return features

    made = []
    with tile_pool(n_threads) as pool:
        for row in spans(0, height, height, size):
            tiles = [(row, col) for col in spans(0, width, width, size)]
            one_row = [
                compute_tile(chain.chain, chain.tensors, vectors, load, at, BLOCK, pool)
                for at in tiles
            ]
            made.append(np.concatenate(one_row, 1) * (1 / ONE))
    return np.concatenate(made)


def synthesize(
    chain: ExactChain,
    latents: np.ndarray,
    height: int,
    width: int,
    scales: Tensors,
    region: Region | None = None,
    n_threads: int | None = None,
    tile: int | None = None,
) -> np.ndarray:
    """Compute the picture of latents, or a region of it.

    Args:
      chain: from latents to 3 channels at 16 times the sides.
      latents: f64[ceil(height / 16), ceil(width / 16), n_latents], multiples of 2**-12 within
        +-2**13.
      height, width: of the picture.
      scales, n_threads, tile: see `analyse`.
      region: the part to draw, within the picture; None for all.
    Returns:
      u8[region height, region width, 3], the same as that crop of the whole.
    Raises:
      ValueError: latents, region or tile are something else; for the scales see
        `ExactChain.apply`.
    """
    picture = Size(height, width)
    region = Region.whole(picture) if region is None else region
    region.check_inside(picture)
    features, vectors = _features(latents), exact_scales(chain.chain, scales)
    if features.shape[:2] != (-(-height // BLOCK), -(-width // BLOCK)):
        raise ValueError(f"latents are {_kind(latents)}: not those of {width} x {height} pixels")
    size = side(chain.chain, 1, tile)
    bottom, right = region.y + region.height, region.x + region.width
    rows = spans(region.y, bottom, height, size)
    cols = spans(region.x, right, width, size)
    out = np.empty((region.height, region.width, N_COLOURS), np.uint8)

    def load(rows: slice, cols: slice) -> np.ndarray:
        return features[rows, cols]

    with tile_pool(n_threads) as pool:
        for row, col in product(rows, cols):
            made = compute_tile(chain.chain, chain.tensors, vectors, load, (row, col), 1, pool)
            (y, to_y), (x, to_x) = row.crop(region.y, bottom), col.crop(region.x, right)
            colours = np.clip(made[y, x] * (1 / ONE) + 0.5, 0, 1)
            out[to_y, to_x] = np.floor(colours * 255 + 0.5)
    return out


def _features(x: np.ndarray) -> np.ndarray:
    """Return features in units of 2**-12."""
    units = np.asarray(x, np.float64) * ONE
    if units.ndim != 3 or not units.size:
        raise ValueError(f"features are {_kind(x)}, not [height, width, channels] of at least one")
    if not ((units == np.floor(units)) & (np.abs(units) <= LIMIT)).all():  # NaN neither
        raise ValueError("features are not multiples of 2**-12 within +-2**13; round and clip them")
    return units


def _kind(x: np.ndarray) -> str:
    return f"{x.dtype}{list(x.shape)}"
