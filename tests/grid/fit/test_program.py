"""fit.py: fits so small that a test can wait for them.

Nearly all share one pyramid and settings, since each other one takes seconds to compile.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inr.coders.laplace_tables import LATENT_LIMIT
from inr.errors import FitError, UsageError
from inr.fitting.checkpoint import Checkpoint
from inr.fitting.random_keys import fit_key
from inr.fitting.time_budget import TimeBudget
from inr.grid.fit.model import drawn, rate_bits
from inr.grid.fit.program import FitProblem, GridFitting
from inr.grid.fit.settings import GridFit
from inr.grid.structure import Pyramid, Structure
from inr.mlp.fit.problem import NotANumberError

HEIGHT, WIDTH = 32, 48
PYRAMID = Pyramid(
    HEIGHT, WIDTH, 3, Structure(first_level=1, n_hyper=1, n_taps=4, n_features=2, hidden=8)
)
ONE_LEVEL = Pyramid(8, 12, 1, Structure(n_taps=2, n_features=1, hidden=2))
SETTINGS = GridFit(steps=80, n_starts=1)  # 20 blocks of 4 steps, the last of them the tail
N_BLOCKS = 20
SEEDS = (0, 1, 256, 512, 1 << 16, 1 << 24, (1 << 32) - 1)
LAMBDA = 1e-3


class Killed(Exception):
    pass


def smooth(height=HEIGHT, width=WIDTH, n_channels=3):
    """f32[c, height, width] in 0..1: slow waves, other ones in each channel."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [np.sin(5 * x + 3 * y), np.cos(4 * y - x), np.sin(6 * x * y)]
    return (0.5 + 0.4 * np.stack(waves[:n_channels])).astype(np.float32)


def job(picture=None, lambda_=LAMBDA, seed=0):
    return FitProblem(smooth() if picture is None else picture, lambda_, seed)


def fitted(*jobs, settings=SETTINGS, pyramid=PYRAMID, seconds=None, **how):
    budget = None if seconds is None else TimeBudget(seconds)
    return GridFitting(jobs or [job()], pyramid, settings, budget).run(**how)


@functools.partial(jax.jit, static_argnums=0)
def measured(pyramid, latents, params, picture):
    """MSE and bits."""
    mse = jnp.mean((drawn(latents, params, pyramid) - picture) ** 2)
    return mse, rate_bits(latents, params, pyramid)


def loss_of(result, picture=None, lambda_=None, pyramid=PYRAMID):
    """MSE + lambda * bpp with the latents as they will stand in the file."""
    latents = [y.astype(np.float32) for y in result.latents()]
    mse, bits = measured(pyramid, latents, result.params, smooth() if picture is None else picture)
    lambda_ = result.lambda_ if lambda_ is None else lambda_
    return float(mse) + lambda_ * float(bits) / (pyramid.height * pyramid.width)


def assert_same(one, other):
    assert one.lambda_ == other.lambda_
    assert one.n_steps == other.n_steps
    assert list(one.params) == list(other.params)
    for name, w in one.params.items():
        assert np.array_equal(other.params[name], w), name
    for a, b in zip(one.latents(), other.latents(), strict=True):
        assert np.array_equal(a, b)


def kill_after(n_blocks):
    told = []

    def report(progress):
        told.append(progress)
        if len(told) == n_blocks:
            raise Killed

    return report


@pytest.fixture(scope="module")
def told():
    """What the tiny fit tells, filled by `plain`."""
    return []


@pytest.fixture(scope="module")
def plain(told):
    """The tiny fit that others are compared with."""
    return fitted(report=told.append)[0]


@pytest.fixture
def saved_often(monkeypatch):
    monkeypatch.setattr("inr.fitting.checkpoint.SECONDS_BETWEEN_SAVES", -1.0)  # after every block


def test_a_tiny_fit_is_much_better_than_the_mean_colour(plain):
    assert loss_of(plain) < 0.2 * smooth().var(axis=(1, 2)).mean()
    assert plain.n_steps == 80
    assert plain.lambda_ == LAMBDA


