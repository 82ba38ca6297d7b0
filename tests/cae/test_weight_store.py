"""models.py: weights by name and by hash, and what is said where they are not at hand."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from helpers.cae_coding_models import FACTORIZED, ship, weights_of

from inr.cae import weight_store as models
from inr.cae.weight_store import VARIABLE, shipped, weights_named
from inr.cae.weight_store import weights_of as found
from inr.cae.weights import write_weights
from inr.errors import FormatError

has_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
TINY, OTHER = weights_of(), weights_of(FACTORIZED, "other", seed=1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """That of the shipped models, tiny and other, numbers 1 and 2."""
    made = tmp_path / "shipped"
    made.mkdir()
    ship(made, monkeypatch, TINY, OTHER)
    monkeypatch.delenv(VARIABLE, raising=False)
    return made


def head(weights):
    return bytes.fromhex(weights.sha256)[:16]


def test_the_manifest_fits_the_files_that_are_shipped():
    assets = Path(models.__file__).parents[2] / "assets" / "cae"
    entries = shipped()
    assert "hyperprior" in entries
    assert len({entry["id"] for entry in entries.values()}) == len(entries)
    for name, entry in entries.items():
        assert 1 <= entry["id"] < 1 << 16
        data = (assets / entry["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]
        assert len(data) == entry["n_bytes"] < 10e6
        weights, number = weights_named(name)
        assert (weights.name, weights.sha256, number) == (name, entry["sha256"], entry["id"])


def test_shipped_models_by_name_and_number(folder):
    assert list(shipped()) == ["tiny", "other"]
    weights, number = weights_named("other")
    assert (weights.model, number) == (FACTORIZED, 2)
    assert found(2, head(OTHER)).sha256 == OTHER.sha256
    assert found(1, head(TINY)).name == "tiny"


def test_own_weights_by_path_and_hash(folder, tmp_path, monkeypatch):
    own = weights_of(seed=9, name="own")
    path = tmp_path / "mine" / "own.npz"
    path.parent.mkdir()
    path.write_bytes(write_weights(own))
    weights, number = weights_named(str(path))
    assert (weights.sha256, number) == (own.sha256, 0)
    with pytest.raises(FormatError, match=rf"SHA-256 {own.sha256[:32]}\.\.\., which are not ship"):
        found(0, head(own))
    (path.parent / "aaa.npz").mkdir()  # not to be read
    (path.parent / "bbb.npz").write_bytes(b"")
    monkeypatch.setenv(VARIABLE, str(path.parent))
    assert found(0, head(own)).sha256 == own.sha256
    with pytest.raises(FormatError, match="put them into a folder and set INR_MODELS to it"):
        found(0, bytes(8))
    for empty in ("", str(tmp_path / "nowhere")):
        monkeypatch.setenv(VARIABLE, empty)
        with pytest.raises(FormatError, match="which are not shipped"):
            found(0, head(own))


@has_pipes
def test_what_cannot_be_read_does_not_hide_what_can(folder, tmp_path, monkeypatch):
    own = weights_of(seed=9, name="own")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "a.npz").mkdir()
    os.mkfifo(mine / "b.npz")
    (mine / "c.npz").symlink_to(mine / "nowhere")
    (mine / "d.npz").symlink_to(mine / "d.npz")
    (mine / "e.npz").write_bytes(b"something else")
    (mine / "e.txt").write_bytes(write_weights(own))
    monkeypatch.setenv(VARIABLE, str(mine))
    missing = r"which are not shipped.*not read: .*a\.npz: not an ordinary file; .*b\.npz: not an"
    with pytest.raises(FormatError, match=missing):
        found(0, head(own))
    (mine / "z.npz").write_bytes(write_weights(own))
    assert found(0, head(own)).sha256 == own.sha256


def test_a_file_of_that_hash_that_holds_no_weights_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "a.npz").write_bytes(b"something else")
    with pytest.raises(FormatError, match=r"a\.npz: this is no weights file of an autoencoder"):
        found(0, hashlib.sha256(b"something else").digest()[:16])


def test_a_file_too_large_to_be_weights_is_not_read(folder, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with open(tmp_path / "a.npz", "wb") as file:
        file.truncate(models.MAX_FILE_BYTES + 1)  # no byte of it is on disk
    with pytest.raises(FormatError, match=r"not read: .*a\.npz: more than the \d+ bytes"):
        found(0, bytes(8))
    with pytest.raises(ValueError, match=r"a\.npz: more than the \d+ bytes"):
        weights_named(str(tmp_path / "a.npz"))


def test_a_folder_of_models_that_cannot_be_read_is_named(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    for name, why in (("file", "Not a directory"), ("nowhere", "No such file")):
        monkeypatch.setenv(VARIABLE, str(tmp_path / name))
        with pytest.raises(FormatError, match=f"not read: .*{name}: {why}"):
            found(0, bytes(8))


@has_pipes
def test_paths_of_what_is_no_file_are_refused_by_name(folder, tmp_path):
    (tmp_path / "a.npz").mkdir()
    os.mkfifo(tmp_path / "b.npz")
    (tmp_path / "c.npz").symlink_to(tmp_path / "nowhere")
    for name, why in (("a", "not an ordinary"), ("b", "not an ordinary"), ("c", "No such file")):
        for read in (weights_named, models.hash_named):
            with pytest.raises(ValueError, match=rf"{name}\.npz: {why}"):
                read(str(tmp_path / f"{name}.npz"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_files_without_permission_are_refused_by_name(folder, tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    path.write_bytes(b"")
    path.chmod(0)
    with pytest.raises(ValueError, match=r"a\.npz: Permission denied"):
        weights_named(str(path))
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(FormatError, match=r"not read: .*a\.npz: Permission denied"):
        found(0, bytes(8))


@pytest.mark.parametrize("name", ["tinny", "", "tiny.npz", "manifest.json", "/"])
def test_unknown_models(folder, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"model '{name}': there are tiny, other, or give the"):
        weights_named(name)


def test_a_path_that_holds_no_weights(folder, tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"a\.npz: this is no weights file of an autoencoder"):
        weights_named(str(path))


def test_files_of_other_or_newer_models(folder):
    with pytest.raises(FormatError, match="other weights of the model other than are here"):
        found(2, head(TINY))
    with pytest.raises(FormatError, match="model 3 is not known; the file needs a newer version"):
        found(3, head(TINY))


def test_damaged_or_missing_weights(folder):
    (folder / "tiny.npz").write_bytes(write_weights(OTHER))
    for _ in range(2):
        with pytest.raises(FormatError, match=r"tiny\.npz are damaged or missing: install the"):
            weights_named("tiny")
    (folder / "other.npz").unlink()
    with pytest.raises(FormatError, match=r"other\.npz are damaged or missing: install the pack"):
        found(2, head(OTHER))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"models": 3}',
        '{"models": [{}]}',
        '{"models": [{"name": "a", "id": "1", "file": "a", "sha256": ""}]}',
        '{"models": [{"name": "a", "id": 1, "file": null, "sha256": ""}]}',
        '{"models": [{"name": ["a"], "id": 1, "file": "a", "sha256": ""}]}',
        "\udcff",
    ],
)
def test_a_damaged_manifest(folder, text):
    (folder / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(FormatError, match=r"list of shipped models is damaged .*: install the pa"):
        weights_named("tiny")
    with pytest.raises(FormatError, match="list of shipped models is damaged"):
        found(1, head(TINY))


def test_a_missing_manifest(folder):
    (folder / "manifest.json").unlink()
    with pytest.raises(FormatError, match="list of shipped models is damaged"):
        shipped()


def test_a_manifest_of_other_hashes(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["models"][0]["sha256"] = OTHER.sha256
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(FormatError, match=r"tiny\.npz are damaged or missing"):
        weights_named("tiny")
