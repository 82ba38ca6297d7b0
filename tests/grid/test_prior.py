"""prior.py: what networks are counted from, and what that changes in a file."""

import hashlib
import math
import os
import re
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.built_files import built_grid

import inr
from inr.format.shipped import SHIPPED
from inr.grid.fit.init import first_networks
from inr.grid.network_coding import quantize_networks, read_networks, write_networks
from inr.grid.prior import (
    PRIOR_LIMIT,
    RATE_UNIT_BITS,
    UNIT_BITS,
    lambda_of,
    prior_networks,
    rate_of,
    rate_place,
)
from inr.grid.structure import MAX_RATE, N_PRIORS, Pyramid, Structure

MEAN = np.full(3, 0.5)
USUAL = Pyramid(256, 256, 3, Structure(prior=1))  # as the pictures were of which it was made


def stored(n):
    with np.load(SHIPPED.folder / f"grid/prior_{n}.npz") as tensors:
        return {name: tensors[name] for name in tensors.files}


def shipped():
    """Set 1."""
    return {name: w / 2.0**UNIT_BITS for name, w in stored(1).items()}


@pytest.mark.parametrize(
    ("n", "start"),
    [
        (1, "fac34ab0595f1ce7"),
        (2, "b75d531f6927dea2"),
        (3, "157e36cc37256fcf"),
        (4, "a3f7ea051ea6502a"),
        (5, "c2f0006fef95dff5"),
    ],
)
def test_a_released_set_never_changes(n, start):
    set_ = shipped() if n == 1 else stored(n)
    told = hashlib.sha256(b"".join(set_[name].tobytes() for name in sorted(set_)))
    assert told.hexdigest()[:16] == start


def test_there_are_all_sets():
    assert {entry.id for entry in SHIPPED.entries("grid")} == set(range(1, N_PRIORS + 1))


