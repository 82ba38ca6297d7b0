"""program.py: it learns, masks change and qparams are fixed when it is time, and it repeats itself.

When what is done otherwise, fitting/test_loop.py holds.
"""

import itertools
import time
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from contracts.methods import SPARSIFIERS
from helpers.tiny_fits import (
    BLOCK,
    Killed,
    Watched,
    fitted,
    job_of,
    kill_after,
    program_of,
    smooth,
    tiny,
)

from inr.codec import decode_picture, encode_picture
from inr.errors import FitError, UsageError
from inr.fitting import loop
from inr.fitting.loop import Block
from inr.fitting.members import pick_members
from inr.image.metrics import psnr_db
from inr.image.read import from_array
from inr.kinds import open_file
from inr.mlp.file import read_codes
from inr.mlp.fit.program import (
    NOISE,
    ROUNDING,
    TRIAL,
    MlpProgram,
    fit_batch,
    roll_back_diverged,
)
from inr.mlp.quantize.uniform import Uniform
from inr.mlp.sparsify.magnitude import Magnitude
from inr.mlp.sparsify.masks import keep_counts
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


def block_of(program, end, phase=NOISE, n_steps=3, ends_phase=False, begin=None):
    """A block of a program of 60 steps, of which the last 12 round."""
    begin = end - n_steps / 60 if begin is None else begin
    first = round(60 * begin)
    return Block(phase, first, n_steps, program.block_length, begin, end, ends_phase)


def rounding_state(program):
    """The first state, as if its phase of noise were over."""
    return program.after_block(program.start(1.0), block_of(program, 0.8), np.array([0.1]))[0]


def after_rounding(program, state, end):
    """What comes of a block that rounds."""
    return program.after_block(state, block_of(program, end, ROUNDING), np.array([0.1]))


def with_params(state, change):
    """The state with all weights changed."""
    params = {name: change(w) for name, w in state.steps.params.items()}
    return state._replace(steps=state.steps._replace(params=params))


# ---------------------------------------------------------------- learning


def test_a_short_fit_beats_the_mean_colour_by_far(plain):
    picture = smooth()
    mean = np.broadcast_to(np.rint(picture.mean((0, 1))).astype(np.uint8), picture.shape)
    assert plain.psnr_db > psnr_db(picture, mean) + 10  # 12 dB become 34; 10 is safe anywhere


def test_same_seed_same_bytes_other_seed_other_bytes(plain):
    assert fitted().data == plain.data
    assert fitted(seed=1).data != plain.data


def test_fewer_bits_make_smaller_files(plain):
    sizes = [len(fitted(settings={"quantize.bits": bits}).data) for bits in ("4", "8", "12")]
    assert sizes[0] < sizes[1] < sizes[2]


def test_bits_above_eight_change_little():
    # Once a fit has settled, 8 bits with learned steps are within 0.1 dB of 16. After 60 steps
    # other noise also means another path, which alone is worth up to 2 dB.
    eight = fitted(settings={"quantize.bits": "8"}).psnr_db
    for bits in ("12", "16"):
        assert fitted(settings={"quantize.bits": bits}).psnr_db > eight - 4


@pytest.mark.parametrize("target_bytes", [350, 1000])
def test_a_target_beyond_what_the_weights_can_use_does_no_harm(plain, target_bytes):
    # Codes end at MAX_CODE: steps so fine that weights are clipped there spend bytes on damage.
    encoded = fitted(target_bytes=target_bytes)
    assert encoded.psnr_db > plain.psnr_db - 4  # as above
    assert len(encoded.data) <= target_bytes


@pytest.mark.slow  # a loss with alpha is a compilation of its own
def test_colour_under_alpha_zero_costs_nothing():
    # As bytes: the ranges, also stored, must be the same, so two visible pixels span them.
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 4), np.uint8)
    picture[:8, :, 3] = 0
    picture[8:, :, 3] = 200
    picture[8, 0] = 0, 0, 0, 255
    picture[8, 1] = 255
    other = picture.copy()
    other[:8, :, :3] = 255 - other[:8, :, :3]
    settings = {"fit.steps": "6", "field.n_layers": "1", "field.hidden": "4"}
    first, second = fitted(picture, settings), fitted(other, settings)
    assert first.data == second.data
    assert np.isfinite(first.psnr_db)
    assert first.psnr_db == pytest.approx(second.psnr_db)  # nor does the measure see it


