"""Sparsifiers find the few weights that matter, where theory says that they must.

The loss is half the squared distance to target weights, most of them zero, so that the dense
gradient of every weight is its own distance from its target. (It says nothing about SNFS: once
kept weights are at their targets they have no momentum to share weights by.)
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inr.mlp.sparsify.magnitude import Magnitude
from inr.mlp.sparsify.masks import draw_masks
from inr.mlp.sparsify.rigl import RigL

pytestmark = pytest.mark.usefixtures("strict_jax")

SHAPES = {"w0": (5, 12), "w1": (12, 10)}


def target_with(counts, seed=0):
    """As many weights of 1..2 as counts say, the others zero."""
    rng = np.random.default_rng(seed)
    places = draw_masks(rng, SHAPES, counts)
    return {
        name: jnp.asarray(np.where(places[name], rng.uniform(1, 2, shape), 0), jnp.float32)
        for name, shape in SHAPES.items()
    }


def fitted_masks(sparsifier, target, n_updates=25, n_steps=8):
    """Gradient descent on the kept weights, n_steps before each update of the masks."""
    masks = {
        name: jnp.asarray(mask)
        for name, mask in sparsifier.start(np.random.default_rng(1), SHAPES).items()
    }
    counts = {name: jnp.int32(count) for name, count in sparsifier.keep_counts(SHAPES).items()}

    def block(state, x):
        masks, params = state
        progress, key = x
        for _ in range(n_steps):
            grads = jax.tree.map(jnp.subtract, params, target)
            params = jax.tree.map(
                lambda w, g, mask: jnp.where(mask, w - 0.5 * g, np.float32(0)), params, grads, masks
            )
        grads = jax.tree.map(jnp.subtract, params, target)
        masks = sparsifier.update(masks, params, grads, counts, progress, key)
        params = jax.tree.map(lambda w, mask: jnp.where(mask, w, np.float32(0)), params, masks)
        return (masks, params), None

    zeros = jax.tree.map(jnp.zeros_like, target)
    progress = sparsifier.stop * jnp.arange(1, n_updates + 1, dtype=jnp.float32) / n_updates
    keys = jax.random.split(jax.random.key(0), n_updates)
    fit = jax.jit(lambda state: jax.lax.scan(block, state, (progress, keys)))
    (masks, _), _ = fit((masks, zeros))
    return masks


def found(masks, target):
    return all(bool((masks[name] == (target[name] != 0)).all()) for name in target)


@pytest.mark.parametrize("sparsifier", [RigL(), Magnitude(per_layer=True), Magnitude()])
def test_weights_that_matter_are_found(sparsifier):
    target = target_with(sparsifier.keep_counts(SHAPES))
    assert found(fitted_masks(sparsifier, target), target)


def test_only_global_pruning_moves_weights_between_tensors():
    target = target_with({"w0": 1, "w1": 17})  # a tenth of 180, nearly all in one tensor
    assert found(fitted_masks(Magnitude(), target), target)
    assert not found(fitted_masks(Magnitude(per_layer=True), target), target)
