"""What every field promises, over the list in methods.py."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contracts.methods import FIELDS
from inr.errors import FormatError
from inr.format.wire import FloatField, Reader, StageField, VarintField, read_fields, write_fields
from inr.mlp.fields.protocol import n_weights

pytestmark = [pytest.mark.usefixtures("strict_jax"), pytest.mark.parametrize("net", FIELDS)]


def fresh(net, n_channels=3, seed=0):
    return net.init(np.random.default_rng(seed), n_channels)


def points(n, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, (n, 2)).astype(np.float32)


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_init_makes_the_tensors_that_shapes_lists(net, n_channels):
    params = fresh(net, n_channels)
    shapes = net.shapes(n_channels)
    assert list(params) == list(shapes)
    assert [w.shape for w in params.values()] == list(shapes.values())
    assert all(w.dtype == np.float32 and np.isfinite(w).all() for w in params.values())
    assert n_weights(shapes) == sum(w.size for w in params.values())


def test_the_same_seed_draws_the_same_parameters(net):
    first, second, other = fresh(net), fresh(net), fresh(net, seed=1)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    matrix = next(name for name in first if first[name].ndim == 2)
    assert not np.array_equal(first[matrix], other[matrix])


@pytest.mark.parametrize("n_channels", [1, 4])
def test_jax_and_numpy_agree(net, n_channels):
    params, coords = fresh(net, n_channels), points(500)
    by_numpy = net.evaluate(params, coords)
    by_jax = net.apply({k: jnp.asarray(w) for k, w in params.items()}, jnp.asarray(coords))
    assert by_numpy.shape == by_jax.shape == (500, n_channels)
    assert by_numpy.dtype == by_jax.dtype == np.float32
    # Phases up to 100 have ulps of 8e-6, which up to three later layers double.
    assert np.allclose(by_numpy, by_jax, atol=1e-4)


def test_jax_and_numpy_agree_under_jit(net):
    params, coords = fresh(net), points(500)
    by_jax = jax.jit(net.apply)({k: jnp.asarray(w) for k, w in params.items()}, coords)
    assert np.allclose(net.evaluate(params, coords), by_jax, atol=1e-4)  # as above


def test_both_agree_with_double_precision(net):
    params, coords = fresh(net), points(500)
    doubles = {name: w.astype(np.float64) for name, w in params.items()}
    exact = net.evaluate(doubles, coords.astype(np.float64))
    assert np.allclose(net.evaluate(params, coords), exact, atol=1e-4)  # as above


def test_every_parameter_has_a_gradient(net):
    params, coords = fresh(net), jnp.asarray(points(50))
    grads = jax.jit(jax.grad(lambda p: jnp.mean(net.apply(p, coords) ** 2)))(
        {k: jnp.asarray(w) for k, w in params.items()}
    )
    assert all(float(jnp.abs(grad).max()) > 0 for grad in grads.values())


def test_evaluate_leaves_its_arguments_alone(net):
    params, coords = fresh(net), points(20)
    for array in (*params.values(), coords):
        array.setflags(write=False)
    net.evaluate(params, coords)


def test_fixed_tensors_are_multiples_of_their_steps(net):
    params = fresh(net)
    for name, q_step in net.fixed_steps().items():
        codes = params[name] / q_step
        assert np.array_equal(codes, np.round(codes))


def test_masks_are_for_trained_matrices(net):
    shapes, fixed = net.shapes(3), net.fixed_steps()
    for name, shape in net.matrices(3).items():
        assert shape == shapes[name]
        assert len(shape) == 2
        assert name not in fixed


def test_size_is_chosen_by_hidden_and_n_layers(net):
    wider = net.with_size(net.hidden + 1, net.n_layers)
    deeper = net.with_size(net.hidden, net.n_layers + 1)
    assert n_weights(wider.shapes(3)) > n_weights(net.shapes(3))
    assert n_weights(deeper.shapes(3)) > n_weights(net.shapes(3))


def test_every_field_of_the_dataclass_is_in_the_file(net):
    assert [name for name, _ in net.WIRE] == [f.name for f in dataclasses.fields(net)]


def test_the_bytes_come_back(net):
    assert read_fields(type(net), net.WIRE, Reader(write_fields(net), "the test")) == net


def test_values_outside_their_limits_are_refused(net):
    for name, form in net.WIRE:
        if isinstance(form, StageField):  # its fields are those of another in the list
            continue
        for edge, beyond in ((form.low, form.low - 1), (form.high, form.high + 1)):
            assert vars(read_with(net, name, edge))[name] == pytest.approx(edge, rel=1e-7)  # f32
            with pytest.raises(FormatError, match=f"{name}=.* is outside"):
                read_with(net, name, beyond)
            with pytest.raises(ValueError, match=f"{name}=.* is outside"):
                write_fields(dataclasses.replace(net, **{name: beyond}))


def read_with(net, changed_name, value):
    """Reads a field whose bytes say `value` for one of its fields, in or out of the limits."""
    unlimited = {VarintField: VarintField(0, 1 << 31), FloatField: FloatField(-1e9, 1e9)}
    data = b""
    for name, form in net.WIRE:
        written = value if name == changed_name else vars(net)[name]
        data += unlimited.get(type(form), form).write(written, name)
    return read_fields(type(net), net.WIRE, Reader(data, "the test"))
