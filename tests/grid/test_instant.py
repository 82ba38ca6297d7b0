"""instant.py: files without a fit, and without jax."""

import json

import numpy as np
import pytest
from helpers.cli_runs import run_process
from helpers.options import encode_options
from PIL import Image

import inr
from inr.codec import decode_picture, encode_picture
from inr.errors import FitError, UsageError
from inr.format.container import SECTION_NETWORKS, unpack
from inr.grid import instant
from inr.grid.file import read_grid
from inr.grid.prior import WITHOUT_FIT, rate_of
from inr.grid.structure import Structure
from inr.image.metrics import psnr_db
from inr.image.picture import Picture
from inr.kinds import open_file
from inr.options import EncodeOptions, Job
from inr.settings import with_settings

GREY_AND_COLOURS = (1, 3)


@pytest.fixture(autouse=True)
def no_fit(monkeypatch):
    """There is none here, and nothing of jax is asked for."""

    def fit(*_, **__):
        pytest.fail("a fit")

    monkeypatch.setattr("inr.grid.encode.fit", fit)
    monkeypatch.setattr("inr.grid.target_search.fit", fit)


def photo(height=64, width=96, n_channels=3, bit_depth=8):
    y, x = np.mgrid[:height, :width] / 16
    waves = np.stack([np.sin(x * k + y) * np.cos(y * k) for k in (1.0, 1.7, 2.9, 0.3)], axis=-1)
    noise = np.random.default_rng(0).normal(0, 0.02, waves.shape)
    peak = (1 << bit_depth) - 1
    samples = np.clip(0.5 + 0.35 * waves + noise, 0, 1)[..., :n_channels]
    return Picture(np.rint(samples * peak).astype(np.uint8 if bit_depth == 8 else np.uint16))


def recipe(**settings):
    # Which set is chosen otherwise: test_choose_prior.py.
    return with_settings(inr.recipes.named("grid_instant"), {"screen_prior": "0"} | settings)


def encoded(picture=None, options=None, **settings):
    picture = photo() if picture is None else picture
    return encode_picture(picture, recipe(**settings), options or EncodeOptions())


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("n_channels", GREY_AND_COLOURS)
@pytest.mark.parametrize("size", [(1, 2), (1, 9), (33, 20), (70, 150)])
def test_all_sizes(size, n_channels, bit_depth):
    picture = photo(*size, n_channels, bit_depth)
    made = encoded(picture)
    decoded = decode_picture(made.data).pixels
    assert decoded.shape == picture.pixels.shape
    assert decoded.dtype == picture.pixels.dtype
    assert made.psnr_db == psnr_db(picture.pixels, decoded)
    assert made.n_steps == 0


def test_networks_are_those_of_the_prior_and_the_rate_that_of_lambda():
    for lambda_ in (1e-4, 1e-3, 5e-2):
        data = encoded(**{"lambda": str(lambda_)}).data
        content = open_file(data).content
        assert content.pyramid.structure == Structure(prior=WITHOUT_FIT, rate=rate_of(lambda_))
        assert not any(unpack(data)[1][SECTION_NETWORKS])  # no group is present
        coded, latents = read_grid(content)
        assert not any(codes.any() for codes in coded.codes.values())
        assert any(y.any() for y in latents)


def test_a_larger_lambda_gives_smaller_files():
    sizes = [len(encoded(**{"lambda": each}).data) for each in ("0.0001", "0.001", "0.01")]
    assert sizes[0] > sizes[1] > sizes[2]


def test_the_same_picture_gives_the_same_bytes_whatever_the_seed():
    assert encoded().data == encoded(options=EncodeOptions(seed=1)).data


def test_it_is_better_than_the_mean_colour():
    picture = Picture(np.repeat(photo(n_channels=1).pixels, 3, axis=2))
    flat = np.broadcast_to(picture.pixels.mean((0, 1)).round(), picture.pixels.shape)
    assert encoded().psnr_db > psnr_db(picture.pixels, flat.astype(np.uint8))


def test_an_icc_profile_is_kept():
    picture = Picture(photo().pixels, b"a profile")
    assert decode_picture(encoded(picture).data).icc_profile == b"a profile"


# ---------------------------------------------------------------- targets


