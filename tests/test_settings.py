"""settings.py: `--set PATH=VALUE`."""

import itertools
from dataclasses import replace

import pytest
from contracts.methods import CODERS, FIELDS, QUANTIZERS, SPARSIFIERS, SPLITS

from inr import recipes
from inr.kinds import kind_of
from inr.mlp.fields.feathermap import FeathermapSiren
from inr.mlp.fields.siren import Siren
from inr.mlp.fit.optimizers import Adam
from inr.mlp.quantize.kmeans import KMeans
from inr.mlp.recipe import STAGES
from inr.mlp.sparsify.rigl import RigL
from inr.mlp.splits.wavelet import Wavelet
from inr.settings import paths, with_settings


def test_values_take_the_type_of_their_field():
    recipe = with_settings(
        recipes.siren(),
        {
            "fit.steps": "500",
            "fit.warmup": "0",
            "quantize.bits": "6",
            "field.first_omega_0": "2e1",
            "fit.rate_term": "False",
            "target_bpp": "0.5",
        },
    )
    assert (recipe.fit.steps, type(recipe.fit.steps)) == (500, int)
    assert (recipe.fit.warmup, type(recipe.fit.warmup)) == (0.0, float)
    assert (recipe.quantize.bits, recipe.field.first_omega_0) == (6.0, 20.0)
    assert recipe.fit.rate_term is False
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


def test_a_path_named_like_a_word_of_python():
    recipe = with_settings(recipes.grid(), {"lambda": "0.25", "structure.hidden": "7"})
    assert recipe.lambda_ == 0.25
    assert recipe.structure.hidden == 7
    assert "lambda=0.001" in paths(recipes.grid())


def test_settings_apply_in_order():
    recipe = with_settings(recipes.siren(), {"field.hidden": "20", "field.n_layers": "2"})
    assert with_settings(recipe, {"field.hidden": "30"}).field == Siren(30, 2)
    assert with_settings(recipe, {"field.hidden": "none"}).field == Siren(None, 2)


# ---------------------------------------------------------------- whole stages


def test_a_stage_is_exchanged_by_the_name_of_its_method():
    recipe = with_settings(recipes.siren(), {"quantize": "kmeans", "split": "Wavelet"})
    assert recipe == replace(recipes.siren(), quantize=KMeans(), split=Wavelet())
    recipe = with_settings(recipes.siren(), {"fit.optimizer": "adam"})
    assert recipe.fit == replace(recipes.siren().fit, optimizer=Adam())


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_settings_below_a_stage_count_from_the_new_method_in_any_order(order):
    settings = [
        ("sparsify", "rigl"),
        ("sparsify.sparsity", "0.5"),
        ("quantize", "kmeans"),
        ("quantize.bits", "4"),
    ]
    recipe = with_settings(recipes.siren_pruned(), dict(settings[i] for i in order))
    assert recipe.sparsify == RigL(sparsity=0.5)  # the other fields are RigL's own
    assert recipe.quantize == KMeans(bits=4)


@pytest.mark.parametrize("stage", STAGES)
def test_every_method_can_be_named(stage):
    for method in STAGES[stage]:
        changed = with_settings(recipes.siren(), {stage: method.__name__.lower()})
        node = changed
        for name in stage.split("."):
            node = vars(node)[name]
        assert node == method()
        assert paths(changed)  # all its fields are of kinds that can be set


def test_every_method_of_the_contract_tests_can_be_named():
    only_read = {FeathermapSiren}  # made by the sparsifier
    listed = {"field": FIELDS, "quantize": QUANTIZERS, "coder": CODERS, "split": SPLITS}
    for stage, instances in (listed | {"sparsify": SPARSIFIERS}).items():
        assert {type(one) for one in instances} - only_read == set(STAGES[stage])


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("quantize", "kmean", "quantize=kmean: expected one of uniform, kmeans, distribution, flo"),
        ("sparsify", "", "sparsify=: expected one of dense, rigl, snfs, set, magnitude, small"),
        ("coder", "zip", "coder=zip: expected one of rangecoder, huffman, zstd, deflate, lzma"),
        ("field", "mlp", "field=mlp: expected one of siren, fourier"),
        ("split", "none", "split=none: expected one of whole, wavelet"),
        ("fit.optimizer", "sgd", "fit.optimizer=sgd: expected one of muon, adam"),
    ],
)
def test_unknown_methods_list_the_known_ones(path, text, message):
    with pytest.raises(ValueError, match=message):
        with_settings(recipes.siren(), {path: text})


