"""plan.py: which runs a sweep has, and what is refused before the first."""

import dataclasses
import itertools
import os
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.paths import PICTURES
from helpers.sweep_runs import OTHER_CODE, other_code
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inr import recipes
from inr.errors import ImageError, UsageError
from inr.image.picture import Picture
from inr.options import EncodeOptions, Target
from inr.studies.sweep.plan import Request, hash_of_picture, hash_of_run, parse_vary, plan

SMALL = {"field.hidden": "4", "field.n_layers": "1", "fit.steps": "5"}


def planned(pictures=("a.png",), names=("siren",), varied=None, settings=SMALL, seeds=(0,), **rest):
    paths = tuple(Path(picture) for picture in pictures)
    request = Request(paths, names, varied or {}, settings, seeds)
    return plan(request, same_shape=rest.get("same_shape", False), warn=pytest.fail)


@pytest.mark.usefixtures("folder")
def test_pictures_then_recipes_then_values_then_seeds():
    runs = planned(
        ("a.png", "b.png"),
        ("siren", "siren_zstd"),
        {"quantize.bits": ("4", "6"), "fit.rounding": ("0.1", "0.2")},
        seeds=(3, 1),
    )
    assert len(runs) == 2 * 2 * 2 * 2 * 2
    assert [run.label for run in runs[:5]] == [
        "a.png siren quantize.bits=4 fit.rounding=0.1 seed 3",
        "a.png siren quantize.bits=4 fit.rounding=0.1 seed 1",
        "a.png siren quantize.bits=4 fit.rounding=0.2 seed 3",
        "a.png siren quantize.bits=4 fit.rounding=0.2 seed 1",
        "a.png siren quantize.bits=6 fit.rounding=0.1 seed 3",
    ]
    assert runs[8].label == "a.png siren_zstd quantize.bits=4 fit.rounding=0.1 seed 3"
    assert runs[16].label == "b.png siren quantize.bits=4 fit.rounding=0.1 seed 3"


@pytest.mark.usefixtures("folder")
def test_settings_and_values_reach_the_recipe():
    (run,) = planned(varied={"quantize.bits": ("6",)}, seeds=(7,))
    assert (run.recipe.field.hidden, run.recipe.fit.steps, run.recipe.quantize.bits) == (4, 5, 6.0)
    assert run.options == EncodeOptions(seed=7)
    assert run.varied == (("quantize.bits", "6"),)


@pytest.mark.usefixtures("folder")
def test_targets_reach_the_wish():
    set_one, varied_one = planned(
        varied={"target_bytes": ("200", "300")}, settings={"fit.steps": "5"}
    )
    assert (set_one.options, varied_one.options) == (
        EncodeOptions(target=Target(n_bytes=200)),
        EncodeOptions(target=Target(n_bytes=300)),
    )
    (run,) = planned(settings={"target_bpp": "2.5"})
    assert run.options == EncodeOptions(target=Target(bpp=2.5))
    assert run.recipe.target_bpp == recipes.siren().target_bpp
    (run,) = planned(settings={"target_psnr": "30"})
    assert run.options == EncodeOptions(target=Target(psnr_db=30))


def test_values_of_a_path():
    texts = ["quantize.bits=4,6", " sparsify.sparsity = 0, 0.5 "]
    assert parse_vary(texts) == {
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


@given(
    st.lists(st.sampled_from(["4", "5", "6"]), min_size=1, unique=True),
    st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True),
)
def test_every_combination_once(bits, seeds):
    path = PICTURES / "kodim15.png"
    request = Request((path,), ("siren",), {"quantize.bits": tuple(bits)}, SMALL, tuple(seeds))
    with pytest.MonkeyPatch.context() as patch:  # the picture's size does not matter here
        tiny = Picture(np.arange(12, dtype=np.uint8).reshape(2, 2, 3))
        patch.setattr("inr.image.read.load", lambda *_, **__: tiny)
        runs = plan(request, same_shape=False, warn=pytest.fail)
    found = [(run.varied[0][1], run.options.seed) for run in runs]
    assert found == list(itertools.product(bits, seeds))
    assert len({run.config_hash for run in runs}) == len(runs)


# ---------------------------------------------------------------- hashes


