"""losses.py against metrics.py, numbers worked by hand, and a network made up for LPIPS."""

import sys
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.cae.training.losses import MIN_MEAN, Distortion, lpips, mean_absolute, ms_ssim, mse
from inr.image import metrics

pytestmark = pytest.mark.usefixtures("strict_jax")


def pictures(n, height, width, seed=0):
    """Ramps with edges and grain, u8 [n, height, width, 3], and a coarser version of them."""
    rng = np.random.default_rng(seed)
    row, col, channel = np.ogrid[:height, :width, :3]
    ramp = (2 * row + 3 * col + 50 * channel) % 200 + (row // 17 + col // 13) % 2 * 20
    reference = ramp + rng.integers(0, 20, (n, height, width, 3))
    candidate = reference // 24 * 24 + rng.integers(0, 24, reference.shape)
    return reference.astype(np.uint8), np.minimum(candidate, 255).astype(np.uint8)


def as_floats(pixels):
    return jnp.asarray(pixels.astype(np.float32) / np.float32(255))


def constant(value, side=16, n=1):
    return jnp.full((n, side, side, 3), value, jnp.float32)


@partial(jax.jit, static_argnums=0)
def gradient(distance, x, y):
    return jax.grad(lambda y: distance(x, y).sum())(y)


compiled_ms_ssim = jax.jit(ms_ssim)


def test_squared_and_absolute_errors_of_a_hand_worked_pair():
    x = jnp.zeros((2, 1, 2, 3))
    y = x.at[0, 0, 0, 0].set(0.6).at[1].set(-0.5)  # one sample of six; all six
    np.testing.assert_allclose(mse(x, y), [0.06, 0.25], rtol=1e-6)  # 0.36 / 6
    np.testing.assert_allclose(mean_absolute(x, y), [0.1, 0.5], rtol=1e-6)  # 0.6 / 6


def test_ms_ssim_of_constants_is_the_luminance_of_one_scale():
    # Without any contrast only l counts, at the coarsest scale: 16 pixels hold one scale.
    x, y = 0.5, 0.25
    luminance = (2 * x * y + 0.01**2) / (x**2 + y**2 + 0.01**2)  # about 0.8
    expected = 1 - luminance**1.0001  # the sum of the paper's five exponents
    np.testing.assert_allclose(ms_ssim(constant(x), constant(y)), [expected], atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(192, 176), (161, 203)])
def test_ms_ssim_is_that_of_metrics(height, width):
    reference, candidate = pictures(2, height, width)
    expected = [1 - metrics.ms_ssim(a, b) for a, b in zip(reference, candidate, strict=True)]
    assert min(expected) > 0.01  # the two differ
    found = compiled_ms_ssim(as_floats(reference), as_floats(candidate))
    np.testing.assert_allclose(found, expected, atol=1e-5)  # f32 against f64


@pytest.mark.parametrize(("side", "n_scales"), [(11, 1), (21, 2), (40, 2), (41, 3), (81, 4)])
def test_small_crops_have_fewer_scales(side, n_scales):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.random((1, side, side, 3)), jnp.float32)
    weights = np.array(metrics.WEIGHTS[:n_scales])
    exponents = weights * sum(metrics.WEIGHTS) / weights.sum()
    y = x + 0.01 * jnp.asarray(rng.standard_normal(x.shape), jnp.float32)
    means = []
    a, b = np.asarray(x[0], np.float64), np.asarray(y[0], np.float64)
    for scale in range(n_scales):
        if scale:
            a, b = halved(a), halved(b)
        both = [
            metrics._mean_ssim(a[..., c].astype(np.float32), b[..., c].astype(np.float32), 1.0)
            for c in range(3)
        ]
        means.append([pair[0 if scale == n_scales - 1 else 1] for pair in both])
    product = np.prod(np.array(means) ** exponents[:, None], axis=0)  # [3]
    np.testing.assert_allclose(
        compiled_ms_ssim(x, y), [1 - product.mean()], atol=1e-5
    )  # f32 against f64


def halved(x):
    return np.stack([metrics._halve(x[..., c].astype(np.float32)) for c in range(3)], axis=-1)


@pytest.mark.parametrize("distance", [mse, mean_absolute, ms_ssim])
def test_equal_pictures_are_at_distance_0(distance):
    x = as_floats(pictures(2, 24, 23)[0])
    np.testing.assert_allclose(jax.jit(distance)(x, x), 0, atol=1e-6)  # exp(log(1 + 1e-7))
    flat = 0 if distance is not mean_absolute else 1 / x[0].size  # jax takes the slope of +0
    np.testing.assert_allclose(abs(gradient(distance, x, x)), flat, atol=1e-6)


