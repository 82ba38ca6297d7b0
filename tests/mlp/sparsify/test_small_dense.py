"""Small-Dense: the width nearest to the number of weights asked for."""

import pytest

from inr.mlp.fields.fourier import Fourier
from inr.mlp.fields.protocol import n_weights
from inr.mlp.fields.siren import Siren
from inr.mlp.sparsify.small_dense import SmallDense


def test_the_hand_worked_width():
    # 4 h + 1 weights and biases: 41 of 10 units; half are 20.5, and 5 units have 21.
    assert SmallDense(0.5).prepare(Siren(hidden=10, n_layers=1), 1) == Siren(5, 1)
    assert SmallDense(0.99).prepare(Siren(hidden=10, n_layers=1), 1) == Siren(1, 1)


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("net", [Siren(40, 3, 22.0), Siren(17, 1, hidden_omega_0=9.0)])
def test_no_other_width_is_nearer(net, sparsity):
    prepared = SmallDense(sparsity).prepare(net, 3)
    wanted = (1 - sparsity) * n_weights(net.shapes(3))
    misses = {h: abs(n_weights(Siren(h, net.n_layers).shapes(3)) - wanted) for h in range(1, 41)}
    assert misses[prepared.hidden] == min(misses.values())
    assert prepared == Siren(prepared.hidden, net.n_layers, net.first_omega_0, net.hidden_omega_0)


def test_frequencies_that_are_not_trained_do_not_count():
    net = Fourier(hidden=20, n_layers=1, n_frequencies=50)  # 2000 + 20 + 60 + 3 trained
    prepared = SmallDense(0.5).prepare(net, 3)
    assert prepared == Fourier(hidden=10, n_layers=1, n_frequencies=50)  # 1000 + 10 + 30 + 3


def test_a_sparsity_of_one_is_refused():
    with pytest.raises(ValueError, match=r"sparsify.sparsity=1: expected at least 0 and below 1"):
        SmallDense(1)
