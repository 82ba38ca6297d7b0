"""How far a decoded picture is from its original (mse, psnr_db, ms_ssim) and what it costs (bpp).

MS-SSIM: Wang, Simoncelli, Bovik, "Multi-scale structural similarity for image quality assessment",
Asilomar 2003, Section 3. Differs from the paper: every channel is measured on its own and the
results are averaged, and an odd side gets one leading row or column of zeros before it is halved.
Both are what pytorch-msssim does, the package whose figures learned-codec papers usually quote.

Alpha, in all three measures: the last of 2 or 4 channels is alpha. Colours are first multiplied by
alpha / peak, which is what is seen over black, so that colour nobody can see does not count; alpha
itself then counts as one more channel. An opaque picture with alpha therefore has a smaller mse
than the same picture without: a channel without error joins the mean.
"""

import math

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8 | np.uint16]  # [h, w] or [h, w, c]; 2 and 4 channels end with alpha

BLOCK_PIXELS = 2**18  # pixels turned into f64 at a time: 8 MiB at four channels
BLOCK_ROWS = 32  # rows of ms_ssim filtered at a time: at usual widths they stay in the cache

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # the paper's exponents, fine scale to coarse
K1, K2 = 0.01, 0.03  # the paper's; they keep both quotients finite where the picture is flat
TAPS = 11  # the paper's window: 11 x 11 Gaussian ...
SIGMA = 1.5  # ... of this standard deviation, in pixels
MS_SSIM_MIN_SIDE = (TAPS - 1) * 2 ** (len(WEIGHTS) - 1) + 1  # 161: the window fits after 4 halvings


def mse(reference: Pixels, candidate: Pixels) -> float:
    """Compute the mean squared error over all samples, in squared code values.

    Args:
      reference: uint8 or uint16 [h, w] or [h, w, c], c in 1..4; alpha as the module docstring says.
      candidate: same shape and dtype.
    Returns:
      0.0 for equal pictures, at most peak**2 (peak: 255 or 65535).
    """
    _check(reference, candidate)
    n_channels = 1 if reference.ndim == 2 else reference.shape[2]
    a, b = reference.reshape(-1, n_channels), candidate.reshape(-1, n_channels)  # [n, c]
    total = 0.0
    for start in range(0, len(a), BLOCK_PIXELS):  # blocks: 100 Mpx in f64 would take 2.4 GB each
        block = slice(start, start + BLOCK_PIXELS)
        total += float(np.square(_as_seen(a[block]) - _as_seen(b[block])).sum())
    return total / reference.size


def psnr_db(reference: Pixels, candidate: Pixels) -> float:
    """Compute the PSNR, 10 log10(peak**2 / mse), peak 255 (uint8) or 65535 (uint16).

    One mse over all samples of all channels, not a mean of PSNRs; alpha as the module docstring
    says.

    Args:
      reference: uint8 or uint16 [h, w] or [h, w, c], c in 1..4.
      candidate: same shape and dtype.
    Returns:
      Decibels; inf for equal pictures.
    """
    error = mse(reference, candidate)
    return 10 * math.log10(_peak(reference) ** 2 / error) if error > 0 else math.inf


def ms_ssim(reference: Pixels, candidate: Pixels) -> float:
    """Compute MS-SSIM: five scales per channel, then the mean over channels.

    A scale whose mean is negative counts as 0, and makes its channel 0. Alpha as the module
    docstring says.

    Args:
      reference: uint8 or uint16 [h, w] or [h, w, c], c in 1..4, h and w at least MS_SSIM_MIN_SIDE.
      candidate: same shape and dtype.
    Returns:
      Between 0 and 1; 1.0 for equal pictures.
    """
    _check(reference, candidate)
    height, width = reference.shape[:2]
    if min(height, width) < MS_SSIM_MIN_SIDE:
        raise ValueError(
            f"ms_ssim needs at least {MS_SSIM_MIN_SIDE} pixels a side for its {len(WEIGHTS)} "
            f"scales, got {height} x {width}; report psnr_db alone for so small a picture"
        )
    n_channels = 1 if reference.ndim == 2 else reference.shape[2]
    per_channel = []
    for c in range(n_channels):
        x, y = _plane(reference, c), _plane(candidate, c)  # [h, w]
        product = 1.0
        for scale, weight in enumerate(WEIGHTS):
            if scale > 0:
                x, y = _halve(x), _halve(y)  # [ceil(h / 2), ceil(w / 2)]
            ssim, contrast_structure = _mean_ssim(x, y, _peak(reference))
            mean = ssim if scale == len(WEIGHTS) - 1 else contrast_structure
            product *= max(mean, 0.0) ** weight  # a negative mean has no real power
        per_channel.append(product)
    return sum(per_channel) / n_channels


