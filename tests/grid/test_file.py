"""grid_file.py, decode.py and describe.py: files of kind grid, without any fit."""

import dataclasses
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from helpers.built_files import GRID_WITH_RATE, SMALL_GRID, built_file, built_grid, stages_of

import inr
from inr.codec import decode_picture, describe
from inr.errors import FormatError
from inr.format import container
from inr.format.checksum import pixels_crc
from inr.format.container import pack, unpack
from inr.grid.file import MAX_SIDE, read_grid, write_grid
from inr.grid.latent_coder import latent_bits, level_bits
from inr.grid.network_coding import CodedNetworks
from inr.grid.structure import Pyramid, Structure, write_structure
from inr.grid.synthesis import synthesize
from inr.image.resample import resample
from inr.kinds import open_file
from inr.options import DecodeOptions

PLAIN = built_grid(height=23, width=18)
WITH_RATE = built_grid(height=23, width=18, structure=GRID_WITH_RATE)
NETWORKS, LATENTS = container.SECTION_NETWORKS, container.SECTION_LATENTS


def changed(data=PLAIN, *, sections=None, **of_header):
    """The file with parts of its header or sections exchanged, and the right checksum."""
    header, there = unpack(data)
    return pack(dataclasses.replace(header, **of_header), there | (sections or {}))


def with_structure(data, **fields):
    """The same sections under the claim of another structure."""
    opened = open_file(data).content
    structure = dataclasses.replace(opened.pyramid.structure, **fields)
    crc = struct.pack("<I", opened.crc)
    return changed(data, stages=write_structure(structure) + crc)


# ---------------------------------------------------------------- exact bytes


def test_a_hand_worked_file():
    pyramid = Pyramid(1, 1, 1, Structure())
    codes = {name: np.zeros(shape, np.int32) for name, shape in pyramid.shapes.items()}
    codes["synth_b1"][0] = 2  # times 2**-2: half of the range
    octaves = dict.fromkeys(pyramid.groups, 2)
    latents = [np.zeros((1, 1), np.int32)]
    crc = zlib.crc32(b"\x80")  # 127.5 is rounded up
    data = write_grid(pyramid, 8, CodedNetworks(octaves, codes), latents, crc, None)
    header, sections = unpack(data)
    assert header.kind == 1
    # first_level, n_hyper, n_taps, n_features, n_feature_levels, hidden, prior
    assert header.stages == bytes([0, 0, 14, 6, 40, 48, 0]) + struct.pack("<I", crc)
    assert list(sections) == [NETWORKS, LATENTS]
    assert inr.decode(data).tolist() == [[128]]


def test_a_hand_worked_scaled_file():
    pyramid = Pyramid(1, 1, 1, Structure(prior=2, rate=20))
    codes = {name: np.zeros(shape, np.int32) for name, shape in pyramid.shapes.items()}
    octaves = dict.fromkeys(pyramid.groups, 0)
    # So many of the prior's own that the picture is white whatever the set says.
    codes["conv_b1"][0] = 40
    latents = [np.zeros((1, 1), np.int32) for _ in range(6)]
    crc = zlib.crc32(b"\xff")
    data = write_grid(pyramid, 8, CodedNetworks(octaves, codes), latents, crc, None)
    header, sections = unpack(data)
    # first_level, n_hyper, n_taps, n_features, n_feature_levels, hidden, prior, rate
    assert header.stages == bytes([0, 0, 14, 6, 40, 48, 2, 20]) + struct.pack("<I", crc)
    # The last of 18 groups is present, of a step of 1.
    assert len(pyramid.groups) == 18
    assert sections[NETWORKS][:4] == bytes([0, 0, 0b10, 0])
    assert inr.decode(data).tolist() == [[255]]


