"""loop.py: when what is done, with a program that counts instead of fitting."""

import itertools
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inr.errors import FitError, UsageError
from inr.fitting.checkpoint import Checkpoint
from inr.fitting.loop import Block, run
from inr.fitting.members import pick_members
from inr.fitting.time_budget import Costs, Phase, TimeBudget, TooShort


class Counted(NamedTuple):
    """A state: how many steps each member has made, and at what rate."""

    n_done: jax.Array  # f32[members]
    rate_scale: np.ndarray  # f64[members]


class Program:
    """20 steps in blocks of 3, two members; the second phase is the last fifth."""

    n_steps, block_length = 20, 3
    phases: tuple[Phase, ...] = (Phase(0.8), Phase(1.0))
    edges: tuple[float, ...] = ()
    rate_setting = "fit.rate"

    def __init__(self, loss=lambda state, block: [1.0, 1.0], score=lambda state, block: None):
        """loss, score: of a state after a block."""
        self.loss, self.score, self.blocks = loss, score, []

    def start(self, rate_scale):
        return Counted(jnp.zeros(2), np.full(2, rate_scale))

    def estimate_costs(self, state, compile_seconds, step_seconds):
        return Costs([0.0] * 2, [0.0] * 2)

    def run_block(self, state, block):
        state = state._replace(n_done=state.n_done + block.n_steps)
        return state, np.array(self.loss(state, block))

    def after_block(self, state, block, losses):
        self.blocks.append(block)
        score = self.score(state, block)
        return state, None if score is None else np.array(score)

    def estimate_quality(self, state, losses):
        return 10.0 * float(losses[0]), 0.5

    def result(self, run):
        return run


class Killed(Exception):
    """Stands for a kill in the middle of a fit."""


def kill_after(n_blocks):
    left = itertools.count(n_blocks, -1)

    def report(progress):
        if next(left) == 0:
            raise Killed

    return report


def steps_of(blocks):
    return [block.n_steps for block in blocks]


# ---------------------------------------------------------------- blocks


def test_blocks_end_at_phases():
    program = Program()
    ended = run(program)
    assert steps_of(program.blocks) == [3, 3, 3, 3, 3, 1, 3, 1]
    assert [block.phase for block in program.blocks] == [0] * 6 + [1] * 2
    assert [block.first_step for block in program.blocks] == [0, 3, 6, 9, 12, 15, 16, 19]
    assert [i for i, block in enumerate(program.blocks) if block.ends_phase] == [5, 7]
    for before, after in itertools.pairwise(program.blocks):
        assert before.end == after.begin
    assert (program.blocks[5].end, program.blocks[7].end) == (0.8, 1.0)
    assert (ended.step, ended.progress) == (20, 1.0)
    assert ended.state.n_done.tolist() == [20, 20]  # idle blocks, which compile, are not counted


def test_blocks_end_at_edges_too():
    program = Program()
    program.edges = (0.1, 0.35)
    run(program)
    assert [round(block.end, 12) for block in program.blocks][:4] == [0.1, 0.25, 0.35, 0.5]


@pytest.mark.parametrize("until", [0.31, 0.33])  # 6.2 and 6.6 steps
def test_steps_to_an_edge_between_steps_are_alike(until):
    program = Program()
    program.phases = (Phase(until), Phase(1.0))
    run(program)
    first = [block for block in program.blocks if block.phase == 0]
    assert steps_of(first) == ([3, 3] if until == 0.31 else [3, 3, 1])
    a_step = {round((block.end - block.begin) / block.n_steps, 12) for block in first}
    assert len(a_step) == 1


@pytest.mark.parametrize("n_edges", [7, 10, 13])  # 2.29, 1.6, 1.23 steps between two
def test_edges_between_steps_leave_the_number_of_steps_as_it_is(n_edges):
    program = Program()
    program.edges = tuple(0.8 * (i + 1) / n_edges for i in range(n_edges))
    assert run(program).step == program.n_steps
    assert set(program.edges) <= {block.end for block in program.blocks}


def test_a_phase_of_no_length_is_passed_over():
    program = Program()
    program.phases = (Phase(0.0), Phase(0.5), Phase(0.5), Phase(1.0))
    run(program)
    assert {block.phase for block in program.blocks} == {1, 3}


