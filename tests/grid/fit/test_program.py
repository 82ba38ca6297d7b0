"""program.py: fits so small that a test can wait for them; when what is done, fitting/test_loop.py
holds.

Nearly all share one pyramid and settings, since each other one takes seconds to compile.
"""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import grid_loops

from inr.coders.laplace_tables import LATENT_LIMIT
from inr.errors import FitError, UsageError
from inr.fitting.checkpoint import Checkpoint
from inr.fitting.loop import Block
from inr.fitting.members import pick_members
from inr.fitting.time_budget import TimeBudget
from inr.grid.closed_loop import predict_corrected
from inr.grid.fit.init import first_networks
from inr.grid.fit.program import (
    ALONE,
    SOFT,
    STEERED_UNTIL,
    TAIL,
    TRIAL,
    FitProblem,
    GridProgram,
    fit,
)
from inr.grid.fit.settings import GridFit
from inr.grid.prior import prior_networks, rate_of
from inr.grid.structure import Pyramid, Structure

pytestmark = pytest.mark.usefixtures("small_tiles")

HEIGHT, WIDTH = 32, 48
PYRAMID = Pyramid(HEIGHT, WIDTH, 3, Structure(prior=2))
SETTINGS = GridFit(steps=40)  # 20 blocks of 2 steps, the last of them the tail
N_BLOCKS = 20
LAMBDA = 1e-3


class Killed(Exception):
    pass


