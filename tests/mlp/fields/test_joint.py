"""FieldSet: several fields under one roof, each with its own names and numbers of channels."""

import dataclasses

import numpy as np
import pytest
from contracts.methods import FIELDS, SPLITS

from inr.mlp.fields.fourier import Fourier
from inr.mlp.fields.joint import FieldPart, FieldSet, field_set_of
from inr.mlp.fields.protocol import n_weights
from inr.mlp.fields.siren import Siren
from inr.mlp.splits.wavelet import Wavelet
from inr.mlp.splits.whole import Whole

TWO = FieldSet(
    (FieldPart(Siren(hidden=3, n_layers=1), 1), FieldPart(Siren(hidden=2, n_layers=1), 4))
)


def test_hand_worked_shapes_of_two_fields():
    assert TWO.shapes() == {
        "0/w0": (2, 3),
        "0/b0": (3,),
        "0/w1": (3, 1),
        "0/b1": (1,),
        "1/w0": (2, 2),
        "1/b0": (2,),
        "1/w1": (2, 4),
        "1/b1": (4,),
    }
    assert list(TWO.shapes())[:5] == ["0/w0", "0/b0", "0/w1", "0/b1", "1/w0"]  # the file's order
    assert list(TWO.matrices()) == ["0/w0", "0/w1", "1/w0", "1/w1"]
    assert TWO.trained_shapes() == TWO.shapes()
    assert TWO.fixed_steps() == {}
    assert TWO.fixed_bits() == 0


def test_a_single_field_keeps_its_own_names():
    net = Siren(hidden=3, n_layers=1)
    alone = FieldSet((FieldPart(net, 2),))
    assert alone.shapes() == net.shapes(2)
    assert alone.prefix(0) == ""
    params = alone.init(np.random.default_rng(0))
    assert list(alone.params_of(params, 0)) == list(params) == list(net.shapes(2))


def test_fixed_tensors_are_fixed_in_each_field():
    net = Fourier(hidden=3, n_layers=1, n_frequencies=5)
    field_set = FieldSet(
        (FieldPart(net, 1), FieldPart(dataclasses.replace(net, n_frequencies=7), 2))
    )
    assert field_set.fixed_steps() == {"0/frequencies": 1 / 16, "1/frequencies": 1 / 16}
    trained = field_set.trained_shapes()
    assert set(field_set.shapes()) - set(trained) == set(field_set.fixed_steps())
    assert list(trained)[:4] == ["0/w0", "0/b0", "0/w1", "0/b1"]
    assert list(field_set.matrices()) == ["0/w0", "0/w1", "1/w0", "1/w1"]
    assert field_set.fixed_bits() == pytest.approx(net.fixed_bits() * (5 + 7) / 5)


@pytest.mark.parametrize("net", FIELDS)
def test_parts_are_drawn_one_after_the_other_by_one_generator(net):
    field_set = FieldSet((FieldPart(net, 1), FieldPart(net, 3)))
    params = field_set.init(np.random.default_rng(5))
    rng = np.random.default_rng(5)
    for i, n_channels in enumerate((1, 3)):
        alone = net.init(rng, n_channels)
        own = field_set.params_of(params, i)
        assert list(own) == list(alone) == list(net.shapes(n_channels))
        for name, w in alone.items():
            np.testing.assert_array_equal(own[name], w)


def test_a_field_with_ten_others_is_told_from_the_first():
    field_set = FieldSet(tuple(FieldPart(Siren(hidden=1, n_layers=1), 1 + i) for i in range(12)))
    params = field_set.init(np.random.default_rng(0))
    for i in (1, 10, 11):  # "1/" is no prefix of "10/" or "11/"
        assert field_set.params_of(params, i)["b1"].shape == (1 + i,)


@pytest.mark.parametrize("net", FIELDS)
@pytest.mark.parametrize("split", SPLITS)
def test_each_group_of_a_split_has_its_part(split, net):
    field_set = field_set_of(split, net, 37, 22, 3)
    grids = split.grids(37, 22, 3)
    assert [part.n_channels for part in field_set.parts] == [grid.n_channels for grid in grids]
    assert [part.field for part in field_set.parts] == list(split.fields(net, 3))
    assert n_weights(field_set.shapes()) == sum(
        n_weights(part.field.shapes(part.n_channels)) for part in field_set.parts
    )


def test_hand_worked_parts_of_a_wavelet():
    net = Siren(hidden=40)
    low, high = field_set_of(Wavelet(low_share=0.64), net, 50, 60, 4).parts
    # Widths are 40 * sqrt(0.64) and 40 * sqrt(0.36); the details are three bands.
    assert low == FieldPart(dataclasses.replace(net, hidden=32), 4)
    assert high == FieldPart(dataclasses.replace(net, hidden=24), 12)
    assert field_set_of(Whole(), net, 50, 60, 4).parts == (FieldPart(net, 4),)


def test_a_picture_too_small_for_the_split_is_refused():
    with pytest.raises(ValueError, match=r"levels=3 is too deep for a picture of 60x2 pixels"):
        field_set_of(Wavelet(levels=3), Siren(64), 2, 60, 3)
