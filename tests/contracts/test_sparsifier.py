"""What every sparsifier promises, over the list in methods.py."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contracts.methods import SPARSIFIERS
from inr.mlp.fields.protocol import n_weights
from inr.mlp.fields.siren import Siren
from inr.mlp.sparsify.masks import keep_counts
from inr.mlp.sparsify.protocol import Sparsifier

pytestmark = [pytest.mark.usefixtures("strict_jax")]

SHAPES = Siren(hidden=30, n_layers=1).matrices(3)  # two matrices: sorts are slow to compile
TWO_FIELDS = {f"{i}/{name}": shape for i in range(2) for name, shape in SHAPES.items()}
MASKED = [s for s in SPARSIFIERS if s.masks]
UNMASKED = [s for s in SPARSIFIERS if not s.masks]

every_sparsifier = pytest.mark.parametrize("sparsifier", SPARSIFIERS, ids=repr)
every_with_masks = pytest.mark.parametrize("sparsifier", MASKED, ids=repr)


# One compilation for all tests of a sparsifier.
update = jax.jit(lambda rule, *arguments: rule.update(*arguments), static_argnums=0)


def total(sparsifier, shapes=SHAPES):
    return round((1 - sparsifier.sparsity) * n_weights(shapes))


def counts_of(masks):
    return {name: int(mask.sum()) for name, mask in masks.items()}


def started(sparsifier, seed=0):
    masks = sparsifier.masks.start(np.random.default_rng(seed), SHAPES)
    return {name: jnp.asarray(mask) for name, mask in masks.items()}


def traced_counts(sparsifier, shapes=SHAPES):
    return {name: jnp.int32(count) for name, count in keep_counts(sparsifier, shapes).items()}


def drawn(masks, seed):
    """Weights, zero where not kept, and scores as a fit could have them."""
    rng = np.random.default_rng(seed)
    noise = {
        name: rng.normal(size=(2, *mask.shape)).astype(np.float32) for name, mask in masks.items()
    }
    params = {name: jnp.where(mask, noise[name][0], np.float32(0)) for name, mask in masks.items()}
    return params, {name: jnp.asarray(noise[name][1]) for name in masks}


def updates_of(sparsifier):
    """Progress at each of its updates, the last one at `stop`."""
    n = min(sparsifier.masks.n_updates, 6)
    return [sparsifier.masks.stop * (i + 1) / n for i in range(n)]


def run(sparsifier):
    """All masks of a fit, one dict after each update, the first ones in front."""
    masks, counts = started(sparsifier), traced_counts(sparsifier)
    history = [masks]
    for i, progress in enumerate(updates_of(sparsifier)):
        params, scores = drawn(masks, i)
        key = jax.random.key(i)
        masks = update(sparsifier.masks, masks, params, scores, counts, jnp.float32(progress), key)
        history.append(masks)
    return history


def same(masks, others):
    return all(np.array_equal(masks[name], others[name]) for name in masks)


# ---------------------------------------------------------------- what the fit asks at its start


@every_sparsifier
def test_it_is_a_static_argument(sparsifier):
    assert hash(sparsifier) == hash(dataclasses.replace(sparsifier))
    assert sparsifier == dataclasses.replace(sparsifier)
    described: Sparsifier = sparsifier
    assert 0 <= described.sparsity < 1
    if described.masks is not None:
        assert described.masks.n_updates >= 1
        assert 0 < described.masks.stop <= 1


@every_sparsifier
def test_what_is_fitted_has_the_sparsity_asked_for(sparsifier):
    net = sparsifier.prepare(Siren(64), 3)
    counts = keep_counts(sparsifier, net.matrices(3))
    if counts:
        assert net == Siren(64)
        assert sum(counts.values()) == total(sparsifier, net.matrices(3))
    else:
        kept = n_weights(net.shapes(3)) / n_weights(Siren(64).shapes(3))
        assert kept == pytest.approx(1 - sparsifier.sparsity, abs=0.01)  # whole units or ranks


@every_with_masks
@pytest.mark.parametrize("shapes", [SHAPES, TWO_FIELDS, {"w0": (1, 1)}, {"w0": (3, 7)}])
def test_counts_add_up(sparsifier, shapes):
    counts = keep_counts(sparsifier, shapes)
    assert set(counts) == set(shapes)
    assert sum(counts.values()) == total(sparsifier, shapes)
    assert all(0 <= n <= np.prod(shapes[name]) for name, n in counts.items())
    assert total(sparsifier, shapes) < len(counts) or min(counts.values()) >= 1


@every_with_masks
def test_first_masks(sparsifier):
    masks = sparsifier.masks.start(np.random.default_rng(0), TWO_FIELDS)
    counts = keep_counts(sparsifier, TWO_FIELDS)
    assert set(masks) == set(counts)
    for name, mask in masks.items():
        assert mask.dtype == bool
        assert mask.shape == TWO_FIELDS[name]
        assert mask.sum() in (counts[name], mask.size)  # sparse from the start, or dense
    assert same(masks, sparsifier.masks.start(np.random.default_rng(0), TWO_FIELDS))


@pytest.mark.parametrize("sparsifier", UNMASKED, ids=repr)
def test_without_masks_nothing_is_counted(sparsifier):
    assert keep_counts(sparsifier, SHAPES) == {}


# ---------------------------------------------------------------- updates


@every_with_masks
def test_counts_hold_after_every_update(sparsifier):
    history = run(sparsifier)
    for before, after in itertools.pairwise(history):
        assert all(after[name].shape == before[name].shape for name in before)
        assert all(after[name].dtype == bool for name in before)
        n_before, n_after = sum(counts_of(before).values()), sum(counts_of(after).values())
        assert n_after == total(sparsifier) or total(sparsifier) < n_after < n_before
        assert min(counts_of(after).values()) >= 1
    assert sum(counts_of(history[-1]).values()) == total(sparsifier)
    assert any(not same(history[0], masks) for masks in history[1:])


@every_with_masks
def test_nothing_moves_from_stop_on(sparsifier):
    masks = run(sparsifier)[-1]
    params, scores = drawn(masks, 9)
    for progress in (sparsifier.masks.stop, 1.0):
        counts = traced_counts(sparsifier)
        key = jax.random.key(9)
        later = update(sparsifier.masks, masks, params, scores, counts, jnp.float32(progress), key)
        assert same(later, masks)


@every_with_masks
def test_the_same_with_jit_and_without(sparsifier):
    masks = started(sparsifier)
    params, scores = drawn(masks, 0)
    # Not at the beginning of the fit, where 0.3 * 10 dropped weights could be 2 or 3.
    arguments = (
        masks,
        params,
        scores,
        traced_counts(sparsifier),
        jnp.float32(0.21),
        jax.random.key(0),
    )
    assert same(sparsifier.masks.update(*arguments), update(sparsifier.masks, *arguments))


@every_with_masks
def test_the_same_in_a_scan(sparsifier):
    updates = updates_of(sparsifier)
    masks, counts = started(sparsifier), traced_counts(sparsifier)
    draws = [drawn(masks, i) for i in range(len(updates))]
    keys = jnp.stack([jax.random.key(i) for i in range(len(updates))])
    xs = (jax.tree.map(lambda *leaves: jnp.stack(leaves), *draws), jnp.array(updates), keys)

    def step(masks, x):
        (params, scores), progress, key = x
        return sparsifier.masks.update(masks, params, scores, counts, progress, key), None

    scanned, _ = jax.jit(lambda masks: jax.lax.scan(step, masks, xs))(masks)
    by_hand = masks
    for (params, scores), progress, key in zip(draws, updates, keys, strict=True):
        by_hand = update(sparsifier, by_hand, params, scores, counts, jnp.float32(progress), key)
    assert same(scanned, by_hand)


@pytest.mark.parametrize("sparsifier", [s for s in SPARSIFIERS if s.sparsity], ids=repr)
def test_all_sparsities_are_one_sparsifier_in_training(sparsifier):
    first, second = (dataclasses.replace(sparsifier, sparsity=s) for s in (0.4, 0.8))
    assert first.for_training() == second.for_training()
    assert dataclasses.replace(first.for_training(), sparsity=0.4) == first  # all else stays


@every_with_masks
def test_fits_of_two_sparsities_share_one_compilation(sparsifier):
    others = [dataclasses.replace(sparsifier, sparsity=s) for s in (0.4, 0.8)]
    starts = [started(other) for other in others]
    draws = [drawn(masks, i) for i, masks in enumerate(starts)]
    counts = [traced_counts(other) for other in others]
    keys = jnp.stack([jax.random.key(i) for i in range(2)])
    rule, progress = sparsifier.masks, jnp.float32(sparsifier.masks.stop / 2)

    def stack(trees):
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

    together = jax.jit(
        jax.vmap(lambda masks, draw, counts, key: rule.update(masks, *draw, counts, progress, key))
    )(stack(starts), stack(draws), stack(counts), keys)
    for i in range(2):
        alone = update(rule, starts[i], *draws[i], counts[i], progress, keys[i])
        assert same(alone, {name: mask[i] for name, mask in together.items()})
    kept = [sum(int(mask[i].sum()) for mask in together.values()) for i in range(2)]
    wanted = [total(other) for other in others]
    assert kept == wanted or (kept[0] > wanted[0] and kept[1] > wanted[1])  # still being pruned


@every_with_masks
@pytest.mark.parametrize("part", [0, 1])
def test_nothing_and_everything_can_be_kept(sparsifier, part):
    masks = {name: jnp.full(shape, bool(part)) for name, shape in SHAPES.items()}
    counts = {name: jnp.int32(mask.size * part) for name, mask in masks.items()}
    params, scores = drawn(masks, 0)
    for progress in (0.0, 1.0):
        after = update(
            sparsifier, masks, params, scores, counts, jnp.float32(progress), jax.random.key(0)
        )
        assert same(after, masks)


@every_with_masks
def test_sparsity_outside_its_range_is_refused(sparsifier):
    with pytest.raises(ValueError, match=r"sparsify.sparsity=1.0: expected at least 0 and below 1"):
        dataclasses.replace(sparsifier, sparsity=1.0)
    with pytest.raises(ValueError, match=r"sparsify.n_updates=0: at least 1 update"):
        dataclasses.replace(sparsifier, n_updates=0)
    with pytest.raises(ValueError, match=r"sparsify.stop=2.0: expected above 0"):
        dataclasses.replace(sparsifier, stop=2.0)
