"""file.py: exact bytes, what a header may not say, and grey as three equal colours."""

import dataclasses
import zlib

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.cae.alpha import encode_alpha
from inr.cae.file import HASH_BYTES, MAX_SIDE, Coded, colours_of, pack_cae, pixels_of, read_content
from inr.errors import FormatError
from inr.format import container
from inr.format.checksum import pixels_crc
from inr.format.container import SECTION_ALPHA, SECTION_LATENTS, Header, icc_profile_of, unpack
from inr.kinds import open_file

CODED = Coded(1, bytes(range(16)), 7, 2, 0x12345678)
FULL = (0, 255)


def opened(data):
    return read_content(*unpack(data))


def test_exact_bytes():
    data = pack_cae((2, 300, 3), CODED, b"\xaa\xbb", None, None)
    body = bytes.fromhex(
        "89494e52"  # magic
        "01 02 02"  # version, kind cae, 3 channels of 8 bits, full ranges
        "02 ac02"  # height 2, width 300
        "18 0100 000102030405060708090a0b0c0d0e0f 07 02 78563412"  # the model
        "05 02 aabb"  # latents
    )
    assert data == body + zlib.crc32(body).to_bytes(4, "little")
    assert opened(data).coded == CODED
    assert opened(data).header.full_ranges == (FULL,) * 3
    assert (opened(data).alpha(), icc_profile_of(opened(data).sections)) == (None, None)


def test_alpha_and_profile_stand_beside():
    alpha = np.arange(12, dtype=np.uint8).reshape(3, 4)
    data = pack_cae((3, 4, 4), CODED, b"", encode_alpha(alpha), b"a profile")
    found = opened(data)
    np.testing.assert_array_equal(found.alpha(), alpha)
    assert icc_profile_of(found.sections) == b"a profile"
    assert list(found.sections) == [2, 5, 6]


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, MAX_SIDE), st.integers(1, MAX_SIDE), st.integers(1, 4)),
    st.builds(
        Coded,
        st.integers(0, 65535),
        st.binary(min_size=HASH_BYTES, max_size=HASH_BYTES),
        st.integers(0, 255),
        st.integers(0, 255),
        st.integers(0, 2**32 - 1),
    ),
    st.binary(max_size=40),
    st.none() | st.binary(max_size=40),
)
def test_round_trip_of_anything(size, coded, latents, profile):
    alpha = b"unread" if size[2] in (2, 4) else None
    found = opened(pack_cae(size, coded, latents, alpha, profile))
    assert (found.header.height, found.header.width, found.header.n_channels) == size
    assert found.coded == coded
    assert found.sections[SECTION_LATENTS] == latents
    assert found.sections.get(SECTION_ALPHA) == alpha
    assert icc_profile_of(found.sections) == profile


GOOD, SECTIONS = unpack(pack_cae((2, 3, 3), CODED, b"", None, None))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": MAX_SIDE + 1}, r"3x16385 pixels: each side must be 1\.\.16384"),
        ({"width": 1 << 20}, "1048576x2 pixels"),
        ({"bit_depth": 16}, "has samples of 8 bits and full ranges"),
        ({"ranges": (FULL, FULL, (1, 255))}, "has samples of 8 bits and full ranges"),
        ({"n_channels": 4, "ranges": (FULL,) * 4}, "channels and alpha of the file contradict"),
        ({"n_channels": 2, "ranges": (FULL,) * 2}, "channels and alpha of the file contradict"),
        ({"stages": GOOD.stages[:-1]}, "the model is cut short at byte 0: 24 bytes expected, 23"),
        ({"stages": GOOD.stages + b"\0"}, "the model has 1 bytes too many"),
        ({"stages": b""}, "the model is cut short"),
    ],
)
def test_headers_that_are_refused(changes, message):
    with pytest.raises(FormatError, match=message):
        read_content(dataclasses.replace(GOOD, **changes), SECTIONS)


def test_alpha_that_no_channel_asks_for_is_refused():
    with pytest.raises(FormatError, match="contradict"):
        read_content(GOOD, SECTIONS | {SECTION_ALPHA: b""})


def test_sections_of_other_kinds_are_refused():
    header = Header(2, 3, 3, 8, (FULL,) * 3, GOOD.stages, 2)
    for tag in (1, 3, 4):
        with pytest.raises(FormatError, match="a file of kind cae has no"):
            open_file(container.pack(header, {SECTION_LATENTS: b"", tag: b""}))


def test_the_checksum_is_that_of_rows_of_colours():
    colours = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    assert pixels_crc(colours) == zlib.crc32(bytes(range(18)))
    assert pixels_crc(colours[:, ::-1][:, ::-1]) == pixels_crc(colours)  # however it lies


def test_grey_is_three_equal_colours_and_comes_back_as_their_mean():
    grey = np.array([[[7], [9]]], np.uint8)
    assert colours_of(grey).tolist() == [[[7, 7, 7], [9, 9, 9]]]
    # Thirds round to the nearest: 31 / 3, 32 / 3, 1 / 3, 2 / 3, and no sum overflows.
    colours = [[10, 10, 11], [10, 11, 11], [0, 1, 0], [2, 0, 0], [255, 255, 255]]
    made = pixels_of(np.array([colours], np.uint8), None, 1)
    assert made[0, :, 0].tolist() == [10, 11, 0, 1, 255]


@given(arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 5)] * 2, st.integers(1, 4))))
def test_colours_and_alpha_come_back(pixels):
    n_channels = pixels.shape[2]
    alpha = pixels[..., -1] if n_channels in (2, 4) else None
    colours = colours_of(pixels)
    assert colours.shape == (*pixels.shape[:2], 3)
    made = pixels_of(colours, alpha, n_channels)
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made, pixels)