def bpp(n_bytes: int, height: int, width: int) -> float:
    """Compute bits per pixel: 8 * n_bytes / (height * width), whatever the channels."""
    if n_bytes < 0 or height < 1 or width < 1:
        raise ValueError(
            f"n_bytes={n_bytes}, height={height}, width={width}: bpp needs n_bytes >= 0 and a "
            "picture of at least 1 x 1; give the size of the file and of the original picture"
        )
    return 8 * n_bytes / (height * width)


def _check(reference: Pixels, candidate: Pixels) -> None:
    if reference.shape != candidate.shape or reference.dtype != candidate.dtype:
        raise ValueError(
            f"reference is {reference.dtype} {reference.shape}, candidate is {candidate.dtype} "
            f"{candidate.shape}; decode at the original size and convert both to one mode first"
        )
    if reference.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"dtype={reference.dtype} has no peak value; pass uint8 or uint16 pixels")
    channels = reference.shape[2:] or (1,)
    if reference.ndim < 2 or reference.size == 0 or channels not in ((1,), (2,), (3,), (4,)):
        raise ValueError(
            f"shape={reference.shape} is not a picture; pass [h, w] or [h, w, c] with "
            "h, w >= 1 and c in 1..4"
        )


def _peak(pixels: Pixels) -> float:
    return float(np.iinfo(pixels.dtype).max)


def _as_seen(pixels: Pixels) -> NDArray[np.float64]:
    """Convert [n, c] codes to f64, colours multiplied by alpha / peak where there is alpha."""
    seen = pixels.astype(np.float64)
    if pixels.shape[1] in (2, 4):
        seen[:, :-1] *= seen[:, -1:] / _peak(pixels)
    return seen


def _plane(pixels: Pixels, channel: int) -> NDArray[np.float32]:
    """Take one channel as f32 [h, w], colours multiplied by alpha / peak where there is alpha."""
    if pixels.ndim == 2:
        return pixels.astype(np.float32)
    # f32 holds 16-bit codes exactly, and their sums over 2 x 2 at all scales: 16 + 2 * 4 bits.
    plane = pixels[:, :, channel].astype(np.float32)
    if pixels.shape[2] in (2, 4) and channel < pixels.shape[2] - 1:
        plane *= pixels[:, :, -1].astype(np.float32) / np.float32(_peak(pixels))
    return plane


def _halve(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average 2 x 2; an odd side gets a leading zero, as avg_pool2d(padding=[h % 2, w % 2])."""
    height, width = x.shape
    x = np.pad(x, ((height % 2, 0), (width % 2, 0)))  # both sides even
    sums = x[0::2, 0::2] + x[0::2, 1::2] + x[1::2, 0::2] + x[1::2, 1::2]  # [h / 2, w / 2]
    return sums * np.float32(0.25)


def _mean_ssim(x: NDArray[np.float32], y: NDArray[np.float32], peak: float) -> tuple[float, float]:
    """Average over all valid windows of l * c * s and of c * s, the paper's equations 1 to 3."""
    c1, c2 = (K1 * peak) ** 2, (K2 * peak) ** 2
    n_rows, n_cols = x.shape[0] - TAPS + 1, x.shape[1] - TAPS + 1
    ssim_sum = contrast_structure_sum = 0.0
    for top in range(0, n_rows, BLOCK_ROWS):
        rows = slice(top, min(top + BLOCK_ROWS, n_rows) + TAPS - 1)
        a, b = x[rows].astype(np.float64), y[rows].astype(np.float64)
        mean_a, mean_b = _blur(a), _blur(b)
        means_product = mean_a * mean_b
        means_square = np.square(mean_a) + np.square(mean_b)
        covariance = _blur(a * b) - means_product
        variances = _blur(np.square(a) + np.square(b)) - means_square  # only their sum is needed
        contrast_structure = (2 * covariance + c2) / (variances + c2)
        luminance = (2 * means_product + c1) / (means_square + c1)
        ssim_sum += float((luminance * contrast_structure).sum())
        contrast_structure_sum += float(contrast_structure.sum())
    return ssim_sum / (n_rows * n_cols), contrast_structure_sum / (n_rows * n_cols)


def _blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average under the Gaussian window where it fits: [h, w] -> [h - TAPS + 1, w - TAPS + 1]."""
    middle = TAPS // 2
    taps = np.exp(-np.square(np.arange(TAPS) - middle) / (2 * SIGMA**2))
    taps /= taps.sum()
    for _ in range(2):  # down the rows, then the transpose: the window is separable
        n = x.shape[0] - TAPS + 1
        out = taps[middle] * x[middle : middle + n]
        for i in range(middle):  # taps are symmetric: one multiplication serves two
            out += taps[i] * (x[i : i + n] + x[TAPS - 1 - i : TAPS - 1 - i + n])
        x = out.T
    return x
