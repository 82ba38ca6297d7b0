"""time_budget.py: how fast a fit has to go, worked by hand, and budgets that are refused."""

import time

import pytest

from inr.errors import UsageError
from inr.fitting.compile_time import seconds_to_compile
from inr.fitting.time_budget import Costs, Pace, Phase, TimeBudget, TooShort


def budget(left, **more):
    """With so many seconds left; 3 % of a budget are not counted on."""
    return TimeBudget(left / 0.97, **more)


TWO_PHASES = (Phase(0.8), Phase(1.0))


def pace(left=None, phases=TWO_PHASES, edges=(), **costs):
    """100 steps of a second each in blocks of 10, the last fifth another phase."""
    made = Pace(100, phases, 10, None if left is None else budget(left), edges)
    made.costs = Costs(**{"a_block": [0.0] * len(phases), "compiling": [0.0] * len(phases)} | costs)
    made.step_seconds = 1.0
    return made


def n_steps(pace, progress=0.0):
    """Steps that the whole schedule would take at the pace."""
    return 1 / pace.progress_a_step(progress)


def test_without_a_budget_or_with_a_long_one_the_schedule_stays():
    assert n_steps(pace()) == 100
    assert n_steps(pace(left=101.0)) == 100


def test_a_short_budget_shortens_the_schedule():
    assert n_steps(pace(left=50.0)) == pytest.approx(50, abs=1)
    assert n_steps(pace(left=20.0), progress=0.5) == pytest.approx(40, abs=1)  # the half takes 20
    assert n_steps(pace(left=-1.0)) == 1  # over: the end in one step


def test_what_comes_after_the_steps_is_reserved():
    assert n_steps(pace(left=50.0, reserved=30.0)) == pytest.approx(20, abs=1)
    assert n_steps(pace(left=50.0, compiling=[0.0, 10.0])) == pytest.approx(40, abs=1)


def test_blocks_of_the_last_phase_have_their_own_overhead():
    made = pace(left=50.0, a_block=[0.0, 20.0])  # the last one's of 10 steps take 30 s
    # n steps: 0.8 n of the first phase, and 0.2 n with one block's overhead at least.
    assert n_steps(made) == pytest.approx(30, abs=1)


def test_each_edge_costs_a_block():
    made = pace(left=60.0, edges=tuple(i / 50 for i in range(1, 40)), a_block=[1.0, 0.0])
    assert n_steps(made) == pytest.approx(60 - 39, abs=1)


def test_steps_of_a_trial_cost_as_much_as_it_has_members():
    three_starts = (Phase(0.1, cost=3.0), Phase(0.8), Phase(1.0))
    assert n_steps(pace(left=60.0, phases=three_starts)) == pytest.approx(60 / 1.2, abs=1)
    made = pace(phases=three_starts)
    made.learn(0, n_steps=10, block_seconds=60.0, overhead=1.0)
    assert (made.step_seconds, made.costs.a_block) == (2.0, [1.0, 0.0, 0.0])


def test_the_first_block_of_a_phase_compiles_and_does_not_count_as_usual():
    made = pace(left=100.0, a_block=[0.0, 2.0], compiling=[0.0, 5.0])
    made.learn(1, n_steps=10, block_seconds=20.0, overhead=9.0)
    assert (made.step_seconds, made.costs) == (2.0, Costs([0.0, 2.0], [0.0, 0.0]))
    made.learn(1, n_steps=10, block_seconds=10.0, overhead=3.0)
    assert (made.step_seconds, made.costs.a_block) == (1.0, [0.0, 3.0])


def test_a_fit_that_has_no_place_is_refused_with_what_it_takes():
    pace(left=31.0).require("a fit")  # 30 steps are a fit
    with pytest.raises(TooShort, match=r"too short: with a fit, it would take about 31 s in all"):
        pace(left=20.0).require("a fit")


def test_reserved_seconds_and_those_that_are_over_count_in_what_it_takes():
    started_at = time.monotonic() - 100
    with pytest.raises(UsageError, match=r"a time budget of 120 s is too short: .* about 1\d\d s"):
        TimeBudget(120.0, started_at).reserving(20.0).require(30.0, "the rest")


def test_compiling_is_told_from_a_small_program():
    assert 0 < seconds_to_compile(2.0)
