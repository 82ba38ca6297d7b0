"""shipped.py: the weights of the package, and what is said where they are damaged or missing."""

import hashlib
import json

import pytest

from inr.errors import FormatError
from inr.format.shipped import SHIPPED, Entry, Shipped

DATA = b"weights"
ENTRY = Entry(7, "tiny", "cae/tiny.npz", hashlib.sha256(DATA).hexdigest())


@pytest.fixture
def assets(tmp_path):
    (tmp_path / "cae").mkdir()
    (tmp_path / ENTRY.file).write_bytes(DATA)
    fields = vars(ENTRY) | {"licences": "CC0"}
    (tmp_path / "manifest.json").write_text(json.dumps({"cae": [fields], "grid": []}))
    return Shipped(tmp_path)


@pytest.mark.parametrize(
    ("group", "names"), [("cae", {"hyperprior", "factorized"}), ("grid", {"prior_1"})]
)
def test_what_is_shipped_is_as_the_manifest_says(group, names):
    entries = SHIPPED.entries(group)
    assert {entry.name for entry in entries} >= names
    assert len({entry.id for entry in entries}) == len(entries)
    for entry in entries:
        assert 1 <= entry.id < 1 << 16
        assert len(SHIPPED.read(entry)) < 10e6


def test_entries_and_bytes(assets):
    assert assets.entries("cae") == (ENTRY,)
    assert assets.entries("grid") == ()
    assert assets.read(ENTRY) == DATA


@pytest.mark.parametrize("change", [lambda p: p.unlink(), lambda p: p.write_bytes(DATA + b"\0")])
def test_damaged_or_missing_weights(assets, change):
    change(assets.folder / ENTRY.file)
    for _ in range(2):
        with pytest.raises(FormatError, match=r"tiny\.npz, part of .* damaged or missing: install"):
            assets.read(ENTRY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"cae": 3}',
        '{"cae": [{}]}',
        '{"cae": [{"name": "a", "id": "1", "file": "a", "sha256": ""}]}',
        '{"cae": [{"name": "a", "id": 1, "file": null, "sha256": ""}]}',
        '{"cae": [{"name": ["a"], "id": 1, "file": "a", "sha256": ""}]}',
        "\udcff",
    ],
)
def test_a_damaged_manifest(assets, text):
    (assets.folder / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(FormatError, match=r"list of shipped weights is damaged .*: install the"):
        assets.entries("cae")


def test_a_missing_manifest(assets):
    (assets.folder / "manifest.json").unlink()
    with pytest.raises(FormatError, match="list of shipped weights is missing: install the pack"):
        assets.entries("cae")
