"""Gradual pruning: hand-worked masks, the cubic schedule in closed form, nothing returns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inr.mlp.sparsify.magnitude import Magnitude

pytestmark = pytest.mark.usefixtures("strict_jax")


def updated(sparsifier, masks, weights, counts, progress):
    after = jax.jit(sparsifier.update)(
        {name: jnp.array([mask], bool) for name, mask in masks.items()},
        {name: jnp.array([w], jnp.float32) for name, w in weights.items()},
        {},
        {name: jnp.int32(count) for name, count in counts.items()},
        jnp.float32(progress),
        jax.random.key(0),
    )
    return {name: mask[0].astype(int).tolist() for name, mask in after.items()}


ALL = {"w0": [1, 1, 1, 1], "w1": [1, 1, 1, 1]}
WEIGHTS = {"w0": [8, -7, 6, 5], "w1": [1, 2, -3, 4]}
COUNTS = {"w0": 2, "w1": 2}


def test_the_smallest_of_all_tensors_go():
    after = updated(Magnitude(), ALL, WEIGHTS, COUNTS, progress=0.75)
    # 8, 7, 6 and, because no tensor may lose all its weights, 4 instead of 5.
    assert after == {"w0": [1, 1, 1, 0], "w1": [0, 0, 0, 1]}


def test_the_smallest_of_each_tensor_go():
    after = updated(Magnitude(per_layer=True), ALL, WEIGHTS, COUNTS, progress=0.75)
    assert after == {"w0": [1, 1, 0, 0], "w1": [0, 0, 1, 1]}


def test_halfway_an_eighth_of_the_surplus_is_left():
    mask, weights = {"w0": [1] * 10}, {"w0": list(range(10))}
    after = updated(Magnitude(stop=0.5), mask, weights, {"w0": 2}, progress=0.25)
    assert after["w0"] == [0] * 7 + [1] * 3  # 2 + 8 / 8


@pytest.mark.parametrize("per_layer", [False, True])
def test_pruned_weights_never_return(per_layer):
    masks = {"w0": [1, 1, 0, 0], "w1": [1, 1, 1, 0]}
    weights = {"w0": [1, 2, 99, 99], "w1": [1, 2, 3, 99]}  # as if pruned ones had grown
    sparsifier = Magnitude(per_layer=per_layer)
    after = updated(sparsifier, masks, weights, {"w0": 1, "w1": 1}, progress=1.0)
    assert after == {"w0": [0, 1, 0, 0], "w1": [0, 0, 1, 0]}


@pytest.mark.parametrize("per_layer", [False, True])
def test_the_schedule_of_the_paper(per_layer):
    sparsifier = Magnitude(sparsity=0.95, per_layer=per_layer, n_updates=10, stop=0.6)
    shapes = {"w0": (2, 50), "w1": (50, 50)}
    masks = {name: jnp.asarray(m) for name, m in sparsifier.start(None, shapes).items()}
    weights = {
        name: jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
        for name, shape in shapes.items()
    }
    counts = sparsifier.keep_counts(shapes)
    update = jax.jit(sparsifier.update)
    for i in range(11):
        traced = {name: jnp.int32(count) for name, count in counts.items()}
        masks = update(masks, weights, {}, traced, jnp.float32(0.06 * i), jax.random.key(i))
        density = 1 - 0.95 * (1 - (1 - i / 10) ** 3)  # equation 1, s_i = 0
        sizes = {name: [int(m.sum()), m.size] for name, m in masks.items()}
        if not per_layer:
            sizes = {"all": np.sum(list(sizes.values()), axis=0).tolist()}
        for n_kept, size in sizes.values():
            assert n_kept == pytest.approx(density * size, abs=0.51)  # whole weights
    assert sum(int(m.sum()) for m in masks.values()) == 130  # 5 % of 2600


def test_it_begins_dense():
    assert Magnitude().start(None, {"w0": (2, 3)})["w0"].all()


def test_no_updates_are_refused():
    with pytest.raises(ValueError, match=r"sparsify.n_updates=0: at least 1 update is needed"):
        Magnitude(n_updates=0)