def test_bytes_are_met():
    whole = len(encoded(**{"lambda": "0.001"}).data)
    for n_bytes in (whole, int(0.6 * whole)):
        made = encoded(options=encode_options(target_bytes=n_bytes))
        assert 0.9 * n_bytes <= len(made.data) <= n_bytes
        assert decode_picture(made.data).pixels.shape == (64, 96, 3)


def test_networks_that_take_no_bytes_leave_room_for_small_targets():
    least = len(encoded(**{"lambda": "0.02"}).data)
    made = encoded(options=encode_options(target_bytes=least + 20))
    assert len(made.data) <= least + 20


def test_quality_is_met():
    reached = encoded(**{"lambda": "0.001"}).psnr_db
    made = encoded(options=encode_options(target_psnr=reached - 0.5))
    assert made.psnr_db >= reached - 0.5 - 0.1
    assert len(made.data) <= len(encoded(**{"lambda": "0.001"}).data)


def test_a_target_out_of_reach():
    with pytest.raises(FitError, match=r"the picture came to .* dB, not to the 80\.0 asked for"):
        encoded(options=encode_options(target_psnr=80.0))
    with pytest.raises(FitError, match=r"the file takes \d+ bytes, not the 70 asked for"):
        encoded(options=encode_options(target_bytes=70))
    with pytest.raises(UsageError, match="a target of 50 bytes is too small"):
        encoded(options=encode_options(target_bytes=50))


# ---------------------------------------------------------------- time budgets


def test_a_time_budget_that_is_too_short_is_refused(monkeypatch):
    monkeypatch.setattr(instant, "seconds_to_code", lambda *_: 100.0)
    with pytest.raises(
        UsageError, match=r"a time budget of 9 s is too short: with coding and draw"
    ):
        encoded(options=EncodeOptions(time_budget=9))
    with pytest.raises(UsageError, match=r"a time budget of 300 s is too short: .* about 6\d\d s"):
        encoded(options=encode_options(time_budget=300, target_bytes=2000))


def test_a_time_budget_without_place_for_a_fit_gives_an_instant_file():
    """A recipe of a fit, and too little time even to load jax."""
    made = encode_picture(photo(), inr.recipes.grid(), EncodeOptions(time_budget=3))
    assert made.n_steps == 0
    assert made.data == encoded().data


@pytest.mark.parametrize(
    ("steps", "budget", "coding", "is_instant"),
    [
        (0, None, 1.0, True),
        (0, 1e6, 1.0, True),
        (9, None, 1.0, False),
        (9, 1e6, 1.0, False),
        (9, 20, 1.0, False),
        (9, 4, 1.0, True),
        (9, 30, 40.0, True),
        (9, 100, 200.0, False),  # where loading jax does not matter, the fit finds out
    ],
)
def test_what_is_done_without_a_fit(monkeypatch, steps, budget, coding, is_instant):
    monkeypatch.setattr(instant, "seconds_to_code", lambda *_: coding)
    made = with_settings(inr.recipes.named("grid"), {"fit.steps": str(steps)})
    job = Job(photo(), made, EncodeOptions(time_budget=budget))
    assert instant.is_instant(job) == is_instant


def test_coding_is_measured_on_a_crop():
    small, large = (instant.seconds_to_code(photo(*s), recipe()) for s in ((64, 64), (640, 640)))
    assert 0 < small < 10
    assert small < large


# ---------------------------------------------------------------- processes


def test_no_jax_is_loaded(tmp_path):
    Image.fromarray(photo().pixels).save(tmp_path / "a.png")
    before = """
import atexit, sys
atexit.register(lambda: print("loaded", sorted({"jax", "optax", "flax"} & set(sys.modules))))
"""
    reached = encoded().psnr_db
    for options in ((), ("--target-psnr", reached - 0.5), ("--time-budget", 60)):
        asked = ("--recipe", "grid_instant", "--json", "-f", *options)
        ran = run_process("encode", tmp_path / "a.png", *asked, before=before)
        assert (ran.code, ran.err) == (0, "")
        told, loaded = ran.out.rstrip("\n").rsplit("\n", 1)
        assert loaded == "loaded []"
        assert json.loads(told)["steps"] == 0
        assert inr.decode((tmp_path / "a.inr").read_bytes()).shape == (64, 96, 3)
