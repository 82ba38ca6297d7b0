"""weight_store.py: weights by name and by hash, and what is said where they are not at hand."""

import hashlib
import json
import os

import pytest
from helpers.cae_coding_models import TINY

from inr.cae.weight_store import (
    MAX_FILE_BYTES,
    find_folder,
    find_hash,
    find_weights,
    shipped_models,
    weights_of,
)
from inr.cae.weights import write_weights
from inr.errors import FormatError
from inr.format.shipped import Shipped

has_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
OWN, OTHER = TINY["tiny"], TINY["factorized"]


def head(weights):
    return bytes.fromhex(weights.sha256)[:16]


@pytest.fixture
def assets(tmp_path):
    """A package that ships tiny and factorized, numbers 1 and 2."""
    folder = tmp_path / "assets"
    folder.mkdir()
    entries = []
    for number, weights in enumerate((OWN, OTHER), 1):
        file = f"{weights.name}.npz"
        (folder / file).write_bytes(write_weights(weights))
        entries.append({"id": number, "name": weights.name, "file": file, "sha256": weights.sha256})
    (folder / "manifest.json").write_text(json.dumps({"cae": entries}))
    return Shipped(folder)


@pytest.fixture
def mine(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    return folder


def test_shipped_models_by_name_and_number(assets):
    assert list(shipped_models(assets)) == ["tiny", "factorized"]
    weights, number = find_weights("factorized", assets)
    assert (weights.sha256, number) == (OTHER.sha256, 2)
    assert find_hash("factorized", assets) == OTHER.sha256
    assert find_folder("factorized", assets) is None
    assert weights_of(2, head(OTHER), None, assets).sha256 == OTHER.sha256
    assert weights_of(1, head(OWN), None, assets).name == "tiny"


@pytest.mark.parametrize("name", ["hyperprior", "factorized"])
def test_models_that_are_shipped(name):
    weights, number = find_weights(name)
    assert (weights.name, weights.sha256) == (name, find_hash(name))
    assert weights_of(number, head(weights), None) is weights


def test_own_weights_by_path_and_hash(mine, tmp_path):
    path = mine / "own.npz"
    path.write_bytes(write_weights(OWN))
    weights, number = find_weights(str(path))
    assert (weights.sha256, number) == (OWN.sha256, 0)
    assert (find_hash(str(path)), find_folder(str(path))) == (OWN.sha256, mine)
    with pytest.raises(FormatError, match=rf"SHA-256 {OWN.sha256[:32]}\.\.\., which are not ship"):
        weights_of(0, head(OWN), None)
    (mine / "aaa.npz").mkdir()  # not to be read
    (mine / "bbb.npz").write_bytes(b"")
    assert weights_of(0, head(OWN), mine).sha256 == OWN.sha256
    with pytest.raises(FormatError, match="put them into a folder and set INR_MODELS to it, or"):
        weights_of(0, bytes(16), mine)


@has_pipes
def test_what_cannot_be_read_does_not_hide_what_can(mine):
    (mine / "a.npz").mkdir()
    os.mkfifo(mine / "b.npz")
    (mine / "c.npz").symlink_to(mine / "nowhere")
    (mine / "d.npz").symlink_to(mine / "d.npz")
    (mine / "e.npz").write_bytes(b"something else")
    (mine / "e.txt").write_bytes(write_weights(OWN))
    missing = r"which are not shipped.*not read: .*a\.npz: not an ordinary file; .*b\.npz: not an"
    with pytest.raises(FormatError, match=missing):
        weights_of(0, head(OWN), mine)
    (mine / "z.npz").write_bytes(write_weights(OWN))
    assert weights_of(0, head(OWN), mine).sha256 == OWN.sha256


def test_a_file_of_that_hash_that_holds_no_weights_is_named(mine):
    (mine / "a.npz").write_bytes(b"something else")
    with pytest.raises(FormatError, match=r"a\.npz: this is no weights file of an autoencoder"):
        weights_of(0, hashlib.sha256(b"something else").digest()[:16], mine)
    with pytest.raises(ValueError, match=r"a\.npz: this is no weights file of an autoencoder"):
        find_weights(str(mine / "a.npz"))


def test_a_file_too_large_to_be_weights_is_not_read(mine):
    with open(mine / "a.npz", "wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # no byte of it is on disk
    with pytest.raises(FormatError, match=r"not read: .*a\.npz: more than the \d+ bytes"):
        weights_of(0, bytes(16), mine)
    with pytest.raises(ValueError, match=r"a\.npz: more than the \d+ bytes"):
        find_weights(str(mine / "a.npz"))


@pytest.mark.parametrize(("name", "why"), [("a", "Not a directory"), ("none", "No such file")])
def test_a_folder_of_models_that_cannot_be_read_is_named(mine, name, why):
    (mine / "a").write_bytes(b"")
    with pytest.raises(FormatError, match=f"not read: .*{name}: {why}"):
        weights_of(0, bytes(16), mine / name)


@has_pipes
@pytest.mark.parametrize("read", [find_weights, find_hash])
def test_paths_of_what_is_no_file_are_refused_by_name(mine, read):
    (mine / "a.npz").mkdir()
    os.mkfifo(mine / "b.npz")
    (mine / "c.npz").symlink_to(mine / "nowhere")
    for name, why in (("a", "not an ordinary"), ("b", "not an ordinary"), ("c", "No such file")):
        with pytest.raises(ValueError, match=rf"{name}\.npz: {why}"):
            read(str(mine / f"{name}.npz"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_files_without_permission_are_refused_by_name(mine):
    (mine / "a.npz").write_bytes(b"")
    (mine / "a.npz").chmod(0)
    with pytest.raises(ValueError, match=r"a\.npz: Permission denied"):
        find_weights(str(mine / "a.npz"))
    with pytest.raises(FormatError, match=r"not read: .*a\.npz: Permission denied"):
        weights_of(0, bytes(16), mine)


@pytest.mark.parametrize("name", ["tinny", "", "tiny.npz", "manifest.json", "/"])
def test_unknown_models(assets, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"model '{name}': there are tiny, factorized, or give"):
        find_weights(name, assets)


def test_files_of_other_or_newer_models(assets):
    with pytest.raises(FormatError, match="other weights of the model factorized than are here"):
        weights_of(2, head(OWN), None, assets)
    with pytest.raises(FormatError, match="model 3 is not known; the file needs a newer version"):
        weights_of(3, head(OWN), None, assets)


def test_damaged_weights_of_the_package(assets):
    (assets.folder / "tiny.npz").write_bytes(write_weights(OTHER))
    for _ in range(2):
        with pytest.raises(FormatError, match=r"tiny\.npz, part of this program, are damaged"):
            find_weights("tiny", assets)
    (assets.folder / "manifest.json").write_text("{")
    with pytest.raises(FormatError, match="list of shipped weights is damaged"):
        weights_of(1, head(OWN), None, assets)
