"""SET: the largest weights stay, new ones are drawn evenly from all other places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inr.mlp.sparsify.set import SET

pytestmark = pytest.mark.usefixtures("strict_jax")


def updated(key, names=("w0",), progress=0.0):
    """Of three kept weights the middle one is the smallest; drop=0.4 drops that one alone."""
    mask = jnp.array([[False, True, False, True, False, True]])
    weights = jnp.array([[0.0, 3.0, 0.0, -0.1, 0.0, 2.0]])
    return SET(drop=0.4).update(
        dict.fromkeys(names, mask),
        dict.fromkeys(names, weights),
        {},
        dict.fromkeys(names, jnp.int32(3)),
        jnp.float32(progress),
        key,
    )


def test_the_hand_worked_mask():
    after = updated(jax.random.key(0))["w0"][0]
    assert after[jnp.array([1, 5])].all()  # 3 and 2 survive
    assert int(after.sum()) == 3  # one of the places 0, 2, 3, 4 joins them
    assert updated(jax.random.key(0), progress=0.75)["w0"][0].tolist() == [0, 1, 0, 1, 0, 1]


def test_all_other_places_have_the_same_chance():
    keys = jax.random.split(jax.random.key(1), 4000)
    masks = jax.jit(jax.vmap(lambda key: updated(key)["w0"][0]))(keys)
    chances = np.asarray(masks, float).mean(axis=0)
    assert chances[[1, 5]].tolist() == [1, 1]
    # 1/4 each, the dropped one among them; five deviations of 4000 draws.
    assert np.abs(chances[[0, 2, 3, 4]] - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / 4000)


def test_tensors_draw_for_themselves():
    keys = jax.random.split(jax.random.key(2), 20)
    masks = jax.jit(jax.vmap(lambda key: updated(key, ("w0", "w1"))))(keys)
    assert (masks["w0"] != masks["w1"]).any()


def test_the_graph_is_erdos_renyi():
    # 26 weights in proportion to 10, 16 and 11 rows and columns.
    assert SET(sparsity=0.75).keep_counts({"w0": (2, 8), "w1": (8, 8), "w2": (8, 3)}) == {
        "w0": 7,
        "w1": 11,
        "w2": 8,
    }


def test_a_negative_drop_is_refused():
    with pytest.raises(ValueError, match=r"sparsify.drop=-0.1: expected at least 0 and below 1"):
        SET(drop=-0.1)
