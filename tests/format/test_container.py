"""container.py: exact bytes, exact round trips, and FormatError for everything else."""

import struct
import zlib

import hypothesis.strategies as st
import pytest
from helpers.built_files import built_file, stages_of
from helpers.fuzz import repaired
from hypothesis import given, settings

from inr.errors import FormatError, UsageError
from inr.format import container
from inr.format.container import (
    MAX_ICC_BYTES,
    MAX_SIDE,
    MAX_STAGES_BYTES,
    Header,
    check_sections,
    check_sides,
    pack,
    pack_icc,
    unpack,
    unpack_icc,
)
from inr.kinds import find_kind, open_file
from inr.mlp.fields.siren import Siren

FULL = (0, 255)
PLAIN = Header(2, 300, 3, 8, (FULL, FULL, FULL), b"\x05\x06")


def unpack_checked(data):
    """`unpack`, and the sections held against those of the kind."""
    header, sections = unpack(data)
    kind = find_kind(header.kind)
    check_sections(sections, kind.name, kind.required, kind.allowed)


def crc32(data):
    """CRC-32 bit by bit, as in ISO 3309."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xEDB88320 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def sealed(text):
    """A file of the bytes given in hex, behind the magic, with its checksum."""
    return repaired(container.MAGIC + bytes.fromhex(text) + bytes(4))


def test_exact_bytes_of_a_colour_picture():
    body = bytes.fromhex(
        "89494e52"  # magic
        "01 00 02"  # version, kind mlp, 3 channels of 8 bits without ranges
        "02 ac02"  # height 2, width 300 = 0x2c + 2 * 128
        "02 0506"  # stages
        "01 02 aabb"  # weights
        "02 00"  # icc_profile
    )
    expected = body + struct.pack("<I", crc32(body))
    assert pack(PLAIN, {2: b"", 1: b"\xaa\xbb"}) == expected
    assert unpack(expected) == (PLAIN, {1: b"\xaa\xbb", 2: b""})


def test_exact_bytes_of_a_grey_picture_of_16_bits_with_a_range():
    header = Header(1, 1, 1, 16, ((1, 0x1234),), b"")
    body = bytes.fromhex("89494e52 01 00 0c 01 01 0100 3412 00 01 00")
    assert pack(header, {1: b""}) == body + struct.pack("<I", crc32(body))


def test_exact_bytes_of_a_grid():
    header = Header(1, 1, 1, 8, (FULL,), b"\x07", 1)
    body = bytes.fromhex("89494e52 01 01 00 01 01 01 07 04 01 aa 05 00")
    expected = body + struct.pack("<I", crc32(body))
    assert pack(header, {4: b"\xaa", 5: b""}) == expected
    assert unpack(expected) == (header, {4: b"\xaa", 5: b""})


def test_exact_bytes_of_a_cae():
    header = Header(1, 1, 2, 8, (FULL, FULL), b"\x07", 2)
    body = bytes.fromhex("89494e52 01 02 01 01 01 01 07 02 01 cc 05 00 06 01 aa")
    expected = body + struct.pack("<I", crc32(body))
    assert pack(header, {2: b"\xcc", 5: b"", 6: b"\xaa"}) == expected
    assert unpack(expected) == (header, {2: b"\xcc", 5: b"", 6: b"\xaa"})


def test_only_bytes_are_unpacked():
    with pytest.raises(TypeError, match=r"cannot decode a str: expected the bytes of a file"):
        unpack("photo.inr")
    data = pack(PLAIN, {1: b""})
    assert unpack(bytearray(data)) == unpack(memoryview(data)) == unpack(data)


def test_ranges_of_8_bits_take_two_bytes_a_channel():
    header = Header(2, 300, 3, 8, ((1, 2), (3, 3), (0, 255)), b"\x05\x06")
    data, plain = pack(header, {1: b""}), pack(PLAIN, {1: b""})
    assert len(data) == len(plain) + 6
    assert bytes([1, 2, 3, 3, 0, 255]) in data


@st.composite
def headers(draw):
    n_channels, bit_depth = draw(st.integers(1, 4)), draw(st.sampled_from([8, 16]))
    sample = st.integers(0, 2**bit_depth - 1)
    pair = st.one_of(st.just((0, 2**bit_depth - 1)), st.tuples(sample, sample).map(sorted))
    ranges = tuple(tuple(draw(pair)) for _ in range(n_channels))
    side = st.integers(1, MAX_SIDE)
    stages = draw(st.binary(max_size=MAX_STAGES_BYTES))
    return Header(draw(side), draw(side), n_channels, bit_depth, ranges, stages)


@settings(deadline=None)
@given(headers(), st.binary(max_size=300), st.none() | st.binary(max_size=300))
def test_round_trip_of_anything(header, weights, icc):
    sections = {1: weights, 3: weights} if icc is None else {1: weights, 2: icc}
    data = pack(header, sections)
    assert unpack(data) == (header, sections)
    assert pack(*unpack(data)) == data


def test_a_typical_file_has_less_than_40_bytes_around_its_sections():
    ranges = ((0, 255), (2, 251), (0, 254))
    data = built_file(stages_of(field=Siren(hidden=56)), height=512, width=768, ranges=ranges)
    _, sections = unpack(data)
    assert len(data) - sum(len(payload) for payload in sections.values()) < 40


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("02 00 02 01 01 00 0100", "version 2 of the format is not known; this reads 1"),
        ("01 00 12 01 01 00 0100", "picture flags 0x12 are not known"),
        ("01 00 82 01 01 00 0100", "picture flags 0x82 are not known"),
        ("01 00 02 00 01 00 0100", "1x0 pixels: each side must be"),
        ("01 00 02 01 00 00 0100", "0x1 pixels: each side must be"),
        ("01 00 02 818040 01 00 0100", "1x1048577 pixels: each side must be"),
        ("01 00 02 01 818040 00 0100", "1048577x1 pixels: each side must be"),
        ("01 00 08 01 01 0504 00 0100", "low above high"),
        ("01 00 0c 01 01 00020001 00 0100", "low above high"),
        ("01 00 02 01 01 8102 0100", "257 bytes of stages, more than the 256 allowed"),
        ("01 00 02 01 01 ffffffff0f 0100", "4294967295 bytes of stages"),
        ("01 00 02 01 01 02", "cut short at byte 6: 2 bytes expected, 0 left"),
        ("01 00 02 01 01 00", "no section of weights"),
        ("01 00 02 01 01 00 0200", "no section of weights"),
        ("01 00 02 01 01 00 0000", "section tag 0 is not known"),
        ("01 00 02 01 01 00 0100 0600", "a file of kind mlp has no alpha"),
        ("01 00 02 01 01 00 0100 0700", "section tag 7 is not known"),
        ("01 00 02 01 01 00 0100 0400", "a file of kind mlp has no networks"),
        ("01 00 02 01 01 00 0400 0500", "a file of kind mlp has no networks"),
        ("01 01 02 01 01 00 0100", "a file of kind grid has no weights"),
        ("01 01 02 01 01 00 0300 0400 0500", "a file of kind grid has no bands"),
        ("01 01 02 01 01 00 0200", "no section of networks"),
        ("01 01 02 01 01 00 0500", "no section of networks"),
        ("01 01 02 01 01 00 0400", "no section of latents"),
        ("01 01 02 01 01 00 0500 0400", "section networks stands out of order"),
        ("01 01 02 01 01 00 0400 0500 0600", "a file of kind grid has no alpha"),
        ("01 02 02 01 01 00", "no section of latents"),
        ("01 02 01 01 01 00 0600", "no section of latents"),
        ("01 02 02 01 01 00 0100 0500", "a file of kind cae has no weights"),
        ("01 02 02 01 01 00 0300 0500", "a file of kind cae has no bands"),
        ("01 02 02 01 01 00 0400 0500", "a file of kind cae has no networks"),
        ("01 02 01 01 01 00 0600 0500", "section latents stands out of order"),
        ("01 00 02 01 01 00 0200 0100", "section weights stands out of order"),
        ("01 00 02 01 01 00 0100 0300 0200", "section icc_profile stands out of order"),
        ("01 00 02 01 01 00 0300", "no section of weights"),
        ("01 00 02 01 01 00 0100 0100", "section weights stands out of order"),
        ("01 00 02 01 01 00 01ffffffff0f 00", "4294967295 bytes expected, 1 left"),
        ("01 00 02 01 01 00 0100 ff", "section tag 255 is not known"),
        ("01 00 02 01 01 00 0100 02", "cut short"),
    ],
)
def test_wrong_bytes(text, message):
    with pytest.raises(FormatError, match=message):
        unpack_checked(sealed(text))


@pytest.mark.parametrize(("height", "width"), [(0, 5), (5, 0), (-1, 5), (5, 17), (17, 5)])
def test_sides_outside_of_a_limit(height, width):
    message = rf"^a picture of {width}x{height} pixels: each side must be 1\.\.16; cut it$"
    with pytest.raises(UsageError, match=message):
        check_sides(height, width, 16, UsageError, "; cut it")
    check_sides(16, 16, 16, UsageError)


@pytest.mark.parametrize("data", [b"", b"\x89IN", b"\x89PNG\r\n\x1a\n", b"INR\x89" + bytes(20)])
def test_other_files(data):
    with pytest.raises(FormatError, match=r"not an \.inr file"):
        unpack(data)


def test_too_large_files(monkeypatch):
    monkeypatch.setattr(container, "MAX_FILE_BYTES", 20)
    with pytest.raises(FormatError, match="more than the 20 allowed"):
        unpack(pack(PLAIN, {1: bytes(20)}))


def test_truncated_at_every_byte():
    data = pack(PLAIN, {1: b"weights", 2: b"profile"})
    for n in range(len(data)):
        with pytest.raises(FormatError):
            unpack(data[:n])


def test_truncated_at_every_byte_with_the_checksum_repaired():
    data = pack(PLAIN, {1: b"weights"})
    for n in range(len(data)):
        with pytest.raises(FormatError, match=r"cut short|no section of weights|not an"):
            unpack_checked(repaired(data[:n] + bytes(4)) if n < len(data) - 4 else data[:n])


def test_one_flipped_bit_anywhere():
    data = pack(PLAIN, {1: b"weights"})
    for i in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[i // 8] ^= 1 << i % 8
        with pytest.raises(FormatError):
            unpack(bytes(flipped))


def test_the_message_of_a_damaged_file():
    with pytest.raises(FormatError, match="checksum does not match"):
        unpack(pack(PLAIN, {1: b"weights"})[:-1] + b"?")


@pytest.mark.parametrize("sides", [(0, 5), (5, MAX_SIDE + 1)])
def test_pack_refuses_sides_that_unpack_would_refuse(sides):
    with pytest.raises(ValueError, match="each side must be"):
        pack(Header(*sides, 1, 8, (FULL,), b""), {1: b""})


@pytest.mark.parametrize("profile", [b"", b"profile", bytes(MAX_ICC_BYTES)])
def test_icc_profiles_come_back(profile):
    assert unpack_icc(pack_icc(profile)) == profile


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (zlib.compress(bytes(MAX_ICC_BYTES + 1)), "above 4194304 bytes"),
        (zlib.compress(bytes(1 << 28)), "above 4194304 bytes"),  # a bomb of 256 MB
        (zlib.compress(b"profile")[:-1], "damaged"),
        (zlib.compress(b"profile") + b"?", "damaged"),
        (b"profile", "damaged"),
        (b"", "damaged"),
    ],
    ids=["one byte too many", "bomb", "cut short", "too long", "not zlib", "empty"],
)
def test_icc_profiles_that_are_wrong(payload, message):
    with pytest.raises(FormatError, match=message):
        unpack_icc(payload)


def test_icc_profiles_that_could_not_be_read_are_not_written():
    with pytest.raises(ValueError, match="remove the profile"):
        pack_icc(bytes(MAX_ICC_BYTES + 1))


def test_a_kind_of_the_future_is_named():
    data = pack(Header(1, 1, 1, 8, (FULL,), b"", 9), {})
    with pytest.raises(
        FormatError, match=r"kind 9 is not known; .* 0 \(mlp\), 1 \(grid\), 2 \(cae"
    ):
        open_file(data)
