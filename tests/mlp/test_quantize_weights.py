"""From float weights to codes whose file meets the target, also where its size jumps."""

from dataclasses import replace

import numpy as np
import pytest
from contracts.methods import QUANTIZERS
from helpers.tiny_fits import job_of

from inr.errors import FitError
from inr.mlp.fields.fourier import Fourier
from inr.mlp.fit.problem import Budget
from inr.mlp.quantize.kmeans import KMeans
from inr.mlp.quantize.uniform import Uniform, wire_step
from inr.mlp.quantize_weights import WeightQuantizer, find_qparams
from inr.mlp.size import AIM


def bytes_of(codes, qparams):
    """A coder that takes log2(2 |c| + 1) bits a code, and a head of 20 bytes."""
    bits = sum(float(np.log2(2.0 * np.abs(c) + 1).sum()) for c in codes.values())
    return bytes(20 + round(bits / 8))


def made(settings=None, max_bytes=None, quantizer=Uniform(), sparsity=0.0):  # noqa: B008, frozen
    """A weight_quantizer, weights and masks."""
    job = job_of({"field.hidden": "12"} | (settings or {}))
    budget = Budget(1000.0, 1024, max_bytes, bytes_of)
    job = replace(job, budget=budget, quantizer=quantizer)
    rng = np.random.default_rng(0)
    params = job.field_set.init(rng)
    shapes = job.field_set.trained_shapes()
    masks = {
        name: rng.random(shape) >= sparsity
        for name, shape in shapes.items()
        if sparsity and len(shape) == 2
    }
    params = {k: np.where(masks[k], w, 0) if k in masks else w for k, w in params.items()}
    return WeightQuantizer(job, {name: int(m.sum()) for name, m in masks.items()}), params, masks


def steps_of(params, q_step=0.02):
    return dict.fromkeys(params, q_step)


# ---------------------------------------------------------------- codes


def test_hand_worked_codes_of_a_masked_tensor():
    weight_quantizer, params, _ = made()
    params["w0"][:] = 0
    params["w0"][0, :4] = [0.1, -0.1, 0.0, 1.1]  # at step 0.5: all but the last would be 0
    masks = {"w0": np.zeros((2, 12), bool)}
    masks["w0"][0, :3] = True
    qparams = weight_quantizer.choose_qparams(params, steps_of(params, 0.5))
    codes = weight_quantizer.quantize_weights(params, masks, qparams)["w0"]
    assert codes[0, :5].tolist() == [1, -1, 1, 0, 0]  # kept ones are no zeros, others nothing else
    assert not codes[1].any()
    assert weight_quantizer.quantize_weights(params, {}, qparams)["w0"][0, :4].tolist() == [
        0,
        0,
        0,
        2,
    ]


@pytest.mark.parametrize("sparsity", [0.3, 0.9])
def test_zeros_are_those_of_the_masks_and_kept_weights_are_counted(sparsity):
    weight_quantizer, params, masks = made(sparsity=sparsity)
    qparams = weight_quantizer.choose_qparams(params, steps_of(params))
    codes = weight_quantizer.quantize_weights(params, masks, qparams)
    assert list(codes) == list(params)
    for name, mask in masks.items():
        np.testing.assert_array_equal(codes[name] != 0, mask)
    n_biases = sum(w.size for name, w in params.items() if name not in masks)
    assert weight_quantizer.n_kept == n_biases + sum(int(mask.sum()) for mask in masks.values())


def test_fixed_tensors_are_coded_by_their_own_step():
    job = job_of()
    net = replace(job.field_set.parts[0], field=Fourier(hidden=6, n_layers=1, n_frequencies=5))
    job = replace(job, field_set=replace(job.field_set, parts=(net,)))
    weight_quantizer = WeightQuantizer(job, {})
    params = job.field_set.init(np.random.default_rng(0))
    qparams = weight_quantizer.choose_qparams(params, steps_of(params))
    assert "frequencies" not in qparams
    codes = weight_quantizer.quantize_weights(params, {}, qparams)
    np.testing.assert_array_equal(codes["frequencies"] / 16, params["frequencies"])
    assert "frequencies" not in weight_quantizer.quantize_with_steps(params, steps_of(qparams))


# ---------------------------------------------------------------- qparams


