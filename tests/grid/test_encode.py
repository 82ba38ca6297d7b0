"""encode.py: from picture to file with fits that end at once, and one that does not."""

from dataclasses import replace

import numpy as np
import pytest

import inr
from inr.codec import batch_key, encode_batch, encode_picture
from inr.errors import FitError, UsageError
from inr.format.container import SECTION_ICC_PROFILE, unpack
from inr.grid import checked_file
from inr.grid.encode import code_networks, encode
from inr.grid.fit.result import FitResult
from inr.grid.prior import prior_networks, rate_of
from inr.grid.structure import Pyramid, Structure
from inr.image.metrics import psnr_db
from inr.image.picture import Picture
from inr.kinds import open_file
from inr.options import EncodeOptions, Job, Target
from inr.settings import with_settings


def noise(height=16, width=24, n_channels=3, bit_depth=8, seed=0):
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    rng = np.random.default_rng(seed)
    return rng.integers(0, 1 << bit_depth, (height, width, n_channels), dtype)


def recipe(name="grid_fast", **changed):
    small = {"structure.hidden": "4", "structure.n_taps": "3", "structure.n_features": "2"}
    small["screen_prior"] = "0"  # what is chosen otherwise: test_choose_prior.py
    paths = {path.replace("_", ".", 1): str(value) for path, value in changed.items()}
    return with_settings(inr.recipes.named(name), small | paths)


# ---------------------------------------------------------------- without a fit


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(1, 2), (1, 9), (7, 5), (16, 24)])
@pytest.mark.usefixtures("unfitted")
def test_pictures_of_every_kind_and_size_are_encoded(height, width, n_channels, bit_depth):
    pixels = noise(height, width, n_channels, bit_depth)
    pixels[0, 0] = 0
    encoded = encode_picture(Picture(pixels), recipe(), EncodeOptions())
    decoded = inr.decode(encoded.data).reshape(pixels.shape)
    assert decoded.dtype == pixels.dtype
    assert encoded.psnr_db == psnr_db(pixels, decoded)
    assert encoded.n_steps == 7
    assert encoded.seconds > 0


def test_what_reaches_the_fit(unfitted):
    pixels = noise(bit_depth=16)
    picture = Picture(pixels, b"a profile")
    options = EncodeOptions(seed=5, time_budget=1000)
    encoded = encode_picture(picture, recipe(**{"fit_steps": 9, "lambda": 0.25}), options)
    (((job,), pyramid, settings, time_budget, checkpoint),) = unfitted
    assert job.picture.dtype == np.float32
    np.testing.assert_allclose(job.picture[1], pixels[..., 1] / 65535, atol=1e-7)  # float32
    assert (job.lambda_, job.seed, job.rate) == (0.25, 5, 64)  # the largest rate there is
    assert (pyramid.height, pyramid.width, pyramid.n_channels) == (16, 24, 3)
    assert (settings.steps, checkpoint) == (9, None)
    assert (time_budget.seconds, time_budget.reserved) == (1000, 0)
    structure = open_file(encoded.data).content.pyramid.structure
    assert (structure.prior, structure.rate) == (2, 64)
    assert SECTION_ICC_PROFILE in unpack(encoded.data)[1]


@pytest.mark.usefixtures("unfitted")
def test_the_same_seed_gives_the_same_bytes():
    picture = Picture(noise())
    first, same, other = (
        encode_picture(picture, recipe(), EncodeOptions(seed=s)).data for s in (1, 1, 2)
    )
    assert first == same
    assert first != other


@pytest.mark.usefixtures("unfitted")
def test_a_file_that_does_not_give_the_picture_back_is_no_result(monkeypatch):
    monkeypatch.setattr(checked_file, "pixels_crc", lambda pixels: 0)
    with pytest.raises(FitError, match=r"no file can hold .* match their checksum.* fit\.learn"):
        encode_picture(Picture(noise()), recipe(), EncodeOptions())


def test_checkpoints_know_their_run(unfitted, tmp_path):
    options = EncodeOptions(checkpoint=tmp_path / "c.npz")
    pictures = [noise(), noise(seed=1), noise().reshape(24, 16, 3)]
    encodings = [(Picture(pixels), recipe()) for pixels in pictures]
    encodings.append((Picture(noise()), recipe(**{"lambda": 0.5})))
    for picture, chosen in encodings:
        encode_picture(picture, chosen, options)
    unfitted[0][-1].save({}, [])
    assert unfitted[0][-1].load() == ({}, [])
    for other in unfitted[1:]:
        with pytest.raises(ValueError, match="belongs to another picture, recipe, seed or version"):
            other[-1].load()


def test_one_colour_needs_no_grid(unfitted):
    pixels = np.full((5, 6, 3), (1, 2, 3), np.uint8)
    data = inr.encode(pixels, inr.recipes.grid())
    assert unfitted == []
    assert len(data) < 100
    np.testing.assert_array_equal(inr.decode(data), pixels)


# ---------------------------------------------------------------- batches


