"""Checkpoints and time budgets: a killed fit goes on, a short one ends in time."""

import time

import numpy as np
import pytest
from helpers.tiny_fits import BLOCK, Killed, fitted, job_of, kill_after, smooth, tiny

from inr.codec import encode_picture
from inr.errors import UsageError
from inr.fitting.time_budget import TimeBudget
from inr.image.read import from_array
from inr.mlp.fit.fit import fit
from inr.mlp.fit.problem import NotANumberError
from inr.mlp.fit.program import Fitting
from inr.mlp.fit.step import Loop
from inr.options import EncodeOptions


@pytest.fixture
def saved_often(monkeypatch):
    monkeypatch.setattr("inr.fitting.checkpoint.SECONDS_BETWEEN_SAVES", -1.0)  # after every block


@pytest.mark.parametrize("n_blocks", [1, 7, 16, 18])  # rounding begins after 16
@pytest.mark.usefixtures("saved_often")
def test_a_killed_fit_ends_with_the_same_bytes(tmp_path, plain, n_blocks):
    checkpoint = tmp_path / "fit.npz"
    with pytest.raises(Killed):
        fitted(checkpoint=checkpoint, report=kill_after(n_blocks))
    assert checkpoint.exists()
    told = []
    resumed = fitted(checkpoint=checkpoint, report=told.append)
    assert resumed.data == plain.data
    assert resumed.n_steps == plain.n_steps
    assert told[0].step == BLOCK * (n_blocks + 1)  # it went on, it did not begin again
    assert [path.name for path in tmp_path.iterdir()] == ["fit.npz"]


@pytest.mark.usefixtures("saved_often")
def test_a_fit_killed_after_its_last_step_ends_with_the_same_bytes(tmp_path, plain):
    # The best snapshot then comes out of the checkpoint: its tensors must keep the file's order.
    checkpoint = tmp_path / "fit.npz"
    assert fitted(checkpoint=checkpoint).data == plain.data
    assert fitted(checkpoint=checkpoint).data == plain.data


@pytest.mark.usefixtures("saved_often")
def test_several_seeds_go_on_from_a_checkpoint(tmp_path, untrained, monkeypatch):
    def block_of_seeds(self, states, xs, *_):
        return states, np.tile([[0.3], [0.1], [0.2]], len(xs.active))

    monkeypatch.setattr(Loop, "block_of_seeds", block_of_seeds)
    seeds, checkpoint = {"fit.n_seeds": "3"}, tmp_path / "fit.npz"
    with pytest.raises(Killed):
        fitted(settings=seeds, checkpoint=checkpoint, report=kill_after(1))
    assert fitted(settings=seeds, checkpoint=checkpoint).data == fitted(settings=seeds).data


@pytest.mark.usefixtures("saved_often", "untrained")
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


@pytest.mark.usefixtures("saved_often", "untrained")
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


@pytest.mark.usefixtures("untrained")
def test_a_time_budget_shortens_the_fit():
    many = {"fit.steps": "2000000", "fit.rounding": str(12 / 2_000_000)}  # blocks of 3 steps
    fitted = fit(job_of(many), tiny(many).fit, time_budget=TimeBudget(4.0))
    assert 18 <= fitted.n_steps < 2_000_000


@pytest.mark.usefixtures("untrained")
def test_a_time_budget_that_cannot_be_kept_is_refused_before_the_fit():
    told = []
    with pytest.raises(UsageError, match=r"a time budget of 0\.001 s is too short: .* about \d+ s"):
        fitted(time_budget=0.001, report=told.append)
    assert told == []


def test_the_budget_counts_from_where_the_caller_says(untrained):
    started_at = time.monotonic() - 1000
    with pytest.raises(UsageError, match="a time budget of 999 s is too short"):
        encode_picture(
            from_array(smooth()), tiny(), EncodeOptions(time_budget=999.0), started_at=started_at
        )


def test_the_trial_of_several_starts_keeps_to_the_time_budget(untrained, monkeypatch):
    blocks = []

    def block_of_seeds(self, states, xs, *_):
        time.sleep(0.02)
        blocks.append(xs)
        return states, np.zeros((3, len(xs.active)))

    monkeypatch.setattr(Loop, "block_of_seeds", block_of_seeds)
    many = {"fit.steps": "20000", "fit.rounding": str(12 / 20_000), "fit.n_seeds": "3"}
    fitted(settings=many, time_budget=10.0)
    assert 1 <= len(blocks) <= 150  # 3 s, of 667 blocks: 2000 of 20000 steps, 3 each


def test_a_time_budget_that_suffices_changes_nothing(plain):
    assert fitted(time_budget=3600.0).data == plain.data


@pytest.mark.usefixtures("saved_often")
def test_a_fit_killed_in_a_retry_ends_with_the_same_bytes(tmp_path, untrained, monkeypatch):
    original = Fitting.advance

    def advance(self, run):
        if run.rate_scale == 1 and run.step >= 18:
            raise NotANumberError(run.step)
        return original(self, run)

    monkeypatch.setattr(Fitting, "advance", advance)
    checkpoint = tmp_path / "fit.npz"
    with pytest.raises(Killed):
        fitted(checkpoint=checkpoint, report=kill_after(8))  # six blocks at 1, two at 1/2
    told = []
    assert fitted(checkpoint=checkpoint, report=told.append).data == fitted().data
    steps = [each.step for each in told]
    assert steps[0] == 3 * BLOCK  # the third block of the second try comes next
    assert steps == sorted(steps)  # and the first try is not made again
