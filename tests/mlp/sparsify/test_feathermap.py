"""Feathermap as a sparsifier: the rank nearest to the number of parameters asked for."""

import re

import pytest

from inr.mlp.fields.feathermap import FeathermapSiren
from inr.mlp.fields.fourier import Fourier
from inr.mlp.fields.protocol import n_weights
from inr.mlp.fields.siren import Siren
from inr.mlp.sparsify.feathermap import Feathermap


def test_the_hand_worked_rank():
    # Siren(8, 2) with 3 channels: 16 + 64 + 24 = 104 weights in 11 x 11, and 19 biases. Of 123
    # parameters 40 % are 49.2; rank 1 has 22 + 19, rank 2 44 + 19.
    net = Siren(8, 2, 20.0, 10.0)
    assert Feathermap(0.6).prepare(net, 3) == FeathermapSiren(Siren(8, 2, 20.0, 10.0), rank=1)
    assert Feathermap(0.0).prepare(net, 3).rank == 5  # 104 / 22 = 4.7


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.8, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_no_other_rank_is_nearer(sparsity, n_channels):
    net = Siren(40, 3)
    wanted = (1 - sparsity) * n_weights(net.shapes(n_channels))
    misses = {
        rank: abs(n_weights(FeathermapSiren(Siren(40, 3), rank=rank).shapes(n_channels)) - wanted)
        for rank in range(1, 60)
    }
    prepared = Feathermap(sparsity).prepare(net, n_channels)
    assert misses[prepared.rank] == min(misses.values())


def test_the_default_rank_is_that_of_the_default_sparsity():
    assert Feathermap().prepare(Siren(64), 3) == FeathermapSiren(Siren(64))


@pytest.mark.parametrize("net", [Fourier(), FeathermapSiren()])
def test_other_fields_are_refused(net):
    message = re.escape(f"feathermap wraps a Siren, not a {type(net).__name__}; choose")
    with pytest.raises(ValueError, match=message):
        Feathermap().prepare(net, 3)


def test_networks_that_no_decoder_would_expand_are_refused():
    with pytest.raises(ValueError, match=r"would expand to 33574912 weights, above the limit of"):
        Feathermap().prepare(Siren(hidden=4096, n_layers=3), 3)
    with pytest.raises(ValueError, match=r"sparsify.sparsity=nan: expected"):
        Feathermap(float("nan"))