def test_an_unknown_name_below_a_new_method_lists_what_that_has():
    with pytest.raises(
        ValueError, match=r"sparsify\.drop: Magnitude has sparsity, per_layer, n_upd"
    ):
        with_settings(recipes.siren(), {"sparsify.drop": "0.1", "sparsify": "magnitude"})
    with pytest.raises(ValueError, match=r"setting sparsify\.sparsity: Dense has none"):
        with_settings(recipes.siren(), {"sparsify.sparsity": "0.5"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sparsify": "rigl", "sparsify.sparsity": "1"}, "sparsify.sparsity=1.0: expected at lea"),
        ({"quantize": "kmeans", "quantize.bits": "13"}, "quantize.bits=13 is not a whole number"),
        ({"split": "wavelet", "split.levels": "9"}, r"levels=9 is outside 1\.\.8"),
        ({"split": "wavelet", "split.wavelet": "db"}, "wavelet='db' is none of the .* known"),
        ({"fit.rate_lambda": "0"}, "fit.rate_lambda=0.0: expected a number above 0"),
    ],
)
def test_values_that_a_method_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        with_settings(recipes.siren(), settings)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("fit.step", r"unknown setting fit\.step: FitSettings has steps, batch, optimizer\.\*, "),
        ("steps", r"unknown setting steps: MlpRecipe has field\.\*, fit\.\*, sparsify\.\*, quan"),
        ("field.sigma", "unknown setting field.sigma: Siren has hidden, n_layers, first_omega_0"),
        ("fit.optimizer.rate", "Muon has learning_rate, adam_learning_rate"),
        ("coder.level", "unknown setting coder.level: RangeCoder has none"),
        ("fit", "unknown setting fit: MlpRecipe has"),
        ("fit.steps.more", "unknown setting fit.steps.more: FitSettings has"),
        ("fit.", r"unknown setting fit\.: FitSettings has"),
        ("", "unknown setting : MlpRecipe has"),
        ("name", "unknown setting name: MlpRecipe has"),
        ("__class__", "unknown setting __class__: MlpRecipe has"),
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
        ("fit.rate_term", "1", "fit.rate_term=1: expected true or false"),
        ("fit.steps", "none", "fit.steps=none: expected a whole number"),
        ("quantize.bits", "17", r"quantize.bits=17.0 is outside 2\.\.16"),
        ("fit.steps", "-1", "fit.steps=-1: expected 0 or more"),
        ("fit.warmup", "nan", "fit.warmup=nan"),
    ],
)
def test_values_that_do_not_fit(path, text, message):
    with pytest.raises(ValueError, match=message):
        with_settings(recipes.siren(), {path: text})


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("lambda", "0", r"lambda=0\.0: expected a number above 0, such as 0\.001"),
        ("lambda", "nan", "lambda=nan: expected a number above 0"),
        ("lambda", "low", "lambda=low: expected a number"),
        ("lambda_", "1", r"unknown setting lambda_: GridRecipe has structure\.\*, fit\.\*, lambda"),
        ("field", "siren", "unknown setting field: GridRecipe has"),
        ("fit.optimizer", "adam", "unknown setting fit.optimizer: GridFit has steps"),
        ("field.hidden", "8", "unknown setting field.hidden: GridRecipe has"),
        ("structure.hidden", "0", r"structure\.hidden=0 is outside 1\.\.256"),
        ("structure.n_taps", "21", r"structure\.n_taps=21 is outside 1\.\.20"),
        ("fit.steps", "-1", "fit.steps=-1: expected a number of steps from 0"),
    ],
)
def test_values_that_a_recipe_of_kind_grid_refuses(path, text, message):
    with pytest.raises(ValueError, match=message):
        with_settings(recipes.grid(), {path: text})


@pytest.mark.parametrize("make", recipes.all_recipes().values(), ids=recipes.all_recipes())
def test_every_listed_path_can_be_set_to_its_own_value(make):
    listed = dict(path.split("=", 1) for path in paths(make()))
    own = {"mlp": "field.hidden", "grid": "structure.hidden", "cae": "model"}
    assert own[kind_of(make()).name] in listed
    assert ("fit.steps" in listed) == (kind_of(make()).name != "cae")  # nothing is fitted
    assert "name" not in listed
    for path, value in listed.items():
        if path != "field.hidden":
            assert with_settings(make(), {path: value}) == make()


def test_recipes_are_found_by_name():
    for name in recipes.all_recipes():
        assert recipes.named(name).name == name
    with pytest.raises(ValueError, match="unknown recipe 'sirens'; there are siren, "):
        recipes.named("sirens")
