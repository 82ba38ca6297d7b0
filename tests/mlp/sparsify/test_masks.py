"""Counts and masks: hand-worked splits, the paper's densities, exact sums whatever is asked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.mlp.fields.siren import Siren
from inr.mlp.sparsify.masks import (
    check_settings,
    draw_masks,
    erk_counts,
    move_mask,
    split_count,
    top_mask,
    uniform_counts,
)
from inr.mlp.sparsify.rigl import RigL

pytestmark = pytest.mark.usefixtures("strict_jax")


def split(total, shares, room, least=0):
    return split_count(total, np.array(shares, float), np.array(room), np, least).tolist()


# ---------------------------------------------------------------- counts


def test_hand_worked_splits():
    assert split(10, [1, 2, 2], [9, 9, 9]) == [2, 4, 4]
    # The second may have 1 of its 4; of the 3 that are over, a third and two thirds.
    assert split(10, [1, 2, 2], [9, 1, 9]) == [3, 1, 6]
    # Both of the last are overfull, the first one takes the rest.
    assert split(10, [1, 100, 100], [9, 2, 1]) == [7, 2, 1]
    assert split(0, [1, 2], [5, 5]) == [0, 0]
    assert split(10, [1, 2], [5, 5]) == [5, 5]


def test_least_comes_first():
    assert split(4, [1e-9, 1, 1e-9], [9, 9, 9], least=1) == [1, 2, 1]
    assert split(3, [5, 1, 1], [9, 9, 9], least=1) == [1, 1, 1]


@st.composite
def splits(draw, sizes, leasts):
    size, least = draw(sizes), draw(leasts)
    room = draw(st.lists(st.integers(1, 5000), min_size=size, max_size=size))
    shares = draw(st.lists(st.floats(2**-20, 2**20, width=32), min_size=size, max_size=size))
    return draw(st.integers(least * size, sum(room))), shares, room, least


@settings(deadline=None)
@given(splits(st.integers(1, 8), st.integers(0, 1)))
def test_splits_are_exact_within_their_limits_and_in_proportion(case):
    total, shares, room, least = case
    counts = split(total, shares, room, least)
    assert sum(counts) == total
    assert all(least <= count <= most for count, most in zip(counts, room, strict=True))
    if least == 0:
        misses = np.abs(np.array(counts) - filled(total, shares, room))
        assert misses.max() <= len(room) / 2  # each rounding moves at most a half


def filled(total, shares, room):
    """The exact shares, found by raising a common level until the total is reached."""
    shares, room = np.array(shares, float), np.array(room, float)
    low, high = 0.0, float((room / shares).max())
    for _ in range(200):
        level = (low + high) / 2
        low, high = (
            (level, high) if np.minimum(room, level * shares).sum() < total else (low, level)
        )
    return np.minimum(room, high * shares)


split_by_jax = jax.jit(split_count, static_argnums=(3, 4))


@settings(deadline=None)
@given(splits(st.just(5), st.just(1)))
def test_jax_splits_exactly_too(case):
    total, shares, room, least = case
    counts = split_by_jax(jnp.int32(total), jnp.array(shares), jnp.array(room), jnp, least)
    assert counts.dtype == jnp.int32
    assert int(counts.sum()) == total
    assert all(least <= count <= most for count, most in zip(counts.tolist(), room, strict=True))
    by_numpy = split(total, shares, room, least)
    assert np.abs(counts - np.array(by_numpy)).max() <= 5  # halves that float32 rounds otherwise


def test_hand_worked_erdos_renyi_counts():
    shapes = {"w0": (2, 8), "w1": (8, 8), "w2": (8, 3)}
    # Rows and columns: 10, 16, 11 of 104 weights. Keeping 26, epsilon is 26 / 37.
    assert erk_counts(shapes, 0.75) == {"w0": 7, "w1": 11, "w2": 8}
    # Keeping 52: 14.05 and 15.46 are rounded, the largest matrix takes the rest.
    assert erk_counts(shapes, 0.5) == {"w0": 14, "w1": 23, "w2": 15}
    # Keeping 78: 21 > 16 stays dense, of the other 62 11/27 are 25.3 > 24, hence 38 for w1.
    assert erk_counts(shapes, 0.25) == {"w0": 16, "w1": 38, "w2": 24}
    assert uniform_counts(shapes, 0.75) == {"w0": 4, "w1": 16, "w2": 6}


def paper_densities(shapes, sparsity):
    """The paper's way: tensors above density 1 become dense one by one, epsilon follows."""
    sizes = {name: n_in * n_out for name, (n_in, n_out) in shapes.items()}
    raw = {name: (n_in + n_out) / (n_in * n_out) for name, (n_in, n_out) in shapes.items()}
    dense = set()
    while True:
        wanted = (1 - sparsity) * sum(sizes.values()) - sum(sizes[name] for name in dense)
        sparse = [name for name in shapes if name not in dense]
        epsilon = wanted / sum(raw[name] * sizes[name] for name in sparse)
        largest = max(sparse, key=raw.__getitem__)
        if epsilon * raw[largest] <= 1:
            return {n: 1.0 if n in dense else epsilon * raw[n] for n in shapes}
        dense.add(largest)


