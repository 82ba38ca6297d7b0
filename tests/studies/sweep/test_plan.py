"""plan.py: which runs a sweep has, which of them are done, and what is refused before the first."""

import dataclasses
import itertools
import os
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.sweep_runs import BITS, Calls, listed, planned, request_of, save_noise, swept
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from inr import recipes
from inr.errors import ImageError, UsageError
from inr.image.picture import Picture
from inr.options import EncodeOptions, Target
from inr.studies.sweep.plan import group_runs, hash_of_picture, hash_of_request, load_again

pytestmark = pytest.mark.usefixtures("folder")


def test_pictures_then_recipes_then_values_then_seeds():
    varied = {"quantize.bits": ("4", "6"), "fit.rounding": ("0.1", "0.2")}
    runs = listed(("a.png", "b.png"), ("siren", "siren_zstd"), varied, seeds=(3, 1))
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


def test_settings_and_values_reach_the_recipe():
    (run,) = listed(varied={"quantize.bits": ("6",)}, seeds=(7,))
    assert (run.recipe.field.hidden, run.recipe.fit.steps, run.recipe.quantize.bits) == (4, 5, 6.0)
    assert run.options == EncodeOptions(seed=7)
    assert run.varied == (("quantize.bits", "6"),)


def test_targets_reach_the_options():
    runs = listed(varied={"target_bytes": ("200", "300")}, settings={"fit.steps": "5"})
    assert [run.options.target for run in runs] == [Target(n_bytes=200), Target(n_bytes=300)]
    (run,) = listed(settings={"target_bpp": "2.5"})
    assert run.options == EncodeOptions(target=Target(bpp=2.5))
    assert run.recipe.target_bpp == recipes.siren().target_bpp
    assert listed(settings={"target_psnr": "30"})[0].options.target == Target(psnr_db=30)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.sampled_from(["4", "5", "6"]), min_size=1, unique=True),
    st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True),
)
def test_every_combination_once(bits, seeds):
    runs = listed(varied={"quantize.bits": tuple(bits)}, seeds=tuple(seeds))
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
    assert len({hash_of_request(pixels_hash, *c) for pixels_hash in hashes for c in configs}) == 24


def test_the_hash_is_of_the_weights_that_a_recipe_names():
    weights = Path("model.npz")
    recipe = dataclasses.replace(recipes.cae(), model=str(weights))
    hashes = []
    for content in (b"one", b"another", b"one"):
        weights.write_bytes(content)
        hashes.append(hash_of_request("", recipe, EncodeOptions()))
    assert hashes[0] == hashes[2] != hashes[1]
    weights.unlink()
    with pytest.raises(ValueError, match="give the path of an"):
        hash_of_request("", recipe, EncodeOptions())
    assert hash_of_request("", recipes.cae(), EncodeOptions()) not in hashes


def test_the_hash_does_not_know_names_of_files():
    Path("a.png").rename("renamed.png")
    Image.open("renamed.png").save("same.bmp")  # the same pixels in another format
    assert listed(("renamed.png",))[0].config_hash == listed(("same.bmp",))[0].config_hash


def test_a_hash_is_of_what_is_asked_and_then_of_the_code():
    (run,), (other,) = listed(), listed(code="c0de" * 6)
    assert run.config_hash != other.config_hash == run.request_hash + "c0de" * 6
    assert other.request_hash == run.request_hash
    assert listed(seeds=(1,))[0].request_hash != run.request_hash


# ---------------------------------------------------------------- names


def test_pictures_of_one_name_are_told_apart_by_their_folders():
    Path("other").mkdir()
    Path("b.png").rename("other/a.png")
    assert [run.picture for run in listed(("a.png", "other/a.png"))] == ["a.png", "other/a.png"]


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["caf\udce9.png"], ["caf\\xe9.png"]),
        (["caf\udce9.png", "caf\\xe9.png"], ["caf\\xe9.png", "caf\\\\xe9.png"]),
        (["two\nlines.png", "tab\t.png"], ["two\\nlines.png", "tab\\t.png"]),
        (["Ba$$in.png", "画像.png"], ["Ba$$in.png", "画像.png"]),
    ],
)
def test_names_are_printable_and_stay_different(names, shown):
    for seed, name in enumerate(names):
        try:
            save_noise(name, seed)
        except (OSError, UnicodeError) as error:
            pytest.skip(f"this file system has no such names ({error})")
    runs = listed(names)
    assert [run.picture for run in runs] == shown
    assert [str(run.path) for run in runs] == names


def test_values_are_printable_too():
    Path("own\n.npz").write_bytes(b"weights")
    runs = listed(names=("cae",), varied={"model": ("own\n.npz", "hyperprior")}, settings={})
    assert [run.varied for run in runs] == [(("model", "own\\n.npz"),), (("model", "hyperprior"),)]
    assert [run.recipe.model for run in runs] == ["own\n.npz", "hyperprior"]


