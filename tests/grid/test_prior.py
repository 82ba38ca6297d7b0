"""prior.py: what networks are counted from, and what that changes in a file."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.built_files import built_grid

import inr
from inr.format.shipped import SHIPPED
from inr.grid.fit.init import first_networks
from inr.grid.network_coding import quantize_networks, read_networks, write_networks
from inr.grid.prior import PRIOR_LIMIT, UNIT_BITS, prior_networks
from inr.grid.structure import N_PRIORS, Pyramid, Structure

MEAN = np.full(3, 0.5)
USUAL = Pyramid(256, 256, 3, Structure(prior=1))  # as the pictures were of which it was made


def shipped(n=1):
    with np.load(SHIPPED.folder / f"grid/prior_{n}.npz") as stored:
        return {name: stored[name] / 2.0**UNIT_BITS for name in stored.files}


def test_a_released_set_never_changes():
    sums = [
        hashlib.sha256(b"".join(shipped(n)[name].tobytes() for name in sorted(shipped(n))))
        for n in range(1, N_PRIORS + 1)
    ]
    assert [each.hexdigest()[:16] for each in sums] == ["fac34ab0595f1ce7"]


@pytest.mark.parametrize("change", ["write_bytes(b'other networks')", "unlink()"])
def test_a_damaged_package_says_so_in_one_line(tmp_path, change):
    package = Path(inr.__file__).parent
    shutil.copytree(package, tmp_path / "inr", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(SHIPPED.folder, tmp_path / "inr/assets")
    (tmp_path / "a.inr").write_bytes(built_grid(structure=Structure(prior=1)))
    code = f"import pathlib; pathlib.Path('inr/assets/grid/prior_1.npz').{change}\n"
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
        r"error: a\.inr: .*prior_1\.npz, part of .*: install the package again\n", done.stderr
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
    ],
)
def test_all_shapes(pyramid):
    prior = prior_networks(pyramid)
    assert {name: w.shape for name, w in prior.items()} == pyramid.shapes
    for w in prior.values():
        units = np.ldexp(w, UNIT_BITS)
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
