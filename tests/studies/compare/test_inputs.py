"""inputs.py: the pictures, codecs, recipes and the folder that a run is given."""

import dataclasses
import re

import numpy as np
import pytest
from helpers.compare_samples import noise, saved

from inr.cae.codec import CaeCodec
from inr.cae.kind import CAE
from inr.cae.weight_store import find_weights
from inr.studies.baselines import CODECS
from inr.studies.compare.inputs import (
    choose_codecs,
    choose_recipes,
    load_pictures,
    make_folder,
)


def test_pictures_become_rgb(tmp_path):
    grey = saved(tmp_path / "grey.png", noise()[..., 0])
    colour = saved(tmp_path / "colour.png", noise())
    loaded = load_pictures([grey, colour], max_pixels=10**6, warn=pytest.fail)
    assert [picture.name for picture in loaded] == ["grey.png", "colour.png"]
    np.testing.assert_array_equal(loaded[0].pixels, noise()[..., :1].repeat(3, axis=2))
    np.testing.assert_array_equal(loaded[1].pixels, noise())


def test_pictures_that_not_every_codec_can_store(tmp_path):
    alpha = saved(tmp_path / "alpha.png", noise()[..., [0, 1, 2, 0]])
    deep = saved(tmp_path / "deep.png", noise()[..., 0].astype(np.uint16) * 257)
    with pytest.raises(
        ValueError, match=r"alpha\.png has alpha, which not every codec.* 8-bit RGB"
    ):
        load_pictures([alpha], max_pixels=10**6, warn=pytest.fail)
    with pytest.raises(ValueError, match=r"deep\.png has 16 bits"):
        load_pictures([deep], max_pixels=10**6, warn=pytest.fail)


def test_two_pictures_of_one_name(tmp_path):
    (tmp_path / "sub").mkdir()
    paths = [saved(tmp_path / "a.png", noise()), saved(tmp_path / "sub/a.png", noise())]
    with pytest.raises(ValueError, match=r"two pictures are called a\.png; rename"):
        load_pictures(paths, max_pixels=10**6, warn=pytest.fail)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["caf\udce9.png", "$_{ 画像.png"], ["caf\\xe9.png", "$_{ 画像.png"]),
        (["caf\udce9.png", "caf\\xe9.png"], ["caf\\xe9.png", "caf\\\\xe9.png"]),
    ],
)
def test_names_are_printable_and_stay_different(tmp_path, names, shown):
    paths = [tmp_path / name for name in names]
    for i, path in enumerate(paths):
        saved(tmp_path / "a.png", noise(seed=i))
        try:
            (tmp_path / "a.png").rename(path)
        except (OSError, UnicodeError) as error:
            pytest.skip(f"this file system has no such names ({error})")
    loaded = load_pictures(paths, max_pixels=10**6, warn=pytest.fail)
    assert [(picture.name, picture.path) for picture in loaded] == list(
        zip(shown, paths, strict=True)
    )


def test_codecs_that_are_not_there():
    codecs = [
        dataclasses.replace(codec, missing=lambda: "no ffmpeg") if codec.name == "vvc" else codec
        for codec in CODECS
        if codec.name != "hevc"
    ]
    left_out = []
    chosen = choose_codecs([], "jpeg420", warn=left_out.append, codecs=codecs)
    assert "vvc" not in [codec.name for codec in chosen]
    assert "vvc is left out: no ffmpeg" in left_out
    with pytest.raises(ValueError, match="vvc cannot run here: no ffmpeg"):
        choose_codecs(["webp", "vvc"], "jpeg420", warn=pytest.fail, codecs=codecs)
    with pytest.raises(ValueError, match="vvc cannot run here: no ffmpeg"):
        choose_codecs([], "vvc", warn=left_out.append, codecs=codecs)
    with pytest.raises(ValueError, match="unknown codec 'hevc'; there are jpeg420, "):
        choose_codecs(["hevc"], "jpeg420", warn=pytest.fail, codecs=codecs)


@pytest.mark.parametrize(
    ("names", "anchor", "chosen"),
    [
        (["webp", "avif", "webp"], "jpeg420", ["jpeg420", "webp", "avif"]),
        (["webp", "jpeg420"], "jpeg420", ["webp", "jpeg420"]),
        (["webp"], "siren", ["webp"]),
    ],
)
def test_the_anchor_is_always_there(names, anchor, chosen):
    codecs = choose_codecs(names, anchor, warn=pytest.fail)
    assert [codec.name for codec in codecs] == chosen


