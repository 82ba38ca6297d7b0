"""program.py: fits so small that a test can wait for them; when what is done, fitting/test_loop.py
holds.

Nearly all share one pyramid and settings, since each other one takes seconds to compile.
"""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inr.coders.laplace_tables import LATENT_LIMIT
from inr.errors import FitError, UsageError
from inr.fitting.checkpoint import Checkpoint
from inr.fitting.loop import Block
from inr.fitting.members import pick_members
from inr.fitting.time_budget import TimeBudget
from inr.grid.fit.model import rate_bits, synthesize
from inr.grid.fit.program import SOFT, STEERED_UNTIL, TRIAL, FitProblem, GridProgram, fit
from inr.grid.fit.settings import GridFit
from inr.grid.structure import Pyramid, Structure

HEIGHT, WIDTH = 32, 48
PYRAMID = Pyramid(
    HEIGHT, WIDTH, 3, Structure(first_level=1, n_hyper=1, n_taps=4, n_features=2, hidden=8)
)
ONE_LEVEL = Pyramid(8, 12, 1, Structure(n_taps=2, n_features=1, hidden=2))
SETTINGS = GridFit(steps=80, n_starts=1)  # 20 blocks of 4 steps, the last of them the tail
N_BLOCKS = 20
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
    return fit(jobs or [job()], pyramid, settings, time_budget=budget, **how)


@functools.partial(jax.jit, static_argnums=0)
def measured(pyramid, latents, params, picture):
    """MSE and bits."""
    mse = jnp.mean((synthesize(latents, params, pyramid) - picture) ** 2)
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
def test_a_picture_that_is_no_number_is_refused_quickly(n_pixels):
    picture = smooth()
    picture[:, : 1 if n_pixels == "one" else None, : 1 if n_pixels == "one" else None] = np.nan
    with pytest.raises(FitError, match=r"stopped being a number at step .* lower fit\.learning"):
        fitted(job(picture))


def test_latents_that_only_rounding_spoils_are_no_numbers_either():
    program = GridProgram([job()], PYRAMID, SETTINGS)
    state = program.start(1.0)
    state.steps.latents[0] = state.steps.latents[0] + jnp.nan
    _, scores = program.after_block(state, block_of(program, SOFT, 0.6), np.zeros(1))
    assert np.isnan(scores).all()
    early = block_of(program, SOFT, 0.1)  # nothing is measured yet: the next block finds out
    state, scores = program.after_block(state, early, np.zeros(1))
    assert scores is None
    assert np.isnan(program.run_block(state, early)[1]).all()


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


# Time, and what is saved


def test_a_time_budget_that_cannot_be_kept_is_refused_before_the_fit():
    told = []
    with pytest.raises(UsageError, match=r"a time budget of 60 s is too short"):
        fitted(seconds=60.0, report=told.append, seconds_after=lambda a_step, compiling: 61.0)
    assert told == []


def test_what_comes_after_the_fit_is_reckoned_from_a_step_and_its_compilation(plain):
    given = []

    def seconds_after(a_step, compiling):
        given.append((a_step, compiling))
        return 0.0

    assert_same(fitted(seconds=3600.0, seconds_after=seconds_after)[0], plain)
    ((a_step, compiling),) = given
    assert min(a_step, compiling) > 0


@pytest.mark.parametrize("n_blocks", [9, 19])
def test_a_killed_fit_ends_in_the_same(tmp_path, plain, n_blocks):
    store = Checkpoint(tmp_path / "fit.npz", "a", seconds_between_saves=0.0)
    with pytest.raises(Killed):
        fitted(store=store, report=kill_after(n_blocks + 1))
    told = []
    assert_same(fitted(store=store, report=told.append)[0], plain)
    assert told[0].step == 4 * (n_blocks + 1)  # it went on, it did not begin again


@pytest.mark.slow
@pytest.mark.parametrize("n_blocks", [1, 14])  # in the trial of several starts, and long after it
def test_batches_and_starts_go_on_from_a_checkpoint(tmp_path, n_blocks):
    jobs, settings = (
        [job(lambda_=3e-2), job(lambda_=1e-4)],
        replace(SETTINGS, n_starts=2, trial=0.1),
    )
    whole = fitted(*jobs, settings=settings)
    store = Checkpoint(tmp_path / "fit.npz", "a", seconds_between_saves=0.0)
    with pytest.raises(Killed):
        fitted(*jobs, settings=settings, store=store, report=kill_after(n_blocks + 1))
    resumed = fitted(*jobs, settings=settings, store=store)
    for one, other in zip(resumed, whole, strict=True):
        assert_same(one, other)