def test_a_block_tells_its_steps():
    block = Block(0, first_step=7, n_steps=2, length=4, begin=0.2, end=0.4, ends_phase=False)
    assert block.active.tolist() == [True, True, False, False]
    assert block.steps.tolist() == [7, 8, 9, 10]
    assert block.progress_at(0.5)[:2] == pytest.approx([0.25, 0.35])


def test_a_fit_may_begin_in_the_middle():
    program = Program()
    ended = run(program, begin=(100, 0.7))
    assert program.blocks[0].first_step == 100
    assert ended.step == 106


def test_progress_is_told_after_each_block():
    told = []
    run(Program(), report=told.append)
    assert [each.step for each in told] == [3, 6, 9, 12, 15, 16, 19, 20]
    assert {each.n_steps for each in told} == {20}
    assert told[-1].seconds_left == 0
    assert (told[0].psnr_db, told[0].bpp) == (10.0, 0.5)


# ---------------------------------------------------------------- the best state


def test_the_best_state_of_each_member_is_kept():
    scores = {16: None, 19: [0.3, 0.2], 20: [0.2, 0.4]}  # by steps done
    ended = run(Program(score=lambda state, block: scores.get(int(state.n_done[0]))))
    assert ended.best.n_done.tolist() == [20, 19]
    assert ended.best_scores.tolist() == [0.2, 0.2]


def test_of_equal_scores_the_first_counts():
    ended = run(Program(score=lambda state, block: [0.1, 0.1] if block.phase else None))
    assert ended.best.n_done.tolist() == [19, 19]


# ---------------------------------------------------------------- losses that are no numbers


def failing_at_rate_1(state, block):
    """Fails in the fourth block, once."""
    return [1.0, np.nan if state.rate_scale[0] == 1 and state.n_done[0] >= 12 else 1.0]


def test_a_loss_that_is_no_number_starts_again_at_half_the_rate():
    program = Program(failing_at_rate_1)
    ended = run(program)
    assert ended.attempt == 1
    assert steps_of(program.blocks) == [*[3] * 3, 3, 3, 3, 3, 3, 1, 3, 1]
    assert ended.state.rate_scale.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_three_halvings_are_tried(bad):
    rates = []

    def loss(state, block):
        if block.n_steps:
            rates.append(float(state.rate_scale[0]))
        return [1.0, bad]

    with pytest.raises(FitError, match=r"number at step 0, also at 1/8 .*; give a lower fit\.rate"):
        run(Program(loss))
    assert rates == [1, 0.5, 0.25, 0.125]
    with pytest.raises(FitError):
        run(Program(loss), max_retries=0)
    assert len(rates) == 5


def test_a_score_that_is_no_number_counts_as_such_a_loss():
    """What the last step did to the weights shows only there."""
    score = lambda state, block: [np.nan, 1.0] if state.rate_scale[0] > 0.25 else [1.0, 1.0]  # noqa: E731
    assert run(Program(score=score)).attempt == 2


# ---------------------------------------------------------------- checkpoints


