"""FeathermapSiren: hand-worked weights, SIREN's statistics, no memory for absurd sizes."""

import jax.numpy as jnp
import numpy as np
import pytest

from inr.errors import FormatError
from inr.format.wire import write_fields
from inr.mlp.fields.feathermap import FeathermapSiren, side_of
from inr.mlp.fields.siren import Siren

pytestmark = pytest.mark.usefixtures("strict_jax")


def test_hand_worked_network_of_one_sine():
    # Constants of the tensors: 100 / 2 / sqrt(3), of which the first omega_0 leaves 100, and
    # 100 * sqrt(6 / 1) / omega_0 / sqrt(3) = 100.
    net = FeathermapSiren(Siren(1, 1, 2 * np.sqrt(3), np.sqrt(2)), rank=1)
    params = {
        "a": np.array([[1], [2]], np.float32),
        # 100 M = [[3, 4], [6, 8]], of which 3, 4 and 6 are read
        "b": np.array([[0.03, 0.04]], np.float32),
        "b0": np.array([0], np.float32),
        "b1": np.array([0.5], np.float32),
    }
    coords = np.array([[0.1, 0.2], [1, -1]], np.float32)
    expected = [[6 * np.sin(1.1) + 0.5], [6 * np.sin(-1) + 0.5]]  # sin(3 row + 4 column)
    atol = 3e-6  # one sine, times 6, in float32
    assert np.allclose(net.evaluate(params, coords), expected, atol=atol)
    assert np.allclose(
        net.apply({k: jnp.asarray(w) for k, w in params.items()}, jnp.asarray(coords)),
        expected,
        atol=atol,
    )


def test_shapes():
    # 10 + 25 + 15 = 50 weights, of which 7 x 7 would lack one.
    assert dict(FeathermapSiren(Siren(hidden=5, n_layers=2), rank=3).shapes(3)) == {
        "a": (8, 3),
        "b": (3, 8),
        "b0": (5,),
        "b1": (5,),
        "b2": (3,),
    }


def test_side_of_squares_and_their_neighbours():
    assert [side_of(n) for n in (1, 2, 4, 5, 9, 10)] == [1, 2, 2, 3, 3, 4]


def test_any_network_of_full_rank_can_be_written():
    siren = Siren(hidden=6, n_layers=2, first_omega_0=20.0, hidden_omega_0=10.0)
    wanted = siren.init(np.random.default_rng(0), 3)
    net = FeathermapSiren(Siren(6, 2, 20.0, 10.0), rank=9)  # 12 + 36 + 18 = 66 weights: 9 x 9
    bounds = {"w0": 1 / 2, "w1": np.sqrt(6 / 6) / 10, "w2": np.sqrt(6 / 6) / 10}
    entries = np.zeros(81, np.float32)
    scaled = [wanted[name].ravel() * np.sqrt(3) / bound for name, bound in bounds.items()]
    entries[:66] = 0.01 * np.concatenate(scaled)
    params = {"a": np.eye(9, dtype=np.float32), "b": entries.reshape(9, 9)}
    params |= {name: w for name, w in wanted.items() if name.startswith("b")}
    coords = np.random.default_rng(1).uniform(-1, 1, (50, 2)).astype(np.float32)
    # Weights multiplied and divided in float32, phases up to 20.
    assert np.allclose(net.evaluate(params, coords), siren.evaluate(wanted, coords), atol=1e-4)


@pytest.mark.parametrize("rank", [1, 4, 40])
def test_the_entries_have_one_variance_for_every_rank(rank):
    net = FeathermapSiren(Siren(hidden=128, n_layers=6), rank=rank)
    params = net.init(np.random.default_rng(0), 3)
    entries = params["a"].astype(np.float64) @ params["b"]  # [288, 288]
    # The mean squares of 288 rank uniform draws each: a deviation of 5 % for rank 1, times four.
    assert np.mean(entries**2) == pytest.approx(0.01**2, rel=0.2 / np.sqrt(rank))


def test_biases_are_those_of_siren():
    net = FeathermapSiren(Siren(hidden=9, n_layers=2), rank=2)
    biases = Siren(hidden=9, n_layers=2).init(np.random.default_rng(3), 3)
    params = net.init(np.random.default_rng(3), 3)
    assert all(np.array_equal(params[name], biases[name]) for name in ("b0", "b1", "b2"))


def test_signals_begin_with_the_variance_of_siren():
    net = FeathermapSiren(Siren(hidden=256, n_layers=6), rank=64)
    params = net.init(np.random.default_rng(0), 512)
    h = np.random.default_rng(1).uniform(-1, 1, (300, 2)).astype(np.float32)
    signal = net.evaluate(params, h)  # [300, 512]
    # The last layer is linear: 256 sines of mean square 1/2, weights of variance 2 / 256 / 30**2,
    # and a bias of variance 1 / 3 / 256.
    expected = 256 * 0.5 * 2 / 256 / 30**2 + 1 / 3 / 256
    assert np.mean(signal**2) == pytest.approx(expected, rel=0.25)  # as the test of Siren allows


def test_a_file_that_would_expand_to_gigabytes_is_refused():
    net = FeathermapSiren(Siren(hidden=4096, n_layers=64), rank=1)
    shapes = net.shapes(3)  # 200,000 numbers stand for a billion
    params = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    with pytest.raises(FormatError, match=r"expands to 1056985088 weights, above the limit of"):
        net.evaluate(params, np.zeros((1, 2), np.float32))


def test_exact_bytes():
    net = FeathermapSiren(Siren(64, 5, 30.0, 1.5), rank=200)
    assert write_fields(net).hex(" ") == "40 05 00 00 f0 41 00 00 c0 3f c8 01"