def test_what_a_fit_ends_in(plain):
    assert {name: w.shape for name, w in plain.params.items()} == PYRAMID.shapes
    assert list(plain.params) == list(PYRAMID.shapes)  # file order
    for w in plain.params.values():
        assert w.dtype == np.float32
        assert np.isfinite(w).all()
    sizes = [(level.height, level.width) for level in PYRAMID.levels]
    assert [y.shape for y in plain.latents()] == sizes
    for y in plain.latents():
        assert y.dtype == np.int32
        assert np.abs(y).max() <= LATENT_LIMIT
    assert any(y.any() for y in plain.latents())


def test_the_best_snapshot_of_the_second_half_is_kept(plain, told):
    losses = [10 ** (-each.psnr_db / 10) + LAMBDA * each.bpp for each in told]
    # The fit's MSE is neither clipped to 0..1 nor drawn by the same program.
    assert loss_of(plain) == pytest.approx(min(losses[N_BLOCKS // 2 - 1 :]), rel=2e-2)


def test_a_fit_tells_where_it_is(plain, told):
    assert [each.step for each in told] == list(range(4, 81, 4))
    assert {each.n_steps for each in told} == {80}
    assert told[-1].seconds_left == 0
    assert told[-1].psnr_db > told[0].psnr_db + 3


def test_the_same_seed_gives_the_same_result(plain):
    assert_same(fitted()[0], plain)
    other = fitted(job(seed=1))[0]
    assert not np.array_equal(other.params["synth_w0"], plain.params["synth_w0"])


@pytest.mark.slow
def test_a_larger_lambda_gives_fewer_bits():
    def bits(result):
        return loss_of(result, lambda_=1.0) - loss_of(result, lambda_=0.0)

    cheap, costly = fitted(job(lambda_=3e-2), job(lambda_=1e-4))
    assert bits(cheap) < 0.7 * bits(costly)
    assert loss_of(cheap, lambda_=0.0) > loss_of(costly, lambda_=0.0)
    # Each member has its own picture, too.
    pictures = [smooth(), 1 - smooth()[:, ::-1]]
    for result, picture in zip(fitted(*map(job, pictures)), pictures, strict=True):
        assert loss_of(result, picture) < 0.2 * smooth().var(axis=(1, 2)).mean()


@pytest.mark.parametrize("n_pixels", ["one", "all"])
def test_a_picture_that_is_no_number_is_refused_quickly(plain, n_pixels):
    picture = smooth()
    picture[:, : 1 if n_pixels == "one" else None, : 1 if n_pixels == "one" else None] = np.nan
    with pytest.raises(FitError, match=r"stopped being a number at step .* lower fit\.learning"):
        fitted(job(picture))


@pytest.mark.slow
def test_one_member_that_is_no_number_stops_the_batch():
    with pytest.raises(FitError, match="stopped being a number"):
        fitted(job(), job(np.full_like(smooth(), np.nan)))


# Blocks and phases


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2, 7, 33])
def test_all_numbers_of_steps_run_to_the_end(steps):
    told = []
    settings = GridFit(steps=steps, n_starts=1)
    picture = smooth(8, 12, 1)
    result = fitted(job(picture), settings=settings, pyramid=ONE_LEVEL, report=told.append)[0]
    assert result.n_steps == told[-1].step == told[-1].n_steps == steps
    assert [each.step for each in told] == sorted({each.step for each in told})
    assert np.isfinite(loss_of(result, picture, pyramid=ONE_LEVEL))


@pytest.mark.slow
@pytest.mark.parametrize("tail", [0.0, 0.99])
def test_all_lengths_of_the_tail_run_to_the_end(tail):
    settings = GridFit(steps=10, n_starts=1, tail=tail)
    picture = smooth(8, 12, 1)
    result = fitted(job(picture), settings=settings, pyramid=ONE_LEVEL)[0]
    assert result.n_steps == 10
    if tail == 0.99:  # ten steps of ten: the latents never leave 0
        assert not any(y.any() for y in result.latents())


@pytest.mark.slow
@pytest.mark.parametrize("trial", [0.0, 0.9])
def test_several_starts_run_to_the_end(trial):
    picture = smooth(8, 12, 1)
    settings = GridFit(steps=40, n_starts=3, trial=trial, tail=0.25)
    result = fitted(job(picture), settings=settings, pyramid=ONE_LEVEL)[0]
    assert result.n_steps == 40  # of the start that went on
    assert np.isfinite(loss_of(result, picture, pyramid=ONE_LEVEL))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (1, 9)])
