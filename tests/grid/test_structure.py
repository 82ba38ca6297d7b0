"""structure.py: the levels of a pyramid, the order of its taps, the shapes of its tensors."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from inr.errors import FormatError, UsageError
from inr.format.wire import Reader
from inr.grid.structure import (
    FRONT_SLOPE,
    MAX_RATE,
    REACH,
    TAPS,
    Pyramid,
    Structure,
    read_structure,
    write_structure,
)


def levels_of(height, width, **structure):
    pyramid = Pyramid(height, width, 3, Structure(**structure))
    return [(each.exponent, each.height, each.width, each.is_hyper) for each in pyramid.levels]


def test_a_single_pixel_has_a_single_level():
    assert levels_of(1, 1) == [(0, 1, 1, False)]
    assert levels_of(1, 9) == [(0, 1, 9, False)]


def test_each_octave_above_12_pixels_adds_a_level():
    assert levels_of(1, 12) == [(0, 1, 12, False)]
    assert levels_of(13, 5) == [(1, 7, 3, False), (0, 13, 5, False)]
    assert levels_of(5, 13) == [(1, 3, 7, False), (0, 5, 13, False)]
    assert [each[0] for each in levels_of(24, 24)] == [1, 0]
    assert [each[0] for each in levels_of(25, 24)] == [2, 1, 0]


def test_levels_of_a_kodak_picture():
    assert levels_of(512, 768) == [
        (6, 8, 12, False),
        (5, 16, 24, False),
        (4, 32, 48, False),
        (3, 64, 96, False),
        (2, 128, 192, False),
        (1, 256, 384, False),
        (0, 512, 768, False),
    ]


def test_odd_sizes_are_rounded_up():
    assert levels_of(3, 37) == [
        (2, 1, 10, False),
        (1, 2, 19, False),
        (0, 3, 37, False),
    ]


def test_the_first_level_may_be_left_out():
    assert levels_of(48, 32, first_level=1) == [(2, 12, 8, False), (1, 24, 16, False)]
    assert levels_of(48, 32, first_level=3) == [(2, 12, 8, False)]  # one level at least
    assert levels_of(1, 1, first_level=3) == [(0, 1, 1, False)]


def test_hyper_levels_come_just_before_the_levels_of_their_size():
    assert levels_of(48, 32, n_hyper=2) == [
        (2, 12, 8, True),
        (2, 12, 8, False),
        (1, 24, 16, True),
        (1, 24, 16, False),
        (0, 48, 32, False),
    ]
    pyramid = Pyramid(48, 32, 3, Structure(n_hyper=2))
    assert pyramid.n_drawn == 3
    assert pyramid.n_latents == 2 * (96 + 384) + 1536
    assert levels_of(1, 1, n_hyper=20) == [(0, 1, 1, True), (0, 1, 1, False)]


def test_taps_lie_in_the_fronts_before():
    for dy, dx in TAPS:
        assert dx + FRONT_SLOPE * dy < 0
        assert (dy, dx) < (0, 0)  # and row by row, too
        assert -REACH <= dy <= 0
        assert abs(dx) <= REACH
    assert len(set(TAPS)) == len(TAPS)


def test_neighbours_come_before_other_taps():
    assert TAPS[:4] == ((0, -1), (-1, 0), (-1, -1), (-1, 1))


def test_hand_worked_shapes():
    structure = Structure(n_hyper=1, n_taps=3, n_features=2, hidden=4)
    pyramid = Pyramid(1, 13, 1, structure)
    assert levels_of(1, 13, n_hyper=1) == [(1, 1, 7, True), (1, 1, 7, False), (0, 1, 13, False)]
    assert list(pyramid.groups.items()) == [
        ("features", {"feature1": (2, 1), "feature0": (2, 2)}),  # 0: the last level sees two
        ("context_w0", {"context_w0": (5, 5)}),  # 3 taps and 2 features
        ("context_w1", {"context_w1": (5, 5)}),
        ("context_out", {"context_out": (2, 5), "context_linear": (2, 5)}),
        ("context_b", {"context_b0": (5,), "context_b1": (5,), "context_b2": (2,)}),
        ("up", {"up0": (4,)}),  # from exponent 1 to 0
        ("synth_w0", {"synth_w0": (4, 2)}),  # two levels are drawn
        ("synth_w1", {"synth_w1": (1, 4), "synth_linear": (1, 2)}),
        ("synth_b", {"synth_b0": (4,), "synth_b1": (1,)}),
        ("conv_w", {"conv_w0": (1, 9), "conv_w1": (1, 9)}),
        ("conv_b", {"conv_b0": (1,), "conv_b1": (1,)}),
    ]
    tensors = [item for group in pyramid.groups.values() for item in group.items()]
    assert list(pyramid.shapes.items()) == tensors


def test_a_single_level_has_neither_features_nor_kernels():
    groups = Pyramid(1, 1, 3, Structure()).groups
    assert "features" not in groups
    assert "up" not in groups
    assert groups["conv_w"] == {"conv_w0": (3, 27), "conv_w1": (3, 27)}


def test_only_the_last_levels_have_features():
    pyramid = Pyramid(48, 32, 3, Structure(n_feature_levels=1))
    assert [pyramid.feature_name(i) for i in range(3)] == [None, None, "feature0"]
    assert pyramid.groups["features"] == {"feature0": (6, 2)}
    pyramid = Pyramid(48, 32, 3, Structure(n_feature_levels=0))
    assert "features" not in pyramid.groups
    pyramid = Pyramid(48, 32, 3, Structure())
    assert [pyramid.feature_name(i) for i in range(3)] == [None, "feature1", "feature0"]


@given(
    st.integers(1, 1 << 20),
    st.integers(1, 1 << 20),
    st.integers(0, 3),
    st.integers(0, 20),
)
def test_laws_of_all_pyramids(height, width, first_level, n_hyper):
    pyramid = Pyramid(height, width, 3, Structure(first_level=first_level, n_hyper=n_hyper))
    drawn = [level for level in pyramid.levels if not level.is_hyper]
    exponents = [level.exponent for level in drawn]
    coarsest = exponents[0]
    assert exponents == list(range(coarsest, min(first_level, coarsest) - 1, -1))
    longer = max(height, width)
    assert longer <= 12 << coarsest
    assert coarsest == 0 or longer > 12 << (coarsest - 1)
    assert len(pyramid.levels) - len(drawn) == min(n_hyper, len(drawn))
    for level in pyramid.levels:
        assert (level.height - 1) << level.exponent < height <= level.height << level.exponent
        assert (level.width - 1) << level.exponent < width <= level.width << level.exponent
    assert pyramid.n_latents == sum(level.size for level in pyramid.levels)
    # Each level is at the end of all that its features see.
    for i in range(1, len(pyramid.levels)):
        assert pyramid.shapes[pyramid.feature_name(i)] == (6, i)
    assert sum(int(np.prod(shape)) for shape in pyramid.shapes.values()) < 10_000


def test_the_wire_holds_all_fields():
    structure = Structure(1, 2, 3, 4, 5, 6, 1)
    data = write_structure(structure)
    assert data == bytes([1, 2, 3, 4, 5, 6, 1])
    assert read_structure(Reader(data, "stages")) == structure
    assert [name for name, _ in structure.wire][-1] == "prior"


def test_scaled_structures_hold_their_rate():
    structure = Structure(1, 2, 3, 4, 5, 6, 2, 64)
    data = write_structure(structure)
    assert data == bytes([1, 2, 3, 4, 5, 6, 2, 64])
    assert read_structure(Reader(data, "stages")) == structure
    assert [name for name, _ in structure.wire][-1] == "rate"


@pytest.mark.parametrize("prior", [0, 1])
def test_a_rate_needs_a_set_that_follows_it(prior):
    with pytest.raises(UsageError, match="rate=1 needs prior=2"):
        write_structure(Structure(prior=prior, rate=1))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([4, 0, 14, 6, 40, 48], r"first_level=4 is outside 0\.\.3"),
        ([0, 21, 14, 6, 40, 48], r"n_hyper=21 is outside 0\.\.20"),
        ([0, 0, 0, 6, 40, 48], r"n_taps=0 is outside 1\.\.20"),
        ([0, 0, 21, 6, 40, 48], r"n_taps=21 is outside 1\.\.20"),
        ([0, 0, 14, 33, 40, 48], r"n_features=33 is outside 1\.\.32"),
        ([0, 0, 14, 6, 41, 48], r"n_feature_levels=41 is outside 0\.\.40"),
        ([0, 0, 14, 6, 40, 0], r"hidden=0 is outside 1\.\.256"),
        ([0, 0, 14, 6, 40, 48, 6], r"prior=6 is outside 0\.\.5"),
        ([0, 0, 14, 6, 40, 48, 2, MAX_RATE + 1], r"rate=65 is outside 0\.\.64"),
        ([0, 0, 14, 6, 40, 48, 2], r"stages is cut short"),
    ],
)
def test_values_that_no_file_may_hold(data, message):
    with pytest.raises(FormatError, match=message):
        read_structure(Reader(bytes(data), "stages"))


# Scaled structures

WITH_RATE = Structure(prior=2)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (33, 64), (512, 768), (16384, 16384)])
def test_scaled_structures_always_have_exponents_0_to_5(size):
    pyramid = Pyramid(*size, 3, WITH_RATE)
    assert [level.exponent for level in pyramid.levels] == [5, 4, 3, 2, 1, 0]
    for level in pyramid.levels:
        assert (level.height, level.width) == pyramid.size_at(level.exponent)
    assert pyramid.octaves == (5, 4, 3, 2, 1, 0)
    # All others count as they are.
    other = Pyramid(*size, 3, Structure(prior=1))
    assert set(other.octaves) == {0}
    assert other.contexts == ("context",)


def test_scaled_levels_without_the_finest_and_with_hyper_levels():
    pyramid = Pyramid(70, 3, 3, Structure(prior=2, first_level=3, n_hyper=2))
    levels = [(each.exponent, each.is_hyper, each.height, each.width) for each in pyramid.levels]
    assert levels == [
        (5, True, 3, 1),
        (5, False, 3, 1),
        (4, True, 5, 1),
        (4, False, 5, 1),
        (3, False, 9, 1),
    ]
    assert pyramid.octaves == (5, 5, 4, 4, 3)
    assert pyramid.context_of == ("context3",) * 5


def test_each_fine_exponent_has_a_context_network_of_its_own():
    pyramid = Pyramid(1, 1, 1, WITH_RATE)
    coarse = ("context3",) * 3  # of exponents 5, 4 and 3
    assert pyramid.context_of == (*coarse, "context2", "context1", "context0")
    assert pyramid.contexts == ("context3", "context2", "context1", "context0")


def test_hand_worked_groups_of_a_scaled_structure():
    structure = Structure(prior=2, first_level=2, n_taps=3, n_features=2, hidden=4)
    assert list(Pyramid(1, 1, 1, structure).groups.items()) == [
        (
            "context3_w",  # 3 taps and 2 features; the coarsest level sees none before it
            {
                "feature2": (2, 1), "feature1": (2, 2),
                "context3_w0": (5, 5), "context3_w1": (5, 5),
            },
        ),
        ("context3_out", {"context3_out": (2, 5), "context3_linear": (2, 5)}),
        ("context3_b", {"context3_b0": (5,), "context3_b1": (5,), "context3_b2": (2,)}),
        ("context2_w", {"feature0": (2, 3), "context2_w0": (5, 5), "context2_w1": (5, 5)}),
        ("context2_out", {"context2_out": (2, 5), "context2_linear": (2, 5)}),
        ("context2_b", {"context2_b0": (5,), "context2_b1": (5,), "context2_b2": (2,)}),
        ("up", {f"up{e}": (4,) for e in range(5)}),
        ("synth_w0", {"synth_w0": (4, 4)}),  # four levels are drawn
        ("synth_w1", {"synth_w1": (1, 4), "synth_linear": (1, 4)}),
        ("synth_b", {"synth_b0": (4,), "synth_b1": (1,)}),
        ("conv_w", {"conv_w0": (1, 9), "conv_w1": (1, 9)}),
        ("conv_b", {"conv_b0": (1,), "conv_b1": (1,)}),
    ]  # fmt: skip


def test_shapes_do_not_depend_on_the_size():
    shapes = [Pyramid(*size, 3, WITH_RATE).shapes for size in ((1, 1), (128, 128), (9, 4000))]
    assert shapes[0] == shapes[1] == shapes[2]


def test_the_pyramid_at_another_rate():
    pyramid = Pyramid(5, 6, 3, WITH_RATE)
    assert pyramid.at_rate(7) == Pyramid(5, 6, 3, Structure(prior=2, rate=7))
    assert pyramid.at_rate(7).at_rate(0) == pyramid
    other = Pyramid(5, 6, 3, Structure(prior=1))
    assert other.at_rate(7) == other
