"""Distortions that an autoencoder is trained for, one number for each picture of a batch.

Pictures are f32 [n, height, width, 3] in 0..1. MS-SSIM is that of image/metrics.py, and 1 - MS-SSIM
what is minimised. LPIPS: Zhang et al., "The unreasonable effectiveness of deep features as a
perceptual metric", CVPR 2018, with AlexNet; its networks come with the package jaxlpips, which
nothing else here needs.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import jax
import jax.numpy as jnp
import numpy as np

from inr.errors import UsageError
from inr.image.metrics import K1, K2, SIGMA, TAPS, WEIGHTS

# MS-SSIM raises the means of its scales to powers below 1, whose slope at 0 is infinite.
MIN_MEAN = 1e-4
LPIPS_MIN_SIDE = 31  # pixels: below, nothing is left after the strides of AlexNet


@dataclass(frozen=True)
class Distortion:
    """The weighted sum of several distortions; those of weight 0 are not computed."""

    mse: float = 1.0
    mean_absolute: float = 0.0
    ms_ssim: float = 0.0  # of 1 - MS-SSIM
    lpips: float = 0.0

    def __post_init__(self) -> None:
        weights = asdict(self)
        if not all(0 <= weight < math.inf for weight in weights.values()):  # NaN too
            raise UsageError(f"{weights}: every weight must be a number, 0 or more")
        if not any(weights.values()):
            raise UsageError(f"{weights}: nothing to be near to; give one a weight above 0")

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Compute f32 [n] of two batches f32 [n, height, width, 3] in 0..1; raises as each term."""
        terms = (
            (self.mse, mse),
            (self.mean_absolute, mean_absolute),
            (self.ms_ssim, ms_ssim),
            (self.lpips, lpips),
        )
        return _sum([weight * distance(x, y) for weight, distance in terms if weight > 0])


def mse(x: jax.Array, y: jax.Array) -> jax.Array:
    """Compute the mean squared error: f32 [n, height, width, 3] in 0..1 twice -> f32 [n]."""
    _check(x, y)
    return jnp.square(x - y).mean(axis=(1, 2, 3))


def mean_absolute(x: jax.Array, y: jax.Array) -> jax.Array:
    """Compute the mean absolute error: f32 [n, height, width, 3] in 0..1 twice -> f32 [n]."""
    _check(x, y)
    return jnp.abs(x - y).mean(axis=(1, 2, 3))


def ms_ssim(x: jax.Array, y: jax.Array) -> jax.Array:
    """Compute 1 - MS-SSIM, so 0 for equal pictures.

    As metrics.ms_ssim, with two differences. Pictures below 161 pixels a side have as many scales
    as fit: four from 81, three from 41, two from 21, one from 11; their exponents are scaled up to
    the sum of all five. And the mean of a scale counts as MIN_MEAN where it is smaller, which
    leaves pictures that far apart a little below 1 and gives them no gradient.

    Args:
      x, y: f32 [n, height, width, 3] in 0..1, both sides at least 11.
    Returns:
      f32 [n]; the gradient is finite everywhere, and 0 where the pictures are equal.
    """
    _check(x, y)
    side = min(x.shape[1:3])
    if side < TAPS:
        raise UsageError(
            f"ms_ssim needs pictures of at least {TAPS} pixels a side, got {x.shape[1:3]}; "
            "train on larger crops"
        )
    log_product = jnp.zeros((x.shape[0], x.shape[3]))  # [n, 3]
    exponents = _exponents(side)
    for scale, exponent in enumerate(exponents):
        if scale > 0:
            x, y = _halve(x), _halve(y)
        ssim, contrast_structure = _mean_ssim(x, y)  # [n, 3] each
        mean = ssim if scale == len(exponents) - 1 else contrast_structure
        log_product += exponent * jnp.log(jnp.maximum(mean, MIN_MEAN))
    return 1 - jnp.exp(log_product).mean(axis=1)


