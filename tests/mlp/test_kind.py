"""kind.py of mlp: what an encoding takes, counted by hand."""

import numpy as np
import pytest

from inr import recipes
from inr.image.picture import Picture
from inr.mlp.kind import MLP
from inr.options import EncodeOptions, Job, Target
from inr.settings import with_settings


def work(height=12, width=16, **changes):
    named = {"field.hidden": "4", "field.n_layers": "1", "fit.steps": "5"} | changes
    picture = Picture(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
    return MLP.work(Job(picture, with_settings(recipes.siren(), named)))


def test_the_work_of_a_hand_counted_network():
    # 2*4 + 4 + 4*3 + 3 = 27 weights, 12 * 16 = 192 pixels, 5 steps, 6 operations each
    assert work() == 6 * 27 * 192 * 5
    assert work(**{"fit.batch": "100"}) == 6 * 27 * 100 * 5
    assert work(128, 128) == 6 * 27 * 4096 * 5
    starts = {"fit.n_seeds": "3", "fit.seed_trial": "0.1"}
    assert work(**starts) == pytest.approx(1.2 * 6 * 27 * 192 * 5)


def test_a_target_that_cannot_be_met_is_no_work():
    picture = Picture(np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8))
    options = EncodeOptions(target=Target(n_bytes=3))
    assert MLP.work(Job(picture, recipes.siren(), options)) == 0