@pytest.mark.slow  # a loss with alpha is a compilation of its own
def test_a_wholly_transparent_picture_has_nothing_to_learn():
    # All gradients of colour are zero: Muon and Adam must not divide by their norm.
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 4), np.uint8)
    picture[..., 3] = 0
    encoded = fitted(picture, {"fit.steps": "6", "field.n_layers": "1", "field.hidden": "4"})
    assert encoded.psnr_db == np.inf


def test_without_steps_the_first_weights_are_the_result():
    encoded = fitted(settings={"fit.steps": "0"})
    assert encoded.n_steps == 0
    opened = open_file(encoded.data).content
    first = opened.field_set.init(np.random.default_rng([0, 1]))
    codes = read_codes(opened)
    for name, w in first.items():
        assert np.corrcoef(w.ravel(), codes[name].ravel())[0, 1] > 0.99 or not w.any()


@pytest.mark.slow  # a compilation each
@pytest.mark.parametrize(
    "settings",
    [
        {"fit.steps": "1"},
        {"fit.rounding": "0"},  # at least one step rounds
        {"fit.rounding": "1"},
        {"fit.warmup": "1"},
        {"fit.warmup": "0", "fit.final_rate": "0"},
        {"fit.batch": "1"},
    ],
)
def test_settings_at_the_edge_of_their_range_work(settings):
    assert fitted(settings=settings).n_steps == int(settings.get("fit.steps", 60))


# ---------------------------------------------------------------- progress


def test_progress_rises_to_the_end():
    told = []
    encoded = fitted(report=told.append)
    steps = [progress.step for progress in told]
    assert steps == sorted(set(steps))
    assert steps[-1] == told[-1].n_steps == encoded.n_steps == 60
    assert all(progress.seconds_left >= 0 for progress in told)
    assert told[-1].seconds_left == 0
    # The mean over the last block, whose steps still learn, against the best of its snapshots.
    assert told[-1].psnr_db == pytest.approx(encoded.psnr_db, abs=4)


def test_the_rate_warms_up_and_decays():
    program = program_of({"fit.warmup": "0.5", "fit.final_rate": "0.1"})
    state = program.start(0.25)._replace(rate_scale=np.array([0.5]))
    ends = np.arange(1, 21) * 3 / 60
    own = [program.schedule(state, block_of(program, end)) for end in ends]
    rates = 2 * np.concatenate([each.rate[0] for each in own])  # the member's own scale counts
    assert rates.shape == (60,)
    assert rates[0] == pytest.approx(1 / 60, rel=1e-3)  # half a step into 30 steps of warm-up
    assert rates[29] == pytest.approx(59 / 60, rel=1e-3)
    assert rates[59] == pytest.approx(0.1, abs=0.01)
    assert np.all(np.diff(rates[:30]) > 0)
    assert np.all(np.diff(rates[30:]) < 0)


# ---------------------------------------------------------------- the trial of several starts


def test_the_best_of_several_starts_goes_on():
    program = program_of({"fit.n_seeds": "3"})
    rng, state = np.random.default_rng([0, 1]), program.start(1.0)
    starts = [program.stepper.field_set.init(rng) for _ in range(3)]
    assert len({tuple(key) for key in np.asarray(state.steps.key).tolist()}) == 3
    trial = block_of(program, 0.1, TRIAL, ends_phase=True)
    best, scores = program.after_block(state, trial, np.array([0.3, 0.1, 0.2]))
    assert scores is None
    for name, w in pick_members(best.steps.params, 0).items():
        np.testing.assert_array_equal(w, starts[1][name])
    assert [round(phase.until, 12) for phase in program.phases] == [0.1, 0.8, 1.0]
    assert program.phases[0].cost == 3


def test_a_start_that_fails_only_loses_the_trial():
    program = program_of({"fit.n_seeds": "3"})
    state = program.start(1.0)
    lost = jnp.array([1.0, jnp.nan, 1.0])
    state = with_params(state, lambda w: w * lost.reshape(-1, *[1] * (w.ndim - 1)))
    state, losses = program.run_block(state, block_of(program, 0.05, TRIAL))
    assert np.isfinite(losses).all()
    assert np.argmax(losses) == 1


@pytest.mark.slow  # the fit of several starts is a compilation of its own
def test_three_starts_are_fitted_at_once(plain):
    encoded = fitted(settings={"fit.n_seeds": "3"})
    assert encoded.n_steps == 60
    assert encoded.psnr_db > plain.psnr_db - 3  # a better start may still end a little lower


# ---------------------------------------------------------------- members that diverge