# ---------------------------------------------------------------- refused


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_can_be_read_once_is_refused_at_once():
    os.mkfifo("pipe.png")
    with pytest.raises(UsageError, match=r"pipe\.png is not an ordinary file, .* copy it to a fil"):
        listed(("pipe.png",))


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"seeds": (1, 1)}, "two runs are the same: a.png siren seed 1, and a.png siren seed 1"),
        (
            {"varied": {"quantize.bits": ("6", "6.0")}},
            r"same: a.png siren quantize\.bits=6 seed 0, and a.png siren quantize\.bits=6\.0 seed",
        ),
        ({"pictures": ("a.png", "./a.png")}, "two runs are the same: a.png siren"),
        ({"names": ("siren", "siren")}, "two runs are the same"),
        ({"seeds": (-1,)}, "seed=-1 is outside"),
        ({"pictures": ("missing.png",)}, "missing.png"),
    ],
)
def test_refused(asked, text):
    with pytest.raises(ValueError, match=text):
        listed(**asked)


@pytest.mark.parametrize(
    ("asked", "text"),
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
def test_bad_values_are_found_before_a_picture_is_read(asked, text):
    with pytest.raises(ValueError, match=text):
        listed(("missing.png",), **asked)


def test_a_file_that_is_no_picture():
    Path("text.png").write_text("hello")
    with pytest.raises(ImageError, match=re.escape("text.png")):
        listed(("a.png", "text.png"))


def test_a_picture_that_changed_meanwhile():
    (run,) = listed()
    np.testing.assert_array_equal(load_again(run).pixels, np.asarray(Image.open("a.png")))
    Image.open("b.png").save("a.png")
    with pytest.raises(UsageError, match=r"a\.png changed while the sweep was running"):
        load_again(run)


# ---------------------------------------------------------------- groups


def test_bits_and_seeds_share_a_shape_and_pictures_of_one_colour_have_their_own():
    asked = {"varied": BITS, "seeds": (0, 1), "same_shape": True}
    shapes = [run.shape for run in listed(("a.png", "flat.png"), **asked)]
    assert len(set(shapes[:4])) == 1
    assert len(set(shapes)) == 1 + 4  # there is nothing to fit in a picture of one colour
    # A run that fails does so when its turn comes.
    small = listed(settings={"target_bytes": "3"}, seeds=(0, 1), same_shape=True)
    assert len({run.shape for run in small}) == 2


class Shaped:
    """As much of a Run as `group_runs` looks at."""

    def __init__(self, shape):
        self.shape = shape


@given(st.lists(st.integers(0, 3)), st.integers(1, 6), st.integers(1, 5))
def test_groups_hold_every_run_once(shapes, batch, jobs):
    runs = [Shaped(shape) for shape in shapes]
    groups = group_runs(runs, batch=batch, jobs=jobs)
    assert sorted(id(run) for group in groups for run in group) == sorted(map(id, runs))
    assert all(1 <= len(group) <= batch for group in groups)
    assert all(len({run.shape for run in group}) == 1 for group in groups)


def test_groups_are_split_until_each_job_has_one():
    runs = [Shaped(0) for _ in range(6)]
    assert [len(group) for group in group_runs(runs, batch=16, jobs=4)] == [2, 2, 2]
    assert [len(group) for group in group_runs(runs, batch=4, jobs=1)] == [4, 2]


# ---------------------------------------------------------------- what is done


def test_a_new_folder_has_all_to_do_and_is_not_made():
    plan = planned(request_of(varied=BITS))
    assert [len(group) for group in plan.groups] == [2]
    assert (plan.finished, plan.earlier) == (frozenset(), ())
    assert not Path("out").exists()


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"short")])
def test_what_is_done_is_not_planned_unless_its_file_is_lost(damage):
    request = request_of(varied=BITS)
    swept(request, Calls())
    plan = planned(request)
    assert (len(plan.finished), plan.groups, len(plan.earlier)) == (2, (), 2)
    damage(plan.runs[1].file(Path("out")))
    assert planned(request).groups == ((plan.runs[1],),)


def test_rows_of_other_code_are_told_and_made_again():
    swept(request_of(varied=BITS), Calls())
    warnings = []
    plan = planned(request_of(varied=BITS, seeds=(0, 1)), warn=warnings.append, code="c0de" * 6)
    assert len(plan.groups[0]) == 4
    (text,) = warnings
    assert re.fullmatch(
        r"2 rows were made by other code \(commit [0-9a-f.]+(\+[0-9a-f]{8})?\) and are run again",
        text,
    )


def test_a_folder_of_something_else_is_refused():
    Path("out").mkdir()
    Path("out/report.html").write_text("precious")
    with pytest.raises(UsageError, match=r"holds report\.html but no ledger\.sqlite of a sweep"):
        planned(request_of())
