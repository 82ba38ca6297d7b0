"""kind.py of grid: what an encoding takes, counted by hand."""

import numpy as np
import pytest

from inr import recipes
from inr.grid.kind import GRID
from inr.image.picture import Picture
from inr.options import Job
from inr.settings import with_settings


def test_the_work_of_a_hand_counted_grid():
    settings = {"structure.hidden": "2", "structure.n_taps": "1", "structure.n_features": "1"}
    settings |= {"fit.steps": "5", "fit.n_starts": "3", "fit.trial": "0.1"}
    recipe = with_settings(recipes.grid(), settings)
    # One level of 8 x 10. Context: 2*2 + 2*2 + 2*2 + 2*2 + 2 + 2 + 2 numbers; synthesis of grey:
    # 2*1 + 2 + 1*2 + 1*1 + 1, and two convolutions of 9 + 1
    grey = Picture(np.random.default_rng(0).integers(0, 256, (8, 10, 1), np.uint8))
    products = 80 * 22 + 80 * (8 + 20)
    n_steps = 5 * (1.2 + 0.14) + 80  # with the search for codes of the networks
    assert GRID.work(Job(grey, recipe)) == pytest.approx(6 * products * n_steps * 6)
