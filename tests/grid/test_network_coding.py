"""network_coding.py: networks to bytes and back, what is too large, and what no file may hold."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from inr.coders.range_coder import RangeCoder
from inr.errors import FormatError
from inr.grid.network_coding import (
    MAX_OCTAVES,
    CodedNetworks,
    code_limit,
    quantize_networks,
    read_networks,
    write_networks,
)
from inr.grid.prior import prior_networks
from inr.grid.structure import Pyramid, Structure

# One level, no kernels, no features: nine groups of 2, 2, 6, 4, 1, 2, 2, 18 and 2 codes.
SMALLEST = Pyramid(1, 1, 1, Structure(n_taps=1, n_features=1, hidden=1))
PYRAMID = Pyramid(30, 40, 3, Structure(n_hyper=1, n_taps=4, n_features=2, hidden=5))
# Two levels, two contexts: context3 and context2 of three groups each, and six of the synthesis.
WITH_RATE = Pyramid(9, 9, 1, Structure(prior=2, first_level=2, n_taps=3, n_features=2, hidden=4))


def random_networks(pyramid, seed=0, scale=0.5):
    """f32 tensors and steps of all sizes."""
    rng = np.random.default_rng(seed)
    params = {
        name: (scale * rng.laplace(size=shape)).astype(np.float32)
        for name, shape in pyramid.shapes.items()
    }
    octaves = {group: int(rng.integers(0, MAX_OCTAVES + 1)) for group in pyramid.groups}
    return params, octaves


def around_prior(pyramid, seed=0, scale=0.5):
    """The same, counted from the prior, and of every other group nothing but the prior."""
    params, octaves = random_networks(pyramid, seed, scale)
    prior = prior_networks(pyramid)
    present = list(pyramid.groups)[::2]
    for group, shapes in pyramid.groups.items():
        if group not in present:
            params |= {name: 0 * params[name] for name in shapes}
            octaves[group] = 0
    return {name: w + prior[name] for name, w in params.items()}, octaves


def coded_zeros(pyramid, octaves):
    return CodedNetworks(octaves, {n: np.zeros(s, np.int32) for n, s in pyramid.shapes.items()})


def assert_same(one, other):
    assert one.octaves == other.octaves
    assert list(one.codes) == list(other.codes)
    for name, codes in one.codes.items():
        assert other.codes[name].dtype == codes.dtype == np.int32
        assert other.codes[name].shape == codes.shape
        assert np.array_equal(other.codes[name], codes)


def test_hand_worked_steps():
    assert len(SMALLEST.groups) == 9
    octaves = dict(zip(SMALLEST.groups, range(7, 16), strict=True))
    data = write_networks(coded_zeros(SMALLEST, octaves), SMALLEST)
    # The first of two groups in the low half: 7 and 8 are 0x87. A tenth half byte is 0.
    assert data[:5] == bytes([0x87, 0xA9, 0xCB, 0xED, 0x0F])
    assert read_networks(data, SMALLEST).octaves == octaves


def test_the_rest_is_the_range_coder_with_one_tensor_a_group():
    params, octaves = random_networks(SMALLEST)
    coded = quantize_networks(params, octaves, SMALLEST)
    data = write_networks(coded, SMALLEST)
    tensors = RangeCoder().decode(data[5:], [4, 4, 8, 6, 1, 2, 2, 18, 2])
    codes = [codes.ravel() for codes in coded.codes.values()]
    assert np.array_equal(np.concatenate(tensors), np.concatenate(codes))


def test_hand_worked_codes():
    params, octaves = random_networks(SMALLEST)
    octaves = dict.fromkeys(octaves, 2)  # steps of a quarter
    params["conv_b0"] = np.array([0.4], np.float32)
    params["conv_b1"] = np.array([-0.13], np.float32)
    params["synth_b0"] = np.array([100.0], np.float32)
    params["context_b2"] = np.array([-1e30, 0.124], np.float32)
    coded = quantize_networks(params, octaves, SMALLEST)
    assert coded.codes["conv_b0"].tolist() == [2]  # 1.6 quarters
    assert coded.codes["conv_b1"].tolist() == [-1]
    assert coded.codes["synth_b0"].tolist() == [224]  # 56, the most there may be
    assert coded.codes["context_b2"].tolist() == [-224, 0]
    values = coded.values(SMALLEST)
    assert list(values) == list(SMALLEST.shapes)
    assert values["conv_b0"].tolist() == [0.5]
    assert values["conv_b1"].tolist() == [-0.25]
    assert values["synth_b0"].tolist() == [56]
    assert values["context_b2"].tolist() == [-56, 0]


def test_limits():
    assert [code_limit("synth_b", k) for k in (0, 1, 8, 9, 15)] == [56, 112, 14336, 28672, 32767]
    assert [code_limit("up", k) for k in (0, 1, 12, 13, 15)] == [3, 6, 12288, 24576, 32767]


@pytest.mark.parametrize("pyramid", [SMALLEST, PYRAMID, Pyramid(1, 9, 4, Structure())])
@pytest.mark.parametrize("scale", [0.0, 0.01, 1.0, 1000.0])
def test_round_trip(pyramid, scale):
    coded = quantize_networks(*random_networks(pyramid, int(scale), scale), pyramid)
    assert_same(coded, read_networks(write_networks(coded, pyramid), pyramid))


def test_values_are_nearest_or_at_the_limit():
    params, octaves = random_networks(PYRAMID, scale=3)
    values = quantize_networks(params, octaves, PYRAMID).values(PYRAMID)
    for group, shapes in PYRAMID.groups.items():
        step = 2.0 ** -octaves[group]
        limit = code_limit(group, octaves[group]) * step
        assert limit <= (3 if group == "up" else 56)
        for name in shapes:
            assert values[name].dtype == np.float64
            wanted = np.clip(params[name].astype(np.float64), -limit, limit)
            assert np.abs(values[name] - wanted).max() <= step / 2


def test_values_quantize_to_themselves():
    params, octaves = random_networks(PYRAMID)
    coded = quantize_networks(params, octaves, PYRAMID)
    assert_same(coded, quantize_networks(coded.values(PYRAMID), octaves, PYRAMID))


def test_the_unused_half_byte_must_be_zero():
    data = write_networks(coded_zeros(SMALLEST, dict.fromkeys(SMALLEST.groups, 3)), SMALLEST)
    assert data[4] == 0x03
    with pytest.raises(FormatError, match="half byte after the steps is not 0"):
        read_networks(data[:4] + b"\x13" + data[5:], SMALLEST)


@pytest.mark.parametrize(("group", "octaves", "limit"), [("up", 2, 12), ("synth_b", 0, 56)])
def test_codes_that_are_too_large(group, octaves, limit):
    pyramid = PYRAMID
    coded = coded_zeros(pyramid, dict.fromkeys(pyramid.groups, octaves))
    name = next(iter(pyramid.groups[group]))
    for sign in (-1, 1):
        coded.codes[name][0] = sign * limit
        assert_same(coded, read_networks(write_networks(coded, pyramid), pyramid))
        coded.codes[name][0] = sign * (limit + 1)
        data = write_networks(coded, pyramid)
        with pytest.raises(FormatError, match=rf"code of {group} lies outside -{limit}\.\.{limit}"):
            read_networks(data, pyramid)


def read_or_refused(data, pyramid):
    """Whether the bytes are read; what is, keeps to the limits."""
    try:
        coded = read_networks(data, pyramid)
    except FormatError:
        return False
    assert {name: codes.shape for name, codes in coded.codes.items()} == pyramid.shapes
    for group, shapes in pyramid.groups.items():
        for name in shapes:
            assert np.abs(coded.codes[name]).max() <= code_limit(group, coded.octaves[group])
        if pyramid.structure.has_rate and not any(coded.codes[name].any() for name in shapes):
            assert coded.octaves[group] == 0
    return True


@pytest.mark.parametrize("pyramid", [SMALLEST, PYRAMID])
def test_cut_short_anywhere(pyramid):
    data = write_networks(quantize_networks(*random_networks(pyramid), pyramid), pyramid)
    n_steps = -(-len(pyramid.groups) // 2)
    with pytest.raises(FormatError, match="the section of networks is cut short at byte 0"):
        read_networks(data[: n_steps - 1], pyramid)
    for n in range(n_steps + 2 * len(pyramid.groups)):  # distributions are not complete
        with pytest.raises(FormatError):
            read_networks(data[:n], pyramid)
    # A range coder need not see that symbols are missing; the checksum of the file does.
    n_refused = sum(not read_or_refused(data[:n], pyramid) for n in range(len(data)))
    assert n_refused > 0.8 * len(data)


@pytest.mark.parametrize("pyramid", [SMALLEST, PYRAMID, WITH_RATE])
def test_one_changed_byte_is_refused_or_keeps_to_the_limits(pyramid):
    data = write_networks(quantize_networks(*random_networks(pyramid), pyramid), pyramid)
    n_refused = 0
    for i in range(len(data)):
        for change in (0x01, 0x80, 0xFF):
            changed = data[:i] + bytes([data[i] ^ change]) + data[i + 1 :]
            n_refused += not read_or_refused(changed, pyramid)
    assert n_refused > len(data)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_keep_to_the_limits(data):
    read_or_refused(data, SMALLEST)
    read_or_refused(data, PYRAMID)
    read_or_refused(data, WITH_RATE)


def test_a_group_of_zeros_costs_next_to_nothing():
    zeros = coded_zeros(PYRAMID, dict.fromkeys(PYRAMID.groups, 8))
    # 6 bytes of steps, 2 of a distribution for each of 11 groups, and a word
    assert len(PYRAMID.groups) == 11
    assert len(write_networks(zeros, PYRAMID)) <= 6 + 22 + 4


# Structures with a rate


def test_hand_worked_presence():
    assert len(WITH_RATE.groups) == 12
    octaves = dict.fromkeys(WITH_RATE.groups, 9)
    coded = coded_zeros(WITH_RATE, octaves)
    assert write_networks(coded, WITH_RATE) == b"\0\0"
    assert read_networks(b"\0\0", WITH_RATE).octaves == dict.fromkeys(WITH_RATE.groups, 0)
    first, ninth, last = (list(WITH_RATE.groups)[i] for i in (0, 8, 11))
    assert (first, ninth, last) == ("context3_w", "synth_w1", "conv_b")
    for group, octave in ((first, 7), (ninth, 8), (last, 15)):
        octaves[group] = octave
        coded.codes[next(iter(WITH_RATE.groups[group]))].flat[-1] = -1
    data = write_networks(coded, WITH_RATE)
    # Bits 0, 8 and 11; then 7 and 8 in one byte, the first in the low half, and 15 in another.
    assert data[:4] == bytes([0b0000_0001, 0b0000_1001, 0x87, 0x0F])
    sizes = [sum(coded.codes[n].size for n in WITH_RATE.groups[g]) for g in (first, ninth, last)]
    tensors = RangeCoder().decode(data[4:], sizes)
    assert [int(each.sum()) for each in tensors] == [-1, -1, -1]
    expected = dict.fromkeys(WITH_RATE.groups, 0) | {first: 7, ninth: 8, last: 15}
    assert_same(CodedNetworks(expected, coded.codes), read_networks(data, WITH_RATE))


@pytest.mark.parametrize("pyramid", [WITH_RATE, Pyramid(30, 4, 4, Structure(prior=2, rate=64))])
@pytest.mark.parametrize("scale", [0.0, 0.01, 1.0, 1000.0])
def test_round_trip_with_a_rate(pyramid, scale):
    coded = quantize_networks(*around_prior(pyramid, int(scale), scale), pyramid)
    found = read_networks(write_networks(coded, pyramid), pyramid)
    by_group = coded.by_group(pyramid)
    octaves = {g: k if by_group[g].any() else 0 for g, k in coded.octaves.items()}
    assert_same(CodedNetworks(octaves, coded.codes), found)
    for name, w in coded.values(pyramid).items():
        assert np.array_equal(found.values(pyramid)[name], w)
    assert write_networks(found, pyramid) == write_networks(coded, pyramid)


def test_bits_after_those_of_the_groups_must_be_zero():
    for bit in range(12, 16):
        data = (1 << bit).to_bytes(2, "little")
        with pytest.raises(FormatError, match="networks: the bits after those of the groups are n"):
            read_networks(data, WITH_RATE)


def test_the_unused_half_byte_of_present_groups_must_be_zero():
    params, octaves = around_prior(WITH_RATE)
    params["conv_b1"][:] += 1  # the last group too: seven are present
    data = write_networks(quantize_networks(params, octaves, WITH_RATE), WITH_RATE)
    assert sum(each.bit_count() for each in data[:2]) == 7
    with pytest.raises(FormatError, match="half byte after the steps is not 0"):
        read_networks(data[:5] + bytes([data[5] | 0x10]) + data[6:], WITH_RATE)


def test_a_present_group_of_zeros_is_refused():
    """It could be left out: one and the same network would have two files."""
    sizes = {g: sum(map(int, map(np.prod, s.values()))) for g, s in WITH_RATE.groups.items()}
    data = b"\1\0" + b"\3" + RangeCoder().encode([np.zeros(sizes["context3_w"], np.int32)])
    with pytest.raises(FormatError, match="context3_w is said to have codes, but all of them are"):
        read_networks(data, WITH_RATE)


def test_nothing_may_follow_absent_groups():
    with pytest.raises(FormatError):
        read_networks(b"\0\0" + b"\1", WITH_RATE)
    with pytest.raises(FormatError, match="cut short"):
        read_networks(b"\0", WITH_RATE)


def test_scaled_sections_cut_short_anywhere():
    data = write_networks(quantize_networks(*around_prior(WITH_RATE), WITH_RATE), WITH_RATE)
    n_refused = sum(not read_or_refused(data[:n], WITH_RATE) for n in range(len(data)))
    assert n_refused > 0.8 * len(data)