def test_learned_steps_are_rounded_as_the_file_holds_them_and_no_finer_than_codes_allow():
    weight_quantizer, params, _ = made()
    qparams = weight_quantizer.choose_qparams(params, steps_of(params, 0.0123))
    assert all(float(q_step) == wire_step(0.0123) for q_step in qparams.values())
    for name, q_step in weight_quantizer.choose_qparams(params, steps_of(params, 1e-9)).items():
        assert np.abs(Uniform().quantize(params[name], q_step)).max() <= 2**15 - 1
        assert q_step > 1e-9


@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=repr)
def test_first_qparams_are_the_quantizers(quantizer):
    weight_quantizer, params, _ = made(quantizer=quantizer)
    qparams = weight_quantizer.choose_qparams(params, steps_of(params))
    assert list(qparams) == list(params)
    for name, each in qparams.items():
        if not quantizer.LEARNS_STEPS:
            np.testing.assert_array_equal(each, quantizer.fit_qparams(params[name]))


@pytest.mark.parametrize("max_bytes", [150, 250, 350])
def test_corrections_bring_the_file_to_what_is_aimed_at(max_bytes):
    weight_quantizer, params, masks = made(max_bytes=max_bytes)
    qparams = weight_quantizer.choose_qparams(params, steps_of(params, 0.005))
    for _ in range(4):
        qparams = weight_quantizer.correct_qparams(params, masks, qparams)
    n_bytes = weight_quantizer.count_bytes(params, masks, qparams)
    assert n_bytes == pytest.approx(AIM * max_bytes, abs=0.02 * max_bytes)


def test_without_a_target_nothing_is_corrected():
    weight_quantizer, params, masks = made()
    qparams = weight_quantizer.choose_qparams(params, steps_of(params))
    assert weight_quantizer.correct_qparams(params, masks, qparams) is qparams
    assert weight_quantizer.is_small_enough(params, masks, qparams)
    landed = weight_quantizer.meet_target(params, masks, qparams, 17)
    assert landed.qparams is qparams
    assert landed.n_steps == 17


# ---------------------------------------------------------------- meet_target


@pytest.mark.parametrize("sparsity", [0.0, 0.5])
@pytest.mark.parametrize("q_step", [0.0005, 0.01, 0.2])
def test_the_file_lands_below_its_target_from_any_step(q_step, sparsity):
    weight_quantizer, params, masks = made(max_bytes=200, sparsity=sparsity)
    qparams = weight_quantizer.choose_qparams(params, steps_of(params, q_step))
    landed = weight_quantizer.meet_target(params, masks, qparams, 1)
    assert 0.975 * 200 <= len(bytes_of(landed.codes, landed.qparams)) <= 200
    for name, mask in masks.items():
        np.testing.assert_array_equal(landed.codes[name] != 0, mask)


def test_a_file_that_lands_keeps_its_levels():
    weight_quantizer, params, masks = made(max_bytes=200)
    qparams = weight_quantizer.choose_qparams(params, steps_of(params, 0.01))
    first = weight_quantizer.meet_target(params, masks, qparams, 1)
    again = weight_quantizer.meet_target(params, masks, first.qparams, 1)
    assert {name: float(q) for name, q in again.qparams.items()} == {
        name: float(q) for name, q in first.qparams.items()
    }


def test_a_file_a_little_too_large_keeps_its_levels_and_rounds_towards_zero():
    weight_quantizer, params, masks = made()
    qparams = weight_quantizer.choose_qparams(params, steps_of(params, 0.01))
    n_bytes = weight_quantizer.count_bytes(params, masks, qparams)
    tight, _, _ = made(max_bytes=n_bytes - 1)
    assert weight_quantizer.is_small_enough(params, masks, qparams)
    assert not tight.is_small_enough(params, masks, qparams)
    landed, plain = (
        tight.meet_target(params, masks, qparams, 1),
        weight_quantizer.quantize_weights(params, masks, qparams),
    )
    assert landed.qparams is qparams
    assert len(bytes_of(landed.codes, qparams)) <= n_bytes - 1
    for name, codes in landed.codes.items():
        nearer = np.abs(plain[name]) - np.abs(codes)
        assert ((nearer == 0) | (nearer == 1)).all()


def test_what_cannot_fit_is_told():
    weight_quantizer, params, masks = made(max_bytes=19)
    qparams = weight_quantizer.choose_qparams(params, steps_of(params))
    with pytest.raises(
        FitError, match="231 weights do not fit into 19 bytes; give a larger target"
    ):
        weight_quantizer.meet_target(params, masks, qparams, 1)


