"""metrics.py against numbers worked by hand, a plain second implementation and pytorch-msssim."""

import math
import tracemalloc

import numpy as np
import pytest

from inr.image import metrics


def hashed(row, col, channel, salt):
    """Integers in 0..65535 that look random; plain arithmetic, so the same on every machine."""
    mixed = (row * 73856093 ^ col * 19349663 ^ channel * 83492791 ^ salt * 2654435761) & 0x7FFFFFFF
    return (mixed * mixed >> 20) & 0xFFFF


def picture_pair(height, width, n_channels, dtype=np.uint8):
    """Ramps with hard edges and grain; the candidate is a coarser one with grain of its own."""
    row, col, channel = np.ogrid[:height, :width, :n_channels]
    ramp = (2 * row + 3 * col + 50 * channel) % 230 + (row // 37 + col // 23) % 2 * 20
    reference = ramp + hashed(row, col, channel, 1) % 13 - 6
    candidate = reference // 20 * 20 + 10 + hashed(row, col, channel, 2) % 21 - 10
    pair = [np.clip(p, 0, 255) for p in (reference, candidate)]
    if dtype == np.uint16:
        pair = [p * 257 - p // 255 * 128 + hashed(row, col, channel, 3) % 128 for p in pair]
    return pair[0].astype(dtype), pair[1].astype(dtype)


def plain_ms_ssim(x, y, peak):
    """The paper's l, c and s one by one, from 2-D window sums of central moments."""
    offset = np.arange(11) - 5
    window = np.exp(-(offset[:, None] ** 2 + offset[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    c3 = c2 / 2
    result = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        out_h, out_w = x.shape[0] - 10, x.shape[1] - 10
        terms = np.zeros((out_h, out_w))
        for i in range(out_h):
            for j in range(out_w):
                a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
                mean_a, mean_b = (window * a).sum(), (window * b).sum()
                sigma_a = math.sqrt((window * (a - mean_a) ** 2).sum())
                sigma_b = math.sqrt((window * (b - mean_b) ** 2).sum())
                sigma_ab = (window * (a - mean_a) * (b - mean_b)).sum()
                contrast = (2 * sigma_a * sigma_b + c2) / (sigma_a**2 + sigma_b**2 + c2)
                structure = (sigma_ab + c3) / (sigma_a * sigma_b + c3)
                luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
                terms[i, j] = contrast * structure * (luminance if scale == 4 else 1)
        result *= terms.mean() ** weight
        x, y = plain_halve(x), plain_halve(y)
    return result


def plain_halve(x):
    height, width = x.shape
    out = np.zeros(((height + 1) // 2, (width + 1) // 2))
    for i in range(height):
        for j in range(width):
            out[(i + height % 2) // 2, (j + width % 2) // 2] += x[i, j] / 4
    return out


def u8(values):
    return np.array(values, dtype=np.uint8)


def test_mse_and_psnr_of_a_hand_worked_grey_picture():
    reference, candidate = u8([[0, 10], [20, 30]]), u8([[0, 13], [16, 30]])
    assert metrics.mse(reference, candidate) == 6.25  # (0 + 9 + 16 + 0) / 4
    # 255**2 / 6.25 = 102**2; atol: f64 logarithms
    assert metrics.psnr_db(reference, candidate) == pytest.approx(20 * math.log10(102), abs=1e-9)


def test_psnr_of_rgb_is_over_all_samples_not_a_mean_over_channels():
    reference, candidate = u8([[[0, 100, 255]]]), u8([[[255, 100, 255]]])
    assert metrics.mse(reference, candidate) == 255**2 / 3
    # 10 log10(3): a mean of three channels would be inf; atol: f64 logarithms
    assert metrics.psnr_db(reference, candidate) == pytest.approx(10 * math.log10(3), abs=1e-9)


def test_mse_does_not_wrap_in_unsigned_arithmetic():
    assert metrics.mse(u8([[0]]), u8([[255]])) == 255**2
    black, white = np.array([[0]], np.uint16), np.array([[65535]], np.uint16)
    assert metrics.mse(black, white) == 65535**2
    assert metrics.psnr_db(black, white) == 0.0


def test_psnr_of_16_bits_equals_that_of_8_bits_scaled_by_257():
    reference, candidate = picture_pair(20, 30, 3)
    wide = metrics.psnr_db(reference.astype(np.uint16) * 257, candidate.astype(np.uint16) * 257)
    # 65535 = 255 * 257; atol: f64 logarithms
    assert wide == pytest.approx(metrics.psnr_db(reference, candidate), abs=1e-9)


def test_mse_over_several_blocks_is_exact_in_integers():
    n = 2 * metrics.BLOCK_PIXELS + 3
    reference = (np.arange(n) % 251).astype(np.uint8).reshape(1, n)  # one row: blocks split it
    candidate = (np.arange(n) % 241).astype(np.uint8).reshape(1, n)
    squares = int(((reference.astype(np.int64) - candidate) ** 2).sum())
    assert metrics.mse(reference, candidate) == squares / n
    assert metrics.mse(reference.T, candidate.T) == squares / n


def test_mse_of_a_large_picture_takes_far_less_than_8_bytes_a_sample():
    reference = np.zeros((3000, 2000, 3), np.uint8)  # 144 MB as f64
    tracemalloc.start()
    metrics.mse(reference, reference)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 5 * metrics.BLOCK_PIXELS * 3 * 8  # five f64 blocks: 31 MB; measured 25 MB


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_equal_pictures(dtype, n_channels):
    reference, _ = picture_pair(162, 173, n_channels, dtype)
    assert metrics.mse(reference, reference.copy()) == 0.0
    assert metrics.psnr_db(reference, reference.copy()) == math.inf
    assert metrics.ms_ssim(reference, reference.copy()) == 1.0


def test_alpha_scales_colour_and_counts_as_a_channel():
    # alpha 51 is a fifth: a colour error of 10 is seen as 2; (2**2 + 0**2) / 2 samples
    assert metrics.mse(u8([[[100, 51]]]), u8([[[110, 51]]])) == pytest.approx(2.0, abs=1e-12)  # f64
    # opaque 200 against nothing: (200**2 + 255**2) / 2
    assert metrics.mse(u8([[[200, 255]]]), u8([[[200, 0]]])) == 52512.5


@pytest.mark.parametrize("n_channels", [2, 4])
def test_colour_under_alpha_zero_does_not_count(n_channels):
    reference, candidate = picture_pair(170, 180, n_channels)
    reference[40:90, 30:100, -1] = candidate[40:90, 30:100, -1] = 0
    repainted = candidate.copy()
    repainted[40:90, 30:100, :-1] ^= 0xFF
    assert (repainted != candidate).any()
    assert metrics.psnr_db(reference, repainted) == metrics.psnr_db(reference, candidate)
    assert metrics.ms_ssim(reference, repainted) == metrics.ms_ssim(reference, candidate)


def test_an_opaque_alpha_is_one_more_channel_without_error():
    reference, candidate = picture_pair(170, 180, 3)
    opaque = np.full((170, 180, 1), 255, np.uint8)
    with_alpha = [np.concatenate([p, opaque], axis=2) for p in (reference, candidate)]
    rgb_mse, rgb_ms_ssim = metrics.mse(reference, candidate), metrics.ms_ssim(reference, candidate)
    assert metrics.mse(*with_alpha) == pytest.approx(rgb_mse * 3 / 4, abs=1e-9)  # f64 sums
    assert metrics.ms_ssim(*with_alpha) == pytest.approx((3 * rgb_ms_ssim + 1) / 4, abs=1e-9)


# ms_ssim(x, y, data_range=peak, size_average=True) of pytorch-msssim 1.0.0 on torch 2.13.0, CPU,
# in float64.
PYTORCH_MSSSIM = [
    (256, 320, 3, np.uint8, 0.974345851),
    (161, 203, 3, np.uint8, 0.974265799),
    (387, 259, 3, np.uint8, 0.974342712),
    (193, 254, 1, np.uint8, 0.974134965),
    (211, 190, 3, np.uint16, 0.974577604),
    (256, 177, 1, np.uint16, 0.973998606),
]


@pytest.mark.parametrize(("height", "width", "n_channels", "dtype", "expected"), PYTORCH_MSSSIM)
def test_ms_ssim_agrees_with_pytorch_msssim(height, width, n_channels, dtype, expected):
    reference, candidate = picture_pair(height, width, n_channels, dtype)
    # 1e-4 is the contract, 3e-7 measured (pytorch-msssim makes its window in f32); at 2e-6 a
    # wrong padding of odd sides shows.
    assert metrics.ms_ssim(reference, candidate) == pytest.approx(expected, abs=2e-6)


def test_ms_ssim_agrees_with_pytorch_msssim_where_a_channel_is_negative():
    reference, candidate = picture_pair(200, 211, 3)
    candidate[:, :, 1] = 255 - reference[:, :, 1]  # green inverted: its product is cut off at 0
    assert metrics.ms_ssim(reference, candidate) == pytest.approx(0.649260692, abs=2e-6)  # as above
    assert metrics.ms_ssim(reference[:, :, 1], candidate[:, :, 1]) == 0.0


def test_ms_ssim_agrees_with_the_plain_second_implementation():
    reference, candidate = picture_pair(161, 166, 1)  # 161, 81, 41, 21 are odd, 166 is even first
    x, y = reference[:, :, 0], candidate[:, :, 0]
    expected = plain_ms_ssim(x.astype(np.float64), y.astype(np.float64), 255)
    assert metrics.ms_ssim(x, y) == pytest.approx(expected, abs=1e-9)  # f64, E[x x] - mean**2


def test_ms_ssim_takes_grey_with_and_without_a_channel_axis():
    reference, candidate = picture_pair(170, 180, 1)
    assert metrics.ms_ssim(reference, candidate) == metrics.ms_ssim(
        reference[:, :, 0], candidate[:, :, 0]
    )


def test_metrics_are_symmetric_and_leave_their_arguments_alone():
    reference, candidate = picture_pair(170, 180, 4)
    copies = reference.copy(), candidate.copy()
    for measure in (metrics.mse, metrics.psnr_db, metrics.ms_ssim):
        assert measure(reference, candidate) == measure(candidate, reference)
    assert (reference == copies[0]).all()
    assert (candidate == copies[1]).all()


@pytest.mark.parametrize("shape", [(160, 300), (300, 160, 3), (1, 1)])
def test_ms_ssim_refuses_a_picture_too_small_for_five_scales(shape):
    with pytest.raises(ValueError, match="ms_ssim needs at least 161 pixels a side") as caught:
        metrics.ms_ssim(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))
    assert f"got {shape[0]} x {shape[1]}" in str(caught.value)


@pytest.mark.parametrize("measure", [metrics.mse, metrics.psnr_db, metrics.ms_ssim])
@pytest.mark.parametrize(
    ("reference", "candidate", "message"),
    [
        (u8([[1, 2]]), u8([[1], [2]]), r"uint8 \(1, 2\), candidate is uint8 \(2, 1\); decode at"),
        (u8([[1]]), u8([[[1]]]), r"uint8 \(1, 1\), candidate is uint8 \(1, 1, 1\); decode at"),
        (u8([[1]]), np.array([[1]], np.uint16), r"uint8 \(1, 1\), candidate is uint16 \(1, 1\)"),
        (np.zeros((2, 2)), np.zeros((2, 2)), "dtype=float64 has no peak value; pass uint8"),
        (u8([1, 2]), u8([1, 2]), r"shape=\(2,\) is not a picture"),
        (np.zeros((0, 5), np.uint8), np.zeros((0, 5), np.uint8), r"shape=\(0, 5\) is not a"),
        (np.zeros((2, 2, 5), np.uint8), np.zeros((2, 2, 5), np.uint8), r"c in 1\.\.4"),
    ],
)
def test_wrong_arrays_are_refused(measure, reference, candidate, message):
    with pytest.raises(ValueError, match=message):
        measure(reference, candidate)


def test_bpp():
    assert metrics.bpp(n_bytes=49152, height=512, width=768) == 1.0
    assert metrics.bpp(n_bytes=0, height=1, width=1) == 0.0


@pytest.mark.parametrize(("n_bytes", "height", "width"), [(-1, 2, 2), (10, 0, 2), (10, 2, -2)])
def test_bpp_refuses_what_is_no_file_or_no_picture(n_bytes, height, width):
    message = f"n_bytes={n_bytes}, height={height}, width={width}: bpp needs"
    with pytest.raises(ValueError, match=message):
        metrics.bpp(n_bytes, height, width)
