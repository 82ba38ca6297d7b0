"""The fit (fit.py, fitting.py, fit_rounding.py, fit_step.py): it learns, repeats, and ends."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from helpers.tiny_fits import fitted, fitting_of, smooth

from inr import recipes
from inr.errors import FitError
from inr.fitting.random_keys import FOR_MASKS, FOR_NOISE, fit_key, step_key
from inr.image.metrics import psnr_db
from inr.mlp.fit.problem import NotANumberError
from inr.mlp.fit.program import Fitting
from inr.mlp.fit.rounding import freeze_or_correct, keep_best, landed
from inr.mlp.fit.settings import FitSettings
from inr.mlp.fit.step import Loop
from inr.mlp.quantize.uniform import Uniform
from inr.settings import with_settings

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


def test_two_slices_step_as_one_does():
    # The gradient of a batch is the mean of its slices' gradients.
    ends = []
    for size, n_slices in ((1024, 1), (512, 2)):
        fitting = fitting_of()
        fitting.loop = replace(fitting.loop, slices=(size,), n_slices=n_slices)
        run = fitting.started(1.0)
        ends.append((fitting.advance(run), fitting.numpy_params(run, 0)))
    assert ends[0][0] == pytest.approx(ends[1][0], rel=1e-4)  # f32 sums in another order
    for name, w in ends[0][1].items():
        # Three steps at up to 2e-2; the first ones amplify the error of tiny gradients.
        np.testing.assert_allclose(w, ends[1][1][name], atol=2e-3)


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


# ---------------------------------------------------------------- several seeds, best snapshot


def test_the_best_of_several_starts_goes_on(untrained, monkeypatch):
    errors = np.array([[0.3], [0.1], [np.nan]])  # [n_seeds, n]; NaN is the worst

    def block_of_seeds(self, states, xs, *_):
        return states, np.repeat(errors, len(xs.active), axis=1)

    monkeypatch.setattr(Loop, "block_of_seeds", block_of_seeds)
    fitting = fitting_of({"fit.n_seeds": "3"})
    rng = np.random.default_rng([0, 1])
    starts = [fitting.loop.field_set.init(rng) for _ in range(3)]
    run = fitting.started(1.0)
    assert {k: np.asarray(w).tolist() for k, w in run.state.params.items()} == {
        k: w.tolist() for k, w in starts[1].items()
    }
    assert run.progress == 0.1  # what the trial took is not done again
    assert run.step == 6


@pytest.mark.slow  # the fit of several starts is a compilation of its own
def test_three_starts_are_fitted_at_once(plain):
    encoded = fitted(settings={"fit.n_seeds": "3"})
    assert encoded.n_steps == 60
    assert encoded.psnr_db > plain.psnr_db - 3  # a better start may still end a little lower


def test_the_snapshot_of_least_error_is_kept(untrained, monkeypatch):
    """Blocks add 1 to all weights; of three snapshots at the last steps the second is best."""

    def block(self, state, xs, *_):
        moved = {name: w + xs.active.any() for name, w in state.params.items()}
        return state._replace(params=moved), np.zeros(len(xs.active))

    monkeypatch.setattr(Loop, "block", block)
    errors = iter([0.5, 0.1, 0.3])
    monkeypatch.setattr(Loop, "validate", lambda *_: next(errors))
    fitting = fitting_of()
    run = fitting.started(1.0)
    freeze_or_correct(fitting, run)
    seen = []
    for _ in range(3):
        fitting.advance(run)
        keep_best(fitting, run)
        seen.append(fitting.numpy_params(run, 0))
    best = landed(fitting, run, 0)
    assert list(best.codes) == list(fitting.shapes)  # the order of the file
    for name, codes in best.codes.items():
        expected = Uniform().codes(seen[1][name], best.levels[name])
        np.testing.assert_array_equal(codes, expected)


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


# ---------------------------------------------------------------- NaN

HOT = {"field.n_layers": "1", "field.hidden": "4", "fit.optimizer.adam_learning_rate": "1e30"}


def test_a_hopeless_rate_ends_in_an_error_that_names_the_step(monkeypatch):
    started = []
    original = Fitting.started

    def counted(self, rate_scale):
        started.append(rate_scale)
        return original(self, rate_scale)

    monkeypatch.setattr(Fitting, "started", counted)
    with pytest.raises(FitError, match=r"at step \d+, "):
        fitted(settings=HOT | {"fit.steps": "20"})
    assert started == [1, 0.5, 0.25, 0.125]


def test_weights_lost_in_the_very_last_step_are_no_success(untrained, monkeypatch):
    """The loss of a step is that of the weights before it: NaN shows only in the validation."""

    def block(self, state, xs, *_):
        lost = {name: w * np.float32(np.nan) for name, w in state.params.items()}
        return state._replace(params=lost), np.zeros(len(xs.active))

    monkeypatch.setattr(Loop, "block", block)
    monkeypatch.setattr(Loop, "validate", lambda *_: np.nan)
    with pytest.raises(FitError, match="step"):
        fitted(settings={"fit.steps": "1"})


def test_a_rate_that_is_bad_only_once_is_halved(plain, monkeypatch):
    rates = []
    original = Fitting.advance

    def advance(self, run):
        rates.append(run.rate_scale)
        if run.rate_scale == 1 and run.step >= 18:
            raise NotANumberError(run.step)
        return original(self, run)

    monkeypatch.setattr(Fitting, "advance", advance)
    encoded = fitted()
    assert rates == [1] * 7 + [0.5] * (len(rates) - 7)  # 18 steps are six blocks
    assert encoded.n_steps == 60
    assert encoded.data != plain.data


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"steps": 0}, "fit.steps=0"),
        ({"batch": 0}, "fit.batch=0"),
        ({"warmup": -0.1}, "fit.warmup=-0.1 is outside 0..1"),
        ({"rounding": float("nan")}, "fit.rounding=nan is outside 0..1"),
        ({"n_seeds": 0}, "fit.n_seeds=0 is outside 1..64"),
        ({"seed_trial": 1.5}, "fit.seed_trial=1.5 is outside 0..1"),
    ],
)
def test_settings_out_of_range_are_refused(change, text):
    with pytest.raises(ValueError, match=text):
        replace(FitSettings(), **change)


@pytest.mark.parametrize("rate", ["nan", "-1", "0", "inf"])
def test_a_rate_that_is_no_rate_is_refused(rate):
    with pytest.raises(ValueError, match="learning_rate"):
        with_settings(recipes.siren(), {"fit.optimizer.learning_rate": rate})


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    "settings",
    [
        {"fit.steps": "1"},
        {"fit.steps": "2"},
        {"fit.rounding": "0"},  # at least one step rounds
        {"fit.rounding": "1"},
        {"fit.warmup": "0"},
        {"fit.warmup": "1"},
        {"fit.warmup": "0", "fit.final_rate": "0"},
        {"fit.batch": "1"},
        {"fit.batch": "1000000"},
    ],
)
def test_settings_at_the_edge_of_their_range_work(settings):
    assert fitted(settings=settings).n_steps == int(settings.get("fit.steps", 60))


def test_the_rate_warms_up_and_decays(untrained):
    fitting = fitting_of({"fit.warmup": "0.5", "fit.final_rate": "0.1"})
    run = fitting.started(1.0)
    rates = []
    while run.progress < 1:
        xs, end = fitting.next_block(run, 1.0)
        n_active = int(xs.active.sum())
        rates += np.asarray(xs.rate)[:n_active].tolist()
        run.step, run.progress = run.step + n_active, end
    assert len(rates) == 60
    assert rates[0] == pytest.approx(1 / 60, rel=1e-3)  # half a step into 30 steps of warm-up
    assert rates[29] == pytest.approx(59 / 60, rel=1e-3)
    assert rates[59] == pytest.approx(0.1, abs=0.01)
    assert np.all(np.diff(rates[:30]) > 0)
    assert np.all(np.diff(rates[30:]) < 0)


# ---------------------------------------------------------------- seeds


def test_seeds_that_agree_in_some_bits_have_noise_of_their_own():
    # Once the noise of a step was seeded by step + 2**24 * seed, modulo 2**32.
    keys = set()
    for seed in (0, 1, 256, 512, 1 << 24, (1 << 32) - 1):
        for start in (0, 1):
            for step in (0, 7):
                for purpose in (FOR_NOISE, FOR_MASKS):
                    key = step_key(fit_key(seed, start), np.uint32(step), purpose)
                    keys.add(tuple(np.asarray(jax.random.key_data(key)).tolist()))
    assert len(keys) == 6 * 2 * 2 * 2


@pytest.mark.usefixtures("untrained")
def test_each_of_several_starts_has_a_key_of_its_own():
    fitting = fitting_of({"fit.n_seeds": "3"})
    states = [
        fitting.loop.start(np.random.default_rng(0), fitting.jobs[0].sparsifier, fit_key(0, i))
        for i in range(3)
    ]
    assert len({tuple(np.asarray(state.key).tolist()) for state in states}) == 3
