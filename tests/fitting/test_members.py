"""members.py: states of one member each, and what runs over all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inr.fitting.members import (
    choose_members,
    join_members,
    over_members,
    pick_members,
    stack_members,
)


def states():
    return [
        {"w": jnp.arange(3.0) + i, "x": np.array(0.5 + i), "count": np.array(4)} for i in range(2)
    ]


def test_members_are_stacked_and_taken_apart():
    stacked = stack_members(states())
    assert {name: np.shape(leaf) for name, leaf in stacked.items()} == {
        "w": (2, 3),
        "x": (2,),
        "count": (2,),
    }
    assert stacked["x"].dtype == np.float64
    for i, state in enumerate(states()):
        for name, leaf in pick_members(stacked, i).items():
            np.testing.assert_array_equal(leaf, state[name])
    shared = stacked | {"count": np.array(4)}  # without an axis: common to all
    halves = [pick_members(shared, slice(i, i + 1)) for i in range(2)]
    joined = join_members(halves)
    for name, leaf in joined.items():
        np.testing.assert_array_equal(leaf, shared[name])
    assert join_members([shared]) is shared


def test_each_member_is_chosen_from_one_of_two_states():
    first, second = {"w": jnp.zeros((2, 3)), "n": np.array(1)}, {"w": jnp.ones((2, 3)), "n": 2}
    mixed = choose_members(np.array([False, True]), first, second)
    assert mixed["w"].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert choose_members(np.array([True, True]), first, second) is first
    assert choose_members(np.array([False, False]), first, second) is second


@pytest.mark.parametrize("n", [1, 3])
def test_a_function_of_one_member_runs_over_all(n):
    def step(state, own, shared):
        assert state["w"].ndim == own.ndim == 0  # each sees but one
        moved = {"w": state["w"] + own * shared.sum(), "count": state["count"] + 1}
        return moved, state["w"]

    state = {"w": jnp.arange(float(n)), "count": jnp.int32(4)}
    own, shared = jnp.arange(1.0, n + 1), jnp.ones(5)
    moved, told = jax.jit(over_members(step, n, (False, True)))(state, own, shared)
    assert moved["w"].tolist() == [i + 5 * (i + 1) for i in range(n)]
    assert moved["count"].shape == ()
    assert told.tolist() == list(range(n))