def test_pictures_run_alone(monkeypatch):
    """Tiles of one keep all cores busy."""
    job = Job(Picture(noise()), recipe())
    assert batch_key(job) is None
    monkeypatch.setattr("inr.fitting.jax_settings.platform", lambda: "gpu")
    assert batch_key(job) is None


def test_several_jobs_are_fitted_at_once(unfitted):
    jobs = [
        Job(Picture(noise(seed=seed)), recipe(**{"lambda": value}), EncodeOptions(seed=seed))
        for seed, value in ((0, 0.5), (1, 0.25), (2, 1e-4))
    ]
    together = encode(jobs, None)
    (((*problems,), *_),) = unfitted
    assert [problem.lambda_ for problem in problems] == [0.5, 0.25, 1e-4]
    assert [problem.rate for problem in problems] == [64, 64, 0]
    for job, made in zip(jobs, together, strict=True):
        assert made.data == encode_picture(job.picture, job.recipe, job.options).data
    assert len(unfitted) == 4


@pytest.mark.usefixtures("unfitted")
def test_unlike_encodings_are_no_batch():
    one = Job(Picture(noise()), recipe())
    for other in (
        Job(Picture(noise(17)), recipe(), EncodeOptions()),
        Job(Picture(noise()), recipe(fit_steps=9), EncodeOptions()),
        Job(Picture(noise()), inr.recipes.siren(), EncodeOptions()),
        Job(Picture(noise()), recipe(), EncodeOptions(target=Target(n_bytes=400))),
    ):
        with pytest.raises(ValueError, match="cannot run as one batch"):
            encode_batch([one, other])


# ---------------------------------------------------------------- with one


@pytest.mark.slow  # compiles a fit and the search for the networks' codes
def test_a_real_fit_is_better_than_a_flat_picture():
    y, x = np.mgrid[0:1:24j, 0:1:32j]
    waves = [np.sin(3 * x + 2 * y), np.cos(4 * y), np.sin(5 * x * y)]
    pixels = np.rint(np.stack(waves, -1) * 100 + 128).astype(np.uint8)
    told = []
    changed = recipe(fit_steps=150)
    encoded = encode_picture(Picture(pixels), changed, EncodeOptions(), report=told.append)
    flat = np.broadcast_to(np.rint(pixels.mean((0, 1))).astype(np.uint8), pixels.shape)
    assert encoded.psnr_db > psnr_db(pixels, flat) + 3
    assert encoded.n_steps == told[-1].step == 150
    structure = replace(changed.structure, rate=rate_of(changed.lambda_))
    assert open_file(encoded.data).content.pyramid.structure == structure


@pytest.mark.slow  # compiles a fit
@pytest.mark.parametrize(("steps", "side"), [(0, 768), (12, 512)])
def test_no_seam_shows(steps, side):
    """The error within 4 pixels of the edges of tiles is that of elsewhere."""
    rng = np.random.default_rng(0)
    noise = np.fft.rfft2(rng.standard_normal((3, side, side)))
    y, x = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)
    texture = np.fft.irfft2(noise / (0.01 + np.hypot(y, x)))  # alike everywhere
    pixels = np.clip(128 + 40 * texture / texture.std(), 0, 255).astype(np.uint8)
    picture = Picture(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    recipe = with_settings(inr.recipes.named("grid_fast"), {"fit.steps": steps, "lambda": 0.002})
    decoded = inr.decode(encode_picture(picture, recipe, EncodeOptions()).data)
    squares = ((decoded.astype(float) - picture.pixels) ** 2).mean(axis=2)
    within = (np.arange(side) + 4) % 128 < 8
    within[:4] = within[-4:] = False  # edges of the picture are none of tiles
    is_near = within[:, None] | within
    assert squares[is_near].mean() < 1.02 * squares[~is_near].mean()


# ---------------------------------------------------------------- recipes


@pytest.mark.parametrize("prior", [0, 1])
def test_older_structures_are_no_longer_made(prior):
    message = rf"structure\.prior={prior}: such files are read, and no longer made; give 2"
    with pytest.raises(UsageError, match=message):
        recipe(structure_prior=prior)


def test_the_recipes():
    made = {name: inr.recipes.named(name) for name in ("grid_instant", "grid_fast", "grid")}
    priors = {"grid_instant": 5, "grid_fast": 2, "grid": 3}
    assert {name: each.structure for name, each in made.items()} == {
        name: Structure(prior=prior) for name, prior in priors.items()
    }
    assert made["grid_instant"].fit.steps == 0
    assert 0 < made["grid_fast"].fit.steps < made["grid"].fit.steps
    assert made["grid"].fit.steps < inr.recipes.grid_best().fit.steps


# ---------------------------------------------------------------- codes of the networks


def test_networks_that_stayed_take_no_codes():
    picture, pyramid = Picture(noise()), Pyramid(16, 24, 3, Structure(prior=2, rate=20))
    prior = prior_networks(pyramid)
    latents = [np.zeros((level.height, level.width), np.float32) for level in pyramid.levels]
    for params in (prior, {name: w.astype(np.float32) for name, w in prior.items()}):
        coded = code_networks(picture, pyramid, FitResult(params, latents, 1e-3, 60), seed=0)
        assert not any(codes.any() for codes in coded.codes.values())