def lpips(x: jax.Array, y: jax.Array) -> jax.Array:
    """Compute LPIPS with AlexNet; jaxlpips fetches its weights at the first use and keeps them.

    The features are its own, the distance is ours: the package divides by a norm that has no
    gradient where a place has no feature at all. Call it under jit: networks are loaded each time.

    Args:
      x, y: f32 [n, height, width, 3] in 0..1, both sides at least LPIPS_MIN_SIDE.
    Returns:
      f32 [n], 0 for equal pictures.
    Raises:
      ValueError: smaller pictures, or no jaxlpips.
    """
    _check(x, y)
    if min(x.shape[1:3]) < LPIPS_MIN_SIDE:
        raise UsageError(
            f"lpips needs pictures of at least {LPIPS_MIN_SIDE} pixels a side, got "
            f"{x.shape[1:3]}; train on larger crops"
        )
    try:
        import jaxlpips
    except ImportError as error:
        raise UsageError(
            "lpips needs the package jaxlpips: pip install jaxlpips, or set its weight to 0"
        ) from error
    with jax.ensure_compile_time_eval():  # the networks are constants, inside of jit too
        networks = jaxlpips.LPIPS("alexnet")
    pair = jnp.concatenate([x, y]) * 2 - 1  # [2 n, h, w, 3] in -1..1
    shift = np.array([-0.030, -0.088, -0.188], np.float32)  # the paper's code, lpips.py
    scale = np.array([0.458, 0.448, 0.450], np.float32)
    layers = networks.model((pair - shift[None, None, None]) / scale[None, None, None])
    distances = []
    for features, weights in zip(layers, networks.linear_weights, strict=True):
        power = jnp.square(features).sum(axis=3, keepdims=True)  # [2 n, h, w, 1]
        unit = features * jax.lax.rsqrt(power + 1e-10)
        difference = jnp.square(unit[: len(x)] - unit[len(x) :])  # [n, h, w, c]
        weighted = difference * jnp.reshape(weights, (1, 1, 1, -1))
        distances.append(weighted.sum(axis=3).mean(axis=(1, 2)))
    return _sum(distances)


def _sum(terms: Sequence[jax.Array]) -> jax.Array:
    """Add arrays of one shape; sum() would begin with an int."""
    return jnp.stack(terms).sum(axis=0)


def _check(x: jax.Array, y: jax.Array) -> None:
    if x.shape != y.shape or x.ndim != 4 or x.shape[3] != 3 or 0 in x.shape:
        raise ValueError(
            f"pictures are {x.shape} and {y.shape}, expected two batches of one shape "
            "[n, height, width, 3]"
        )
    if x.dtype != jnp.float32 or y.dtype != jnp.float32:
        raise ValueError(f"pictures are {x.dtype} and {y.dtype}, expected float32 in 0..1")


def _exponents(side: int) -> list[float]:
    """Return the exponents of the scales where the window fits, with the sum of all five."""
    n_scales = sum(side > (TAPS - 1) * 2**scale for scale in range(len(WEIGHTS)))
    factor = sum(WEIGHTS) / sum(WEIGHTS[:n_scales])
    return [weight * factor for weight in WEIGHTS[:n_scales]]


def _halve(x: jax.Array) -> jax.Array:
    """Average 2 x 2; an odd side gets a leading zero, as in metrics.py."""
    n, height, width, c = x.shape
    x = jnp.pad(x, ((0, 0), (height % 2, 0), (width % 2, 0), (0, 0)))  # both sides even
    blocks = x.reshape(n, (height + 1) // 2, 2, (width + 1) // 2, 2, c)
    return blocks.mean(axis=(2, 4))


def _mean_ssim(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Average over all valid windows l * c * s and of c * s, [n, 3] each, peak 1."""
    c1, c2 = K1**2, K2**2
    # Variances are small differences of squares: less is lost in f32 around the middle grey.
    a, b = x - 0.5, y - 0.5
    moments = _blur(jnp.concatenate([a, b, a * a + b * b, a * b]))  # [4 n, h - 10, w - 10, 3]
    mean_a, mean_b, squares, product = jnp.split(moments, 4)
    covariance = product - mean_a * mean_b
    variances = squares - mean_a * mean_a - mean_b * mean_b  # only their sum is needed
    contrast_structure = (2 * covariance + c2) / (variances + c2)
    mean_x, mean_y = mean_a + 0.5, mean_b + 0.5
    luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    ssim = luminance * contrast_structure
    return ssim.mean(axis=(1, 2)), contrast_structure.mean(axis=(1, 2))


def _blur(x: jax.Array) -> jax.Array:
    """Average under the Gaussian window where it fits: [n, h, w, c] -> [n, h - 10, w - 10, c].

    As products with two band matrices: for 8 crops of 128 pixels, XLA on a CPU takes 20 times as
    long for the convolutions and their gradient.
    """
    # HIGHEST: a GPU would else round the samples to 10 bits, which is more than c2 allows.
    highest = jax.lax.Precision.HIGHEST
    x = jnp.einsum("ij,njwc->niwc", _band(x.shape[1]), x, precision=highest)
    return jnp.einsum("ij,nhjc->nhic", _band(x.shape[2]), x, precision=highest)


def _band(side: int) -> np.ndarray:
    """Make f32 [side - 10, side]; row i holds the window of samples i to i + 10."""
    taps = np.exp(-np.square(np.arange(TAPS) - TAPS // 2) / (2 * SIGMA**2))
    taps /= taps.sum()
    band = np.zeros((side - TAPS + 1, side), np.float32)
    for i in range(len(band)):
        band[i, i : i + TAPS] = taps
    return band