def test_the_hash_is_of_all_that_decides_the_bytes():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    pictures = [
        Picture(pixels),
        Picture(pixels.reshape(4, 2, 3)),
        Picture(pixels.reshape(2, 12, 1)),
        Picture(pixels.reshape(-1).view(np.uint16).reshape(2, 2, 3)),
        Picture(pixels + np.uint8(1)),
        Picture(pixels, b"profile"),
    ]
    hashes = {hash_of_picture(picture) for picture in pictures}
    assert len(hashes) == len(pictures)
    assert hash_of_picture(Picture(pixels.copy())) == hash_of_picture(pictures[0])

    configs = [
        (recipes.siren(), EncodeOptions()),
        (recipes.siren_zstd(), EncodeOptions()),
        (recipes.siren(), EncodeOptions(seed=1)),
        (recipes.siren(), EncodeOptions(target=Target(n_bytes=500))),
    ]
    assert len({hash_of_run(pixels_hash, *c) for pixels_hash in hashes for c in configs}) == 24


def test_the_hash_is_of_the_weights_that_a_recipe_names(tmp_path):
    weights = tmp_path / "model.npz"
    recipe = dataclasses.replace(recipes.cae(), model=str(weights))
    hashes = []
    for content in (b"one", b"another", b"one"):
        weights.write_bytes(content)
        hashes.append(hash_of_run("", recipe, EncodeOptions()))
    assert hashes[0] == hashes[2] != hashes[1]
    weights.unlink()
    with pytest.raises(ValueError, match="give the path of an"):
        hash_of_run("", recipe, EncodeOptions())
    assert hash_of_run("", recipes.cae(), EncodeOptions()) not in hashes


@pytest.mark.usefixtures("folder")
def test_the_hash_does_not_know_names_of_files():
    Path("a.png").rename("renamed.png")
    Image.open("renamed.png").save("same.bmp")  # the same pixels in another format
    assert planned(("renamed.png",))[0].config_hash == planned(("same.bmp",))[0].config_hash


@pytest.mark.usefixtures("folder")
def test_pictures_of_one_name_are_told_apart_by_their_folders():
    Path("other").mkdir()
    Path("b.png").rename("other/a.png")
    assert [run.picture for run in planned(("a.png", "other/a.png"))] == ["a.png", "other/a.png"]


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["caf\udce9.png"], ["caf\\xe9.png"]),
        (["caf\udce9.png", "caf\\xe9.png"], ["caf\\xe9.png", "caf\\\\xe9.png"]),
        (["two\nlines.png", "tab\t.png"], ["two\\nlines.png", "tab\\t.png"]),
        (["Ba$$in.png", "画像.png"], ["Ba$$in.png", "画像.png"]),
    ],
)
@pytest.mark.usefixtures("folder")
def test_names_are_printable_and_stay_different(names, shown):
    for name, source in zip(names, ("a.png", "b.png"), strict=False):
        try:
            Path(source).rename(name)
        except (OSError, UnicodeError) as error:
            pytest.skip(f"this file system has no such names ({error})")
    runs = planned(names)
    assert [run.picture for run in runs] == shown
    assert [run.label for run in runs] == [f"{name} siren seed 0" for name in shown]
    assert [str(run.path) for run in runs] == names


@pytest.mark.usefixtures("folder")
def test_values_are_printable_too():
    Path("own\n.npz").write_bytes(b"weights")
    runs = planned(names=("cae",), varied={"model": ("own\n.npz", "hyperprior")}, settings={})
    assert [run.varied for run in runs] == [(("model", "own\\n.npz"),), (("model", "hyperprior"),)]
    assert [run.recipe.model for run in runs] == ["own\n.npz", "hyperprior"]


# ---------------------------------------------------------------- hashes and code


@pytest.mark.usefixtures("folder")
def test_a_hash_is_of_what_is_asked_and_then_of_the_code(monkeypatch):
    (run,) = planned()
    other_code(monkeypatch)
    (other,) = planned()
    assert run.config_hash != other.config_hash
    assert other.config_hash == run.request_hash + OTHER_CODE
    assert other.request_hash == run.request_hash
    assert planned(seeds=(1,))[0].request_hash != run.request_hash