def test_the_checksum_is_of_samples_in_little_endian_order():
    pixels = np.array([[[0x1234, 0x5678]]], np.uint16)
    assert pixels_crc(pixels) == zlib.crc32(bytes([0x34, 0x12, 0x78, 0x56]))
    assert pixels_crc(pixels.astype(">u2")) == pixels_crc(pixels)
    rows = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert pixels_crc(rows) == zlib.crc32(bytes(range(12)))
    assert pixels_crc(rows.transpose(1, 0, 2)) == pixels_crc(rows.transpose(1, 0, 2).copy())


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (9, 1), (13, 26)])
@pytest.mark.parametrize("structure", [SMALL_GRID, GRID_WITH_RATE])
def test_files_of_every_kind_and_size_come_back(height, width, n_channels, bit_depth, structure):
    data = built_grid(
        n_channels=n_channels,
        bit_depth=bit_depth,
        height=height,
        width=width,
        structure=structure,
    )
    pixels = decode_picture(data).pixels
    assert pixels.shape == (height, width, n_channels)
    assert pixels.dtype == (np.uint8 if bit_depth == 8 else np.uint16)
    opened = open_file(data).content
    assert pixels_crc(pixels) == opened.crc
    coded, latents = read_grid(opened)
    again = write_grid(opened.pyramid, bit_depth, coded, latents, opened.crc, None)
    assert again == data


@pytest.mark.parametrize(
    "structure",
    [
        Structure(n_hyper=3, n_taps=20, n_features=3, hidden=5),
        Structure(first_level=2, n_feature_levels=1, hidden=3),
        Structure(n_feature_levels=0, n_taps=1, n_features=1, hidden=1),
        Structure(prior=2, rate=64),
        Structure(prior=2, n_hyper=3, n_taps=20, n_features=3, hidden=5),
        Structure(prior=2, first_level=2, n_feature_levels=1, hidden=3, rate=1),
    ],
)
def test_every_field_of_the_structure_is_in_the_file(structure):
    data = built_grid(height=50, width=41, structure=structure)
    assert open_file(data).content.pyramid == Pyramid(50, 41, 3, structure)
    assert inr.decode(data).shape == (50, 41, 3)


def test_the_colour_profile_comes_back():
    assert decode_picture(built_grid(icc_profile=b"a profile")).icc_profile == b"a profile"
    assert decode_picture(PLAIN).icc_profile is None


# ---------------------------------------------------------------- views


@pytest.mark.parametrize(("scale", "size"), [(0.5, (9, 12)), (None, (40, 9))])
def test_smaller_sizes_are_the_native_picture_resampled(scale, size):
    drawn = inr.decode(PLAIN, size=size)
    expected = resample(inr.decode(PLAIN).astype(np.float64), size[1], size[0])
    # A tie that float32 rounds to the other side is one level.
    assert np.abs(drawn - np.clip(expected, 0, 255)).max() < 0.501
    if scale is not None:
        np.testing.assert_array_equal(drawn, inr.decode(PLAIN, scale=scale))


@pytest.mark.parametrize("data", [PLAIN, WITH_RATE], ids=["plain", "scaled"])
def test_larger_sizes_are_drawn_of_interpolated_features(data):
    coded, latents = read_grid(open_file(data).content)
    pyramid = open_file(data).content.pyramid
    drawn = synthesize(latents, coded.values(pyramid), pyramid, 8, size=(46, 36))
    np.testing.assert_array_equal(drawn, inr.decode(data, scale=2))
    np.testing.assert_array_equal(drawn, inr.decode(data, size=(36, 46)))


@pytest.mark.parametrize("scale", [None, 1.5])
@pytest.mark.parametrize("data", [PLAIN, WITH_RATE], ids=["plain", "scaled"])
def test_a_region_holds_the_pixels_of_the_whole(scale, data):
    whole = inr.decode(data, scale=scale)
    part = inr.decode(data, scale=scale, region=(3, 5, 10, 7))
    np.testing.assert_array_equal(part, whole[5:12, 3:13])


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("structure", [SMALL_GRID, GRID_WITH_RATE])
def test_truncated_at_every_byte_or_one_byte_changed(structure):
    data = built_grid(structure=structure)
    for n in range(len(data)):
        with pytest.raises(FormatError):
            inr.decode(data[:n])
        with pytest.raises(FormatError):
            inr.decode(data[:n] + bytes([data[n] ^ 0x5A]) + data[n + 1 :])