# The trial of several starts


def block_of(program, phase, end):
    n = program.block_length
    return Block(phase, 0, n, n, begin=0.0, end=end, ends_phase=True)


def test_the_best_start_of_each_problem_goes_on():
    settings = GridFit(steps=80, n_starts=3, trial=0.1)
    program = GridProgram([job(), job(lambda_=1e-2, seed=1)], PYRAMID, settings)
    first = program.start(1.0)
    assert len(first.lambdas) == 6  # start after start
    params = first.steps.params["synth_b1"]
    spoilt = params.at[:2].add(1.0).at[5].set(jnp.nan)  # first starts of both, last of the second
    first = first._replace(
        steps=first.steps._replace(params=first.steps.params | {"synth_b1": spoilt})
    )
    state, scores = program.after_block(first, block_of(program, TRIAL, 0.1), np.zeros(6))
    assert scores is None  # no snapshot in a trial
    assert state.lambdas.tolist() == [1e-3, 1e-2]
    kept = np.asarray(state.steps.key).tolist()
    keys = np.asarray(first.steps.key).tolist()
    assert kept[0] in (keys[2], keys[4])
    assert kept[1] == keys[3]


def test_a_start_that_fails_only_loses_the_trial():
    program = GridProgram(
        [job(np.full_like(smooth(), np.nan))], PYRAMID, GridFit(steps=80, n_starts=2)
    )
    state = program.start(1.0)
    _, losses = program.run_block(state, block_of(program, TRIAL, 0.03))
    assert np.isfinite(losses).all()
    _, losses = program.run_block(pick_members(state, slice(0, 1)), block_of(program, SOFT, 0.95))
    assert np.isnan(losses).all()


# Seeds


def test_seeds_decide_the_noise_and_so_the_result(plain):
    other = fitted(job(seed=1))[0]
    # Far more than the few numbers that the prior leaves to chance.
    pairs = zip(plain.unrounded, other.unrounded, strict=True)
    assert np.mean([np.mean(a != b) for a, b in pairs]) > 0.5
    assert not np.array_equal(other.params["synth_w0"], plain.params["synth_w0"])


# Steering


def test_lambda_can_be_steered(plain):
    told = []

    def steer(progress, since, lambdas, mse, bits):
        told.append((progress, float(mse[0]), float(bits[0])))
        return lambdas if progress < 0.3 else np.array([0.03])

    steered = fitted(steer=steer)[0]
    assert steered.lambda_ == 0.03
    progress = [each[0] for each in told]
    assert len(told) == 0.9 * N_BLOCKS  # later it would change little
    assert progress == sorted(progress)
    assert 0 < progress[0] < progress[-1] < 1

    def bits(result):
        return loss_of(result, lambda_=1.0) - loss_of(result, lambda_=0.0)

    assert bits(steered) < bits(plain)


def test_while_lambdas_are_steered_there_are_no_snapshots():
    program = GridProgram([job()], PYRAMID, SETTINGS, steer=lambda *now: now[2])
    state = program.start(1.0)
    for end, has_scores in ((0.6, False), (STEERED_UNTIL, False), (0.92, True), (1.0, True)):
        state, scores = program.after_block(state, block_of(program, SOFT, end), np.zeros(1))
        assert (scores is not None) == has_scores
        assert float(state.steered_at) == (0.92 if end == 1 else end)


def test_a_fit_goes_on_from_an_earlier_result(plain):
    told = []
    further = fitted(begin=(plain, 0.7), report=told.append)[0]
    assert told[0].step == 84
    assert further.n_steps == 80 + 24
    assert loss_of(further) < 1.1 * loss_of(plain)
    program = GridProgram([job()], PYRAMID, SETTINGS, earlier=plain)
    state, _ = program.after_block(program.start(1.0), block_of(program, SOFT, 0.7), np.zeros(1))
    error = float(state.mse[0] + LAMBDA * state.bits[0] / (HEIGHT * WIDTH))
    assert error == pytest.approx(loss_of(plain), rel=2e-2)  # neither clipped nor the same program


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
