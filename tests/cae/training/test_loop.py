"""loop.py: runs that go on to the bit, what a folder holds, and the log."""

import dataclasses
import json
import math
import time

import jax
import numpy as np
import pytest
from helpers.cae_models import PLAIN, QUICK, SLIM, TINY, first_params, in_memory, photo
from PIL import Image

from inr.cae.training.autoencoder import forward, vectors
from inr.cae.training.configs import CONFIGS, Config, smoke
from inr.cae.training.loop import load_state, rd_points, train, validation_pictures
from inr.cae.training.pictures import open_pictures
from inr.cae.weight_store import find_weights

CONFIG = Config("plain", PLAIN, dataclasses.replace(QUICK, steps=4))
PICTURES = in_memory(photo(), photo("prose_page"))
HELD_OUT = [photo("code_editor", 64, 64)]


def same(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training in one run: its folder, what it returned and what it reported."""
    folder, told = tmp_path_factory.mktemp("whole"), []
    result = train(
        *(CONFIG, PICTURES, folder),
        validation=HELD_OUT,
        validate_every=2,
        report=told.append,
    )
    return folder, result, told


def test_what_a_training_leaves(whole):
    folder, result, told = whole
    assert sorted(p.name for p in folder.iterdir()) == [
        *("checkpoint.npz", "config.json", "log.jsonl")
    ]
    assert int(result.state.step) == 4
    assert not same(result.state.params, first_params(PLAIN))
    assert [(each.step, each.n_steps) for each in told] == [(i, 4) for i in (1, 2, 3, 4)]
    assert told[-1].loss == result.loss
    assert told[-1].seconds_left == 0
    assert all(each.bpp > 0 and 0 < each.psnr_db < 60 for each in told)
    config, state = load_state(folder)
    assert config == CONFIG
    assert same(state, result.state)


def test_validation_is_logged(whole):
    folder, result, _ = whole
    log = lines(folder)
    assert [line["step"] for line in log] == [2, 4]
    assert log[1]["seconds"] >= log[0]["seconds"] > 0
    assert log[1]["loss"] == pytest.approx(result.loss, abs=1e-6)
    assert log[1]["points"] == result.points
    (point,) = result.points  # a model of one rate
    assert point["lambda"] == pytest.approx(1e-3)
    expected = rd_points(CONFIG, result.state.mean, HELD_OUT)
    assert result.points == expected


@pytest.mark.slow  # two more compilations
def test_a_training_in_legs_ends_with_the_same_weights(whole, tmp_path):
    first = train(CONFIG, PICTURES, tmp_path, validation=HELD_OUT, until=time.monotonic())
    assert int(first.state.step) == 1  # a run that is out of time does one step
    assert [line["step"] for line in lines(tmp_path)] == [1]
    told = []
    last = train(
        *(CONFIG, PICTURES, tmp_path),
        validation=HELD_OUT,
        validate_every=2,
        report=told.append,
    )
    assert [each.step for each in told] == [2, 3, 4]
    assert same(last.state, whole[1].state)
    assert last.points == whole[1].points
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 4]
    seconds = [line["seconds"] for line in lines(tmp_path)]
    assert seconds == sorted(seconds)


def test_a_leg_after_the_last_step_changes_nothing(whole):
    folder, result, _ = whole
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    again = train(CONFIG, PICTURES, folder, validation=HELD_OUT, report=pytest.fail)
    assert again.loss is None
    assert same(again.state, result.state)
    assert again.points == result.points
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_another_trainings_folder_is_refused_and_left_as_it_is(whole):
    folder, _, _ = whole
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    other = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, seed=7))
    with pytest.raises(
        ValueError, match=r"belongs to another training: .* --config .*config\.json"
    ):
        train(other, PICTURES, folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("pictures", "n"),
    [
        (in_memory(photo()), 1),
        (in_memory(photo("prose_page"), photo()), 2),  # the same in another order
        (in_memory(photo(), photo("prose_page"), photo("code_editor")), 3),
        (in_memory(photo(), photo("prose_page").copy()[::-1]), 2),
    ],
)
def test_other_pictures_are_refused_with_the_way_out(whole, pictures, n):
    folder, _, _ = whole
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(
        ValueError,
        match=rf"was trained on 2 pictures, and the {n} given are not .*-o OTHER --start {folder}",
    ):
        train(CONFIG, pictures, folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_pictures_are_known_by_their_pixels_wherever_they_lie(whole, tmp_path):
    for name, pixels in (("b.png", photo("prose_page")), ("a.png", photo())):
        Image.fromarray(pixels).save(tmp_path / name)
    pictures = open_pictures(tmp_path, warn=pytest.fail, max_cached_bytes=0)
    result = train(CONFIG, pictures, whole[0], warn=pytest.fail)
    assert same(result.state, whole[1].state)


def test_another_start_is_refused(whole):
    folder, result, _ = whole
    with pytest.raises(ValueError, match="began with other weights than are given now; leave out"):
        train(CONFIG, PICTURES, folder, start=result.state.mean)


def test_other_validation_pictures_are_told(whole):
    folder, told = whole[0], []
    train(CONFIG, PICTURES, folder, validation=HELD_OUT, warn=pytest.fail)
    train(CONFIG, PICTURES, folder, warn=pytest.fail)
    train(CONFIG, PICTURES, folder, validation=[photo(height=64, width=64)], warn=told.append)
    assert told == [
        f"{folder} was validated on other pictures before; the lines of its log cannot be compared"
    ]


def test_lambdas_from_other_validation_pictures_are_refused(whole):
    with pytest.raises(ValueError, match="has its lambdas from other validation pictures; give th"):
        train(CONFIG, PICTURES, whole[0], validation=HELD_OUT * 2, validation_decides=True)


def test_a_checkpoint_of_the_time_before_pictures_were_kept_goes_on(whole, tmp_path):
    path, told = tmp_path / "checkpoint.npz", []
    (tmp_path / "config.json").write_text(CONFIG.to_json())
    with np.load(whole[0] / "checkpoint.npz") as stored:
        meta, *arrays = (stored[f"arr_{i}"] for i in range(len(stored.files)))
    meta = json.loads(str(meta))
    del meta["program"]
    meta["numbers"] = {name: meta["numbers"][name] for name in ("step", "seconds")}
    np.savez(path, np.array(json.dumps(meta)), *arrays)
    assert same(train(CONFIG, PICTURES, tmp_path, warn=told.append).state, whole[1].state)
    assert told == [
        f"{tmp_path} does not say what it was trained on; it is taken to be these 2 pictures"
    ]


def test_a_config_of_something_else_stays(tmp_path):
    (tmp_path / "config.json").write_text('{"editor": "mine"}')
    with pytest.raises(ValueError, match=r"no configuration of a training: .*name another"):
        train(CONFIG, PICTURES, tmp_path)
    assert (tmp_path / "config.json").read_text() == '{"editor": "mine"}'


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "checkpoint.npz").write_bytes(b"PK\x03\x04 half of a file")
    with pytest.raises(ValueError, match=r"checkpoint\.npz is damaged, or no .*delete it to begin"):
        train(CONFIG, PICTURES, tmp_path)


def test_folders_without_a_training(tmp_path):
    (tmp_path / "config.json").write_text(CONFIG.to_json())
    with pytest.raises(ValueError, match="holds no checkpoint; train first"):
        load_state(tmp_path)


def test_pictures_smaller_than_crops_end_the_training(tmp_path):
    small = in_memory(np.zeros((63, 64, 3), np.uint8))
    with pytest.raises(ValueError, match=r"side=64: none of the 1 pictures is that large"):
        train(CONFIG, small, tmp_path)


def test_validation_pictures_are_cut_to_whole_blocks():
    big, small = photo(height=128, width=100), photo(height=63, width=128)
    (kept,) = validation_pictures(in_memory(big, small))
    np.testing.assert_array_equal(kept, big[:128, :64])


def test_the_configs_of_shipped_weights_are_those_they_were_trained_with():
    for name in ("hyperprior", "factorized"):
        training = find_weights(name)[0].metadata
        assert json.loads(CONFIGS[name]().to_json()) == training["config"]
        assert CONFIGS[name]().train.steps == training["steps_done"]


# ---------------------------------------------------------------- R-D points


@pytest.mark.slow  # two programs to compile
def test_points_of_a_modulated_model():
    """Of 8-bit pixels, and means over pictures of bits and of decibels."""
    params = first_params(TINY)
    pictures = [photo(height=64, width=64), HELD_OUT[0]]
    config = Config("tiny", TINY, QUICK)
    points = rd_points(config, params, pictures)
    assert [point["lambda"] for point in points] == pytest.approx([2e-4, 1.6e-3, 1.28e-2])
    apply = jax.jit(forward, static_argnums=0)
    for position, point in zip((-1.0, 0.0, 1.0), points, strict=True):
        bpps, psnrs = [], []
        scales = vectors(TINY, params, np.full(1, position, np.float32))
        for x in pictures:
            drawn, bits = apply(TINY, params, np.float32(x[None] / 255), scales, None)
            pixels = np.rint(np.clip(np.asarray(drawn[0]), 0, 1) * 255)
            mse = np.square(pixels - x).mean()
            bpps.append(float(bits[0]) / 64**2)
            psnrs.append(10 * math.log10(255**2 / mse))
        assert point["bpp"] == pytest.approx(np.mean(bpps), rel=1e-3)
        assert point["psnr_db"] == pytest.approx(np.mean(psnrs), abs=0.01)
    assert points[0]["bpp"] > points[1]["bpp"] > points[2]["bpp"]
    assert points[0]["psnr_db"] > points[2]["psnr_db"]
    assert rd_points(config, params, []) == []


def test_points_of_a_slimmable_model():
    config = Config("slim", SLIM, QUICK, width_lambdas=(4e-3, 1e-3))
    points = rd_points(config, first_params(SLIM), HELD_OUT)
    assert [point["width"] for point in points] == [2, 4]
    assert all(point["bpp"] > 0 for point in points)


# ---------------------------------------------------------------- learning


def losses(config, params, pictures):
    """mse + lambda * bpp at the two ends and the middle of the range."""
    points = rd_points(config, params, pictures)
    return np.array([10 ** (-p["psnr_db"] / 10) + p["lambda"] * p["bpp"] for p in points])


@pytest.mark.slow  # a hundred steps, and minutes where other work keeps both cores busy
def test_the_smoke_config_learns_visibly(tmp_path):
    config = smoke()
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=100))
    names = ("flower_foveon_down3", "kodim05", "kodim08", "kodim15", "kodim23")
    photos = [photo(name, 512, 768) for name in names]
    held_out = [x[64:192, 64:192] for x in photos[:3]]
    result = train(config, in_memory(*photos), tmp_path)
    before = losses(config, first_params(config.model, config.train.seed), held_out)
    assert (losses(config, result.state.mean, held_out) < 0.5 * before).all()
