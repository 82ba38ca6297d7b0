"""estimate.py: how long a sweep takes, and which share of it each run is."""

import pytest
from helpers.sweep_runs import BITS, Calls, planned, request_of, swept

from inr.studies.sweep.estimate import (
    Speed,
    correct_speed,
    estimate_sweep,
    list_plan,
    probe_flops,
    shares_of_work,
    total_seconds,
)


def test_seconds_of_hand_counted_groups(make_run):
    speed = Speed(core_flops=1e9)
    # 7 s to compile, 1 s a run, and 6e8 operations at 60 % of 1e9 a second
    assert speed.seconds([6e8], cores=1) == pytest.approx(7 + 1 + 1)
    assert speed.seconds([6e8, 6e8], cores=1) == pytest.approx(7 + 2 + 2)
    assert speed.seconds([6e8], cores=2) == pytest.approx(7 + 1 + 0.5)

    def total(n_groups, jobs):
        return total_seconds([(make_run(),)] * n_groups, speed, jobs=jobs, cores=2)

    # A run has 1e9 operations: 8 s and 5 / 3 s on one core, 5 / 6 s on two.
    assert total(2, jobs=1) == pytest.approx(2 * (8 + 5 / 6))
    assert total(2, jobs=2) == pytest.approx(8 + 5 / 3)
    assert total(3, jobs=2) == pytest.approx(1.5 * (8 + 5 / 3))
    assert total(1, jobs=8) == pytest.approx(8 + 5 / 6)
    assert total(0, jobs=2) == 0


def test_earlier_runs_correct_the_estimate(make_result):
    assert correct_speed(1e9, []) == Speed(1e9)
    alone = 7 + 1 + 5 / 3
    speed = correct_speed(1e9, [make_result(seconds=2 * alone), make_result(seconds=4 * alone)])
    assert speed.correction == pytest.approx(3)
    assert speed.seconds([1e9], cores=1) == pytest.approx(3 * alone)
    # In a batch of two, each has half of the compilation.
    together = make_result(seconds=7 / 2 + 1 + 5 / 3, n_together=2)
    assert correct_speed(1e9, [together]).correction == pytest.approx(1)


def test_the_estimate_says_what_it_rests_on():
    assert "5 billion operations a second" in Speed(5e9).describe()
    assert "no finished run" in Speed(5e9).describe()
    assert "times 1.50 as 7 finished runs took" in Speed(5e9, 1.5, 7).describe()


def test_the_probe_finds_a_speed_that_can_be():
    assert 1e8 < probe_flops() < 1e13


def test_shares_add_up(make_run):
    shares = shares_of_work([(make_run("a"),), (make_run("b"), make_run("c"))])
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["a"] > shares["b"] == shares["c"]  # which compile once


@pytest.mark.usefixtures("folder")
def test_a_plan_as_lines():
    swept(request_of(varied={"quantize.bits": ("4",)}), Calls())
    plan = planned(request_of(varied=BITS, seeds=(0, 1)), batch=2)
    assert list_plan(plan) == [
        "a.png siren quantize.bits=4 seed 0  done",
        "a.png siren quantize.bits=4 seed 1  batch 0",
        "a.png siren quantize.bits=6 seed 0  batch 0",
        "a.png siren quantize.bits=6 seed 1  batch 1",
    ]
    seconds, basis = estimate_sweep(plan)
    assert seconds > 0
    assert "1 finished runs took" in basis
