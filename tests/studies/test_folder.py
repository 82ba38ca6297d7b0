"""folder.py: what a sweep or a comparison must not overwrite."""

import os

import pytest

from inr.errors import UsageError
from inr.studies.folder import StudyFolder

STUDY = StudyFolder("study", ("table", "plot"), folders=("kept",), former_ledger="rows")
LEDGER = "ledger.sqlite"


def refused(folder, match, inputs=()):
    def found():
        return {path: path.lstat().st_mtime_ns for path in folder.parent.rglob("*")}

    before = found()
    with pytest.raises(UsageError, match=match):
        STUDY.check(folder, list(inputs))
    assert found() == before


def test_new_and_own_folders_pass(tmp_path):
    STUDY.check(tmp_path / "not there", [])
    STUDY.check(tmp_path, [tmp_path / "missing.png"])
    (tmp_path / "photo.png").touch()
    STUDY.check(tmp_path, [tmp_path / "photo.png"])
    for name in (LEDGER, "table", "plot"):
        (tmp_path / name).touch()
    (tmp_path / "kept").mkdir()
    STUDY.check(tmp_path, [tmp_path / "photo.png"])
    assert not (tmp_path / "not there").exists()


def test_a_file(tmp_path):
    (tmp_path / "out").touch()
    refused(tmp_path / "out", "out is not a folder; name one")


@pytest.mark.parametrize("name", ["table", "plot", "kept"])
def test_names_of_something_else(tmp_path, name):
    (tmp_path / name).touch()
    refused(tmp_path, f"holds {name} but no ledger.sqlite of a study; name another folder")


@pytest.mark.parametrize("name", ["table", "kept"])
def test_links_to_nothing_are_somebodys_too(tmp_path, name):
    (tmp_path / name).symlink_to("nowhere")
    refused(tmp_path, f"table is a link; remove it|holds {name} but no ledger")


def test_a_folder_of_an_earlier_version(tmp_path):
    (tmp_path / "rows").touch()
    refused(tmp_path, "holds rows, the ledger of a study by an earlier version, which this one")
    (tmp_path / LEDGER).touch()
    STUDY.check(tmp_path, [])


def test_a_link_is_not_followed_in_a_studys_own_folder(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / LEDGER).touch()
    (tmp_path / "precious").write_text("precious")
    (out / "plot").symlink_to(tmp_path / "precious")
    refused(out, "plot is a link; remove it, or name another folder")


def test_a_folder_in_the_place_of_an_output(tmp_path):
    (tmp_path / LEDGER).touch()
    (tmp_path / "plot").mkdir()
    refused(tmp_path, "plot is a folder; remove it")


@pytest.mark.parametrize("same", [lambda path: path, os.link, os.symlink])
def test_an_input_is_no_output(tmp_path, same):
    out, given = tmp_path / "out", tmp_path / "photo"
    out.mkdir()
    for name in (LEDGER, "plot"):
        (out / name).touch()
    if same in (os.link, os.symlink):
        same(out / "plot", given)
    else:
        given = out / "plot"
    refused(out, "plot would be overwritten, an input; name another folder", [given])
