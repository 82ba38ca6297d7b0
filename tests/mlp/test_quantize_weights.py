"""finish.py: from float weights to codes whose file meets the target."""

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
from inr.mlp.quantize_weights import Finisher
from inr.mlp.size import AIM


def bytes_of(codes, levels):
    """A coder that takes log2(2 |c| + 1) bits a code, and a head of 20 bytes."""
    bits = sum(float(np.log2(2.0 * np.abs(c) + 1).sum()) for c in codes.values())
    return bytes(20 + round(bits / 8))


def made(settings=None, max_bytes=None, quantizer=Uniform(), sparsity=0.0):  # noqa: B008, frozen
    """A finisher, weights and masks."""
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
    return Finisher(job, {name: int(m.sum()) for name, m in masks.items()}), params, masks


def steps_of(params, q_step=0.02):
    return dict.fromkeys(params, q_step)


# ---------------------------------------------------------------- codes


def test_hand_worked_codes_of_a_masked_tensor():
    finisher, params, _ = made()
    params["w0"][:] = 0
    params["w0"][0, :4] = [0.1, -0.1, 0.0, 1.1]  # at step 0.5: all but the last would be 0
    masks = {"w0": np.zeros((2, 12), bool)}
    masks["w0"][0, :3] = True
    levels = finisher.first_levels(params, steps_of(params, 0.5))
    codes = finisher.coded(params, masks, levels)["w0"]
    assert codes[0, :5].tolist() == [1, -1, 1, 0, 0]  # kept ones are no zeros, others nothing else
    assert not codes[1].any()
    assert finisher.coded(params, {}, levels)["w0"][0, :4].tolist() == [0, 0, 0, 2]


@pytest.mark.parametrize("sparsity", [0.3, 0.9])
def test_zeros_are_those_of_the_masks_and_kept_weights_are_counted(sparsity):
    finisher, params, masks = made(sparsity=sparsity)
    levels = finisher.first_levels(params, steps_of(params))
    codes = finisher.coded(params, masks, levels)
    assert list(codes) == list(params)
    for name, mask in masks.items():
        np.testing.assert_array_equal(codes[name] != 0, mask)
    n_biases = sum(w.size for name, w in params.items() if name not in masks)
    assert finisher.n_kept == n_biases + sum(int(mask.sum()) for mask in masks.values())


def test_fixed_tensors_are_coded_by_their_own_step():
    job = job_of()
    net = replace(job.field_set.parts[0], field=Fourier(hidden=6, n_layers=1, n_frequencies=5))
    job = replace(job, field_set=replace(job.field_set, parts=(net,)))
    finisher = Finisher(job, {})
    params = job.field_set.init(np.random.default_rng(0))
    levels = finisher.first_levels(params, steps_of(params))
    assert "frequencies" not in levels
    codes = finisher.coded(params, {}, levels)
    np.testing.assert_array_equal(codes["frequencies"] / 16, params["frequencies"])
    assert "frequencies" not in finisher.rounded(params, steps_of(levels))


# ---------------------------------------------------------------- levels


def test_learned_steps_are_rounded_as_the_file_holds_them_and_no_finer_than_codes_allow():
    finisher, params, _ = made()
    levels = finisher.first_levels(params, steps_of(params, 0.0123))
    assert all(float(q_step) == wire_step(0.0123) for q_step in levels.values())
    for name, q_step in finisher.first_levels(params, steps_of(params, 1e-9)).items():
        assert np.abs(Uniform().codes(params[name], q_step)).max() <= 2**15 - 1
        assert q_step > 1e-9


@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=repr)
def test_first_levels_are_the_quantizers(quantizer):
    finisher, params, _ = made(quantizer=quantizer)
    levels = finisher.first_levels(params, steps_of(params))
    assert list(levels) == list(params)
    for name, each in levels.items():
        if not quantizer.LEARNS_STEPS:
            np.testing.assert_array_equal(each, quantizer.fitted(params[name]))


@pytest.mark.parametrize("max_bytes", [150, 250, 350])
def test_corrections_bring_the_file_to_what_is_aimed_at(max_bytes):
    finisher, params, masks = made(max_bytes=max_bytes)
    levels = finisher.first_levels(params, steps_of(params, 0.005))
    for _ in range(4):
        levels = finisher.corrected(params, masks, levels)
    n_bytes = finisher.n_bytes(params, masks, levels)
    assert n_bytes == pytest.approx(AIM * max_bytes, abs=0.02 * max_bytes)


def test_without_a_target_nothing_is_corrected():
    finisher, params, masks = made()
    levels = finisher.first_levels(params, steps_of(params))
    assert finisher.corrected(params, masks, levels) is levels
    assert finisher.fits(params, masks, levels)
    landed = finisher.landed(params, masks, levels, 17)
    assert landed.levels is levels
    assert landed.n_steps == 17


# ---------------------------------------------------------------- landing


@pytest.mark.parametrize("sparsity", [0.0, 0.5])
@pytest.mark.parametrize("q_step", [0.0005, 0.01, 0.2])
def test_the_file_lands_below_its_target_from_any_step(q_step, sparsity):
    finisher, params, masks = made(max_bytes=200, sparsity=sparsity)
    levels = finisher.first_levels(params, steps_of(params, q_step))
    landed = finisher.landed(params, masks, levels, 1)
    assert 0.975 * 200 <= len(bytes_of(landed.codes, landed.levels)) <= 200
    for name, mask in masks.items():
        np.testing.assert_array_equal(landed.codes[name] != 0, mask)


def test_a_file_that_lands_keeps_its_levels():
    finisher, params, masks = made(max_bytes=200)
    levels = finisher.first_levels(params, steps_of(params, 0.01))
    first = finisher.landed(params, masks, levels, 1)
    again = finisher.landed(params, masks, first.levels, 1)
    assert {name: float(q) for name, q in again.levels.items()} == {
        name: float(q) for name, q in first.levels.items()
    }


def test_a_file_a_little_too_large_keeps_its_levels_and_rounds_towards_zero():
    finisher, params, masks = made()
    levels = finisher.first_levels(params, steps_of(params, 0.01))
    n_bytes = finisher.n_bytes(params, masks, levels)
    tight, _, _ = made(max_bytes=n_bytes - 1)
    assert finisher.fits(params, masks, levels)
    assert not tight.fits(params, masks, levels)
    landed, plain = tight.landed(params, masks, levels, 1), finisher.coded(params, masks, levels)
    assert landed.levels is levels
    assert len(bytes_of(landed.codes, levels)) <= n_bytes - 1
    for name, codes in landed.codes.items():
        nearer = np.abs(plain[name]) - np.abs(codes)
        assert ((nearer == 0) | (nearer == 1)).all()


def test_what_cannot_fit_is_told():
    finisher, params, masks = made(max_bytes=19)
    levels = finisher.first_levels(params, steps_of(params))
    with pytest.raises(
        FitError, match="231 weights do not fit into 19 bytes; give a larger target"
    ):
        finisher.landed(params, masks, levels, 1)


def test_codebooks_land_with_fewer_levels():
    quantizer = KMeans(bits=4)
    finisher, params, masks = made(quantizer=quantizer)
    levels = finisher.first_levels(params, {})
    whole = finisher.n_bytes(params, masks, levels)
    tight, _, _ = made(quantizer=quantizer, max_bytes=whole - 3)
    landed = tight.landed(params, masks, levels, 1)
    assert len(bytes_of(landed.codes, landed.levels)) <= whole - 3
    n_levels = [int(np.isfinite(each["w1"]).sum()) for each in (levels, landed.levels)]
    assert 3 <= n_levels[1] < n_levels[0] == 15
