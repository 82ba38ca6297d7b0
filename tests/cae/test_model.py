"""model.py: fields as JSON, lambdas and their positions, and what is refused."""

import json
import math

import pytest
from helpers.cae_models import PLAIN, RESIDUAL, SLIM, TINY
from hypothesis import given
from hypothesis import strategies as st

from inr.cae.entropy_models import Factorized, Hyperprior
from inr.cae.model import Model, model_from_json, model_to_json
from inr.cae.transforms import Balle2017, Residual

MODELS = {
    "plain": PLAIN,
    "tiny": TINY,
    "slim": SLIM,
    "residual": RESIDUAL,
    "scales only": Model(TINY.transform, Hyperprior(4, has_mean=False)),
}


@pytest.mark.parametrize("name", MODELS)
def test_json_gives_the_model_back(name):
    text = json.dumps(model_to_json(MODELS[name]))
    assert model_from_json(json.loads(text)) == MODELS[name]


@given(st.floats(-1, 1))
def test_lambda_and_position_are_inverse(position):
    model = Model(lambda_low=1e-4, lambda_high=1e-2)
    assert model.position(model.lambda_at(position)) == pytest.approx(position, abs=1e-9)


def test_positions_worked_by_hand():
    model = Model(lambda_low=1e-4, lambda_high=1e-2)
    assert [model.position(each) for each in (1e-4, 1e-3, 1e-2)] == pytest.approx([-1, 0, 1])
    assert model.lambda_at(0.5) == pytest.approx(10**-2.5)
    assert PLAIN.position(1e-3) == 0
    assert PLAIN.lambda_at(0.0) == pytest.approx(1e-3)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (2e-3, 1e-3), (1, 1e3), (math.nan, 1)])
def test_lambdas_out_of_order_are_refused(low, high):
    with pytest.raises(ValueError, match="expected 0 < lambda_low <= lambda_high"):
        Model(lambda_low=low, lambda_high=high)


@pytest.mark.parametrize(
    ("transform", "widths"),
    [
        (Residual(4, 4), (2, 4)),
        (Balle2017(4, 4), (4, 2)),
        (Balle2017(4, 4), (2, 3)),
        (Balle2017(4, 4), (2, 2, 4)),
        (Balle2017(4, 6), (2, 4)),
    ],
)
def test_widths_that_do_not_fit_are_refused(transform, widths):
    with pytest.raises(ValueError, match=r"expected rising widths that end with transform\.hidden"):
        Model(transform, Factorized(), widths=widths)