def test_the_smallest_pictures(size):
    pyramid = Pyramid(*size, 1, Structure(n_taps=2, n_features=1, hidden=2))
    picture = np.full((1, *size), 0.25, np.float32)
    settings = GridFit(steps=20, n_starts=1)
    result = fitted(job(picture), settings=settings, pyramid=pyramid)[0]
    assert [y.shape for y in result.latents()] == [size]
    assert loss_of(result, picture, lambda_=0.0, pyramid=pyramid) < 1e-2  # it starts at its mean


# Time


@pytest.mark.slow
def test_a_time_budget_shortens_the_schedule():
    settings = GridFit(steps=1_000_000, n_starts=1)
    picture = smooth(8, 12, 1)
    result = fitted(job(picture), seconds=20.0, settings=settings, pyramid=ONE_LEVEL)[0]
    assert 30 < result.n_steps < 1_000_000
    # The schedule is shortened, not cut off.
    assert loss_of(result, picture, pyramid=ONE_LEVEL) < 0.2 * picture.var()


def test_a_time_budget_that_cannot_be_kept_is_refused_before_the_fit():
    told = []
    with pytest.raises(UsageError, match=r"a time budget of 0\.001 s is too short"):
        fitted(seconds=1e-3, report=told.append)
    with pytest.raises(UsageError, match=r"a time budget of 60 s is too short"):
        fitted(seconds=60.0, report=told.append, after=lambda pace, compiling: 61.0)
    assert told == []


def test_a_time_budget_that_suffices_changes_nothing(plain):
    assert_same(fitted(seconds=3600.0)[0], plain)


# Checkpoints


@pytest.mark.parametrize("n_blocks", [1, 9, 15, 19])
@pytest.mark.usefixtures("saved_often")
def test_a_killed_fit_ends_in_the_same(tmp_path, plain, n_blocks):
    path = tmp_path / "fit.npz"
    with pytest.raises(Killed):
        fitted(store=Checkpoint(path, "a"), report=kill_after(n_blocks + 1))
    assert path.exists()
    told = []
    resumed = fitted(store=Checkpoint(path, "a"), report=told.append)[0]
    assert_same(resumed, plain)
    assert told[0].step == 4 * (n_blocks + 1)  # it went on, it did not begin again


@pytest.mark.usefixtures("saved_often")
def test_a_fit_killed_after_its_end_ends_in_the_same(tmp_path, plain):
    checkpoint = Checkpoint(tmp_path / "fit.npz", "a")
    assert_same(fitted(store=checkpoint)[0], plain)
    told = []
    assert_same(fitted(store=checkpoint, report=told.append)[0], plain)
    assert told == []


@pytest.mark.usefixtures("saved_often")
def test_a_fit_killed_in_a_second_try_goes_on_in_it(tmp_path):
    class Reports:
        """Of a fit that fails once, after its sixth block."""

        def __init__(self, kill_after=None):
            self.steps, self.failed, self.kill_after = [], False, kill_after

        def __call__(self, progress):
            self.steps.append(progress.step)
            if len(self.steps) == 6 and not self.failed:
                self.failed = True
                raise NotANumberError(progress.step)
            if self.kill_after is not None and len(self.steps) > self.kill_after:
                raise Killed

    whole = fitted(report=Reports())[0]
    checkpoint = Checkpoint(tmp_path / "fit.npz", "a")
    with pytest.raises(Killed):
        fitted(store=checkpoint, report=Reports(kill_after=8))  # two blocks of the second try
    told = []
    assert_same(fitted(store=checkpoint, report=told.append)[0], whole)
    steps = [each.step for each in told]
    assert steps == list(range(4 * 3, 81, 4))  # its third block comes next