@pytest.mark.parametrize("sparsity", [0.99, 0.95, 0.9, 0.75, 0.5, 0.2])
@pytest.mark.parametrize("net", [Siren(64), Siren(128, 8), Siren(30, 2)])
def test_erdos_renyi_counts_are_those_of_the_paper(net, sparsity):
    shapes = net.matrices(3)
    densities = paper_densities(shapes, sparsity)
    for name, count in erk_counts(shapes, sparsity).items():
        misses = abs(count - densities[name] * np.prod(shapes[name]))
        assert misses <= len(shapes) / 2  # each rounding moves at most a half


def test_thin_matrices_are_the_first_to_be_dense():
    counts = erk_counts(Siren(64).matrices(3), 0.9)  # [2, 64], [64, 64] five times, [64, 3]
    assert counts["w0"] == 128
    assert counts["w6"] / 192 > 3 * counts["w1"] / 4096


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=8),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([erk_counts, uniform_counts]),
)
def test_counts_add_up_to_the_rounded_total(sizes, sparsity, counts_of):
    shapes = {f"w{i}": size for i, size in enumerate(sizes)}
    counts = counts_of(shapes, sparsity)
    total = round((1 - sparsity) * sum(n_in * n_out for n_in, n_out in sizes))
    assert sum(counts.values()) == total
    assert all(0 <= counts[name] <= np.prod(shape) for name, shape in shapes.items())
    assert total < len(sizes) or min(counts.values()) >= 1


# ---------------------------------------------------------------- masks


def test_the_first_of_equal_scores_is_kept():
    scores = jnp.array([[1.0, 3.0, 1.0], [3.0, 0.0, 1.0]])
    assert top_mask(scores, 3).tolist() == [[True, True, False], [True, False, False]]
    assert top_mask(scores, 4).tolist() == [[True, True, True], [True, False, False]]
    assert not top_mask(scores, 0).any()
    assert top_mask(scores, 6).all()


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(width=32) | st.sampled_from([0.0, 1.0]), min_size=12, max_size=12),
    st.integers(0, 12),
)
def test_masks_hold_exactly_the_count_and_rank_as_sorting_twice_does(scores, count):
    scores = jnp.array(scores, jnp.float32)
    mask = top_mask(scores, count)
    assert int(mask.sum()) == count
    rank = jnp.argsort(jnp.argsort(-scores, stable=True), stable=True)
    assert mask.tolist() == (rank < count).tolist()


def test_infinite_and_missing_scores_do_not_change_the_count():
    mask = jnp.array([True, True, False, False, False])
    weights = jnp.array([1.0, jnp.nan, 0.0, 0.0, 0.0])
    scores = jnp.array([0.0, 0.0, jnp.nan, jnp.inf, jnp.nan])
    for n_survivors in range(3):
        after = move_mask(mask, weights, scores, jnp.int32(n_survivors), jnp.int32(2))
        assert int(after.sum()) == 2


def test_masks_of_many_counts_at_once():
    scores = jnp.arange(5.0)
    counts = jnp.arange(6)
    masks = jax.jit(jax.vmap(top_mask, in_axes=(None, 0)))(scores, counts)
    assert masks.sum(axis=1).tolist() == [0, 1, 2, 3, 4, 5]
    assert masks[2].tolist() == [False, False, False, True, True]


def test_the_drop_decays_by_a_cosine():
    rule = RigL(drop=0.3, stop=0.8)

    def dropped(progress, count=1000):
        return int(rule.count_dropped(jnp.float32(progress), jnp.int32(count)))

    # 300 times 1, (1 + cos(pi / 4)) / 2, 1/2, (1 + cos(3 pi / 4)) / 2, 0, rounded down.
    assert [dropped(p) for p in (0.0, 0.2, 0.6, 0.8, 1.0)] == [300, 256, 43, 0, 0]
    assert dropped(0.4) in (149, 150)  # cos(pi / 2) is not exactly 0
    assert dropped(0.0, count=1) == 0  # the last weight of a tensor stays


def test_draw_masks_have_exact_counts_and_follow_the_seed():
    shapes = {"w0": (2, 5), "w1": (5, 3)}
    counts = {"w0": 0, "w1": 7}
    first, second, other = (
        draw_masks(np.random.default_rng(seed), shapes, counts) for seed in (0, 0, 1)
    )
    assert {name: int(mask.sum()) for name, mask in first.items()} == counts
    assert all(mask.dtype == bool and mask.shape == shapes[name] for name, mask in first.items())
    assert np.array_equal(first["w1"], second["w1"])
    assert not np.array_equal(first["w1"], other["w1"])


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan")])
def test_sparsity_outside_its_range(sparsity):
    with pytest.raises(ValueError, match=r"sparsify.sparsity=.*: expected at least 0 and below 1"):
        check_settings(sparsity)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"drop": -0.1}, r"sparsify.drop=-0.1: expected at least 0 and below 1"),
        ({"drop": 1.0}, r"sparsify.drop=1.0: expected"),
        ({"n_updates": 0}, r"sparsify.n_updates=0: at least 1 update is needed"),
        ({"stop": 0.0}, r"sparsify.stop=0.0: expected above 0 and at most 1"),
        ({"stop": 1.1}, r"sparsify.stop=1.1: expected above 0"),
    ],
)
def test_other_settings_outside_their_range(changed, message):
    with pytest.raises(ValueError, match=message):
        check_settings(0.9, **changed)
