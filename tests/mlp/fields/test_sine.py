"""sine.py against the sine and cosine of numpy in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inr.mlp.fields.sine import sine

pytestmark = pytest.mark.usefixtures("strict_jax")

ATOL = 1e-6  # what sine.py promises for |x| <= 1e3: three roundings of values up to 1


def arguments(limit):
    dense = np.linspace(-limit, limit, 400_001, dtype=np.float32)
    random = np.random.default_rng(0).uniform(-limit, limit, 400_000).astype(np.float32)
    k = np.arange(-int(limit / np.pi), int(limit / np.pi) + 1)
    edges = ((k + 0.5) * np.pi).astype(np.float32)  # where the reduction changes k
    near = np.concatenate([np.nextafter(edges, np.float32(side)) for side in (-1e9, 1e9)])
    return np.concatenate([dense, random, edges, near, (k * np.pi).astype(np.float32)])


@pytest.fixture(scope="module", params=[4.0, 1e3], ids=["one period", "promised range"])
def x(request):
    inside = arguments(request.param)
    return inside[np.abs(inside) <= request.param]


def test_it_is_the_sine(x):
    assert np.abs(np.asarray(sine(jnp.asarray(x))) - np.sin(x.astype(np.float64))).max() < ATOL


def test_its_gradient_is_the_cosine(x):
    gradient = jax.grad(lambda a: jnp.sum(sine(a)))(jnp.asarray(x))
    assert np.abs(np.asarray(gradient) - np.cos(x.astype(np.float64))).max() < ATOL


def test_the_chain_rule_reaches_it():
    x = jnp.float32(0.7)
    gradient = jax.grad(lambda a: 5 * sine(3 * a))(x)
    assert float(gradient) == pytest.approx(15 * np.cos(2.1), abs=15 * ATOL)


def test_exact_values():
    assert float(sine(jnp.float32(0))) == 0
    assert float(jax.grad(sine)(jnp.float32(0))) == 1
    assert sine(jnp.zeros((2, 0, 3), jnp.float32)).shape == (2, 0, 3)


def test_odd_symmetry(x):
    forth, back = sine(jnp.asarray(x)), sine(jnp.asarray(-x))
    assert np.abs(np.asarray(forth + back)).max() < ATOL  # at (k + 1/2) pi the k may differ


def test_jit_vmap_and_scan_do_not_change_it():
    x = jnp.asarray(np.random.default_rng(1).uniform(-100, 100, (7, 11)).astype(np.float32))
    plain = np.asarray(sine(x))
    _, scanned = jax.lax.scan(lambda carry, row: (carry, sine(row)), None, x)
    for other in (jax.jit(sine)(x), jax.vmap(sine)(x), scanned):
        assert np.allclose(plain, np.asarray(other), atol=ATOL)  # fused multiply-adds


def test_gradients_under_jit_vmap_and_scan():
    x = np.random.default_rng(1).uniform(-100, 100, (7, 11)).astype(np.float32)

    def scanned(rows):
        return jax.lax.scan(lambda total, row: (total + jnp.sum(sine(row)), None), 0.0, rows)[0]

    expected = np.cos(x.astype(np.float64))
    assert np.allclose(jax.jit(jax.grad(scanned))(x), expected, atol=ATOL)
    assert np.allclose(jax.vmap(jax.vmap(jax.grad(sine)))(x), expected, atol=ATOL)
