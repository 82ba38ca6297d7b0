"""fit_guard.py: a fit that collapses goes back, and on at half the rate."""

import numpy as np
import pytest
from helpers.tiny_fits import BLOCK, Killed, fitted, fitting_of, job_of, kill_after, smooth, tiny

from inr.mlp.fit.guard import guard
from inr.mlp.fit.program import Fitting
from inr.mlp.fit.rounding import freeze_or_correct
from inr.mlp.fit.step import Loop


@pytest.fixture
def scripted(monkeypatch, untrained):
    """Blocks add 1 to all weights and have the errors of a list, one a block; 0.1 after its end."""

    def install(errors):
        left = list(errors)

        def block(self, state, xs, *_):
            error = np.float32(0.1)
            params = state.params
            if xs.active.any():
                error = np.float32(left.pop(0) if left else 0.1)
                params = {name: w + np.float32(1) for name, w in params.items()}
            return state._replace(params=params), np.full(len(xs.active), error)

        monkeypatch.setattr(Loop, "block", block)

    return install


def weights_after(fitting, run, errors):
    """Runs blocks with the guard; what was added to the first weights, after each."""
    first = fitting.numpy_params(run, 0)["b2"].copy()
    added = []
    for _ in errors:
        guard(fitting, run, fitting.advance(run))
        added.append(np.rint(fitting.numpy_params(run, 0)["b2"] - first).max())
    return added


def test_hand_worked_collapse(scripted):
    errors = [0.4, 0.2, 0.1, 0.5, 0.1, 0.1]  # the fourth is 5 times the third
    scripted(errors)
    fitting = fitting_of({"fit.warmup": "0"})
    run = fitting.started(1.0)
    assert weights_after(fitting, run, errors) == [1, 2, 3, 3, 4, 5]  # taken back to the third
    assert run.members[0].rate_scale == 0.5
    assert run.step == 6 * BLOCK  # time goes on
    xs, _ = fitting.next_block(run, 0.8)
    calm = fitting_of({"fit.warmup": "0"})
    calm_run = calm.started(1.0)
    calm_run.step, calm_run.progress = run.step, run.progress
    expected, _ = calm.next_block(calm_run, 0.8)
    np.testing.assert_allclose(xs.rate, expected.rate / 2)


def test_errors_that_rise_slowly_are_no_collapse(scripted):
    # As the budget tightens: 30 % a block, of which 15 % are forgotten each time.
    errors = [0.01 * 1.3**i for i in range(12)]
    scripted(errors)
    fitting = fitting_of({"fit.warmup": "0"})
    run = fitting.started(1.0)
    assert weights_after(fitting, run, errors[:10]) == list(range(1, 11))
    assert run.members[0].rate_scale == 1


def test_each_collapse_halves_the_rate(scripted):
    errors = [0.1, 0.9, 0.1, 0.9, 0.9, 0.1]
    scripted(errors)
    fitting = fitting_of({"fit.warmup": "0"})
    run = fitting.started(1.0)
    assert weights_after(fitting, run, errors) == [1, 1, 2, 2, 2, 3]
    assert run.members[0].rate_scale == 0.125


def test_there_is_no_going_back_in_the_warmup_or_while_rounding(scripted):
    scripted([0.1, 0.9, 0.1, 0.9])
    fitting = fitting_of({"fit.warmup": "0.5"})
    run = fitting.started(1.0)
    assert weights_after(fitting, run, range(4)) == [1, 2, 3, 4]
    scripted([0.1] * 16 + [0.9] * 4)
    fitting = fitting_of({"fit.warmup": "0"})
    run = fitting.started(1.0)
    weights_after(fitting, run, range(16))
    freeze_or_correct(fitting, run)
    assert weights_after(fitting, run, range(4)) == [1, 2, 3, 4]
    assert run.members[0].rate_scale == 1


# The masks change after every third block, five times.
MASKED = {"fit.warmup": "0", "sparsify.n_updates": "5", "sparsify.sparsity": "0.5"}


def masked_run(name, n_blocks):
    """A sparse fit after so many blocks with guard and updates."""
    fitting = fitting_of(MASKED | {"sparsify": name})
    run = fitting.started(1.0)
    for _ in range(n_blocks):
        guard(fitting, run, fitting.advance(run))
        fitting.sparsify(run)
    return fitting, run


