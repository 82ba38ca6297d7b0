"""summary.py: BD-rates and means by hand."""

import dataclasses
import math

import pytest
from helpers.compare_samples import HALF, PSNRS, RATES, ROW, rows_of

from inr.studies.compare.summary import bd_rates, mean_curves, mean_lines, means


def test_bd_rates_by_hand():
    rows = [
        *rows_of("jpeg", RATES, PSNRS, "a.png"),
        *rows_of("webp", HALF, PSNRS, "a.png"),
        *rows_of("jpeg", RATES, PSNRS, "b.png"),
        *rows_of("webp", [*RATES[1:], 3.2], [*PSNRS[1:], 38.0], "b.png"),
    ]
    mean, first, second = bd_rates(rows, "jpeg")
    assert (first.picture, second.picture, mean.picture) == ("a.png", "b.png", None)
    assert first.percent == pytest.approx(-50)  # everywhere half the bytes
    assert second.percent == pytest.approx(0)
    assert (first.low, first.high, second.low, second.high) == (26.0, 35.0, 29.0, 35.0)
    assert mean.percent == pytest.approx(-25)
    assert (mean.low, mean.high, mean.n_pictures, mean.reason) == (27.5, 35.0, 2, None)
    assert mean_lines([mean, first, second], "jpeg", 2) == [
        "webp against jpeg, PSNR: -25.0 % over 27.5..35.0 dB"
    ]


def test_refusals_are_told_and_do_not_enter_the_mean():
    rows = [
        *rows_of("jpeg", RATES, PSNRS, "a.png"),
        *rows_of("webp", HALF, PSNRS, "a.png"),
        *rows_of("jpeg", RATES, PSNRS, "b.png"),
        *rows_of("webp", HALF[:3], PSNRS[:3], "b.png"),
    ]
    mean, _, second = bd_rates(rows, "jpeg")
    assert (second.percent, second.low, second.n_pictures) == (None, None, 0)
    assert second.reason.startswith("candidate: 3 points, BD-rate needs 4")
    assert mean.percent == pytest.approx(-50)
    assert mean.n_pictures == 1
    line = mean_lines([mean], "jpeg", 2)[0]
    assert line.startswith(
        "webp against jpeg, PSNR: -50.0 % over 26.0..35.0 dB, 1 of 2 pictures (b"
    )
    only = bd_rates(rows[8:], "jpeg")[0]
    assert mean_lines([only], "jpeg", 1)[0].startswith("webp against jpeg, PSNR: none (b.png: cand")


def test_points_that_nobody_would_choose_do_not_enter():
    rows = [
        *rows_of("jpeg", RATES, PSNRS),
        *rows_of("webp", [*HALF, 0.3, 0.2, 5.0], [*PSNRS, 28.0, 28.5, math.inf]),
    ]
    # 0.3 bpp buys less than 0.2 does, 28.5 dB is the worse of two at 0.2, and inf lies nowhere.
    assert bd_rates(rows, "jpeg")[0].percent == pytest.approx(-50)


def test_ms_ssim_is_compared_in_decibels_where_pictures_have_it():
    similarities = [0.9, 0.95, 0.98, 0.99]  # 10 to 20 dB
    rows = [
        *rows_of("jpeg", RATES, PSNRS, "a.png", similarities),
        *rows_of("webp", HALF, PSNRS, "a.png", similarities),
        *rows_of("jpeg", RATES, PSNRS, "small.png"),
        *rows_of("webp", HALF, PSNRS, "small.png"),
    ]
    by_ms_ssim = [one for one in bd_rates(rows, "jpeg") if one.measure == "ms_ssim"]
    assert [one.picture for one in by_ms_ssim] == [None, "a.png"]
    mean = by_ms_ssim[0]
    assert (mean.percent, mean.low, mean.high) == pytest.approx((-50, 10, 20))
    assert all(one.measure == "psnr_db" for one in bd_rates(rows[8:], "jpeg"))


def test_means_by_hand():
    rows = [
        dataclasses.replace(ROW, picture="a.png", bpp=0.4, psnr_db=20.0, ms_ssim=0.9),
        dataclasses.replace(ROW, picture="b.png", bpp=0.6, psnr_db=40.0, ms_ssim=0.8),
        dataclasses.replace(ROW, picture="b.png", setting=70.0),  # a.png lacks it
    ]
    (point,) = means(rows)
    assert (point.codec, point.setting) == ("jpeg", 50.0)
    assert (point.bpp, point.psnr_db, point.ms_ssim) == pytest.approx((0.5, 30.0, 0.85))
    # Mean squared errors 0.01 and 0.0001 of peak 1: their mean is 0.00505.
    assert point.psnr_of_mean_mse_db == pytest.approx(-10 * math.log10(0.00505))
    (curve,) = mean_curves([point])
    assert (curve.name, curve.points[0].label) == ("jpeg", "setting 50")


def test_means_of_lossless_pictures():
    (point,) = means([dataclasses.replace(ROW, psnr_db=math.inf)])
    assert point.psnr_db == point.psnr_of_mean_mse_db == math.inf
