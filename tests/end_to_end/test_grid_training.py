"""The scripts that train what kind grid begins with: they run, go on, and make what is read."""

import csv
import io
import subprocess
import sys
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
from helpers.paths import ROOT
from PIL import Image

sys.path.append(str(ROOT / "scripts"))
from network_set import within_limits
from rendered_pages import render_pages
from ship_grid_start import MANTISSA_BITS, with_fewer_bits

from inr.format.shipped import SHIPPED
from inr.grid.fit.analysis import first_weights
from inr.grid.structure import Pyramid, Structure

SIDE, N_CROPS = 256, 5
SHAPES = Pyramid(SIDE, SIDE, 3, Structure(prior=2)).shapes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder as training_crops.py describes it, of parts of one photograph."""
    folder = tmp_path_factory.mktemp("data")
    with Image.open(ROOT / "assets" / "pictures" / "kodim23.png") as picture:
        crops = [
            picture.crop((100 * i, 50 * i, 100 * i + SIDE, 50 * i + SIDE)) for i in range(N_CROPS)
        ]
    names = [f"{i}.png" for i in range(N_CROPS)]
    with zipfile.ZipFile(folder / "crops.zip", "w") as archive:
        for name, crop in zip(names, crops, strict=True):
            packed = io.BytesIO()
            crop.save(packed, "png")
            archive.writestr(name, packed.getvalue())
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "archive", "split", "kind", "source_path"])
        writer.writerows([name, "crops.zip", "train", "photo", name] for name in names)
    return folder


def train(script, *arguments):
    """What a training prints, step by step."""
    command = [sys.executable, ROOT / "scripts" / script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line.partition(":")[0] for line in done.stdout.splitlines()]


def tensors(path):
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def is_near(trained, begun, most):
    """Whether a step or two changed the set somewhere, and nowhere by much."""
    changes = [np.abs(trained[name].astype(np.int64) - begun[name]).max() for name in begun]
    return 0 < max(changes) <= most


PRIOR = SHIPPED.folder / "grid" / "prior_2.npz"
UNITS = 1 << 16  # of a number of a set


@pytest.mark.slow
def test_analysis_and_networks_together(data, tmp_path):
    out, set_ = tmp_path / "analysis.npz", tmp_path / "set.npz"
    arguments = [data, PRIOR, out, "--networks", set_]
    assert train("train_grid_analysis.py", *arguments, "--steps", 1) == ["step 1"]
    weights = tensors(out)
    first = first_weights(np.random.default_rng(0))
    assert {name: w.shape for name, w in weights.items()} == {n: w.shape for n, w in first.items()}
    assert all(w.dtype == np.float16 for w in weights.values())
    assert tensors(set_).keys() == SHAPES.keys() | {"gain"}
    assert is_near(tensors(set_), tensors(PRIOR), most=0.01 * UNITS)
    # It goes on, and a further leg begins with what is there.
    assert train("train_grid_analysis.py", *arguments, "--steps", 2) == ["step 2"]
    leg = tmp_path / "leg.npz"
    assert train("train_grid_analysis.py", data, set_, leg, "--from", out, "--steps", 1) == [
        "step 1"
    ]
    for name, w in tensors(leg).items():
        assert np.abs(w.astype(float) - tensors(out)[name]).max() < 0.01


@pytest.mark.slow
def test_networks_on_latents_of_their_own(data, tmp_path):
    out = tmp_path / "set.npz"
    analysis = SHIPPED.folder / "grid" / "analysis.npz"
    arguments = [data, PRIOR, analysis, out, "--crops", 2, "--steps", 1]
    assert train("train_grid_networks.py", *arguments) == ["step 1"]
    assert tensors(out).keys() == SHAPES.keys() | {"gain"}
    assert is_near(tensors(out), tensors(PRIOR), most=0.1 * UNITS)


def test_shipped_weights_have_fewer_bits(tmp_path):
    given = np.array([1.0, -1.0, 1 + 2**-6, 1 + 2**-10, 2 - 2**-10, 0.0, 0.1], np.float16)
    np.savez(tmp_path / "a.npz", w=given)
    (tmp_path / "b.npz").write_bytes(with_fewer_bits(tmp_path / "a.npz"))
    packed = tensors(tmp_path / "b.npz")["w"]
    assert packed.dtype == np.float16
    assert packed[:6].tolist() == [1.0, -1.0, 1 + 2**-MANTISSA_BITS, 1.0, 2.0, 0.0]
    assert abs(float(packed[6]) / 0.1 - 1) < 2 ** -(MANTISSA_BITS + 1)


def test_pages_are_the_same_for_the_same_seed():
    first, again, other = (list(render_pages(3, 96, seed)) for seed in (1, 1, 2))
    assert [page.shape for page in first] == [(3, 96, 96)] * 3
    assert all(page.dtype == np.uint8 and page.std() > 1 for page in first)
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not any(np.array_equal(one, two) for one, two in zip(first, other, strict=True))


def test_numbers_are_brought_within_what_a_set_may_hold():
    networks = {f"{name} {k}": jnp.full((1, 2), 3.0 - k) for name in ("up0", "w") for k in range(3)}
    networks["w 0"] = jnp.array([[10.0, -1.0]])  # 10 + 2 + 1 is above 8, 1 + 2 + 1 is not
    limited = within_limits(networks)
    taps = [float(limited[f"up0 {k}"][0, 0]) for k in range(3)]
    assert np.allclose(taps, [0.99 * 3 / 6, 0.99 * 2 / 6, 0.99 * 1 / 6], rtol=1e-6)
    found = [limited[f"w {k}"][0].tolist() for k in range(3)]
    scale = 0.99 * 8 / 13
    assert np.allclose(found, [[10 * scale, -1], [2 * scale, 2], [scale, 1]], rtol=1e-6)
