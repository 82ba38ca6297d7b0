"""bd_rate.py: shifted and bent curves with a known answer, refusals."""

import math

import numpy as np
import pytest

from inr.studies.bd_rate import bd_rate, ms_ssim_db

RATES = [0.1, 0.2, 0.4, 0.8, 1.6]
QUALITIES = [25.0, 28.0, 30.5, 33.0, 36.0]


def scaled(rates, factor):
    return [rate * factor for rate in rates]


@pytest.mark.parametrize(("factor", "percent"), [(0.5, -50.0), (1.0, 0.0), (2.0, 100.0)])
def test_a_curve_at_a_multiple_of_the_rate_gets_just_that(factor, percent):
    result = bd_rate(RATES, QUALITIES, scaled(RATES, factor), QUALITIES)
    # A constant in log rate: the shape of the curve drops out.
    assert result.percent == pytest.approx(percent, abs=1e-9)
    assert (result.low, result.high) == (25.0, 36.0)


def test_straight_lines_by_hand():
    # Anchor: log2 rate = (q - 30) / 3. Candidate: half as steep, crossing it at 30 dB.
    anchor = [24.0, 27.0, 30.0, 33.0, 36.0]
    candidate = [26.0, 28.0, 30.0, 32.0, 34.0]
    anchor_bpp = [2 ** ((q - 30) / 3) for q in anchor]
    bpp = [2 ** ((q - 30) / 6) for q in candidate]
    assert bd_rate(anchor_bpp, anchor, bpp, candidate).percent == pytest.approx(0.0, abs=1e-9)
    # Over 30..34 the mean of -(q - 30) / 6 is -1/3 octave: 2 ** (-1/3) = 0.7937.
    upper = bd_rate([*anchor_bpp[2:], 8.0], [*anchor[2:], 39.0], bpp, candidate)
    assert upper.percent == pytest.approx(100 * (2 ** (-1 / 3) - 1))
    assert (upper.low, upper.high) == (30.0, 34.0)


def test_order_of_the_points_does_not_matter():
    shuffled = [3, 0, 4, 1, 2]
    bpp = [RATES[i] for i in shuffled]
    quality = [QUALITIES[i] for i in shuffled]
    assert bd_rate(RATES, QUALITIES, bpp, quality).percent == pytest.approx(0.0, abs=1e-9)


def test_the_area_under_a_bent_curve_by_hand():
    # Log rate rises by 1, 2 and 4 over 1 dB each. PCHIP's slopes: 2 / (1 / 1 + 1 / 2) = 4 / 3 and
    # 8 / 3 inside, (3 * 1 - 2) / 2 = 1 / 2 and (3 * 4 - 2) / 2 = 5 at the ends. The area is that of
    # the trapezoids, 7.5, and (first slope - last slope) / 12 more: 7.125. Of the line it is 4.5.
    quality = [20.0, 21.0, 22.0, 23.0]
    line, bent = np.exp([0.0, 1.0, 2.0, 3.0]), np.exp([0.0, 1.0, 3.0, 7.0])
    result = bd_rate(line.tolist(), quality, bent.tolist(), quality)
    assert result.percent == pytest.approx(100 * math.expm1((7.125 - 4.5) / 3))


@pytest.mark.parametrize(
    ("similarity", "decibels"), [(0.0, 0.0), (0.9, 10.0), (0.99, 20.0), (1.0, math.inf)]
)
def test_ms_ssim_in_decibels(similarity, decibels):
    assert ms_ssim_db(similarity) == pytest.approx(decibels)


def test_ms_ssim_outside_its_range():
    with pytest.raises(ValueError, match=r"ms_ssim=1\.01 is outside 0\.\.1"):
        ms_ssim_db(1.01)


@pytest.mark.parametrize(
    ("bpp", "quality", "message"),
    [
        (RATES[:3], QUALITIES[:3], "candidate: 3 points, BD-rate needs 4; add settings"),
        (RATES, QUALITIES[:4], "candidate: 5 rates and 4 qualities"),
        (RATES, [q + 8.5 for q in QUALITIES], r"33\.50\.\.44\.50 dB: 2\.50 dB in common.* needs 3"),
        (RATES, [q + 20 for q in QUALITIES], r"0\.00 dB in common"),
        ([0, *RATES[1:]], QUALITIES, "candidate: rates must be above 0"),
        (RATES, [*QUALITIES[:4], math.inf], "leave out lossless points"),
        (RATES, [25, 28, 27.5, 33, 36], r"28\.000 dB at 0\.2000 bpp, then 27\.500 dB at 0\.4000"),
        ([0.1, 0.2, 0.2, 0.8], [25, 28, 29, 33], r"at 0\.2000 bpp, then 29\.000 dB at 0\.2000"),
    ],
)
def test_refusals(bpp, quality, message):
    with pytest.raises(ValueError, match=message):
        bd_rate(RATES, QUALITIES, bpp, quality)


def test_the_anchor_is_named_in_its_refusals():
    with pytest.raises(ValueError, match="anchor: 3 points"):
        bd_rate(RATES[:3], QUALITIES[:3], RATES, QUALITIES)


def test_just_enough_overlap_is_taken():
    shifted = [q + 8.0 for q in QUALITIES]  # 33..44 against 25..36
    assert bd_rate(RATES, QUALITIES, RATES, shifted).high == 36.0