def smooth(height=HEIGHT, width=WIDTH, n_channels=3):
    """f32[c, height, width] in 0..1: slow waves, other ones in each channel."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [np.sin(5 * x + 3 * y), np.cos(4 * y - x), np.sin(6 * x * y), np.cos(3 * x)]
    return (0.5 + 0.4 * np.stack(waves[:n_channels])).astype(np.float32)


def job(picture=None, lambda_=LAMBDA, seed=0):
    return FitProblem(smooth() if picture is None else picture, lambda_, seed, rate_of(lambda_))


def fitted(*jobs, settings=SETTINGS, pyramid=PYRAMID, seconds=None, **how):
    budget = None if seconds is None else TimeBudget(seconds)
    return fit(jobs or [job()], pyramid, settings, time_budget=budget, **how)


def measured(params, latents, picture, pyramid=PYRAMID):
    """MSE and bits by slow loops, neither clipped nor rounded."""
    errors, bits = grid_loops.errors_and_bits(latents, params, picture, pyramid)
    return errors / picture.size, bits


def loss_of(result, picture=None, lambda_=None, pyramid=PYRAMID):
    """MSE + lambda * bpp with the latents as they will stand in the file."""
    picture = smooth() if picture is None else picture
    mse, bits = measured(result.params, result.latents(), picture, pyramid)
    lambda_ = result.lambda_ if lambda_ is None else lambda_
    return mse + lambda_ * bits / (pyramid.height * pyramid.width)


def mse_of(result, picture=None, pyramid=PYRAMID):
    return loss_of(result, picture, 0.0, pyramid)


def bits_of(result, picture=None):
    return HEIGHT * WIDTH * (loss_of(result, picture, 1.0) - mse_of(result, picture))


def predicted(problem, pyramid=PYRAMID):
    """int32[h, w] of each level: the latents with which a fit begins."""
    latents, _ = predict_corrected(problem.picture, pyramid.at_rate(problem.rate))
    return [np.rint(y).astype(np.int32) for y in latents]


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
def told(small_tiles):
    """What the tiny fit tells, filled by `plain`."""
    return []


@pytest.fixture(scope="module")
def plain(told):
    """The tiny fit that others are compared with."""
    return fitted(report=told.append)[0]


def test_a_tiny_fit_is_much_better_than_the_mean_colour(plain):
    assert loss_of(plain) < 0.2 * smooth().var(axis=(1, 2)).mean()
    assert plain.n_steps == 40
    assert plain.lambda_ == LAMBDA


def test_a_fit_is_better_than_its_start(plain):
    problem = job()
    prior = prior_networks(PYRAMID.at_rate(problem.rate))
    mse, bits = measured(prior, predicted(problem), problem.picture)
    assert loss_of(plain) < 0.9 * (mse + LAMBDA * bits / (HEIGHT * WIDTH))


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


def test_the_best_snapshot_of_the_end_is_kept(plain, told):
    losses = [10 ** (-each.psnr_db / 10) + LAMBDA * each.bpp for each in told]
    # Blocks end at about 0.9, 0.95 and 1; whether the first is a snapshot is a matter of rounding.
    snapshots = [min(losses[-n:]) for n in (2, 3)]
    found = loss_of(plain)
    assert any(found == pytest.approx(each, rel=1e-3) for each in snapshots)  # f32 sums


def test_a_fit_tells_where_it_is(plain, told):
    assert [each.step for each in told] == list(range(2, 41, 2))
    assert {each.n_steps for each in told} == {40}
    assert told[-1].seconds_left == 0
    assert told[-1].psnr_db > told[0].psnr_db + 3


def test_the_same_seed_gives_the_same_result(plain):
    assert_same(fitted()[0], plain)


@pytest.mark.slow
def test_a_larger_lambda_gives_fewer_bits():
    lambdas = 1e-2, 1e-4
    problems = [replace(job(lambda_=each), rate=32) for each in lambdas]  # of the same start
    cheap, costly = fitted(*problems, settings=replace(SETTINGS, steps=80))
    assert (cheap.lambda_, costly.lambda_) == lambdas
    assert bits_of(cheap) < 0.7 * bits_of(costly)
    assert mse_of(cheap) > mse_of(costly)


@pytest.mark.slow
def test_each_member_has_its_own_picture():
    pictures = [smooth(), 1 - smooth()[:, ::-1]]
    for result, picture in zip(fitted(*map(job, pictures)), pictures, strict=True):
        assert mse_of(result, picture) < 0.2 * smooth().var(axis=(1, 2)).mean()
    assert_same(result, fitted(job(picture))[0])


@pytest.mark.parametrize("n_pixels", ["one", "all"])
def test_a_picture_that_is_no_number_is_refused_quickly(n_pixels):
    picture = smooth()
    picture[:, : 1 if n_pixels == "one" else None, : 1 if n_pixels == "one" else None] = np.nan
    with pytest.raises(FitError, match=r"stopped being a number at step .* lower fit\.learning"):
        fitted(job(picture))


def test_latents_that_only_rounding_spoils_are_no_numbers_either():
    program = GridProgram([job()], PYRAMID, SETTINGS)
    state = program.start(1.0)
    state.latents.y[0] = state.latents.y[0] + np.nan
    _, scores = program.after_block(state, block_of(program, SOFT, 0.95), np.zeros(1))
    assert np.isnan(scores).all()
    early = block_of(program, SOFT, 0.6)  # nothing is measured yet: the next block finds out
    state, scores = program.after_block(state, early, np.zeros(1))
    assert scores is None
    assert np.isnan(program.run_block(state, early)[1]).all()


# Blocks and phases


@pytest.mark.parametrize("steps", [0, 1, 2, 7, 33])
def test_all_numbers_of_steps_run_to_the_end(steps):
    told = []
    picture, pyramid = smooth(8, 12), Pyramid(8, 12, 3, PYRAMID.structure)
    settings = GridFit(steps=steps)
    (result,) = fitted(job(picture), settings=settings, pyramid=pyramid, report=told.append)
    assert result.n_steps == steps
    assert [each.step for each in told] == sorted({each.step for each in told})
    assert all(each.n_steps == steps for each in told)
    assert steps == (told[-1].step if told else 0)
    assert np.isfinite(loss_of(result, picture, pyramid=pyramid))


def test_a_fit_of_no_steps_is_its_start():
    (result,) = fitted(settings=GridFit(steps=0))
    problem = job()
    for name, w in prior_networks(PYRAMID.at_rate(problem.rate)).items():
        assert np.array_equal(result.params[name][w != 0], w[w != 0].astype(np.float32))
    for y, start in zip(result.latents(), predicted(problem), strict=True):
        assert np.abs(y - start).max() <= 1  # halves are rounded another way
        assert np.mean(y != start) < 0.01


@pytest.mark.parametrize("tail", [0.0, 0.99])
def test_all_lengths_of_the_tail_run_to_the_end(tail):
    settings = GridFit(steps=10, tail=tail)
    (result,) = fitted(settings=settings)
    assert result.n_steps == 10
    start = GridProgram([job()], PYRAMID, settings).start(1.0).latents.y
    # Ten steps of ten: the latents stay the predictions.
    stays = all(np.array_equal(a, b[0]) for a, b in zip(result.unrounded, start, strict=True))
    assert stays == (tail == 0.99)


@pytest.mark.parametrize(("alone", "trial"), [(0.0, 0.0), (0.0, 0.9), (0.5, 0.2), (1.0, 0.2)])
def test_several_starts_run_to_the_end(alone, trial):
    settings = GridFit(steps=20, n_starts=3, trial=trial, tail=0.25, alone=alone)
    (result,) = fitted(settings=settings)
    assert result.n_steps == 20  # of the start that went on
    assert np.isfinite(loss_of(result))


@pytest.mark.parametrize(("alone", "n_channels"), [(0.5, 3), (1.0, 3), (1.0, 1), (1.0, 4)])
def test_networks_stay_while_latents_are_alone(alone, n_channels):
    pyramid = Pyramid(HEIGHT, WIDTH, n_channels, PYRAMID.structure)
    problem = job(smooth(n_channels=n_channels))
    program = GridProgram([problem], pyramid, GridFit(steps=40, alone=alone))
    first = program.start(1.0)
    blocks = {"latents": block_of(program, ALONE, 0.5)}
    if program.soft_until < 1:
        blocks["networks"] = block_of(program, TAIL, 1.0, begin=program.soft_until)
    for name, block in blocks.items():
        state, _ = program.run_block(first, block)
        moved = {
            "latents": not all(map(np.array_equal, state.latents.y, first.latents.y)),
            "networks": not np.array_equal(state.networks.flat, first.networks.flat),
        }
        assert [each for each, has_moved in moved.items() if has_moved] == [name]
    # A row of alpha has no prior, and has to be fitted.
    has_prior = n_channels != 4
    until = (alone, 0.95 if alone < 1 else 1.0) if has_prior else (0.0, 0.95)
    assert [phase.until for phase in program.phases] == [0.0, *until, 1.0]
    (result,) = fitted(problem, settings=program.settings, pyramid=pyramid)
    start = first_networks(pyramid.at_rate(problem.rate), problem.picture.mean((1, 2)),
                           np.random.default_rng([0, 1, 0]))  # fmt: skip
    is_same = all(np.array_equal(result.params[name], w) for name, w in start.items())
    assert is_same == (alone == 1 and has_prior)


def test_blocks_leave_the_given_state_as_it_is():
    program = GridProgram([job()], PYRAMID, SETTINGS)
    state = program.start(1.0)
    before = [y.copy() for y in state.latents.y], np.array(state.networks.flat)
    one, _ = program.run_block(state, block_of(program, SOFT, 0.5))
    assert all(map(np.array_equal, state.latents.y, before[0]))
    assert np.array_equal(state.networks.flat, before[1])
    other, _ = program.run_block(state, block_of(program, SOFT, 0.5))
    assert all(map(np.array_equal, one.latents.y, other.latents.y))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 130)])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_the_smallest_pictures(size, n_channels):
    pyramid = Pyramid(*size, n_channels, PYRAMID.structure)
    picture = np.full((n_channels, *size), 0.25, np.float32)
    (result,) = fitted(job(picture), settings=GridFit(steps=20), pyramid=pyramid)
    sizes = [(level.height, level.width) for level in pyramid.levels]
    assert [y.shape for y in result.latents()] == sizes
    assert mse_of(result, picture, pyramid) < 3e-2


@pytest.mark.parametrize(
    "structure",
    [
        Structure(prior=2, first_level=1, n_hyper=1, n_taps=4, n_features=2, hidden=8),
        Structure(prior=2, n_taps=20, n_feature_levels=0, hidden=3),
    ],
)
def test_structures_that_the_prior_does_not_know(structure):
    pyramid = Pyramid(HEIGHT, WIDTH, 3, structure)
    (result,) = fitted(pyramid=pyramid)
    assert {name: w.shape for name, w in result.params.items()} == pyramid.shapes
    assert mse_of(result, pyramid=pyramid) < 0.5 * smooth().var(axis=(1, 2)).mean()


# Time, and what is saved


def test_a_time_budget_that_cannot_be_kept_is_refused_before_the_fit():
    told = []
    with pytest.raises(UsageError, match=r"a time budget of 60 s is too short"):
        fitted(seconds=60.0, report=told.append, seconds_after=lambda a_step: 61.0)
    assert told == []


def test_what_comes_after_the_fit_is_reckoned_from_a_step(plain):
    given = []

    def seconds_after(a_step):
        given.append(a_step)
        return 0.0

    assert_same(fitted(seconds=3600.0, seconds_after=seconds_after)[0], plain)
    (a_step,) = given
    assert 0 < a_step < 60


@pytest.mark.parametrize("n_blocks", [9, 19])
def test_a_killed_fit_ends_in_the_same(tmp_path, plain, n_blocks):
    store = Checkpoint(tmp_path / "fit.npz", "a", seconds_between_saves=0.0)
    with pytest.raises(Killed):
        fitted(store=store, report=kill_after(n_blocks + 1))
    told = []
    assert_same(fitted(store=store, report=told.append)[0], plain)
    assert told[0].step == 2 * (n_blocks + 1)  # it went on, it did not begin again


@pytest.mark.slow
@pytest.mark.parametrize("n_blocks", [1, 14, 19])  # in the trial of several starts, and after it
def test_batches_and_starts_go_on_from_a_checkpoint(tmp_path, n_blocks):
    jobs, settings = (
        [job(lambda_=1e-2), job(lambda_=1e-4)],
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


def block_of(program, phase, end, begin=0.0):
    n = program.block_length
    return Block(phase, 0, n, n, begin=begin, end=end, ends_phase=True)


def test_the_best_start_of_each_problem_goes_on():
    settings = GridFit(steps=40, n_starts=3, trial=0.1)
    program = GridProgram([job(), job(lambda_=1e-2, seed=1)], PYRAMID, settings)
    first = program.start(1.0)
    assert len(first.lambdas) == 6  # start after start
    flat = np.array(first.networks.flat)
    flat[:2] += 1.0  # first starts of both
    flat[5] = np.nan  # the last one of the second
    networks = first.networks._replace(flat=jnp.asarray(flat))
    first = first._replace(networks=networks)
    state, scores = program.after_block(first, block_of(program, TRIAL, 0.1), np.zeros(6))
    assert scores is None  # no snapshot in a trial
    assert state.lambdas.tolist() == [1e-3, 1e-2]
    kept = np.asarray(state.networks.flat)
    assert any(np.array_equal(kept[0], flat[i]) for i in (2, 4))
    assert np.array_equal(kept[1], flat[3])
    # Starts differ in networks alone.
    assert all(np.array_equal(y[0], y[2]) for y in first.latents.y)


def test_a_start_that_fails_only_loses_the_trial():
    program = GridProgram(
        [job(np.full_like(smooth(), np.nan))], PYRAMID, GridFit(steps=40, n_starts=2)
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


def test_the_first_start_is_the_same_for_all_seeds():
    one, other = (GridProgram([job(seed=s)], PYRAMID, SETTINGS).start(1.0) for s in (0, 1))
    prior = prior_networks(PYRAMID)
    known = np.concatenate([(w != 0).ravel() for w in prior.values()])
    assert np.array_equal(one.networks.flat[0][known], other.networks.flat[0][known])
    assert all(map(np.array_equal, one.latents.y, other.latents.y))


# Steering


def test_lambda_can_be_steered():
    told = []

    def steer(progress, since, lambdas, mse, bits):
        told.append((progress, float(mse[0]), float(bits[0])))
        return lambdas if progress < 0.3 else np.array([0.02])

    steered = fitted(steer=steer)[0]
    assert steered.lambda_ == 0.02
    progress = [each[0] for each in told]
    assert len(told) == 0.9 * N_BLOCKS  # later it would change little
    assert progress == sorted(progress)
    assert 0 < progress[0] < progress[-1] < 1
    other = fitted(steer=lambda *_: np.array([1e-5]))[0]
    assert bits_of(steered) < bits_of(other)


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
    assert told[0].step == 42
    assert further.n_steps == 40 + 12
    assert loss_of(further) < 1.1 * loss_of(plain)
    program = GridProgram([job()], PYRAMID, SETTINGS, earlier=plain)
    state, _ = program.after_block(program.start(1.0), block_of(program, SOFT, 0.92), np.zeros(1))
    error = float(state.mse[0] + LAMBDA * state.bits[0] / (HEIGHT * WIDTH))
    assert error == pytest.approx(loss_of(plain), rel=1e-3)  # f32 sums


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": -1}, r"fit\.steps=-1: expected a number of steps from 0"),
        ({"alone": 1.5}, r"fit\.alone=1\.5: expected a fraction from 0 to 1"),
        ({"alone": float("nan")}, r"fit\.alone=nan: expected a fraction from 0 to 1"),
        ({"n_starts": 0}, r"fit\.n_starts=0 is outside 1\.\.64"),
        ({"n_starts": 65}, r"fit\.n_starts=65 is outside 1\.\.64"),
        ({"trial": 1.0}, r"fit\.trial=1\.0: expected a fraction from 0, below 1"),
        ({"tail": -0.1}, r"fit\.tail=-0\.1: expected a fraction"),
        ({"tail": float("nan")}, r"fit\.tail=nan: expected a fraction"),
        ({"learning_rate": 0.0}, r"fit\.learning_rate=0\.0: expected a number above 0"),
        ({"latent_rate": float("inf")}, r"fit\.latent_rate=inf: expected a number above 0"),
        ({"network_rate": -1.0}, r"fit\.network_rate=-1\.0: expected a number from 0"),
        ({"latent_slope": float("inf")}, r"fit\.latent_slope=inf: expected a number from 0"),
        ({"final_temperature": float("nan")}, r"fit\.final_temperature=nan: expected"),
        ({"noise": -0.1}, r"fit\.noise=-0\.1: expected a number from 0"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        GridFit(**settings)
