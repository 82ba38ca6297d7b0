"""settings.py: numbers out of range are refused."""

from dataclasses import replace

import pytest

from inr import recipes
from inr.mlp.fit.settings import FitSettings
from inr.settings import with_settings


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"steps": -1}, "fit.steps=-1: expected 0 or more"),
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