def test_errors_right_after_an_update_of_the_masks_are_no_collapse(scripted):
    scripted([0.01, 0.01, 0.01, 0.9, 0.9, 0.01, 0.9])
    _, run = masked_run("set", 7)
    assert run.n_mask_updates == 2
    assert run.members[0].rate_scale == 1


def test_fewer_weights_may_mean_larger_errors(scripted):
    scripted([0.01] * 3 + [0.9] * 3)
    _, run = masked_run("magnitude", 6)
    assert run.members[0].rate_scale == 1
    scripted([0.01] * 3 + [0.9] * 3)
    _, run = masked_run("set", 6)  # of as many weights
    assert run.members[0].rate_scale == 0.5


def test_a_collapse_takes_the_masks_back_too(scripted):
    scripted([0.01] * 3)
    fitting, run = masked_run("set", 2)
    before = fitting.numpy_masks(run, 0)
    scripted([0.01] * 3 + [0.9] * 3)
    fitting, run = masked_run("set", 5)
    moved = fitting.numpy_masks(run, 0)
    assert any((moved[name] != before[name]).any() for name in before)
    guard(fitting, run, fitting.advance(run))
    for name, mask in fitting.numpy_masks(run, 0).items():
        np.testing.assert_array_equal(mask, before[name])


def test_the_last_masks_are_not_taken_back(scripted):
    scripted([0.01] * 15 + [0.9])
    fitting, run = masked_run("set", 15)
    assert run.n_mask_updates == 5
    last = fitting.numpy_masks(run, 0)
    guard(fitting, run, fitting.advance(run))
    assert run.members[0].rate_scale == 1
    for name, mask in fitting.numpy_masks(run, 0).items():
        np.testing.assert_array_equal(mask, last[name])


def test_only_the_member_that_collapses_goes_back(monkeypatch, untrained):
    errors = iter([[0.1, 0.1], [0.1, 0.9], [0.1, 0.1]])

    def block_of_jobs(self, states, xs, *_):
        if not xs.active.any():
            return states, np.zeros((2, len(xs.active)))
        params = {name: w + np.float32(1) for name, w in states.params.items()}
        error = np.array(next(errors))[:, None]
        return states._replace(params=params), np.repeat(error, len(xs.active), axis=1)

    monkeypatch.setattr(Loop, "block_of_jobs", block_of_jobs)
    settings = {"fit.warmup": "0"}
    jobs = [job_of(settings, seed=0), job_of(settings, seed=1, picture=255 - smooth())]
    fitting = Fitting(jobs, tiny(settings).fit)
    run = fitting.started(1.0)
    first = np.asarray(run.state.params["b2"]).copy()
    for _ in range(3):
        guard(fitting, run, fitting.advance(run))
    added = np.rint(np.asarray(run.state.params["b2"]) - first).max(axis=1)
    assert added.tolist() == [3, 2]
    assert [member.rate_scale for member in run.members] == [1, 0.5]
    xs, _ = fitting.next_block(run, 0.8)
    np.testing.assert_allclose(xs.rate[1], xs.rate[0] / 2)


@pytest.mark.parametrize("n_blocks", [3, 4, 7])  # before the collapse, at it, after it
def test_a_fit_killed_around_a_collapse_ends_with_the_same_bytes(
    tmp_path, monkeypatch, scripted, n_blocks
):
    monkeypatch.setattr("inr.fitting.checkpoint.SECONDS_BETWEEN_SAVES", -1.0)
    settings = {"fit.warmup": "0"}
    errors = [0.3, 0.2, 0.1, 0.9, 0.2, 0.9]
    scripted(errors)
    whole = fitted(settings=settings)
    scripted(errors)
    with pytest.raises(Killed):
        fitted(settings=settings, checkpoint=tmp_path / "c.npz", report=kill_after(n_blocks))
    scripted(errors[n_blocks:])
    resumed = fitted(settings=settings, checkpoint=tmp_path / "c.npz")
    assert resumed.data == whole.data
    scripted([])
    assert fitted(settings=settings).data != whole.data
