"""request.py: what is asked for, and how a run is called."""

import pytest
from helpers.sweep_runs import request_of

from inr.studies.sweep.request import parse_vary


def test_values_of_a_path():
    assert parse_vary(["quantize.bits=4,6", " sparsify.sparsity = 0, 0.5 "]) == {
        "quantize.bits": ("4", "6"),
        "sparsify.sparsity": ("0", "0.5"),
    }
    assert parse_vary([]) == {}


@pytest.mark.parametrize(
    "text", ["", "quantize.bits", "quantize.bits=", "=4", "quantize.bits=4,,6", "quantize.bits=4,"]
)
def test_values_that_are_no_list(text):
    with pytest.raises(ValueError, match=r"expected PATH=V1,V2,\.\.\., as in quantize\.bits=4"):
        parse_vary([text])


def test_a_path_varied_twice():
    with pytest.raises(ValueError, match=r"--vary fit\.steps is given twice"):
        parse_vary(["fit.steps=1", "fit.steps=2"])


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"seeds": ()}, "a sweep without seeds has no runs"),
        ({"names": ()}, "a sweep without recipes has no runs"),
        ({"pictures": ()}, "a sweep without pictures has no runs"),
        ({"varied": {"fit.steps": ("5",)}}, r"fit\.steps is both set and varied"),
        ({"varied": {"seed": ("1", "2")}}, "--seed 0 --seed 1"),
    ],
)
def test_refused(asked, text):
    with pytest.raises(ValueError, match=text):
        request_of(**asked)


def test_a_run_is_called_by_what_differs(make_run):
    run = make_run("r" * 40 + "c" * 24, varied=(("fit.steps", "9"), ("quantize", "kmeans")), seed=3)
    assert run.label == "a.png siren fit.steps=9 quantize=kmeans seed 3"
    assert (run.entry.key, run.entry.request) == (run.config_hash, "r" * 40)
    assert (run.entry.picture, run.entry.method) == ("a.png", "siren")
    assert run.entry.setting == "fit.steps=9 quantize=kmeans seed 3"
    assert "seed=3" in run.entry.config