# ---------------------------------------------------------------- refused


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.usefixtures("folder")
def test_what_can_be_read_once_is_refused_at_once():
    os.mkfifo("pipe.png")
    with pytest.raises(
        UsageError, match=r"pipe\.png is not an ordinary file, .* copy it to a file"
    ):
        planned(("pipe.png",))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"seeds": (1, 1)}, "two runs are the same: a.png siren seed 1, and a.png siren seed 1"),
        (
            {"varied": {"quantize.bits": ("6", "6.0")}},
            r"same: a.png siren quantize\.bits=6 seed 0, and a.png siren quantize\.bits=6\.0 seed",
        ),
        ({"pictures": ("a.png", "./a.png")}, "two runs are the same: a.png siren"),
        ({"names": ("siren", "siren")}, "two runs are the same"),
        ({"seeds": ()}, "a sweep without seeds has no runs"),
        ({"names": ()}, "a sweep without recipes has no runs"),
        ({"varied": {"fit.steps": ("5",)}}, r"fit\.steps is both set and varied"),
        ({"varied": {"seed": ("1", "2")}}, "--seed 0 --seed 1"),
        ({"seeds": (-1,)}, "seed=-1 is outside"),
        ({"pictures": ("missing.png",)}, "missing.png"),
    ],
)
def test_refused(request_, text):
    with pytest.raises(ValueError, match=text):
        planned(**request_)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"names": ("nothing",)}, "unknown recipe 'nothing'"),
        ({"varied": {"quantize.bitz": ("4",)}}, r"unknown setting quantize\.bitz"),
        ({"varied": {"quantize.bits": ("4", "40")}}, r"bits=40"),
        ({"varied": {"quantize.bits": ("4", "many")}}, r"quantize\.bits=many: expected"),
        ({"varied": {"target_bpp": ("0.1", "some")}}, "target_bpp=some: expected a number"),
        ({"varied": {"target_bytes": ("1.5",)}}, "target_bytes=1.5: expected a whole number"),
        ({"varied": {"target_bpp": ("0.1", "-1")}}, "target_bpp=-1"),
        (
            {"varied": {"target_bpp": ("1",)}, "settings": {"target_bytes": "99"}},
            "exclude each other",
        ),
    ],
)
def test_bad_values_are_found_before_a_picture_is_read(request_, text, monkeypatch):
    monkeypatch.setattr("inr.image.read.load", lambda *_, **__: pytest.fail("a picture was read"))
    with pytest.raises(ValueError, match=text):
        planned(**request_)


@pytest.mark.usefixtures("folder")
def test_a_file_that_is_no_picture():
    Path("text.png").write_text("hello")
    with pytest.raises(ImageError, match=re.escape("text.png")):
        planned(("a.png", "text.png"))


# ---------------------------------------------------------------- shapes


@pytest.mark.usefixtures("folder")
def test_runs_of_one_key_have_one_shape(monkeypatch):
    monkeypatch.setattr(
        "inr.batch.batch_key", lambda picture, recipe, options: recipe.quantize.bits
    )
    runs = planned(
        ("a.png", "b.png"), varied={"quantize.bits": ("4", "6")}, seeds=(0, 1), same_shape=True
    )
    assert [run.shape for run in runs] == [0, 0, 1, 1, 0, 0, 1, 1]


@pytest.mark.usefixtures("folder")
def test_runs_that_no_batch_can_do_have_shapes_of_their_own(monkeypatch):
    monkeypatch.setattr("inr.batch.batch_key", lambda *_: None)
    shapes = [run.shape for run in planned(("a.png", "b.png"), seeds=(0, 1), same_shape=True)]
    assert len(set(shapes)) == 4

    def refuse(*_):
        raise UsageError("a target too small")

    monkeypatch.setattr("inr.batch.batch_key", refuse)  # such a run fails when its turn comes
    assert len({run.shape for run in planned(seeds=(0, 1), same_shape=True)}) == 2

    def broken(*_):
        raise ValueError("operands could not be broadcast")

    monkeypatch.setattr("inr.batch.batch_key", broken)
    with pytest.raises(ValueError, match="broadcast"):  # a mistake of ours is not passed over
        planned(same_shape=True)


@pytest.mark.usefixtures("folder")
def test_the_real_key_lets_bits_and_seeds_share_a_batch():
    runs = planned(
        ("a.png", "flat.png"), varied={"quantize.bits": ("4", "6")}, seeds=(0, 1), same_shape=True
    )
    shapes = [run.shape for run in runs]
    assert len(set(shapes[:4])) == 1
    assert len(set(shapes)) == 1 + 4  # there is nothing to fit in a picture of one colour
