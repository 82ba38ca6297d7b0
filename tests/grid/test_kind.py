"""kind.py of grid: what an encoding takes, counted by hand."""

import numpy as np
import pytest

from inr import recipes
from inr.errors import UsageError
from inr.grid.kind import GRID
from inr.image.picture import Picture
from inr.options import Job
from inr.settings import with_settings


def test_the_work_of_a_hand_counted_grid():
    settings = {"structure.hidden": "2", "structure.n_taps": "1", "structure.n_features": "1"}
    settings |= {"fit.steps": "5", "fit.n_starts": "3", "fit.trial": "0.1"}
    recipe = with_settings(recipes.grid(), settings)
    # Levels of 1 x 1, 1 x 1, 1 x 2, 2 x 3, 4 x 5 and 8 x 10. Four context networks, each of 2*2 +
    # 2*2 + 2*2 + 2*2 + 2 + 2 + 2 numbers, and features of 1..5 levels. Synthesis of grey: 5 kernels
    # of 4, 2*6 + 2 + 1*2 + 1*6 + 1, and two convolutions of 9 + 1
    grey = Picture(np.random.default_rng(0).integers(0, 256, (8, 10, 1), np.uint8))
    products = 110 * ((4 * 22 + 15) // 4) + 80 * (20 + 23 + 20)
    n_steps = 5 * (1.2 + 0.14) + 80  # with the search for codes of the networks
    assert GRID.work(Job(grey, recipe)) == pytest.approx(6 * products * n_steps * 6)


def test_older_structures_have_no_work():
    """They are read, and no longer made."""
    for prior in ("0", "1"):
        with pytest.raises(UsageError, match="no longer made"):
            with_settings(recipes.grid(), {"structure.prior": prior})


def test_no_two_pictures_are_one_batch():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)
    assert GRID.batch_key(Job(Picture(pixels), recipes.grid())) is None
