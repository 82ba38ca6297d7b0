"""checkpoint.py: what was saved comes back, anything else is refused."""

import os

import numpy as np
import pytest

from inr.errors import UsageError
from inr.fitting.checkpoint import Checkpoint, SeveralFits

NUMBERS = {"step": 70, "progress": 0.25, "frozen_steps": {"w0": 0.5}, "best": None, "inf": 1e999}
ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.array(3, np.int32),
    np.zeros((0, 4), np.float32),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.checkpoint"


def test_round_trip(path):
    checkpoint = Checkpoint(path, "ab12")
    checkpoint.save(NUMBERS, ARRAYS)
    numbers, arrays = Checkpoint(path, "ab12").load()
    assert numbers == NUMBERS
    assert len(arrays) == len(ARRAYS)
    for before, after in zip(ARRAYS, arrays, strict=True):
        assert after.dtype == before.dtype
        assert after.shape == before.shape
        assert np.array_equal(after, before)
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # no suffix added


def test_more_than_ten_arrays_keep_their_order(path):
    checkpoint = Checkpoint(path, "ab12")
    checkpoint.save({}, [np.array(i) for i in range(25)])
    assert [int(array) for array in checkpoint.load()[1]] == list(range(25))


def test_the_last_save_counts(path):
    checkpoint = Checkpoint(path, "ab12")
    checkpoint.save({"step": 1}, ARRAYS)
    checkpoint.save({"step": 2}, [])
    assert checkpoint.load() == ({"step": 2}, [])


def test_no_checkpoint_yet(path):
    checkpoint = Checkpoint(path, "ab12")
    assert checkpoint.load() is None
    checkpoint.remove()
    checkpoint.save({}, [])
    checkpoint.remove()
    assert checkpoint.load() is None


def test_a_file_that_was_not_looked_at_is_neither_replaced_nor_removed(path):
    path.write_text("my notes")
    checkpoint = Checkpoint(path, "ab12")
    checkpoint.remove()
    with pytest.raises(UsageError, match="is not a checkpoint"):
        checkpoint.save({}, [])
    checkpoint.remove()
    assert path.read_text() == "my notes"


def test_a_file_that_took_the_name_meanwhile_is_not_removed(path):
    checkpoint = Checkpoint(path, "ab12")
    checkpoint.save({}, [])
    path.unlink()
    path.write_text("my notes")
    checkpoint.remove()
    assert path.read_text() == "my notes"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_ordinary_file_is_refused_at_once(path):
    os.mkfifo(path)
    with pytest.raises(UsageError, match="is not a checkpoint"):
        Checkpoint(path, "ab12").load()
    path.unlink()
    path.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(UsageError, match="is a link; name an ordinary file"):
        Checkpoint(path, "ab12").load()


def test_the_advice_for_a_foreign_archive_does_not_speak_of_pickles(path):
    with open(path, "wb") as file:
        np.savez(file, np.array([{"a": 1}], dtype=object))
    with pytest.raises(UsageError) as refused:
        Checkpoint(path, "ab12").load()
    assert "pickle" not in str(refused.value)


def test_saves_wait_until_they_are_due(path):
    Checkpoint(path, "ab12").save_when_due(lambda: pytest.fail("too early"))
    checkpoint = Checkpoint(path, "ab12", seconds_between_saves=0.0)
    checkpoint.save_when_due(lambda: ({"step": 1}, []))
    assert checkpoint.load() == ({"step": 1}, [])


def test_several_fits_keep_results_beside_the_state_of_the_next(path):
    fits = SeveralFits(Checkpoint(path, "ab12"))
    assert (fits.result(0), fits.load()) == (None, None)
    fits.save({"step": 1}, ARRAYS[:1])
    fits.add_result({"psnr": 30.5}, ARRAYS[:2])
    assert fits.load() is None  # the next fit begins
    fits.save({"step": 2}, ARRAYS[2:])
    again = SeveralFits(Checkpoint(path, "ab12"))
    numbers, arrays = again.result(0)
    assert numbers == {"psnr": 30.5}
    assert all(np.array_equal(*pair) for pair in zip(arrays, ARRAYS[:2], strict=True))
    assert again.result(1) is None
    numbers, arrays = again.load()
    assert numbers == {"step": 2}
    assert [array.shape for array in arrays] == [(0, 4)]


def test_several_fits_without_a_checkpoint_remember_only_results():
    fits = SeveralFits(None)
    fits.save({"step": 1}, [])
    fits.save_when_due(lambda: pytest.fail("nowhere to save"))
    assert fits.load() is None
    fits.add_result({}, [])
    assert fits.result(0) == ({}, [])


def test_a_checkpoint_of_another_run(path):
    Checkpoint(path, "ab12").save(NUMBERS, ARRAYS)
    with pytest.raises(ValueError, match="belongs to another picture, recipe, seed or version"):
        Checkpoint(path, "ab13").load()


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\x80\x04N."],
    ids=["empty", "text", "zip cut short", "npy cut short", "pickle"],
)
def test_files_of_another_kind(path, content):
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match="is not a checkpoint, or a damaged one; it is left as it is"
    ):
        Checkpoint(path, "ab12").load()


def test_a_plain_array(path):
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match="is not a checkpoint"):
        Checkpoint(path, "ab12").load()


@pytest.mark.parametrize("meta", [np.array("[1]"), np.array("{"), np.array(b"\xff"), np.zeros(2)])
def test_archives_of_another_kind(path, meta):
    with open(path, "wb") as file:
        np.savez(file, meta)
    with pytest.raises(ValueError, match="is not a checkpoint"):
        Checkpoint(path, "ab12").load()


def test_truncated_anywhere(path):
    Checkpoint(path, "ab12").save(NUMBERS, ARRAYS)
    data = path.read_bytes()
    for n in range(0, len(data), 11):
        path.write_bytes(data[:n])
        with pytest.raises(ValueError, match="is not a checkpoint"):
            Checkpoint(path, "ab12").load()


def test_one_changed_byte_anywhere_is_refused_or_harmless(path):
    Checkpoint(path, "ab12").save(NUMBERS, ARRAYS)
    data = path.read_bytes()
    n_refused = 0
    for i in range(0, len(data), 3):
        path.write_bytes(data[:i] + bytes([data[i] ^ 0x55]) + data[i + 1 :])
        try:
            numbers, arrays = Checkpoint(path, "ab12").load()
        except ValueError:
            n_refused += 1
            continue
        assert numbers == NUMBERS  # zip has bytes that nobody reads, such as dates
        assert all(np.array_equal(*pair) for pair in zip(arrays, ARRAYS, strict=True))
    assert n_refused > len(data) / 3 / 2
