"""sizing.py: networks that fit the bytes."""

import numpy as np
import pytest

from inr.fields.fourier import Fourier
from inr.fields.siren import Siren
from inr.sizing import budget_of, choose_size, coded_weights, size_of

OVERHEAD = 40
TARGETS = [int(target) for target in np.geomspace(60, 200_000, 120)]


def chosen(target_bytes, field=Siren(), n_channels=3, mean_bits=7.0):  # noqa: B008, frozen
    return choose_size(
        field,
        n_channels,
        mean_bits=mean_bits,
        target_bytes=target_bytes,
        overhead_bytes=OVERHEAD,
    )


def test_hand_worked_weights_and_budget():
    net = Siren(hidden=10, n_layers=2)
    assert coded_weights(net, 3) == (20 + 10) + (100 + 10) + (30 + 3)
    # 99.5 % of 1000 bytes, less the overhead and 4 bytes for each of 6 tensors
    assert budget_of(net, 3, 1000, 40) == pytest.approx(8 * (995 - 40 - 24))


def test_frequencies_are_fixed_and_paid_for_apart():
    net = Fourier(hidden=10, n_layers=1, n_frequencies=8, sigma=4.0)
    assert coded_weights(net, 1) == (160 + 10) + (10 + 1)
    paid = 8 * (995 - 40 - 20) - budget_of(net, 1, 1000, 40)
    # Entropy of N(0, 4**2) on a grid of 1/16: log2(4 * 16 * sqrt(2 pi e)) = 6 + 2.047 bits
    assert paid == pytest.approx(16 * 8.047, rel=1e-4)  # 2.047 has four digits


@pytest.mark.parametrize("field", [Siren(), Fourier(n_frequencies=16)])
@pytest.mark.parametrize("mean_bits", [4.0, 7.0])
def test_codes_of_about_the_mean_bits_fill_the_target(field, mean_bits):
    for target in (500, 2_000, 15_000, 100_000):
        size = chosen(target, field, mean_bits=mean_bits)
        bits = size.budget_bits / coded_weights(size.field, 3)
        # The next width would be off by more: neighbours differ by at most 2 / 12 in weights.
        assert abs(np.log2(bits / mean_bits)) < np.log2(13 / 12) + 0.01


def test_the_budget_leaves_room_for_the_rest_of_the_file():
    for target in TARGETS:
        size = chosen(target)
        if size is not None:
            assert 0 < size.budget_bits / 8 <= target - OVERHEAD
            assert size.budget_bits <= 16 * coded_weights(size.field, 3)


def test_larger_targets_never_get_a_smaller_network():
    sizes = [size for target in TARGETS if (size := chosen(target)) is not None]
    for name in ("n_layers", "weights"):
        values = [
            size.field.n_layers if name == "n_layers" else coded_weights(size.field, 3)
            for size in sizes
        ]
        assert values == sorted(values)


def test_tiny_targets_give_up_layers_and_then_all():
    layers = [0 if (size := chosen(target)) is None else size.field.n_layers for target in TARGETS]
    assert layers[0] == 0
    assert layers[-1] == Siren().n_layers
    assert set(layers) >= {0, 1, 2, 3, 5}


def test_only_a_single_layer_may_be_narrow():
    for target in TARGETS:
        size = chosen(target)
        assert size is None or size.field.hidden >= 12 or size.field.n_layers == 1


def test_no_network_where_the_header_fills_the_target():
    assert chosen(OVERHEAD) is None
    assert chosen(1) is None


def test_only_width_and_layers_are_changed():
    asked = Siren(hidden=7, n_layers=2, first_omega_0=11.0, hidden_omega_0=12.0)
    field = chosen(5000, asked).field
    assert (field.first_omega_0, field.hidden_omega_0, field.n_layers) == (11.0, 12.0, 2)
    assert field.hidden > 7


def test_a_width_that_is_given_keeps_it_and_gets_what_is_left():
    net = Siren(hidden=30, n_layers=3)
    size = size_of(net, 3, 3000, OVERHEAD)
    assert size.field is net
    assert size.budget_bits == budget_of(net, 3, 3000, OVERHEAD)
    generous = size_of(net, 3, 1_000_000, OVERHEAD)
    assert generous.budget_bits == 16 * coded_weights(net, 3)  # no code needs more