def test_pictures_of_opposite_structure_have_a_finite_gradient():
    x = as_floats(pictures(2, 24, 24)[0])
    distances = compiled_ms_ssim(x, 1 - x)  # the covariance is minus the variance
    np.testing.assert_array_less(distances, 1)
    np.testing.assert_array_less(1 - MIN_MEAN**0.3, distances)
    assert np.isfinite(gradient(ms_ssim, x, 1 - x)).all()


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
@settings(max_examples=30, deadline=None)  # the first example compiles
def test_ms_ssim_is_symmetric_bounded_and_smooth(seed, contrast):
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.random((2, 24, 24, 3)) * contrast, jnp.float32)
    y = jnp.asarray(rng.random((2, 24, 24, 3)), jnp.float32)
    there, back = compiled_ms_ssim(x, y), compiled_ms_ssim(y, x)
    assert (there >= -1e-5).all()  # f32
    assert (there <= 1).all()
    np.testing.assert_allclose(there, back, atol=1e-6)
    assert np.isfinite(gradient(ms_ssim, x, y)).all()


def test_the_gradient_is_the_slope():
    x, y = (as_floats(p) for p in pictures(2, 24, 24))
    toward = jnp.asarray(np.random.default_rng(1).standard_normal(y.shape), jnp.float32)
    further, nearer = (compiled_ms_ssim(x, y + s * toward) for s in (0.003, -0.003))
    slope = (further - nearer) / 0.006
    # 2%: the third derivative, and f32 in the difference of two numbers near each other
    np.testing.assert_allclose((gradient(ms_ssim, x, y) * toward).sum(), slope.sum(), rtol=0.02)


def test_distortion_is_the_weighted_sum():
    x, y = (as_floats(p) for p in pictures(2, 16, 20))
    expected = 2 * mse(x, y) + 0.5 * mean_absolute(x, y) + 0.25 * compiled_ms_ssim(x, y)
    distortion = Distortion(mse=2.0, mean_absolute=0.5, ms_ssim=0.25)
    np.testing.assert_allclose(jax.jit(distortion)(x, y), expected, rtol=1e-5)
    np.testing.assert_allclose(Distortion()(x, y), mse(x, y))


def test_terms_of_weight_0_are_not_computed():
    assert Distortion()(constant(0.0, 4), constant(0.5, 4)).tolist() == [0.25]  # too small for SSIM


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_out_of_range_are_refused(weight):
    with pytest.raises(
        ValueError, match=r"'ms_ssim': .*: every weight must be a number, 0 or more"
    ):
        Distortion(ms_ssim=weight)


def test_all_weights_0_are_refused():
    with pytest.raises(ValueError, match="give one a weight above 0"):
        Distortion(mse=0.0)


@pytest.mark.parametrize("distance", [mse, mean_absolute, ms_ssim, lpips])
def test_wrong_arrays_are_refused(distance):
    with pytest.raises(ValueError, match=r"expected two batches of one shape \[n, height"):
        distance(constant(0.0), constant(0.0, n=2))
    with pytest.raises(ValueError, match=r"uint8, expected float32 in 0\.\.1"):
        distance(constant(0.0), constant(0.0).astype(jnp.uint8))


def test_crops_below_the_window_are_refused():
    with pytest.raises(ValueError, match=r"at least 11 pixels a side, got \(10, 10\)"):
        ms_ssim(constant(0.0, 10), constant(0.0, 10))
    with pytest.raises(ValueError, match=r"at least 31 pixels a side, got \(30, 30\)"):
        lpips(constant(0.0, 30), constant(0.0, 30))


def test_lpips_names_the_package_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "jaxlpips", None)  # as if it were not installed
    with pytest.raises(ValueError, match="pip install jaxlpips"):
        lpips(constant(0.0, 32), constant(0.0, 32))


@pytest.fixture
def made_up_network(monkeypatch):
    """Features of one layer: the pictures it gets, in its own range."""

    def load(name):
        assert name == "alexnet"
        weights = jnp.array([1.0, 2.0, 3.0])
        return SimpleNamespace(model=lambda x: [x], linear_weights=[weights])

    monkeypatch.setitem(sys.modules, "jaxlpips", SimpleNamespace(LPIPS=load))


@pytest.mark.usefixtures("made_up_network")
def test_lpips_of_a_hand_worked_pair():
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    features = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0]])  # directions .6 .8 0 and 0 0 1
    colours = (features * scale + shift + 1) / 2  # from -1..1 to 0..1
    x, y = (jnp.broadcast_to(jnp.asarray(c, jnp.float32), (1, 31, 31, 3)) for c in colours)
    expected = 0.36 * 1 + 0.64 * 2 + 1.0 * 3  # squared differences and weights
    np.testing.assert_allclose(jax.jit(lpips)(x, y), [expected], rtol=1e-5)
    np.testing.assert_allclose(Distortion(mse=0.0, lpips=2.0)(x, y), [2 * expected], rtol=1e-5)


@pytest.mark.usefixtures("made_up_network")
def test_lpips_has_a_gradient_where_there_is_no_feature():
    shift = np.array([-0.030, -0.088, -0.188])
    x = jnp.broadcast_to(jnp.asarray((shift + 1) / 2, jnp.float32), (1, 31, 31, 3))
    assert np.isfinite(gradient(lpips, x, x + 0.5)).all()
    assert np.isfinite(gradient(lpips, x, x)).all()
