"""SNFS: weights move by hand between two tensors, and as a second implementation says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inr.mlp.sparsify.snfs import SNFS

pytestmark = pytest.mark.usefixtures("strict_jax")


def updated(sparsifier, masks, weights, momentum, progress=0.0):
    masks = {name: jnp.array([mask], bool) for name, mask in masks.items()}
    after = jax.jit(sparsifier.update)(
        masks,
        {name: jnp.array([w], jnp.float32) for name, w in weights.items()},
        {name: jnp.array([m], jnp.float32) for name, m in momentum.items()},
        {name: jnp.sum(mask, dtype=jnp.int32) for name, mask in masks.items()},
        jnp.float32(progress),
        jax.random.key(0),
    )
    return {name: mask[0].astype(int).tolist() for name, mask in after.items()}


MASKS = {"w0": [1, 1, 0, 0], "w1": [1, 1, 1, 0]}
WEIGHTS = {"w0": [5, 1, 0, 0], "w1": [4, -3, 2, 0]}  # drop=0.5 drops the 1 and the 2


def test_all_that_is_dropped_goes_where_the_momentum_is():
    # Kept weights have a mean momentum of 2 and of 0, so both grow in w0: the places 1 and 3.
    momentum = {"w0": [-1, 3, 0.5, -2], "w1": [0, 0, 0, 9]}
    after = updated(SNFS(drop=0.5), MASKS, WEIGHTS, momentum)
    assert after == {"w0": [1, 1, 0, 1], "w1": [1, 1, 0, 0]}


def test_what_is_dropped_is_shared_in_proportion():
    # Means of 2 and of 2: one each, in w0 at place 3, in w1 at place 3.
    momentum = {"w0": [4, 0, 1, -2], "w1": [3, 3, 0, 9]}
    after = updated(SNFS(drop=0.5), MASKS, WEIGHTS, momentum)
    assert after == {"w0": [1, 0, 0, 1], "w1": [1, 1, 0, 1]}


def test_a_full_tensor_passes_the_surplus_on():
    masks = {"w0": [1, 1], "w1": [1, 1, 1, 1, 0, 0]}
    weights = {"w0": [2, 1], "w1": [1, 2, 3, 4, 0, 0]}
    # 1 and 2 weights are dropped. w0 has all of the momentum and room for 1; 2 are left for w1.
    momentum = {"w0": [9, 9], "w1": [0, 0, 0, 0, 5, 4]}
    after = updated(SNFS(drop=0.5), masks, weights, momentum)
    assert after == {"w0": [1, 1], "w1": [0, 0, 1, 1, 1, 1]}


def test_without_momentum_all_tensors_get_the_same():
    masks = {"w0": [1, 1, 0, 0, 0, 0], "w1": [1, 1, 1, 1, 1, 1]}
    weights = {"w0": [2, 1, 0, 0, 0, 0], "w1": [1, 2, 3, 4, 5, 6]}
    nothing = dict.fromkeys(masks, [0] * 6)
    after = updated(SNFS(drop=0.5), masks, weights, nothing)  # 1 and 3 are dropped, 2 each grow
    assert {name: sum(mask) for name, mask in after.items()} == {"w0": 3, "w1": 5}


def test_a_second_implementation():
    sparsifier = SNFS(sparsity=0.8, drop=0.6)
    rng = np.random.default_rng(0)
    shapes = {"w0": (1, 60), "w1": (1, 400), "w2": (1, 90)}
    masks = {name: mask[0] for name, mask in sparsifier.start(rng, shapes).items()}
    weights = {name: rng.normal(size=mask.size) * mask for name, mask in masks.items()}
    scales = {"w0": 1.0, "w1": 3.0, "w2": 0.5}
    momentum = {name: scales[name] * rng.normal(size=mask.size) for name, mask in masks.items()}
    after = updated(sparsifier, masks, weights, momentum, progress=0.3)

    fraction = 0.6 / 2 * (1 + np.cos(np.pi * 0.3 / 0.75))
    n_dropped = {name: int(fraction * mask.sum()) for name, mask in masks.items()}
    means = {name: np.abs(momentum[name][mask]).mean() for name, mask in masks.items()}
    for name, mask in masks.items():
        kept = sorted(np.flatnonzero(mask), key=lambda i: -abs(weights[name][i]))
        survivors = set(kept[: len(kept) - n_dropped[name]])
        n_grown = sum(after[name]) - len(survivors)
        share = sum(n_dropped.values()) * means[name] / sum(means.values())
        assert abs(n_grown - share) <= 1.5  # three roundings; no tensor is full here
        others = [i for i in range(mask.size) if i not in survivors]
        grown = sorted(others, key=lambda i: -abs(momentum[name][i]))[:n_grown]
        assert set(np.flatnonzero(after[name])) == survivors | set(grown)
    assert sum(map(sum, after.values())) == sum(mask.sum() for mask in masks.values())


def test_a_stop_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"sparsify.stop=0: expected above 0 and at most 1"):
        SNFS(stop=0)
