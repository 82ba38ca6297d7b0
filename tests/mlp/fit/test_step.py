"""step.py: gradients, and what becomes of weights and moments when masks change."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.tiny_fits import program_of, smooth

from inr.fitting.loop import Block
from inr.fitting.members import pick_members
from inr.image import coords
from inr.mlp.fit.program import NOISE

RIGL = {"field.hidden": "12", "sparsify": "rigl", "sparsify.sparsity": "0.5"}
RIGL |= {"sparsify.n_updates": "5"}


def blocks(program, n_steps=3):
    """Blocks of steps from the first one on."""
    for i in itertools.count():
        begin, end = i * n_steps / 60, (i + 1) * n_steps / 60
        yield Block(NOISE, i * n_steps, n_steps, program.block_length, begin, end, ends_phase=False)


def test_two_slices_step_as_one_does():
    # The gradient of a batch is the mean of its slices' gradients.
    ends = []
    for size, n_slices in ((1024, 1), (512, 2)):
        program = program_of()
        program.stepper = replace(program.stepper, slices=(size,), n_slices=n_slices)
        ends.append(program.run_block(program.start(1.0), next(blocks(program))))
    (one, one_loss), (two, two_loss) = ends
    np.testing.assert_allclose(one_loss, two_loss, rtol=1e-4)  # f32 sums in another order
    for name, w in one.steps.params.items():
        # Three steps at up to 2e-2; the first ones amplify the error of tiny gradients.
        np.testing.assert_allclose(w, two.steps.params[name], atol=2e-3)


@pytest.fixture(scope="module")
def before_and_after():
    """The state of one member just before and just after an update of RigL."""
    program = program_of(RIGL)
    state = program.start(1.0)
    for block in itertools.islice(blocks(program), 3):
        state, _ = program.run_block(state, block)
    update = program.stepper.update_masks
    after = update(state.steps, program.keep_counts, jnp.float32(0.15), jnp.uint32(9))
    return program, *(jax.tree.map(np.asarray, pick_members(s, 0)) for s in (state.steps, after))


def test_grown_weights_begin_at_zero_and_without_moments(before_and_after):
    _, before, after = before_and_after
    n_grown = 0
    for name, mask in after.masks.items():
        grown, stays = mask & ~before.masks[name], mask & before.masks[name]
        n_grown += grown.sum()
        assert (after.params[name][~stays] == 0).all()
        np.testing.assert_array_equal(after.params[name][stays], before.params[name][stays])
        moments = 0
        for (path, was), (_, now) in zip(
            jax.tree_util.tree_leaves_with_path(before.opt),
            jax.tree_util.tree_leaves_with_path(after.opt),
            strict=True,
        ):
            if np.shape(was) != mask.shape or f"'{name}'" not in str(path[-1]):
                continue
            moments += 1
            assert np.abs(was[stays]).min() > 0  # there is something to lose
            np.testing.assert_array_equal(now[stays], was[stays])
            assert (now[~stays] == 0).all()
        assert moments >= 1
    assert n_grown >= 3


def test_biases_are_left_alone(before_and_after):
    _, before, after = before_and_after
    for name in ("b0", "b1", "b2"):
        np.testing.assert_array_equal(after.params[name], before.params[name])
    assert set(after.masks) == {"w0", "w1", "w2"}


def test_weights_grow_where_the_running_mean_of_the_dense_gradient_is_largest(before_and_after):
    program, before, after = before_and_after
    for name, mask in after.masks.items():
        assert before.masks[name].sum() == mask.sum() == program.keep_counts[name][0]
        grown = mask & ~before.masks[name]
        passed_over = ~mask & ~before.masks[name]
        score = np.abs(before.momentum[name])
        assert (score[~before.masks[name]] > 0).all()  # dense: also where weights are zero
        if grown.any() and passed_over.any():
            assert score[grown].min() >= score[passed_over].max()


@pytest.mark.slow  # a compilation of its own: float16 adds no noise before rounding
def test_the_running_mean_is_that_of_the_gradient_of_the_picture():
    """Second implementation: the gradient of the mean squared error, written down anew."""
    program = program_of(RIGL | {"quantize": "float16", "fit.batch": "1024"})
    net, state = program.stepper.field_set.parts[0].field, program.start(1.0)
    points = jnp.asarray(coords.grid(coords.axis(32, 0, 32), coords.axis(32, 0, 32)))
    target = jnp.asarray(smooth().reshape(-1, 3) / np.float32(127.5) - 1)

    @jax.jit
    def gradient_at(params):  # of samples in 0..1, half as far apart as signals
        return jax.grad(lambda p: jnp.mean((net.apply(p, points) - target) ** 2) / 4)(params)

    mean = {name: np.zeros(mask.shape[1:]) for name, mask in state.steps.masks.items()}
    for block in itertools.islice(blocks(program, n_steps=1), 3):
        gradient = gradient_at(pick_members(state.steps.params, 0))
        mean = {name: 0.9 * m + 0.1 * np.asarray(gradient[name]) for name, m in mean.items()}
        state, _ = program.run_block(state, block)
    for name, m in mean.items():
        largest = np.abs(m).max()
        # The batch is the whole picture, in another order.
        np.testing.assert_allclose(state.steps.momentum[name][0], m, atol=1e-4 * largest)