@pytest.mark.parametrize("structure", [SMALL_GRID, GRID_WITH_RATE])
def test_sections_truncated_at_every_byte_with_the_checksum_repaired(structure):
    data = built_grid(structure=structure)
    for tag, payload in unpack(data)[1].items():
        for n in range(len(payload)):
            with pytest.raises(FormatError):
                inr.decode(changed(data, sections={tag: payload[:n]}))


@pytest.mark.parametrize("tag", [NETWORKS, LATENTS])
@pytest.mark.parametrize("structure", [SMALL_GRID, GRID_WITH_RATE])
def test_changed_sections_give_the_same_picture_or_none(tag, structure):
    data = built_grid(structure=structure)
    pixels, payload = inr.decode(data), unpack(data)[1][tag]
    n_refused = 0
    for i in range(len(payload)):
        other = payload[:i] + bytes([payload[i] ^ 1]) + payload[i + 1 :]
        try:
            drawn = inr.decode(changed(data, sections={tag: other}))
        except FormatError:
            n_refused += 1
        else:  # a weight behind a zero, or the end of the range coder's last word
            np.testing.assert_array_equal(drawn, pixels)
    assert n_refused > len(payload) / 2


def test_pixels_must_match_their_checksum():
    stages = unpack(PLAIN)[0].stages
    wrong = changed(stages=stages[:-1] + bytes([stages[-1] ^ 1]))
    with pytest.raises(FormatError, match="the pixels do not match their checksum"):
        inr.decode(wrong)
    with pytest.raises(FormatError, match="the pixels do not match their checksum"):
        inr.decode(wrong, scale=2, region=(0, 0, 4, 4))
    part = inr.decode(wrong, region=(0, 0, 4, 4))  # nothing to hold it against
    np.testing.assert_array_equal(part, inr.decode(PLAIN)[:4, :4])


def test_sections_of_the_other_kind():
    mlp = built_file(stages_of())
    with pytest.raises(FormatError, match="a file of kind mlp has no networks"):
        open_file(changed(kind=0))
    with pytest.raises(FormatError, match="a file of kind grid has no weights"):
        open_file(changed(mlp, kind=1))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(ranges=((0, 254),) * 3), r"ranges \(\(0, 254\).*: a file of kind grid has full o"),
        (changed(stages=b"\0\0\0"), r"n_taps=0 is outside 1\.\.20"),
        (changed(stages=b"\0\0\1\1\0"), "the structure is cut short"),
        (changed(stages=b"\0\0\1\1\0\1\0\0\0"), "the structure is cut short"),
        (changed(stages=b"\0\0\1\1\0\1\0\0\0\0\0\0"), "the structure has 1 bytes too many"),
        (changed(height=MAX_SIDE + 1), r"18x16385 pixels: each side must be 1\.\."),
        (with_structure(PLAIN, hidden=256), "networks|range coder|latents|pixels"),
        (with_structure(PLAIN, n_taps=20), "networks|range coder|latents|pixels"),
        (with_structure(PLAIN, n_hyper=2), "networks|range coder|latents|pixels"),
        (with_structure(PLAIN, prior=1), "networks|range coder|latents|pixels"),
        (with_structure(PLAIN, prior=2), "networks|range coder|latents|pixels"),
        (with_structure(WITH_RATE, prior=1, rate=0), "networks|range coder|latents|pixels"),
        (with_structure(WITH_RATE, rate=64), "networks|range coder|latents|pixels"),
    ],
)
def test_wrong_files(data, message):
    with pytest.raises(FormatError, match=message):
        inr.decode(data)


def test_a_huge_claim_is_refused_before_memory_is_taken():
    data = changed(built_grid(height=9000, width=1), width=MAX_SIDE, height=MAX_SIDE)
    tracemalloc.start()
    with pytest.raises(FormatError, match=r"16384x16384 pixels, more than the limit.*max-pixels"):
        inr.decode(data)
    with pytest.raises(FormatError):  # the networks of another size
        describe(data)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_sides_that_no_file_can_hold():
    pixels = np.zeros((MAX_SIDE + 1, 1), np.uint8)
    pixels[0] = 1
    with pytest.raises(ValueError, match=r"1x16385 pixels: each side must be 1\.\.16384; cut"):
        inr.encode(pixels, inr.recipes.grid_fast())