def after_errors(*errors, members=1):
    """What the weights and the rates are after blocks that add 1 and have these errors."""
    program = program_of()
    state, added = program.start(1.0), []
    state = with_params(state, lambda w: jnp.zeros((members, *w.shape[1:])))
    state = state._replace(
        good=state.steps, rate_scale=np.ones(members), lowest_error=np.full(members, np.inf)
    )
    state = state._replace(steps=state.steps._replace(key=jnp.zeros((members, 2), jnp.uint32)))
    steps = {"params": state.steps.params}  # one part of it is enough
    state = state._replace(steps=steps, good=steps)
    for each in errors:
        params = {name: w + 1 for name, w in state.steps["params"].items()}
        state = roll_back_diverged(state._replace(steps={"params": params}), np.array(each))
        added.append(np.asarray(state.steps["params"]["b2"]).max(axis=1).tolist())
    return [each[0] for each in added] if members == 1 else added, state.rate_scale.tolist()


def test_hand_worked_collapse():
    # The fourth error is 5 times the third: taken back to the third, and on at half the rate.
    assert after_errors([0.4], [0.2], [0.1], [0.5], [0.1], [0.1]) == ([1, 2, 3, 3, 4, 5], [0.5])


def test_each_collapse_halves_the_rate():
    errors = [[0.1], [0.9], [0.1], [0.9], [0.9], [0.1]]
    assert after_errors(*errors) == ([1, 1, 2, 2, 2, 3], [0.125])


def test_errors_that_rise_slowly_are_no_collapse():
    # As the budget tightens: 30 % a block, of which 15 % are forgotten each time.
    errors = [[0.01 * 1.3**i] for i in range(10)]
    assert after_errors(*errors) == (list(range(1, 11)), [1])


def test_only_the_member_that_collapses_goes_back():
    errors = [0.1, 0.1], [0.1, 0.9], [0.1, 0.1]
    assert after_errors(*errors, members=2) == ([[1, 1], [2, 1], [3, 2]], [1, 0.5])


@pytest.mark.parametrize(
    ("settings", "blocks", "rate"),
    [
        ({}, [(0.1, 0.01), (0.15, 0.9)], 0.5),
        ({"fit.warmup": "0.5"}, [(0.1, 0.01), (0.15, 0.9)], 1),  # not before it is over
        ({}, [(0.75, 0.01), (0.8, 0.9)], 0.5),  # the last block before the rounding counts too
    ],
)
def test_when_members_are_taken_back(settings, blocks, rate):
    program = program_of({"fit.warmup": "0"} | settings)
    state = program.start(1.0)
    for end, error in blocks:
        state, _ = program.after_block(state, block_of(program, end), np.array([error]))
    assert state.rate_scale.tolist() == [rate]


# ---------------------------------------------------------------- when masks change

# After every third block, five times.
MASKED = {"fit.warmup": "0", "sparsify.n_updates": "5", "sparsify.sparsity": "0.5"}