def test_codebooks_land_with_fewer_levels():
    quantizer = KMeans(bits=4)
    weight_quantizer, params, masks = made(quantizer=quantizer)
    qparams = weight_quantizer.choose_qparams(params, {})
    whole = weight_quantizer.count_bytes(params, masks, qparams)
    tight, _, _ = made(quantizer=quantizer, max_bytes=whole - 3)
    landed = tight.meet_target(params, masks, qparams, 1)
    assert len(bytes_of(landed.codes, landed.qparams)) <= whole - 3
    n_levels = [int(np.isfinite(each["w1"]).sum()) for each in (qparams, landed.qparams)]
    assert 3 <= n_levels[1] < n_levels[0] == 15


# ---------------------------------------------------------------- find_qparams


def scale(steps, log2_factor):
    return {name: step * 2**log2_factor for name, step in steps.items()}


def smooth(steps):
    """1000 weights in two tensors; a code costs 8 bits at step 1, one less at twice the step."""
    return int(sum(500 * (8 - np.log2(step)) / 8 for step in steps.values()))


def jumping(steps):
    """The same, but a tensor takes 300 bytes more as soon as its step is below 0.7."""
    return smooth(steps) + sum(300 for step in steps.values() if step < 0.7)


def find(steps, max_bytes, count_bytes, scale=scale, n_weights=1000):
    return find_qparams(
        steps, max_bytes=max_bytes, n_weights=n_weights, scale=scale, count_bytes=count_bytes
    )


@pytest.mark.parametrize("target", [400, 900, 1000, 1100, 1900])
@pytest.mark.parametrize("first", [0.05, 1.0, 30.0])
def test_a_smooth_size_ends_within_three_percent(target, first):
    steps = find({"a": first, "b": first}, target, smooth)
    assert 0.975 * target <= smooth(steps) <= target


def test_steps_that_meet_the_target_are_left_as_they_are():
    steps = {"a": 1.0, "b": 1.1}
    assert find(steps, smooth(steps) + 10, smooth) is steps


def test_a_jump_is_crossed_tensor_by_tensor():
    # Together both tensors jump from 1064 to 1664 bytes; with one beyond the jump it is 1364.
    steps = find({"a": 1.0, "b": 1.0}, 1395, jumping)
    assert 0.975 * 1395 <= jumping(steps) <= 1395
    assert steps["a"] != steps["b"]


def test_none_where_nothing_fits():
    assert find({"a": 1.0}, 10, lambda steps: 1000) is None


def counted(count_bytes, calls):
    def count(qparams):
        calls.append(qparams)
        return count_bytes(qparams)

    return count


def test_the_finest_steps_that_there_are_end_the_search():
    finest, calls = {"a": 0.5, "b": 0.5}, []

    def scale_to_finest(steps, log2_factor):
        return {name: max(step * 2**log2_factor, finest[name]) for name, step in steps.items()}

    found = find({"a": 1.0, "b": 1.0}, 5000, counted(smooth, calls), scale_to_finest)
    assert found == finest
    assert len(calls) < 10


def test_qparams_that_cannot_change_end_the_search():
    halves, calls = {"a": np.zeros(0, np.float32), "b": np.zeros(0, np.float32)}, []
    count = counted(lambda qparams: 1000, calls)

    def copy(qparams, log2_factor):
        return {name: each.copy() for name, each in qparams.items()}

    assert find(halves, 900, count, copy) is None
    assert find(halves, 2000, count, copy) is not None
    assert len(calls) < 10


def test_codebooks_that_lose_whole_levels_become_coarser():
    """Codes of 15 levels take 1040 bytes, of n levels log2(n) / log2(15) times as many."""

    def coarsen(qparams, log2_factor):
        n_levels = int(np.clip(np.rint(15 / 2**log2_factor), 3, 15))
        return {"a": np.arange(n_levels, dtype=np.float32)}

    def n_levels_found(max_bytes):
        def count(qparams):
            return int(1040 * np.log2(qparams["a"].size) / np.log2(15))

        found = find(coarsen({}, 0.0), max_bytes, count, coarsen, n_weights=2000)
        return None if found is None else found["a"].size

    # Two bytes too many ask for a factor of 2**0.01, at which there are still 15 levels.
    assert n_levels_found(1038) == 14
    assert n_levels_found(500) == 3
    assert n_levels_found(400) is None