def test_a_second_try_killed_before_its_first_save_does_not_begin_with_the_first(tmp_path):
    def fails_then_dies(progress):
        if progress.step == 24 and not died:
            died.append(progress)
            raise NotANumberError(progress.step)
        if died:
            raise Killed

    died, told = [], []
    checkpoint = Checkpoint(tmp_path / "fit.npz", "a")
    with pytest.raises(Killed):
        fitted(store=checkpoint, report=fails_then_dies)
    fitted(store=checkpoint, report=told.append)
    assert checkpoint.load()[0]["rate"] == 0.5
    assert told[0].step == 4


# Seeds


def test_seeds_decide_the_noise_and_so_the_result(plain):
    other = fitted(job(seed=1))[0]
    again = fitted(job(seed=0))[0]
    assert_same(again, plain)
    # Far more than the few numbers that the prior leaves to chance.
    pairs = zip(plain.unrounded, other.unrounded, strict=True)
    assert np.mean([np.mean(a != b) for a, b in pairs]) > 0.5


def test_seeds_that_agree_in_some_bits_have_noise_of_their_own():
    keys = {tuple(np.asarray(fit_key(seed, start)).tolist()) for seed in SEEDS for start in (0, 1)}
    assert len(keys) == 2 * len(SEEDS)


@pytest.mark.slow
@pytest.mark.usefixtures("saved_often")
def test_a_batch_goes_on_from_a_checkpoint(tmp_path):
    jobs = [job(lambda_=3e-2), job(lambda_=1e-4)]
    checkpoint = Checkpoint(tmp_path / "fit.npz", "a")
    with pytest.raises(Killed):
        fitted(*jobs, store=checkpoint, report=kill_after(14))
    pairs = zip(fitted(*jobs, store=checkpoint), fitted(*jobs), strict=True)
    for resumed, whole in pairs:
        assert_same(resumed, whole)


@pytest.mark.usefixtures("saved_often")
def test_a_checkpoint_of_other_tensors_is_refused(tmp_path):
    checkpoint = Checkpoint(tmp_path / "fit.npz", "a")
    with pytest.raises(Killed):
        fitted(store=checkpoint, report=kill_after(2))
    with pytest.raises(ValueError, match="has other tensors; delete it to start again"):
        fitted(job(smooth(8, 12, 1)), pyramid=ONE_LEVEL, store=checkpoint)


# Steering


def test_lambda_can_be_steered(plain):
    told = []

    def steer(progress, since, lambdas, mse, bits):
        told.append((progress, float(mse[0]), float(bits[0])))
        return lambdas if progress < 0.3 else np.array([0.03])

    steered = fitted(steer=steer)[0]
    assert steered.lambda_ == 0.03
    progress = [each[0] for each in told]
    assert len(told) == N_BLOCKS - 1  # after the last block there is nothing to steer
    assert progress == sorted(progress)
    assert 0 < progress[0] < progress[-1] < 1

    def bits(result):
        return loss_of(result, lambda_=1.0) - loss_of(result, lambda_=0.0)

    assert bits(steered) < bits(plain)


def test_steering_to_the_same_lambda_changes_nothing(plain):
    assert_same(fitted(steer=lambda progress, since, lambdas, mse, bits: lambdas.copy())[0], plain)


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, r"fit\.steps=0: at least 1 step is needed"),
        ({"n_starts": 0}, r"fit\.n_starts=0 is outside 1\.\.64"),
        ({"n_starts": 65}, r"fit\.n_starts=65 is outside 1\.\.64"),
        ({"trial": 1.0}, r"fit\.trial=1\.0: expected a fraction from 0, below 1"),
        ({"tail": -0.1}, r"fit\.tail=-0\.1: expected a fraction"),
        ({"tail": float("nan")}, r"fit\.tail=nan: expected a fraction"),
        ({"learning_rate": 0.0}, r"fit\.learning_rate=0\.0: expected a number above 0"),
        ({"latent_rate": float("inf")}, r"fit\.latent_rate=inf: expected a number above 0"),
        ({"gain": -1.0}, r"fit\.gain=-1\.0: expected a number above 0"),
        ({"final_temperature": float("nan")}, r"fit\.final_temperature=nan: expected"),
        ({"noise": -0.1}, r"fit\.noise=-0\.1: expected a number from 0"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        GridFit(**settings)
