"""settings.py: `--set PATH=VALUE`."""

import pytest

from inr import recipes
from inr.settings import paths, with_settings


def test_values_take_the_type_of_their_field():
    recipe = with_settings(
        recipes.siren(),
        {
            "fit.steps": "500",
            "fit.warmup": "0",
            "quantize.bits": "6",
            "field.first_omega_0": "2e1",
            "fixed_size": "True",
            "target_bpp": "0.5",
        },
    )
    assert (recipe.fit.steps, type(recipe.fit.steps)) == (500, int)
    assert (recipe.fit.warmup, type(recipe.fit.warmup)) == (0.0, float)
    assert (recipe.quantize.bits, recipe.field.first_omega_0) == (6.0, 20.0)
    assert recipe.fixed_size is True
    assert recipe.target_bpp == 0.5
    assert recipe.name == "siren"


def test_nothing_else_changes():
    assert with_settings(recipes.siren(), {}) == recipes.siren()
    changed = with_settings(recipes.siren(), {"fit.steps": "500"})
    assert with_settings(changed, {"fit.steps": str(recipes.siren().fit.steps)}) == recipes.siren()


@pytest.mark.parametrize(("text", "value"), [("none", None), ("None", None), ("64", 64)])
def test_int_or_none(text, value):
    assert with_settings(recipes.siren(), {"fit.batch": text}).fit.batch == value


def test_a_path_of_three_names():
    recipe = with_settings(recipes.siren_zstd(), {"fit.optimizer.learning_rate": "1e-4"})
    assert recipe.fit.optimizer.learning_rate == 1e-4


def test_settings_apply_in_order():
    recipe = with_settings(recipes.siren(), {"field.hidden": "20", "fixed_size": "false"})
    assert recipe.field.hidden == 20
    assert not recipe.fixed_size


def test_naming_the_width_fixes_the_size():
    assert not recipes.siren().fixed_size
    assert with_settings(recipes.siren(), {"field.hidden": "20"}).fixed_size
    assert not with_settings(recipes.siren(), {"field.n_layers": "2"}).fixed_size


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("fit.step", r"unknown setting fit\.step: FitSettings has steps, batch, optimizer\.\*, "),
        ("steps", r"unknown setting steps: Recipe has field\.\*, fit\.\*, quantize\.\*, "),
        ("field.sigma", "unknown setting field.sigma: Siren has hidden, n_layers, first_omega_0"),
        ("fit.optimizer.rate", "Muon has learning_rate, adam_learning_rate"),
        ("coder.level", "unknown setting coder.level: RangeCoder has none"),
        ("fit", "unknown setting fit: Recipe has"),
        ("fit.steps.more", "unknown setting fit.steps.more: FitSettings has"),
        ("fit.", r"unknown setting fit\.: FitSettings has"),
        ("", "unknown setting : Recipe has"),
        ("name", "unknown setting name: Recipe has"),
        ("__class__", "unknown setting __class__: Recipe has"),
    ],
)
def test_unknown_paths_list_the_known_ones(path, message):
    with pytest.raises(ValueError, match=message):
        with_settings(recipes.siren(), {path: "1"})


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("fit.steps", "5.5", "fit.steps=5.5: expected a whole number"),
        ("fit.steps", "", "fit.steps=: expected a whole number"),
        ("fit.batch", "many", "fit.batch=many: expected a whole number"),
        ("quantize.bits", "six", "quantize.bits=six: expected a number"),
        ("fixed_size", "1", "fixed_size=1: expected true or false"),
        ("fit.steps", "none", "fit.steps=none: expected a whole number"),
        ("quantize.bits", "17", r"quantize.bits=17.0 is outside 2\.\.16"),
        ("fit.steps", "0", "fit.steps=0"),
        ("fit.warmup", "nan", "fit.warmup=nan"),
    ],
)
def test_values_that_do_not_fit(path, text, message):
    with pytest.raises(ValueError, match=message):
        with_settings(recipes.siren(), {path: text})


@pytest.mark.parametrize("make", recipes.RECIPES.values(), ids=recipes.RECIPES)
def test_every_listed_path_can_be_set_to_its_own_value(make):
    listed = dict(path.split("=", 1) for path in paths(make()))
    assert "fit.steps" in listed
    assert "field.hidden" in listed
    assert "name" not in listed
    for path, value in listed.items():
        if path != "field.hidden":
            assert with_settings(make(), {path: value}) == make()


def test_recipes_are_found_by_name():
    for name in recipes.RECIPES:
        assert recipes.named(name).name == name
    with pytest.raises(ValueError, match="unknown recipe 'sirens'; there are siren, "):
        recipes.named("sirens")
