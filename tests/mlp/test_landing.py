"""landing.py: files land just below their target, also where the size jumps."""

import numpy as np
import pytest

from inr.mlp.landing import landed_levels


def scaled(steps, octaves):
    return {name: step * 2**octaves for name, step in steps.items()}


def smooth(steps):
    """1000 weights in two tensors; a code costs 8 bits at step 1, one less an octave."""
    return int(sum(500 * (8 - np.log2(step)) / 8 for step in steps.values()))


def jumping(steps):
    """The same, but a tensor takes 300 bytes more as soon as its step is below 0.7."""
    return smooth(steps) + sum(300 for step in steps.values() if step < 0.7)


@pytest.mark.parametrize("target", [400, 900, 1000, 1100, 1900])
@pytest.mark.parametrize("first", [0.05, 1.0, 30.0])
def test_a_smooth_size_lands_within_three_percent(target, first):
    steps = landed_levels({"a": first, "b": first}, target, scaled, smooth, 1000)
    assert 0.975 * target <= smooth(steps) <= target


def test_steps_that_land_are_left_as_they_are():
    steps = {"a": 1.0, "b": 1.1}
    assert landed_levels(steps, smooth(steps) + 10, scaled, smooth, 1000) is steps


def test_a_jump_is_crossed_tensor_by_tensor():
    # Together both tensors jump from 1064 to 1664 bytes; with one beyond the jump it is 1364.
    steps = landed_levels({"a": 1.0, "b": 1.0}, 1395, scaled, jumping, 1000)
    assert 0.975 * 1395 <= jumping(steps) <= 1395
    assert steps["a"] != steps["b"]


def test_none_where_nothing_fits():
    assert landed_levels({"a": 1.0}, 10, scaled, lambda steps: 1000, 1000) is None


def test_the_finest_steps_that_there_are_end_the_search():
    finest = {"a": 0.5, "b": 0.5}
    calls = []

    def floored(steps, octaves):
        return {name: max(step * 2**octaves, finest[name]) for name, step in steps.items()}

    def counted(steps):
        calls.append(steps)
        return smooth(steps)

    assert landed_levels({"a": 1.0, "b": 1.0}, 5000, floored, counted, 1000) == finest
    assert len(calls) < 10


def test_levels_that_cannot_change_end_the_search():
    halves = {"a": np.zeros(0, np.float32), "b": np.zeros(0, np.float32)}
    calls = []

    def counted(levels):
        calls.append(levels)
        return 1000

    def unscaled(levels, octaves):
        return {name: level.copy() for name, level in levels.items()}

    assert landed_levels(halves, 900, unscaled, counted, 1000) is None
    assert landed_levels(halves, 2000, unscaled, counted, 1000) is not None
    assert len(calls) < 10


def test_codebooks_that_lose_whole_levels_become_coarser():
    """Codes of 15 levels take 1040 bytes, of n levels log2(n) / log2(15) times as many."""

    def coarser(levels, octaves):
        n_levels = int(np.clip(np.rint(15 / 2**octaves), 3, 15))
        return {"a": np.arange(n_levels, dtype=np.float32)}

    def n_bytes_of(levels):
        return int(1040 * np.log2(levels["a"].size) / np.log2(15))

    first = coarser({}, 0.0)
    # Two bytes too many ask for 0.01 octaves, at which there are still 15 levels.
    assert landed_levels(first, 1038, coarser, n_bytes_of, 2000)["a"].size == 14
    assert landed_levels(first, 500, coarser, n_bytes_of, 2000)["a"].size == 3
    assert landed_levels(first, 400, coarser, n_bytes_of, 2000) is None
