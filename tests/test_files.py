"""files.py: outputs appear whole or not at all."""

import contextlib
import errno
import os
import stat
import threading

import numpy as np
import pytest
from PIL import Image

from inr.files import append_whole, write_whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_at_the_end_of_the_block(tmp_path):
    path = tmp_path / "out.inr"
    with write_whole(path, overwrite=False) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert names(tmp_path) == ["out.inr"]


def write_half(path, error, *, overwrite):
    with write_whole(path, overwrite=overwrite) as file:
        file.write(b"half")
        raise error


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_nothing(tmp_path, overwrite, error):
    with pytest.raises(error):
        write_half(tmp_path / "out.inr", error, overwrite=overwrite)
    assert names(tmp_path) == []


def test_an_exception_leaves_the_file_before(tmp_path):
    path = tmp_path / "out.inr"
    path.write_bytes(b"before")
    with pytest.raises(RuntimeError):
        write_half(path, RuntimeError, overwrite=True)
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["out.inr"]


def test_overwriting_has_to_be_asked_for(tmp_path):
    path = tmp_path / "out.inr"
    path.write_bytes(b"before")
    with (
        pytest.raises(FileExistsError) as caught,
        write_whole(path, overwrite=False) as file,
    ):
        file.write(b"after")
    assert caught.value.filename == str(path)  # and not the name of the file aside
    assert path.read_bytes() == b"before"
    with write_whole(path, overwrite=True) as file:
        file.write(b"after")
    assert path.read_bytes() == b"after"
    assert names(tmp_path) == ["out.inr"]


def test_of_two_writers_at_once_one_wins(tmp_path):
    path, outcomes, both_wrote = tmp_path / "out.inr", [], threading.Barrier(2)

    def write(text):
        try:
            with write_whole(path, overwrite=False) as file:
                file.write(text)
                both_wrote.wait(timeout=60)
        except FileExistsError:
            outcomes.append(None)
        else:
            outcomes.append(text)

    threads = [threading.Thread(target=write, args=(text,)) for text in (b"one" * 99, b"two" * 99)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(None) == 1
    assert path.read_bytes() in outcomes
    assert names(tmp_path) == ["out.inr"]


def test_of_two_overwriters_the_last_one_stays(tmp_path):
    path = tmp_path / "out.inr"
    with write_whole(path, overwrite=True) as first:
        first.write(b"first")
        with write_whole(path, overwrite=True) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["out.inr"]


def test_a_missing_folder(tmp_path):
    with (
        pytest.raises(FileNotFoundError),
        write_whole(tmp_path / "none" / "out.inr", overwrite=False),
    ):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a" * 251, "é" * 124 + ".png", "\U0001f4f7" * 63])
def test_names_as_long_as_they_may_be(tmp_path, name):
    assert 250 <= len(os.fsencode(name)) <= 255
    with write_whole(tmp_path / name, overwrite=False) as file:
        file.write(b"whole")
    assert names(tmp_path) == [name]


# ---------------------------------------------------------------- a file that is replaced


def write(path, data=b"after"):
    with write_whole(path, overwrite=True) as file:
        file.write(data)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_the_mode_stays(tmp_path, mode):
    path = tmp_path / "out.inr"
    path.write_bytes(b"before")
    path.chmod(mode)
    write(path)
    assert (path.read_bytes(), mode_of(path)) == (b"after", mode)


def test_a_new_file_gets_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "new")
        with write_whole(tmp_path / "new_too", overwrite=False):
            pass
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "new") == mode_of(tmp_path / "new_too") == 0o640


