"""files.py: outputs appear whole or not at all."""

import os
import threading

import pytest

from inr.files import write_whole


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
