"""npz.py: claims of arrays are known before they are unpacked, and nothing else is read."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inr.cae.npz import Npz
from inr.errors import FormatError

ARRAYS = {
    "a": np.arange(6, dtype=np.float16).reshape(2, 3),
    "group/b": np.asfortranarray(np.arange(12, dtype=np.int32).reshape(3, 4)),
    "text": np.array("words"),
    "none": np.zeros((0, 5), np.uint16),
}


def saved(save=np.savez_compressed, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def header_of(text, version=1):
    """The start of a .npy file whose header is this text."""
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode("latin1")


def header(descr="'<f2'", shape="(3,)", order="False"):
    return header_of(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n")


def archive(members, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return file.getvalue()


PLAIN = saved(**ARRAYS)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read(save):
    stored = Npz(saved(save, **ARRAYS))
    assert {name: (m.shape, m.dtype) for name, m in stored.members.items()} == {
        name: (array.shape, array.dtype) for name, array in ARRAYS.items()
    }
    assert stored.members["group/b"].n_bytes == 48
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(stored.read(name), array)


def test_a_gigabyte_of_zeros_costs_nothing_to_look_at():
    bomb = archive({"a.npy": header(shape=f"({1 << 29},)") + bytes(1 << 26), "b.npy": header()})
    assert len(bomb) < 1e5
    tracemalloc.start()
    stored = Npz(bomb)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert stored.members["a"].n_bytes == 1 << 30
    assert peak_bytes < 1e6


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not end as one does"),
        (b"PK\5\6", "does not end as one does"),
        (PLAIN[:-1], "does not end as one does"),
        (PLAIN + b"\0", "does not end as one does"),
        (PLAIN[30:], "is damaged"),
        (archive({"a.txt": b"text"}), "a member is named 'a.txt'"),
        (archive({"a.npy": b""}), "'a' is damaged"),
        (archive({"a.npy": b"\x93NUMPY"}), "'a' is damaged"),
        (archive({"a.npy": header_of("{", version=2)}), "longer than 64 kB"),
        (archive({"a.npy": header_of("{'descr'")}), "'a' is damaged"),
        (archive({"a.npy": header_of("-" * 400 + "1")}), "'a' is damaged"),
        (archive({"a.npy": header_of("(" * 400)}), "'a' is damaged"),
        (archive({"a.npy": header_of(" " * 600)}), "'a' is damaged"),
        (archive({"a.npy": header(shape="(-3,)")}), "neither numbers nor text"),
        (archive({"a.npy": header(shape="(1.5,)")}), "'a' is damaged"),
        (archive({"a.npy": header(shape="3")}), "'a' is damaged"),
        (archive({"a.npy": header(descr="'|O'")}), "neither numbers nor text"),
        (archive({"a.npy": header(descr="'|V9'")}), "neither numbers nor text"),
        (archive({"a.npy": header(descr="'<M8[s]'")}), "neither numbers nor text"),
        (archive({"a.npy": header(descr="[('x', '<f2')]")}), "neither numbers nor text"),
        (archive({"a.npy": header(descr="('<f2', (2,))")}), "neither numbers nor text"),
        (archive({"a.npy": header(descr="'no such'")}), "'a' is damaged"),
        (archive({"a.npy": header()}, zipfile.ZIP_BZIP2), "in a way that numpy does not use"),
        (archive({"a.npy": header()}, zipfile.ZIP_LZMA), "in a way that numpy does not use"),
        (archive({f"{i}.npy": header() for i in range(6000)}), "too many members"),
        (saved(a=np.array([{}], object)), "neither numbers nor text"),
    ],
)
def test_other_files_are_refused(data, message):
    with pytest.raises(FormatError, match=message):
        Npz(data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name_are_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("a.npy", header())
        made.writestr("a.npy", header())
    with pytest.raises(FormatError, match=r"a member is named 'a\.npy'"):
        Npz(file.getvalue())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (header() + bytes(5), "'a' is damaged"),  # 6 bytes are claimed
        (header() + bytes(7), "longer than its header says"),
        (header(), "'a' is damaged"),
    ],
)
def test_arrays_of_another_length_than_their_header_says(data, message):
    stored = Npz(archive({"a.npy": data}))
    assert stored.members["a"].shape == (3,)
    with pytest.raises(FormatError, match=message):
        stored.read("a")


def test_members_that_overlap_or_lie_about_their_length():
    data = bytearray(archive({"a.npy": header() + bytes(6)}, zipfile.ZIP_STORED))
    at = data.rindex(b"PK\x01\x02")
    data[at + 20 : at + 28] = struct.pack("<2L", 1 << 30, 1 << 30)  # sizes, packed and unpacked
    with pytest.raises(FormatError):
        Npz(bytes(data)).read("a")


@settings(deadline=None, max_examples=100)
@given(st.integers(0, len(PLAIN) - 1), st.integers(1, 255))
@example(PLAIN.index(b"PK\x01\x02") + 30, 1)  # the length of what follows the first name
@example(PLAIN.index(b"PK\x01\x02") + 33, 1)  # the length of its comment
def test_a_damaged_byte_is_refused_or_not_looked_at(at, flip):
    damaged = bytearray(PLAIN)
    damaged[at] ^= flip
    try:
        stored = Npz(bytes(damaged))
        read = {name: stored.read(name) for name in stored.members}
    except FormatError:
        return
    assert len(read) == len(ARRAYS)