def masked_rate(name, errors):
    """Rate and state after blocks of a sparse fit with these errors."""
    program = program_of(MASKED | {"sparsify": name})
    state = program.start(1.0)
    for i, error in enumerate(errors):
        end = [*program.edges, 0.8][i // 3] if i % 3 == 2 else 0.05 * (i + 1)
        state, _ = program.after_block(state, block_of(program, end), np.array([error]))
    return float(state.rate_scale[0]), state


def test_errors_right_after_an_update_of_the_masks_are_no_collapse():
    assert masked_rate("set", [0.01] * 3 + [0.9, 0.9, 0.01, 0.9])[0] == 1


def test_fewer_weights_may_mean_larger_errors():
    assert masked_rate("magnitude", [0.01] * 3 + [0.9] * 3)[0] == 1
    assert masked_rate("set", [0.01] * 3 + [0.9] * 3)[0] == 0.5  # of as many weights


def test_a_collapse_takes_the_masks_back_too():
    _, state = masked_rate("set", [0.01] * 3 + [0.9] * 2)
    good = state.good.masks
    assert any((np.asarray(state.steps.masks[name]) != mask).any() for name, mask in good.items())
    program = program_of(MASKED | {"sparsify": "set"})
    back = roll_back_diverged(state, np.array([0.9]))
    for name, mask in back.steps.masks.items():
        np.testing.assert_array_equal(mask, good[name])
    assert program.edges == pytest.approx([0.15, 0.3, 0.45, 0.6, 0.75])


def test_the_last_masks_are_not_taken_back():
    rate, state = masked_rate("set", [0.01] * 15 + [0.9])
    assert rate == 1
    assert np.isinf(state.lowest_error).all() or state.lowest_error == 0.9


def test_hand_worked_schedule_of_updates():
    assert program_of(RIGL).edges == pytest.approx([0.15, 0.3, 0.45, 0.6, 0.75])
    early = program_of(RIGL | {"sparsify.stop": "1", "fit.rounding": "0.4"})
    assert early.edges == pytest.approx([0.12, 0.24, 0.36, 0.48, 0.6])  # before rounding begins
    often = program_of(RIGL | {"sparsify.n_updates": "1000"})
    assert len(often.edges) == 45  # at most one a step
    assert often.block_length == 1
    assert program_of({"field.hidden": "12"}).edges == ()
    assert len(program_of(RIGL | {"fit.n_seeds": "2", "fit.seed_trial": "0.3"}).edges) == 3


def test_the_budget_is_larger_while_more_weights_are_kept():
    """Magnitude begins with all 204 weights and 27 biases, and ends with 102 of them."""
    program = program_of(RIGL | {"sparsify": "magnitude"}, budget_bits=1000.0)
    state = program.start(1.0)
    for share in ((204 + 27) / (102 + 27), 1):
        for end, extra_bits in ((0.05, 1.9), (0.3, 0.9), (0.7, 0)):  # a weight, at the middle
            bits = program.schedule(state, block_of(program, end)).budget_bits
            expected = (1000 + (102 + 27) * extra_bits) * share
            assert bits[0, 1] == pytest.approx(expected, rel=1e-6)  # f32
        for i, edge in enumerate(program.edges):
            state, _ = program.after_block(state, block_of(program, edge), np.array([0.1]))
            assert i < 4 or program.keep_counts.keys() == state.steps.masks.keys()


def test_without_time_for_updates_masks_are_those_of_the_end():
    data = fitted(settings=RIGL | {"sparsify": "magnitude", "fit.steps": "0"}).data
    assert zeros_in_file(data) == (102, 204)


@pytest.mark.slow  # a compilation each
@pytest.mark.parametrize("sparsifier", [s for s in SPARSIFIERS if s.masks], ids=repr)
def test_masks_change_until_stop_and_never_after(sparsifier):
    job = replace(job_of({"field.hidden": "12"}), sparsifier=sparsifier)
    program = Watched(MlpProgram([job], tiny().fit))
    loop.run(program)
    stop = min(sparsifier.masks.stop, 0.8)  # rounding begins at 0.8
    n_last = sum(keep_counts(sparsifier, job.field_set.matrices()).values())
    n_changes = 0
    seen = [(block.end, *pick_members(state.steps, 0)[:1], state) for block, state in program.seen]
    for (_, _, before), (progress, params, state) in itertools.pairwise(seen):
        masks = {name: np.asarray(mask)[0] for name, mask in state.steps.masks.items()}
        earlier = {name: np.asarray(mask)[0] for name, mask in before.steps.masks.items()}
        changed = any((earlier[name] != masks[name]).any() for name in masks)
        n_changes += changed
        assert not changed or progress <= stop + 1e-9
        for name, mask in masks.items():
            assert (np.asarray(params[name])[~mask] == 0).all()
        n_kept = sum(int(mask.sum()) for mask in masks.values())
        if isinstance(sparsifier, Magnitude):
            assert n_kept >= n_last
            assert all((earlier[name] | ~masks[name]).all() for name in masks)  # none returns
        else:
            assert n_kept == n_last
    assert n_changes >= 2 or not sparsifier.sparsity
    assert n_kept == n_last


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
    assert opened.stages.field == sparsifier.prepare(recipe.field, 3)
    counts = keep_counts(sparsifier, opened.field_set.matrices())
    if counts:
        n_zeros, n_all = zeros_in_file(encoded.data)
        assert n_zeros == n_all - sum(counts.values()) == round(sparsifier.sparsity * 204)


@pytest.mark.slow  # as above
def test_without_learned_steps_masked_weights_are_zeros_too():
    encoded = fitted(settings=RIGL | {"quantize": "kmeans", "quantize.bits": "5"})
    n_zeros, n_all = zeros_in_file(encoded.data)
    assert n_zeros >= n_all - 102  # the codebook's own level 0 may take some more
    assert encoded.psnr_db > 15


@pytest.mark.parametrize("sparsifier", SPARSIFIERS, ids=repr)
@pytest.mark.parametrize("target_bytes", [600, 2000])
def test_sparse_files_meet_their_targets(sparsifier, target_bytes):
    recipe = replace(tiny({"fit.steps": "0", "field.hidden": "none"}), sparsify=sparsifier)
    encoded = encode_picture(
        from_array(smooth()), recipe, EncodeOptions(target=Target(n_bytes=target_bytes))
    )
    assert 0.975 * target_bytes <= len(encoded.data) <= target_bytes


# ---------------------------------------------------------------- the rounding


def test_levels_are_fixed_when_rounding_begins():
    program = program_of()
    state = program.start(1.0)
    before, scores = program.after_block(state, block_of(program, 0.75), np.array([0.1]))
    fixed, _ = program.after_block(state, block_of(program, 0.8), np.array([0.1]))
    assert scores is None
    for name, first in state.qparams.items():
        assert before.qparams[name] == first
        assert fixed.qparams[name] != first


def test_snapshots_count_when_levels_are_no_longer_corrected():
    program = program_of()
    state = rounding_state(program)
    for end, has_scores in ((0.85, False), (0.9, False), (0.95, True), (1.0, True)):
        _, scores = program.after_block(
            state, block_of(program, end, phase=ROUNDING), np.array([0.1])
        )
        assert (scores is not None) == has_scores
    assert 0 < scores[0] < 1  # the error of weights that learned nothing


@pytest.mark.parametrize(("max_bytes", "is_too_large"), [(100, False), (99, True)])
def test_a_snapshot_of_too_large_a_file_loses(max_bytes, is_too_large):
    program = program_of(max_bytes=max_bytes)  # files of 100 bytes
    state = rounding_state(program)
    _, scores = after_rounding(program, state, 1.0)
    assert (scores[0] > 1) == is_too_large


def test_the_result_is_made_of_the_best_state_in_file_order():
    program = program_of()
    state = rounding_state(program)
    best = with_params(state, lambda w: w + 0.25)
    (result,) = program.result(loop.FitRun(state, best, np.zeros(1), step=60))
    assert list(result.codes) == list(program.shapes)
    assert list(result.qparams) == list(program.trained_shapes)
    assert result.n_steps == 60
    for name, codes in result.codes.items():
        expected = Uniform().quantize(np.asarray(best.steps.params[name][0]), result.qparams[name])
        np.testing.assert_array_equal(codes, expected)


# ---------------------------------------------------------------- losses that are no numbers

HOT = {"field.n_layers": "1", "field.hidden": "4", "fit.optimizer.adam_learning_rate": "1e30"}


def test_a_hopeless_rate_ends_in_an_error_that_names_the_step():
    with pytest.raises(FitError, match=r"at step \d+, .*a lower fit\.optimizer\.learning_rate"):
        fitted(settings=HOT | {"fit.steps": "20"})


@pytest.mark.parametrize("factor", [np.nan, 1e30])
def test_weights_that_no_file_can_hold_are_no_success(factor):
    program = program_of()
    state = with_params(program.start(1.0), lambda w: w * np.float32(factor))
    _, scores = program.after_block(state, block_of(program, 0.8), np.array([0.1]))
    assert np.isnan(scores).all()


@pytest.mark.parametrize("end", [0.85, 1.0])  # with a snapshot and without
def test_weights_lost_in_the_last_step_of_a_block_are_no_success(end):
    """The loss of a step is that of the weights before it: NaN shows only in the validation."""
    program = program_of()
    state = rounding_state(program)
    lost = with_params(state, lambda w: w * np.float32(np.nan))
    _, scores = after_rounding(program, lost, end)
    assert np.isnan(scores).all()


def test_a_batch_in_which_one_fails_is_fitted_one_by_one():
    settings = {"fit.steps": "0"}
    jobs = [job_of(settings, seed=seed, max_bytes=100) for seed in (0, 1)]
    small = [replace(job, budget=replace(job.budget, file_of=lambda *_: bytes(60))) for job in jobs]
    alone = [fit_batch([job], tiny(settings).fit)[0] for job in small]
    for one, other in zip(fit_batch(small, tiny(settings).fit), alone, strict=True):
        assert all(np.array_equal(one.codes[name], other.codes[name]) for name in one.codes)
    tight = replace(jobs[1], budget=replace(jobs[1].budget, max_bytes=40))
    with pytest.raises(FitError, match="123 weights do not fit into 40 bytes"):
        fit_batch([jobs[0], tight], tiny(settings).fit)


# ---------------------------------------------------------------- checkpoints and time budgets


@pytest.fixture
def saved_often(monkeypatch):
    monkeypatch.setattr("inr.fitting.checkpoint.SECONDS_BETWEEN_SAVES", -1.0)  # after every block


@pytest.mark.parametrize("n_blocks", [7, 18])  # rounding begins after 16
@pytest.mark.usefixtures("saved_often")
def test_a_killed_fit_ends_with_the_same_bytes(tmp_path, plain, n_blocks):
    checkpoint = tmp_path / "fit.npz"
    with pytest.raises(Killed):
        fitted(checkpoint=checkpoint, report=kill_after(n_blocks))
    told = []
    assert fitted(checkpoint=checkpoint, report=told.append).data == plain.data
    assert told[0].step == BLOCK * (n_blocks + 1)  # it went on, it did not begin again
    # The best snapshot then comes out of the checkpoint: its tensors must keep the file's order.
    assert fitted(checkpoint=checkpoint).data == plain.data
    assert [path.name for path in tmp_path.iterdir()] == ["fit.npz"]


@pytest.mark.slow  # a compilation each
@pytest.mark.parametrize("name", ["rigl", "snfs", "set", "magnitude"])
@pytest.mark.usefixtures("saved_often")
def test_a_fit_killed_between_mask_updates_ends_with_the_same_bytes(tmp_path, name):
    settings = RIGL | {"sparsify": name}
    whole = fitted(settings=settings)
    for n_blocks in (4, 9, 18):  # after one update of five, after three, while rounding
        checkpoint = tmp_path / f"{n_blocks}.npz"
        with pytest.raises(Killed):
            fitted(settings=settings, checkpoint=checkpoint, report=kill_after(n_blocks))
        assert fitted(settings=settings, checkpoint=checkpoint).data == whole.data


@pytest.mark.usefixtures("saved_often")
@pytest.mark.parametrize(
    ("picture", "settings", "options"),
    [
        (255 - smooth(), {}, {}),
        (smooth(), {"fit.warmup": "0.1"}, {}),
        (smooth(), {"field.hidden": "9"}, {}),
        (smooth(), {}, {"seed": 1}),
        (smooth(), {}, {"target_bytes": 300}),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, picture, settings, options):
    checkpoint = tmp_path / "fit.npz"
    fitted(checkpoint=checkpoint)
    before = checkpoint.read_bytes()
    with pytest.raises(ValueError, match=r"belongs to another .*; delete it or name another file"):
        fitted(picture, settings, checkpoint=checkpoint, **options)
    assert checkpoint.read_bytes() == before


@pytest.mark.usefixtures("saved_often")
@pytest.mark.parametrize("damage", [b"", b"hello", None])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    checkpoint = tmp_path / "fit.npz"
    if damage is None:  # cut in the middle
        fitted(checkpoint=checkpoint)
        damage = checkpoint.read_bytes()[:-500]
    checkpoint.write_bytes(damage)
    with pytest.raises(ValueError, match="is not a checkpoint, or a damaged one"):
        fitted(checkpoint=checkpoint)
    assert checkpoint.read_bytes() == damage  # it may be a file that was named by mistake


def test_a_time_budget_that_cannot_be_kept_is_refused_before_the_fit():
    told = []
    with pytest.raises(UsageError, match=r"a time budget of 0\.001 s is too short: .* about \d+ s"):
        fitted(time_budget=0.001, report=told.append)
    assert told == []


def test_the_budget_counts_from_where_the_caller_says():
    started_at = time.monotonic() - 1000
    with pytest.raises(UsageError, match="a time budget of 999 s is too short"):
        fitted(time_budget=999.0, started_at=started_at)


def test_a_time_budget_that_suffices_changes_nothing(plain):
    assert fitted(time_budget=3600.0).data == plain.data


def test_what_a_fit_takes_besides_its_steps():
    program = program_of({"fit.n_seeds": "3"})
    costs = program.estimate_costs(program.start(1.0), compile_seconds=2.0, step_seconds=0.1)
    assert costs.compiling == [0.0, 2.0, 3.0]  # other programs than the trial's
    assert costs.a_block[:2] == [0, 0]
    # 1024 pixels of validation, forward alone, are a third of a step; three codings a block.
    coding = costs.reserved / 4
    assert coding > 0
    assert costs.a_block[2] == pytest.approx(3 * coding + 0.1 / 3, rel=1e-6)