# ---------------------------------------------------------------- inr info


def test_the_description_adds_up():
    data = built_grid(height=60, width=45, structure=Structure(n_hyper=1, n_taps=3, hidden=4))
    told = describe(data)
    assert told["kind"] == "grid"
    assert told["n_bytes"] == len(data)
    assert told["structure"]["hidden"] == 4
    assert told["pixels_crc32"] == f"{open_file(data).content.crc:08x}"
    assert sum(told["sections"].values()) + told["overhead_bytes"] == len(data)
    assert sum(group["n_bytes"] for group in told["networks"]) == told["sections"]["networks"]
    assert told["n_weights"] == sum(
        np.prod(s) for s in open_file(data).content.pyramid.shapes.values()
    )
    # 60 / 2**3 is less than 12; the coarsest has a hyper level
    assert [(level["exponent"], level["is_hyper"]) for level in told["levels"]] == [
        (3, True), (3, False), (2, False), (1, False), (0, False),
    ]  # fmt: skip
    assert (told["levels"][0]["height"], told["levels"][0]["width"]) == (8, 6)
    bits = sum(level["bits"] for level in told["levels"])
    assert bits == pytest.approx(8 * told["sections"]["latents"], abs=64)  # ends in whole words
    assert all(group["q_step"] == 2**-8 for group in told["networks"])


def test_the_description_of_a_scaled_file():
    told = describe(WITH_RATE)
    assert told["structure"]["rate"] == 20
    assert "rate" not in describe(PLAIN)["structure"]
    assert [level["exponent"] for level in told["levels"]] == [5, 4, 3, 2, 1, 0]
    bits = sum(level["bits"] for level in told["levels"])
    assert bits == pytest.approx(8 * told["sections"]["latents"], abs=64)  # ends in whole words
    assert sum(group["n_bytes"] for group in told["networks"]) == told["sections"]["networks"]
    for group in told["networks"]:
        assert (group["q_step"] == 1) == (group["n_zeros"] == group["n_weights"])


def test_latents_of_large_pictures_are_not_decoded_to_be_described():
    told = describe(PLAIN, DecodeOptions(max_pixels=9))
    assert [level["bits"] for level in told["levels"]] == [None] * len(told["levels"])


def test_only_files_of_weights_have_a_sparsity():
    assert "sparsity" not in describe(PLAIN)
    mlp = built_file(stages_of(), sparsity=0.5)
    assert 0 < describe(mlp)["sparsity"] < 1


def test_a_change_in_the_last_level_changes_its_bits_alone():
    opened = open_file(built_grid(height=30, width=40, structure=SMALL_GRID)).content
    coded, latents = read_grid(opened)
    params = coded.values(opened.pyramid)
    before = level_bits(latents, params, opened.pyramid)
    assert sum(before) == pytest.approx(latent_bits(latents, params, opened.pyramid))
    latents[-1][5, 5] += 100
    after = level_bits(latents, params, opened.pyramid)
    assert after[:-1] == before[:-1]
    assert after[-1] > before[-1]


# ---------------------------------------------------------------- Pillow


def test_pillow_opens_it(tmp_path):
    from PIL import Image

    (tmp_path / "a.inr").write_bytes(built_grid(icc_profile=b"a profile"))
    with Image.open(tmp_path / "a.inr") as image:
        assert (image.mode, image.size, image.info["icc_profile"]) == ("RGB", (9, 7), b"a profile")
        np.testing.assert_array_equal(np.asarray(image), inr.decode(built_grid()))


def test_views_are_checked_as_for_any_file():
    with pytest.raises(ValueError, match="does not lie inside the picture of 18x23"):
        decode_picture(PLAIN, DecodeOptions(region=(10, 10, 10, 10)))