def test_what_replaces_a_secret_is_one_while_it_grows(tmp_path):
    path = tmp_path / "out.inr"
    path.write_bytes(b"before")
    path.chmod(0o600)
    with write_whole(path, overwrite=True):
        assert [mode_of(each) for each in tmp_path.iterdir()] == [0o600, 0o600]


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="there are none, or Python has no access")
def test_extended_attributes_stay(tmp_path):
    path = tmp_path / "out.inr"
    path.write_bytes(b"before")
    try:
        os.setxattr(path, "user.origin", b"a camera")
    except OSError as error:
        pytest.skip(f"not on this file system: {error}")
    write(path)
    assert os.getxattr(path, "user.origin") == b"a camera"


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root gives away")
def test_owner_and_group_stay(tmp_path):
    path = tmp_path / "out.inr"
    path.write_bytes(b"before")
    os.chown(path, 12, 34)
    write(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (12, 34)


def test_what_a_link_leads_to_is_overwritten(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "real.inr").write_bytes(b"before")
    link = tmp_path / "link.inr"
    link.symlink_to("folder/real.inr")
    write(link)
    assert link.is_symlink()
    assert (tmp_path / "folder" / "real.inr").read_bytes() == b"after"
    assert names(tmp_path / "folder") == ["real.inr"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_not_followed_unless_overwriting_is_asked_for(tmp_path, exists):
    real, link = tmp_path / "real.inr", tmp_path / "link.inr"
    if exists:
        real.write_bytes(b"before")
    link.symlink_to("real.inr")
    with (
        pytest.raises(FileExistsError) as caught,
        write_whole(link, overwrite=False) as file,
    ):
        file.write(b"after")
    assert caught.value.filename == str(link)
    assert link.is_symlink()
    assert real.exists() == exists
    assert not exists or real.read_bytes() == b"before"


def test_another_name_of_the_file_keeps_what_it_had(tmp_path):
    path, other = tmp_path / "out.inr", tmp_path / "other.inr"
    path.write_bytes(b"before")
    other.hardlink_to(path)
    write(path)
    assert (path.read_bytes(), other.read_bytes()) == (b"after", b"before")


# ---------------------------------------------------------------- what cannot be written


@pytest.fixture
def full_disk():
    """No file may be longer than 4096 bytes: an error of `write`, as on a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_archive(file):
    np.savez(file, np.zeros(9000), np.ones(9000))


def write_plot(file):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99), np.uint8)).save(file, "PNG")


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("fill", [lambda file: file.write(bytes(9000)), write_archive, write_plot])
def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path, exists, fill):
    path = tmp_path / "out.inr"
    if exists:
        path.write_bytes(b"before")
    with pytest.raises(OSError, match="File too large") as caught:
        with write_whole(path, overwrite=True) as file:
            fill(file)
    assert caught.value.filename == str(path)
    assert names(tmp_path) == ["out.inr"] * exists
    assert not exists or path.read_bytes() == b"before"


def test_errors_of_other_files_keep_their_names(tmp_path):
    with (
        pytest.raises(FileNotFoundError) as caught,
        write_whole(tmp_path / "out.inr", overwrite=True),
    ):
        (tmp_path / "missing").read_bytes()
    assert caught.value.filename == str(tmp_path / "missing")


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_folder_that_is_none_names_the_file(tmp_path, overwrite):
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "out.inr"
    with pytest.raises(NotADirectoryError) as caught, write_whole(path, overwrite=overwrite):
        pass
    assert caught.value.filename == str(path)


@pytest.mark.parametrize("exists", [True, False])
def test_a_file_system_without_hard_links(tmp_path, monkeypatch, exists):
    path = tmp_path / "out.inr"
    if exists:
        path.write_bytes(b"before")

    def link(source, target):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(source), None, str(target))

    monkeypatch.setattr("inr.files.os.link", link)
    with pytest.raises(FileExistsError) if exists else contextlib.nullcontext():
        with write_whole(path, overwrite=False) as file:
            file.write(b"after")
    assert path.read_bytes() == (b"before" if exists else b"after")
    assert names(tmp_path) == ["out.inr"]


# ---------------------------------------------------------------- append_whole


def test_lines_are_added_at_the_end(tmp_path):
    append_whole(tmp_path / "log", b"one\n")
    append_whole(tmp_path / "log", b"two\n")
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"


@pytest.mark.usefixtures("full_disk")
def test_a_line_that_does_not_fit_leaves_no_part_of_it(tmp_path):
    path = tmp_path / "log"
    append_whole(path, b"one\n")
    with pytest.raises(OSError, match="File too large") as caught:
        append_whole(path, bytes(9000))
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"one\n"
