"""Masks in the fit: exact zeros from the first step to the file, moved only when it is time."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts.methods import SPARSIFIERS
from helpers.tiny_fits import Killed, fitted, fitting_of, kill_after, smooth, tiny

from inr.codec import decode_picture, encode_picture
from inr.image import coords
from inr.image.metrics import psnr_db
from inr.image.read import from_array
from inr.kinds import open_file
from inr.mlp.file import read_codes, read_weights
from inr.mlp.fit.program import Fitting
from inr.mlp.sparsify.feathermap import Feathermap
from inr.mlp.sparsify.magnitude import Magnitude
from inr.mlp.sparsify.small_dense import SmallDense
from inr.options import EncodeOptions, Target

# 144 of 204 matrix weights in the middle. RigL updates every 9 steps, until step 45.
RIGL = {
    "field.hidden": "12",
    "sparsify": "rigl",
    "sparsify.sparsity": "0.5",
    "sparsify.n_updates": "5",
}


def zeros_in_file(data):
    """Zero codes of all trained matrices, and how many weights those have."""
    opened = open_file(data).content
    codes = read_codes(opened)
    matrices = [codes[name] for name, shape in opened.field_set.shapes().items() if len(shape) == 2]
    return sum(int((c == 0).sum()) for c in matrices), sum(c.size for c in matrices)


# ---------------------------------------------------------------- end to end


@pytest.mark.slow  # a compilation each
@pytest.mark.parametrize("sparsifier", SPARSIFIERS, ids=repr)
def test_every_sparsifier_fits_a_picture_down_to_bytes(sparsifier):
    picture = smooth()
    recipe = replace(tiny({"field.hidden": "12"}), sparsify=sparsifier)
    encoded = encode_picture(from_array(picture), recipe, EncodeOptions())
    drawn = decode_picture(encoded.data).pixels
    assert encoded.psnr_db == psnr_db(picture, drawn)
    mean = np.broadcast_to(np.rint(picture.mean((0, 1))).astype(np.uint8), picture.shape)
    # Of 204 weights a tenth can learn little in 60 steps, but nothing must be worse than nothing.
    assert encoded.psnr_db > psnr_db(picture, mean) - 0.5
    opened = open_file(encoded.data).content
    assert opened.stages.field == sparsifier.prepared(recipe.field, 3)
    counts = sparsifier.keep_counts(opened.field_set.trained_shapes())
    if counts:
        n_zeros, n_all = zeros_in_file(encoded.data)
        assert n_zeros == n_all - sum(counts.values()) == round(sparsifier.sparsity * 204)


@pytest.mark.slow  # as above
def test_without_learned_steps_masked_weights_are_zeros_too():
    encoded = fitted(settings=RIGL | {"quantize": "kmeans", "quantize.bits": "5"})
    n_zeros, n_all = zeros_in_file(encoded.data)
    assert n_zeros >= n_all - 102  # the codebook's own level 0 may take some more
    assert encoded.psnr_db > 15


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("sparsifier", SPARSIFIERS, ids=repr)
@pytest.mark.parametrize("target_bytes", [600, 2000])
def test_sparse_files_meet_their_targets(sparsifier, target_bytes):
    recipe = replace(tiny({"fit.steps": "4"}), sparsify=sparsifier, fixed_size=False)
    encoded = encode_picture(
        from_array(smooth()), recipe, EncodeOptions(target=Target(n_bytes=target_bytes))
    )
    assert 0.975 * target_bytes <= len(encoded.data) <= target_bytes


# ---------------------------------------------------------------- when masks change


def numpy_masks(fitting, run):
    return {name: mask.copy() for name, mask in fitting.numpy_masks(run, 0).items()}


@pytest.fixture
def seen(monkeypatch):
    """Progress, masks and parameters after each block of a fit."""
    told = []
    original = Fitting.sparsify

    def sparsify(self, run):
        original(self, run)
        told.append((run.progress, numpy_masks(self, run), self.numpy_params(run, 0)))

    monkeypatch.setattr(Fitting, "sparsify", sparsify)
    return told


@pytest.mark.slow  # a compilation each
@pytest.mark.parametrize(
    "sparsifier",
    [s for s in SPARSIFIERS if type(s) not in (SmallDense, Feathermap) and s.sparsity],
    ids=repr,
)
def test_masks_change_until_stop_and_never_after(seen, sparsifier):
    fitting = fitting_of({"field.hidden": "12"})
    job = replace(fitting.jobs[0], sparsifier=sparsifier)
    fitting = Fitting([job], fitting.settings)
    fitting.run()
    stop = min(sparsifier.stop, 0.8)  # rounding begins at 0.8
    n_last = sum(sparsifier.keep_counts(job.field_set.trained_shapes()).values())
    n_changes = 0
    for (_, before, _), (progress, masks, params) in itertools.pairwise(seen):
        changed = any((before[name] != masks[name]).any() for name in masks)
        n_changes += changed
        assert not changed or progress <= stop + 1e-9  # sums of pace
        for name, mask in masks.items():
            assert (params[name][~mask] == 0).all()
        n_kept = sum(int(mask.sum()) for mask in masks.values())
        if isinstance(sparsifier, Magnitude):
            assert n_kept >= n_last
            assert all((before[name] | ~masks[name]).all() for name in masks)  # none returns
        else:
            assert n_kept == n_last
    assert n_changes >= 2
    assert sum(int(mask.sum()) for mask in seen[-1][1].values()) == n_last


@pytest.mark.usefixtures("untrained")
def test_hand_worked_schedule_of_updates(seen):
    fitting = fitting_of(RIGL)
    assert fitting.mask_edges == pytest.approx([0.15, 0.3, 0.45, 0.6, 0.75])
    fitting.run()
    at = [progress for progress, *_ in seen]
    for edge in fitting.mask_edges:  # a block ends at each of them
        assert min(abs(edge - progress) for progress in at) < 1e-9
    assert len(at) == 15 + 1 + 4  # 45 steps in blocks of 3, then 3 more, and 12 that round


@pytest.mark.usefixtures("untrained")
def test_updates_end_where_rounding_begins():
    fitting = fitting_of(RIGL | {"sparsify.stop": "1", "fit.rounding": "0.4"})
    assert fitting.mask_edges == pytest.approx([0.12, 0.24, 0.36, 0.48, 0.6])
    often = fitting_of(RIGL | {"sparsify.n_updates": "1000"})
    assert len(often.mask_edges) == 45  # at most one a step
    assert often.block_length == 1
    assert fitting_of({"field.hidden": "12"}).mask_edges == []


@pytest.mark.usefixtures("untrained")
def test_the_budget_is_larger_while_more_weights_are_kept():
    """Magnitude begins with all 204 weights and 27 biases, and ends with 102 of them."""
    fitting = fitting_of(RIGL | {"sparsify": "magnitude"}, budget_bits=1000.0)
    run = fitting.started(1.0)
    progress = np.array([0.0, 0.25, 0.5, 1.0])
    extra_bits = (102 + 27) * 2 * np.array([1, 0.5, 0, 0])  # two bits a weight at the start
    expected = (1000 + extra_bits) * (204 + 27) / (102 + 27)
    np.testing.assert_allclose(fitting.allowed_bits(run, 0, progress), expected, rtol=1e-12)
    while run.progress < 0.75 - 1e-9:
        fitting.advance(run)
        fitting.sparsify(run)
    np.testing.assert_allclose(fitting.allowed_bits(run, 0, progress), 1000 + extra_bits)


# ---------------------------------------------------------------- RigL, by itself


@pytest.fixture(scope="module")
def before_and_after():
    """A fit of RigL just before and just after its second update."""
    fitting = fitting_of(RIGL)
    run = fitting.started(1.0)
    while run.progress < 0.3 - 1e-9:
        fitting.advance(run)
        if run.progress < 0.3 - 1e-9:
            fitting.sparsify(run)
    before = jax.tree.map(np.asarray, run.state)
    fitting.sparsify(run)
    return fitting, before, jax.tree.map(np.asarray, run.state)


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
    _, before, after = before_and_after
    for name, mask in after.masks.items():
        grown = mask & ~before.masks[name]
        passed_over = ~mask & ~before.masks[name]
        score = np.abs(before.momentum[name])
        assert (score[~before.masks[name]] > 0).all()  # dense: also where weights are zero
        if grown.any() and passed_over.any():
            assert score[grown].min() >= score[passed_over].max()


@pytest.mark.slow  # a compilation of its own: float16 adds no noise before rounding
def test_the_running_mean_is_that_of_the_gradient_of_the_picture():
    """Second implementation: the gradient of the mean squared error, written down anew."""
    fitting = fitting_of(RIGL | {"quantize": "float16", "fit.batch": "1024"})
    run = fitting.started(1.0)
    net = fitting.loop.field_set.parts[0].field
    points = jnp.asarray(coords.grid(coords.axis(32, 0, 32), coords.axis(32, 0, 32)))
    target = jnp.asarray(smooth().reshape(-1, 3) / np.float32(127.5) - 1)

    @jax.jit
    def gradient_at(params):  # of samples in 0..1, half as far apart as signals
        return jax.grad(lambda p: jnp.mean((net.apply(p, points) - target) ** 2) / 4)(params)

    mean = {name: np.zeros(mask.shape) for name, mask in fitting.numpy_masks(run, 0).items()}
    for _ in range(3):
        gradient = gradient_at(fitting.numpy_params(run, 0))
        mean = {name: 0.9 * m + 0.1 * np.asarray(gradient[name]) for name, m in mean.items()}
        xs, end = fitting.next_block(run, 1.0)
        one = xs._replace(active=np.arange(len(xs.active)) < 1)
        run.state, _ = fitting.loop.block(run.state, one, fitting.data, None, None)
        run.step, run.progress = run.step + 1, run.progress + (end - run.progress) / 3
    for name, m in mean.items():
        largest = np.abs(m).max()
        # The batch is the whole picture, in another order.
        np.testing.assert_allclose(run.state.momentum[name], m, atol=1e-4 * largest)


def test_every_tensor_keeps_its_count(before_and_after):
    fitting, before, after = before_and_after
    for name, count in fitting.jobs[0].sparsifier.keep_counts(fitting.trained_shapes).items():
        assert before.masks[name].sum() == after.masks[name].sum() == count


# ---------------------------------------------------------------- checkpoints


@pytest.mark.slow  # a compilation each
@pytest.mark.parametrize("name", ["rigl", "snfs", "set", "magnitude"])
def test_a_fit_killed_between_mask_updates_ends_with_the_same_bytes(tmp_path, monkeypatch, name):
    monkeypatch.setattr("inr.fitting.checkpoint.SECONDS_BETWEEN_SAVES", -1.0)
    settings = RIGL | {"sparsify": name}
    whole = fitted(settings=settings)
    for n_blocks in (4, 9, 18):  # after one update of five, after three, while rounding
        checkpoint = tmp_path / f"{n_blocks}.npz"
        with pytest.raises(Killed):
            fitted(settings=settings, checkpoint=checkpoint, report=kill_after(n_blocks))
        assert fitted(settings=settings, checkpoint=checkpoint).data == whole.data
    weights = read_weights(open_file(whole.data).content)
    assert all(np.isfinite(w).all() for w in weights.values())


@pytest.mark.usefixtures("untrained")
def test_a_checkpoint_of_another_sparsity_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("inr.fitting.checkpoint.SECONDS_BETWEEN_SAVES", -1.0)
    checkpoint = tmp_path / "fit.npz"
    fitted(settings=RIGL, checkpoint=checkpoint)
    with pytest.raises(ValueError, match="belongs to another picture, recipe, seed or version"):
        fitted(settings=RIGL | {"sparsify.sparsity": "0.6"}, checkpoint=checkpoint)
