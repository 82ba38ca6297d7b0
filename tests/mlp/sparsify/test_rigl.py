"""RigL: a mask moved by hand, and the paper's algorithm written once more in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inr.mlp.sparsify.rigl import RigL

pytestmark = pytest.mark.usefixtures("strict_jax")


def updated(sparsifier, mask, weights, gradient, progress=0.0):
    mask = jnp.array([mask], bool)
    after = jax.jit(sparsifier.update)(
        {"w0": mask},
        {"w0": jnp.array([weights], jnp.float32) * mask.astype(jnp.float32)},
        {"w0": jnp.array([gradient], jnp.float32)},
        {"w0": jnp.sum(mask, dtype=jnp.int32)},
        jnp.float32(progress),
        jax.random.key(0),
    )
    return after["w0"][0].astype(int).tolist()


def test_the_hand_worked_mask():
    mask = [0, 1, 0, 1, 0, 1]
    weights = [0, 0.1, 0, -3, 0, 2]  # 1 is the smallest kept one
    gradient = [1, 0, 2, 9, -3, 9]  # 4 has the largest gradient of those that are not kept
    sparsifier = RigL(drop=0.4)  # of 3 weights 1
    assert updated(sparsifier, mask, weights, gradient) == [0, 0, 0, 1, 1, 1]
    # Halfway to `stop` 0.2 * 3 are less than one weight.
    assert updated(sparsifier, mask, weights, gradient, sparsifier.stop / 2) == mask


def test_a_dropped_weight_grows_again_where_its_gradient_is_largest():
    assert updated(RigL(drop=0.4), [0, 1, 0, 1], [0, 0.1, 0, 5], [1, 2, 1, 0]) == [0, 1, 0, 1]


def test_a_dense_tensor_stays_dense():
    assert updated(RigL(drop=0.9), [1, 1, 1], [1, 2, 3], [3, 2, 1]) == [1, 1, 1]


def algorithm_1(mask, weights, gradient, fraction):
    """One update of one layer as the paper writes it, with sets of places."""
    kept = set(np.flatnonzero(mask))
    k = int(fraction * len(kept))
    dropped = sorted(kept, key=lambda i: abs(weights[i]))[:k]
    survivors = kept - set(dropped)
    candidates = [i for i in range(mask.size) if i not in survivors]
    grown = sorted(candidates, key=lambda i: -abs(gradient[i]))[:k]
    return [i in survivors or i in grown for i in range(mask.size)]


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.33, 0.6, 0.75])
def test_the_algorithm_of_the_paper(progress):
    sparsifier = RigL(sparsity=0.7, drop=0.45)
    rng = np.random.default_rng(0)
    shapes = {"w0": (2, 20), "w1": (20, 20)}
    masks = sparsifier.start(rng, shapes)
    weights, gradient = (
        {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        for _ in range(2)
    )
    after = jax.jit(sparsifier.update)(
        {name: jnp.asarray(mask) for name, mask in masks.items()},
        {name: jnp.asarray(w * masks[name]) for name, w in weights.items()},
        {name: jnp.asarray(g) for name, g in gradient.items()},
        {name: jnp.int32(count) for name, count in sparsifier.keep_counts(shapes).items()},
        jnp.float32(progress),
        jax.random.key(0),
    )
    fraction = 0.45 / 2 * (1 + np.cos(np.pi * progress / 0.75))
    for name in shapes:
        by_hand = algorithm_1(
            masks[name].ravel(), weights[name].ravel(), gradient[name].ravel(), fraction
        )
        assert after[name].ravel().tolist() == by_hand


def test_density_by_tensor():
    shapes = {"w0": (2, 64), "w1": (64, 64), "w2": (64, 3)}
    # 442 of 4416, in proportion to 66, 128 and 67 rows and columns, or to the sizes.
    assert RigL().keep_counts(shapes) == {"w0": 112, "w1": 217, "w2": 113}
    assert RigL(erk=False).keep_counts(shapes) == {"w0": 13, "w1": 410, "w2": 19}


def test_a_drop_of_everything_is_refused():
    with pytest.raises(ValueError, match=r"sparsify.drop=1.0: expected at least 0 and below 1"):
        RigL(drop=1.0)