@pytest.mark.parametrize("n", range(1, N_PRIORS + 1))
@pytest.mark.parametrize("change", ["write_bytes(b'other networks')", "unlink()"])
def test_a_damaged_package_says_so_in_one_line(tmp_path, change, n):
    package = Path(inr.__file__).parent
    shutil.copytree(package, tmp_path / "inr", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(SHIPPED.folder, tmp_path / "inr/assets")
    (tmp_path / "a.inr").write_bytes(built_grid(structure=Structure(prior=n)))
    code = f"import pathlib; pathlib.Path('inr/assets/grid/prior_{n}.npz').{change}\n"
    code += "from inr.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "decode", "a.inr"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 1
    assert re.fullmatch(
        rf"error: a\.inr: .*prior_{n}\.npz, part of .*: install the package again\n", done.stderr
    )


def test_none_is_zero():
    prior = prior_networks(Pyramid(30, 40, 3, Structure()))
    assert not any(w.any() for w in prior.values())


def test_pictures_of_its_own_kind_get_all_of_it():
    prior = prior_networks(USUAL)
    assert {name: w.shape for name, w in prior.items()} == USUAL.shapes
    for name, w in shipped().items():
        assert np.array_equal(prior[name], w), name


@pytest.mark.parametrize(
    "pyramid",
    [
        Pyramid(1, 1, 1, Structure(prior=1)),
        Pyramid(33, 20, 2, Structure(prior=1)),
        Pyramid(512, 768, 3, Structure(prior=1)),
        Pyramid(16000, 9000, 4, Structure(prior=1)),
        Pyramid(100, 90, 3, Structure(prior=1, first_level=2, n_hyper=2)),
        Pyramid(100, 90, 3, Structure(prior=1, n_taps=4, n_features=2, hidden=6)),
        Pyramid(1, 1, 1, Structure(prior=2)),
        Pyramid(33, 20, 2, Structure(prior=2, rate=64)),
        Pyramid(100, 90, 3, Structure(prior=2, rate=17, first_level=3, n_hyper=2)),
        Pyramid(100, 90, 4, Structure(prior=2, n_taps=4, n_features=2, hidden=6)),
    ],
)
def test_all_shapes(pyramid):
    prior = prior_networks(pyramid)
    assert {name: w.shape for name, w in prior.items()} == pyramid.shapes
    unit_bits = RATE_UNIT_BITS if pyramid.structure.has_rate else UNIT_BITS
    for w in prior.values():
        units = np.ldexp(w, unit_bits)
        assert np.array_equal(units, np.rint(units))
        assert np.abs(w).max() < PRIOR_LIMIT
        assert not w.flags.writeable
    taps = [np.abs(w).max() for name, w in prior.items() if name.startswith("up")]
    assert max(taps, default=0) < 1  # differences are at most 3, and kernels at most 4
    first = first_networks(pyramid, np.full(pyramid.n_channels, 0.5), np.random.default_rng(0))
    for name, w in prior.items():
        assert np.array_equal(first[name][w != 0], w[w != 0].astype(np.float32))


def test_other_starts_lie_around_the_prior():
    prior = prior_networks(USUAL)["context_w0"]
    first = first_networks(USUAL, MEAN, np.random.default_rng(0), spread=0.3)["context_w0"]
    factors = first / prior
    assert abs(factors.mean() - 1) < 0.1
    assert 0.2 < factors.std() < 0.4


def test_coarser_levels_repeat_the_coarsest():
    usual, large = prior_networks(USUAL), prior_networks(Pyramid(2048, 2048, 3, USUAL.structure))
    for name in ("synth_w0", "synth_linear"):
        assert np.array_equal(large[name][:, -6:], usual[name])
        assert np.array_equal(large[name][:, :3], np.repeat(usual[name][:, :1], 3, axis=1))
    assert np.array_equal(large["up7"], usual["up4"])
    assert np.array_equal(large["feature0"][:, -5:], usual["feature0"])
    assert not large["feature0"][:, :3].any()


def test_levels_are_matched_by_exponent():
    half = prior_networks(Pyramid(256, 256, 3, Structure(prior=1, first_level=1)))
    assert np.array_equal(half["synth_w0"], prior_networks(USUAL)["synth_w0"][:, :-1])


def test_grey_is_the_mean_colour_and_alpha_has_no_prior():
    usual = prior_networks(USUAL)
    grey_alpha = prior_networks(Pyramid(256, 256, 2, USUAL.structure))["synth_linear"]
    rgba = prior_networks(Pyramid(256, 256, 4, USUAL.structure))["synth_linear"]
    mean = usual["synth_linear"].mean(axis=0)
    assert np.abs(grey_alpha[0] - mean).max() <= 2.0 ** -(UNIT_BITS + 1)
    assert np.array_equal(rgba[:3], usual["synth_linear"])
    assert not grey_alpha[1].any()
    assert not rgba[3].any()


def test_networks_that_are_the_prior_cost_next_to_nothing():
    octaves = dict.fromkeys(USUAL.groups, 8)
    coded = quantize_networks(prior_networks(USUAL), octaves, USUAL)
    assert not any(codes.any() for codes in coded.codes.values())
    data = write_networks(coded, USUAL)
    assert len(data) < 50
    values = read_networks(data, USUAL).values(USUAL)
    for name, w in prior_networks(USUAL).items():
        assert np.array_equal(values[name], w)


def test_values_are_the_prior_and_whole_steps():
    rng = np.random.default_rng(0)
    params = {name: rng.normal(0, 0.3, shape) for name, shape in USUAL.shapes.items()}
    octaves = {group: 5 + i for i, group in enumerate(USUAL.groups)}
    coded = quantize_networks(params, octaves, USUAL)
    values = coded.values(USUAL)
    for group, shapes in USUAL.groups.items():
        for name in shapes:
            step = 2.0 ** -octaves[group]
            assert np.abs(values[name] - params[name]).max() <= step / 2
            difference = values[name] - prior_networks(USUAL)[name]
            assert np.array_equal(difference / step, coded.codes[name])


# Sets with a rate: 2 and 3


of_other_sets = pytest.mark.parametrize("prior", [2, 3, 4, 5])


def with_rate(n_channels=3, prior=2, **structure):
    return Pyramid(20, 30, n_channels, Structure(prior=prior, **structure))


@of_other_sets
@pytest.mark.parametrize("rate", [0, 1, 20, 32, 33, 63, 64])
def test_a_set_is_a_parabola_in_the_rate(prior, rate):
    tensors, t = stored(prior), Fraction(rate - 32, 32)
    networks = prior_networks(with_rate(prior=prior, rate=rate))
    assert tensors.keys() - {"gain"} == networks.keys()
    for name, w in networks.items():
        is_gained = name in ("synth_w0", "synth_linear")
        gain = Fraction(int(tensors["gain"][rate]), 2**12) if is_gained else 1
        numbers = tensors[name].reshape(3, -1).tolist()
        for a, b, c, found in zip(*numbers, w.ravel().tolist(), strict=True):
            exact = Fraction(a + t * b + t * t * c) * gain  # in units of 2**-16
            assert Fraction(found) * 2**16 == math.floor(exact + Fraction(1, 2)), name


@of_other_sets
def test_all_rates_keep_to_the_limits(prior):
    for rate in range(MAX_RATE + 1):
        networks = prior_networks(with_rate(prior=prior, rate=rate))
        assert max(np.abs(w).max() for w in networks.values()) < PRIOR_LIMIT
        assert max(np.abs(networks[f"up{e}"]).max() for e in range(5)) < 1


def test_coarse_latents_of_sets_2_and_5_count_less():
    for prior in (2, 5):
        assert with_rate(prior=prior, first_level=1).octaves == (5, 4, 3, 2, 1)
    for prior in (3, 4):
        assert with_rate(prior=prior).octaves == (0,) * 6
    assert Pyramid(256, 256, 3, Structure(prior=1)).octaves == (0,) * 6


def test_rates_and_lambdas():
    assert [lambda_of(rate) for rate in (0, 64)] == pytest.approx([1e-4, 2e-2])
    assert lambda_of(32) == pytest.approx(1e-4 * 200**0.5)
    assert [rate_of(lambda_of(rate)) for rate in range(65)] == list(range(65))
    assert [rate_of(each) for each in (1e-9, 0.99e-4, 2.1e-2, 1.0)] == [0, 0, 64, 64]
    assert [rate_place(rate) for rate in (0, 16, 32, 64)] == [-1, -0.5, 0, 1]


def test_a_set_is_the_same_for_all_sizes():
    small, large = (
        prior_networks(Pyramid(*s, 3, with_rate().structure)) for s in ((1, 1), (999, 7))
    )
    for name, w in small.items():
        assert np.array_equal(large[name], w)


def test_a_set_without_the_finest_levels():
    whole, half = (
        prior_networks(with_rate(rate=9)),
        prior_networks(with_rate(rate=9, first_level=2)),
    )
    for name in ("synth_w0", "synth_linear"):
        assert np.array_equal(half[name], whole[name][:, :-2])
    # Names count from the last level.
    for n in range(3):
        assert np.array_equal(half[f"feature{n}"], whole[f"feature{n + 2}"])
    for name in ("context3_w0", "context2_out", "up0", "conv_w0"):
        assert np.array_equal(half[name], whole[name])


def test_grey_of_a_set_is_the_mean_of_rows_and_the_sum_of_columns():
    colours, grey = prior_networks(with_rate()), prior_networks(with_rate(1))
    half = 2.0 ** -(RATE_UNIT_BITS + 1)
    for name in ("synth_linear", "synth_w1", "synth_b1", "conv_b0", "conv_b1"):
        assert np.abs(grey[name][0] - colours[name].mean(axis=0)).max() <= half
    for name in ("conv_w0", "conv_w1"):
        kernel = colours[name].reshape(3, 9, 3)  # [out, neighbour, in]
        assert np.abs(grey[name] - kernel.sum(axis=2).mean(axis=0)).max() <= half
    for name in colours.keys() - {"synth_linear", "synth_w1", "synth_b1"}:
        if not name.startswith("conv"):
            assert np.array_equal(grey[name], colours[name])


@pytest.mark.parametrize("n_colours", [1, 3])
def test_colours_beside_alpha_are_as_without_and_alpha_has_no_prior(n_colours):
    without, beside = prior_networks(with_rate(n_colours)), prior_networks(with_rate(n_colours + 1))
    for name in ("synth_linear", "synth_w1", "synth_b1", "conv_b0", "conv_b1"):
        assert np.array_equal(beside[name][:-1], without[name])
        assert not beside[name][-1].any()
    for name in ("conv_w0", "conv_w1"):
        kernel = beside[name].reshape(n_colours + 1, 9, n_colours + 1)
        own = without[name].reshape(n_colours, 9, n_colours)
        assert np.array_equal(kernel[:-1, :, :-1], own)
        assert not kernel[-1].any()
        assert not kernel[:, :, -1].any()


def test_a_picture_of_equal_colours_is_drawn_as_grey():
    """Where all three rows of colours are the same, so is what they draw."""
    colours, grey = prior_networks(with_rate()), prior_networks(with_rate(1))
    rng = np.random.default_rng(0)
    around = rng.random(9)
    for i in range(2):
        of_three = colours[f"conv_w{i}"] @ np.repeat(around, 3) + colours[f"conv_b{i}"]
        of_one = grey[f"conv_w{i}"] @ around + grey[f"conv_b{i}"]
        assert of_one[0] == pytest.approx(of_three.mean(), abs=1e-4)  # rounded to 2**-16


@of_other_sets
def test_networks_that_are_the_set_take_two_bytes(prior):
    pyramid = with_rate(prior=prior, rate=5)
    coded = quantize_networks(prior_networks(pyramid), dict.fromkeys(pyramid.groups, 0), pyramid)
    data = write_networks(coded, pyramid)
    assert data == bytes(-(-len(pyramid.groups) // 8))  # no group is present
    values = read_networks(data, pyramid).values(pyramid)
    for name, w in prior_networks(pyramid).items():
        assert np.array_equal(values[name], w)


def test_values_around_a_set_are_multiples_of_2_to_the_minus_16():
    pyramid, rng = with_rate(rate=5), np.random.default_rng(0)
    params = {name: rng.normal(0, 0.3, shape) for name, shape in pyramid.shapes.items()}
    coded = quantize_networks(params, dict.fromkeys(pyramid.groups, 15), pyramid)
    for w in coded.values(pyramid).values():
        assert np.array_equal(np.ldexp(w, 16), np.rint(np.ldexp(w, 16)))