def test_recipes_become_codecs():
    first, second = choose_recipes(
        ["siren", "fourier", "siren"],
        {"fit.steps": "7"},
        [0.5, 0.25, 0.5],
        seed=3,
        show_progress=False,
    )
    assert (first.name, second.name) == ("siren", "fourier")
    assert first.qualities == (0.25, 0.5)
    assert "steps=7" in first.settings
    assert first.settings.endswith("seed 3; target_bpp")
    assert re.fullmatch(r"inr [0-9.]+, code [0-9a-f]{24}", first.library())
    with pytest.raises(ValueError, match="target_bpp=0"):
        choose_recipes(["siren"], {}, [0], seed=0, show_progress=False)
    with pytest.raises(ValueError, match="unknown recipe 'sirene'"):
        choose_recipes(["sirene"], {}, [0.5], seed=0, show_progress=False)


def test_recipes_of_kind_grid_run_along_lambda():
    (codec,) = choose_recipes(
        ["grid_fast"], {}, [0.5], [1e-4, 0.004, 1e-3], seed=3, show_progress=False
    )
    assert codec.qualities == (0.004, 0.001, 0.0001)  # the smallest file first
    assert codec.settings.endswith("seed 3; lambda")
    (by_default,) = choose_recipes(["grid"], {}, [0.5], seed=3, show_progress=False)
    assert by_default.qualities == (0.004, 0.001, 0.0004, 0.0001)


def test_the_recipe_cae_runs_along_the_lambdas_of_its_model():
    (codec,) = choose_recipes(["cae"], {}, [0.5], seed=3, show_progress=False)
    assert codec.qualities == (0.0128, 0.004, 0.0014, 0.0005, 0.0002)
    (codec,) = choose_recipes(["cae"], {}, [0.5], [1e-3, 1e-2], seed=3, show_progress=False)
    assert codec.qualities == (0.01, 0.001)
    weights, _ = find_weights("hyperprior")
    assert weights.sha256 in codec.settings
    model = CaeCodec(weights)
    assert [model.rate_of(each) for each in CAE.rate_axis.default_values][::4] == [255, 0]


def test_a_value_reaches_the_encoder():
    """A target does so in a picture of one colour, whose file is 56 bytes."""
    flat = np.full((12, 16, 3), [10, 200, 30], np.uint8)
    (codec,) = choose_recipes(["siren"], {}, [0.1, 8], seed=3, show_progress=False)
    np.testing.assert_array_equal(codec.decode(codec.encode(flat, 8)), flat)
    with pytest.raises(ValueError, match="a target of 2 bytes is too small"):
        codec.encode(flat, 0.1)


def test_lambda_reaches_the_recipe():
    (codec,) = choose_recipes(["cae"], {}, [], [0.0002, 0.0128], seed=3, show_progress=False)
    small, large = (codec.encode(noise(), lambda_) for lambda_ in (0.0128, 0.0002))
    assert len(small) < len(large)
    assert codec.decode(small).shape == noise().shape


def test_a_folder_of_an_earlier_version(tmp_path):
    (tmp_path / "rows.jsonl").touch()
    with pytest.raises(
        ValueError, match=r"holds rows\.jsonl, the ledger of a comparison by an ear"
    ):
        make_folder(tmp_path)


def test_folders_that_hold_something_else(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is not a folder; name one"):
        make_folder(tmp_path / "file")
    with pytest.raises(ValueError, match=r"the folder .*missing does not exist"):
        make_folder(tmp_path / "missing/out")
    (tmp_path / "report.html").touch()
    with pytest.raises(ValueError, match=r"holds report\.html but no ledger\.sqlite of a co"):
        make_folder(tmp_path)
    (tmp_path / "ledger.sqlite").touch()
    make_folder(tmp_path)
    saved(tmp_path / "rd.png", noise())  # put there later: a picture of the user's
    with pytest.raises(ValueError, match=r"rd\.png would be overwritten, an input"):
        make_folder(tmp_path, [tmp_path / "rd.png"])
