"""The two byte layouts, on paper and against bad bytes."""

import numpy as np
import pytest

from inr.coders.byte_planes import Layout, decode_layout, dense, encode_smallest, sparse
from inr.errors import FormatError

CODES = [np.array([0, -3, 0], np.int32), np.array([0, 0, 256, 1], np.int32)]


def as_they_are(layout):
    return b"".join(layout.by_plane())


def exactly(data, n_bytes):
    if len(data) != n_bytes:
        raise FormatError(f"{len(data)} bytes, {n_bytes} expected")
    return data


def decode(text, sizes=(3, 4)):
    tensors = decode_layout(bytes.fromhex(text), sizes, exactly)
    return [tensor.tolist() for tensor in tensors]


def test_dense_bytes_on_paper():
    layout = dense(CODES)
    assert layout.head.hex(" ") == "00 03 01"  # dense, three codes other than 0, one of them wide
    magnitudes, signs, low, high = map(b"".join, layout.planes)
    assert magnitudes.hex(" ") == "00 03 00 00 00 ff 01"
    assert signs.hex() == "80"  # -3, 256, 1: 1 0 0, and padding
    assert (low.hex(), high.hex()) == ("01", "00")  # 256 - 255
    assert decode(layout.head.hex() + as_they_are(layout).hex()) == [t.tolist() for t in CODES]


def test_sparse_bytes_on_paper():
    layout = sparse(CODES)
    assert layout.head.hex(" ") == "01 03 01 03"  # sparse, three codes, one wide, three gaps
    gaps, magnitudes, signs, low, high = map(b"".join, layout.planes)
    assert gaps.hex(" ") == "01 03 00"
    assert magnitudes.hex(" ") == "02 ff 00"
    assert signs.hex() == "80"
    assert (low.hex(), high.hex()) == ("00", "00")  # 256 - 1 - 255
    assert decode(layout.head.hex() + as_they_are(layout).hex()) == [t.tolist() for t in CODES]


@pytest.mark.parametrize(
    ("n_zeros", "gaps"), [(254, "fe"), (255, "ff 00"), (256, "ff 01"), (510, "ff ff 00")]
)
def test_long_gaps(n_zeros, gaps):
    codes = np.zeros(n_zeros + 5, np.int32)
    codes[n_zeros] = 9
    assert sparse([codes]).planes[0][0].hex(" ") == gaps
    assert decode(encode_smallest([codes], as_they_are).hex(), [codes.size]) == [codes.tolist()]


def test_the_smaller_layout_is_taken():
    few, many = np.zeros(40, np.int32), np.full(40, 7, np.int32)
    few[11] = 7
    assert encode_smallest([few], as_they_are)[0] == 1
    assert encode_smallest([many], as_they_are)[0] == 0


def test_large_tensors_begin_blocks_of_their_own():
    magnitudes = (b"a" * 10, b"b" * 1000, b"c" * 999, b"d" * 1001)
    layout = Layout(b"", (magnitudes, (b"e" * 16,), (b"",), (b"f" * 15,)))
    assert list(map(len, layout.by_plane())) == [3010, 31]
    assert list(map(len, layout.by_tensor())) == [10, 1999, 1001, 31]
    assert b"".join(layout.by_tensor()) == b"".join(layout.by_plane())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cut short at byte 0"),
        ("02 03 01", "layout 2 of codes is not known"),
        ("00 08 00", "8 non-zero codes, at most 7"),
        ("00 03 04", "4 wide codes, at most 3"),
        ("01 03 00 04", "4 gaps, at most 3"),
        ("00 00 00 000000000000", "6 bytes, 7 expected"),
        ("00 00 00 00000000000001", "1 codes are not zero, the head says 0"),
        ("00 01 00 000000000000ff 00", "1 codes are wide, the head says 0"),
        ("00 01 00 00000000000001 40", "a sign is set for a code that does not exist"),
        ("00 01 01 000000000000ff 00 00 80", r"outside -32767\.\.32767"),
        ("01 01 00 02 ff00 00 00", "2 gaps, at most 1"),
        ("01 01 00 01 07 00 00", "a code stands at 7, but there are 7"),
        ("01 02 00 02 00ff 0000 00", "1 gaps, the head says 2"),
    ],
)
def test_wrong_bytes(text, message):
    with pytest.raises(FormatError, match=message):
        decode(text)


def test_a_full_gap_at_the_end_is_refused():
    with pytest.raises(FormatError, match="1 gaps, the head says 1"):
        decode("01 01 00 02 00ff 00 00", sizes=(300,))