def assert_same(one, other):
    for a, b in zip(jax.tree.leaves(one.state), jax.tree.leaves(other.state), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (one.step, one.progress, one.attempt) == (other.step, other.progress, other.attempt)


def some_scores(state, block):
    return [abs(16.5 - float(state.n_done[0])), 1.0] if block.phase else None


@pytest.mark.parametrize("n_blocks", [0, 1, 6, 7])
def test_a_killed_fit_goes_on_where_it_was(tmp_path, n_blocks):
    whole = run(Program(score=some_scores))
    store = Checkpoint(tmp_path / "fit.npz", "a", seconds_between_saves=0.0)
    # The block whose report kills is lost, as it was not saved.
    with pytest.raises(Killed):
        run(Program(score=some_scores), store=store, report=kill_after(n_blocks))
    program = Program(score=some_scores)
    resumed = run(program, store=Checkpoint(tmp_path / "fit.npz", "a"))
    assert len(program.blocks) == 8 - n_blocks
    assert_same(resumed, whole)
    assert resumed.best.n_done.tolist() == whole.best.n_done.tolist()
    assert isinstance(resumed.state.n_done, jax.Array)
    assert resumed.state.rate_scale.dtype == np.float64  # not made f32 by jax


def test_a_fit_that_was_saved_at_its_end_only_ends(tmp_path):
    store = Checkpoint(tmp_path / "fit.npz", "a", seconds_between_saves=0.0)
    whole = run(Program(score=some_scores), store=store)
    program = Program()
    assert_same(run(program, store=store, time_budget=TimeBudget(1e-9)), whole)
    assert program.blocks == []


@pytest.mark.parametrize("n_blocks", [3, 5])  # before the first block of the second try, and later
def test_a_fit_killed_in_a_second_try_goes_on_in_it(tmp_path, n_blocks):
    seconds = 1e9 if n_blocks == 3 else 0.0  # the begin of a try is saved at once
    store = Checkpoint(tmp_path / "fit.npz", "a", seconds_between_saves=seconds)
    with pytest.raises(Killed):
        run(Program(failing_at_rate_1), store=store, report=kill_after(n_blocks))
    program = Program(failing_at_rate_1)
    ended = run(program, store=Checkpoint(tmp_path / "fit.npz", "a"))
    assert ended.attempt == 1
    assert program.blocks[0].first_step == 3 * (n_blocks - 3)


def test_a_fit_saves_when_it_is_due(tmp_path):
    path = tmp_path / "fit.npz"
    run(Program(), store=Checkpoint(path, "a", seconds_between_saves=1e9))
    assert not path.exists()
    run(Program(), store=Checkpoint(path, "a", seconds_between_saves=0.0))
    assert path.exists()


def test_a_checkpoint_of_other_tensors_is_refused(tmp_path):
    class Wider(Program):
        def start(self, rate_scale):
            return Counted(jnp.zeros((2, 4)), np.full(2, rate_scale))

    store = Checkpoint(tmp_path / "fit.npz", "a", seconds_between_saves=0.0)
    run(Program(), store=store)
    with pytest.raises(UsageError, match="has other tensors; delete it to start again"):
        run(Wider(), store=store)


def test_a_trial_of_other_members_can_be_restored(tmp_path):
    class Trial(Program):
        """Four members until 0.2, then two of them."""

        phases = (Phase(0.2), Phase(1.0))

        def start(self, rate_scale):
            return Counted(jnp.arange(4.0), np.full(4, rate_scale))

        def after_block(self, state, block, losses):
            state, scores = super().after_block(state, block, losses)
            picks = block.phase == 0 and block.ends_phase
            return (pick_members(state, np.array([1, 3])) if picks else state), scores

    whole = run(Trial())
    assert whole.state.n_done.tolist() == [21, 23]
    for n_blocks in (1, 2, 4):
        store = Checkpoint(tmp_path / f"{n_blocks}.npz", "a", seconds_between_saves=0.0)
        with pytest.raises(Killed):
            run(Trial(), store=store, report=kill_after(n_blocks))
        assert_same(run(Trial(), store=store), whole)


# ---------------------------------------------------------------- time budgets


class Slow(Program):
    """A step takes 2 ms, coding afterwards as long as it says."""

    n_steps, block_length = 100_000, 10
    coding = 0.0

    def run_block(self, state, block):
        time.sleep(0.002 * block.n_steps)
        return super().run_block(state, block)

    def estimate_costs(self, state, compile_seconds, step_seconds):
        return Costs([0.0] * 2, [0.0] * 2, self.coding)


def test_a_time_budget_shortens_the_schedule():
    program = Slow()
    ended = run(program, time_budget=TimeBudget(1.0))
    assert 30 < ended.step <= 500  # a step takes 2 ms at least
    assert ended.progress == 1.0
    assert any(block.phase for block in program.blocks)  # all phases are passed through


def test_a_time_budget_that_cannot_be_kept_is_refused_before_the_first_block():
    program = Slow()
    program.coding = 61.0
    for seconds in (1e-3, 60.0):
        with pytest.raises(TooShort, match=rf"a time budget of {seconds:g} s is too short"):
            run(program, time_budget=TimeBudget(seconds))
    assert program.blocks == []


def test_a_time_budget_that_suffices_changes_nothing():
    one, other = Program(), Program()
    run(one)
    run(other, time_budget=TimeBudget(3600.0))
    assert one.blocks == other.blocks


def test_a_retry_is_not_refused_for_the_time_that_the_first_try_took():
    class FailsLate(Slow):
        def run_block(self, state, block):
            state, _ = super().run_block(state, block)
            is_bad = state.rate_scale[0] == 1 and block.begin > 0.7
            return state, np.full(2, np.nan if is_bad else 1.0)

    assert run(FailsLate(), time_budget=TimeBudget(0.5)).attempt == 1
