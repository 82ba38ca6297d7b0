"""forward.py against slow loops, closed forms and numbers worked by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.grid.fit import model as forward
from inr.grid.fit.init import CUBIC, first_networks
from inr.grid.structure import TAPS, Pyramid, Structure

pytestmark = pytest.mark.usefixtures("strict_jax")


def on_device(params):
    return {name: jnp.asarray(w, jnp.float32) for name, w in params.items()}


def network(pyramid, seed=0):
    """f32 tensors, none of them zero."""
    rng = np.random.default_rng(seed)
    params = {
        name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in pyramid.shapes.items()
    }
    for name, w in params.items():
        if name.startswith("up"):
            params[name] = np.array(CUBIC, np.float32) + 0.1 * w
    return params


def latents_of(pyramid, seed=0):
    rng = np.random.default_rng(seed)
    return [
        np.rint(rng.laplace(0, 2, (level.height, level.width))).astype(np.float32)
        for level in pyramid.levels
    ]


# Soft rounding


@settings(deadline=None)  # the first example compiles
@given(st.floats(-100, 100), st.sampled_from([0.05, 0.1, 0.35, 1.0]))
def test_soft_round_keeps_integers_and_halves(x, temperature):
    whole = float(np.floor(x))
    points = jnp.array([whole, whole + 0.5], jnp.float32)
    assert np.allclose(forward.soft_round(points, jnp.float32(temperature)), points, atol=1e-5)
    rounded = float(forward.soft_round(jnp.float32(x), jnp.float32(temperature)))
    # Between the number itself and the integer next to it.
    low, high = sorted([x, whole + (x - whole > 0.5)])
    assert low - 1e-4 <= rounded <= high + 1e-4


def test_soft_round_hand_worked():
    # x = 1.25 at 1/4: 1.5 + tanh(-1) / tanh(2) / 2
    expected = 1.5 - 0.7615942 / 0.9640276 / 2
    assert forward.soft_round(jnp.float32(1.25), jnp.float32(0.25)) == pytest.approx(expected)


def test_limits_of_soft_round():
    x = jnp.linspace(-3.04, 2.96, 61)  # 0.1 apart, none a half
    hot = forward.soft_round(x, jnp.float32(1000.0))
    assert np.allclose(hot, x, atol=1e-4)  # tanh of a thousandth in f32
    cold = forward.soft_round(x, jnp.float32(0.005))
    assert np.allclose(cold, np.round(x), atol=1e-5)


# Bits


def laplace_bits(y, mean, scale):
    """-log2 of F(y + 1/2) - F(y - 1/2), in float64."""

    def distribution(x):
        return np.where(x < 0, 0.5 * np.exp(-np.abs(x)), 1 - 0.5 * np.exp(-np.abs(x)))

    high, low = (distribution((y + side - mean) / scale) for side in (0.5, -0.5))
    return -np.log2(high - low)


def test_bits_of_a_closed_form():
    rng = np.random.default_rng(0)
    mean, log_scale = rng.uniform(-3, 3, 500), rng.uniform(-1, 5, 500)
    y = np.rint(mean + np.exp(log_scale) * rng.laplace(size=500) * 0.5)
    expected = laplace_bits(y, mean, np.exp(log_scale))
    arrays = (jnp.asarray(each, jnp.float32) for each in (y, mean, log_scale))
    inside = expected < 15.9
    assert inside.sum() > 400
    # f32 differences of exponentials near 1: e**-5 of mass, of which 2**-24 is lost
    assert np.allclose(forward.bits_of(*arrays)[inside], expected[inside], atol=1e-3)


def test_bits_hand_worked():
    ln2 = float(np.log(2))
    # b = 1 / (2 ln 2): e**(-d / b) is 4**-d, so 0 has 1 - 4**-0.5 and 1 has (4**-0.5 - 4**-1.5) / 2
    log_scale = jnp.full(3, -np.log(2 * ln2), jnp.float32)
    bits = forward.bits_of(jnp.array([0.0, 1.0, -2.0]), jnp.zeros(3), log_scale)
    assert np.allclose(bits, [1, -np.log2(3 / 16), -np.log2(3 / 64)], atol=1e-5)


@pytest.mark.parametrize("mean", [0.0, 0.3, 0.5, -17.75])
@pytest.mark.parametrize("log_scale", [-5.0, -2.0, -1.0, 0.0, 1.0, 2.0])
def test_probabilities_sum_to_one(mean, log_scale):
    y = jnp.arange(-200, 201, dtype=jnp.float32)
    bits = forward.bits_of(y, jnp.full_like(y, mean), jnp.full_like(y, log_scale))
    p = np.exp2(-np.asarray(bits, np.float64))
    assert p[p > 1.01 * forward.LEAST_P].sum() == pytest.approx(1, abs=1e-3)  # the tails are cut


def test_no_latent_costs_more_than_16_bits():
    y = jnp.array([0.0, 1.0, 4095.0, -4095.0])
    sharp = jnp.full(4, -forward.LOG_SCALE_RANGE)
    assert forward.bits_of(y, jnp.zeros(4), sharp).tolist() == [0, 16, 16, 16]


@settings(deadline=None)
@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(-5, 5))
def test_bits_are_the_same_on_both_sides(y, mean, log_scale):
    def bits(sign):
        given = (jnp.float32(sign * y), jnp.float32(sign * mean), jnp.float32(log_scale))
        return float(forward.bits_of(*given))

    assert bits(1) == bits(-1)
    assert 0 <= bits(1) <= 16


# Contexts


def slow_context(latents, params, pyramid):
    """f64[latents, n_taps + n_features]: one latent after the other."""
    s = pyramid.structure
    rows = []
    for i, (level, own) in enumerate(zip(pyramid.levels, latents, strict=True)):
        for y, x in np.ndindex(own.shape):
            taps = [
                own[y + dy, x + dx] if y + dy >= 0 and 0 <= x + dx < level.width else 0.0
                for dy, dx in TAPS[: s.n_taps]
            ]
            before = [
                latents[k][
                    y >> (pyramid.levels[k].exponent - level.exponent),
                    x >> (pyramid.levels[k].exponent - level.exponent),
                ]
                for k in range(i)
            ]
            name = pyramid.feature_name(i)
            features = [0.0] * s.n_features
            if name is not None:
                features = [float(np.dot(row, before)) for row in params[name].astype(np.float64)]
            rows.append(taps + features)
    return np.array(rows)


STRUCTURES = [
    Structure(),
    Structure(n_hyper=2, n_taps=20, n_features=3),
    Structure(first_level=1, n_hyper=1, n_taps=1, n_feature_levels=1),
    Structure(n_feature_levels=0),
]


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (27, 5), (13, 30)])
def test_contexts_by_a_slow_loop(size, structure):
    pyramid = Pyramid(*size, 3, structure)
    latents, params = latents_of(pyramid), network(pyramid)
    seen = forward.context_inputs([jnp.asarray(each) for each in latents], pyramid)
    context = forward.contexts(seen, on_device(params), pyramid)
    assert context.shape == (structure.n_taps + structure.n_features, pyramid.n_latents)
    expected = slow_context(latents, params, pyramid)
    assert np.allclose(context.T, expected, atol=1e-4)  # f32 sums of a few products


def test_hand_worked_context():
    pyramid = Pyramid(1, 13, 1, Structure(n_taps=2, n_features=1))
    coarse, fine = np.arange(7.0), 10 + np.arange(13.0)
    params = {"feature0": np.array([[100.0]])}  # hundred times the latent above
    latents = [jnp.asarray(each[None], jnp.float32) for each in (coarse, fine)]
    context = forward.contexts(forward.context_inputs(latents, pyramid), on_device(params), pyramid)
    left = [0, 0, 1, 2, 3, 4, 5, 0, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]
    above = [0] * 20  # a single row
    features = [0] * 7 + [0, 0, 100, 100, 200, 200, 300, 300, 400, 400, 500, 500, 600]
    assert context.tolist() == [left, above, features]


def test_no_latent_sees_itself_or_one_after_it():
    pyramid = Pyramid(13, 14, 3, Structure(n_hyper=1, n_taps=20))
    latents, params = latents_of(pyramid), on_device(network(pyramid))

    def context(latents):
        seen = forward.context_inputs([jnp.asarray(each) for each in latents], pyramid)
        return np.asarray(forward.contexts(seen, params, pyramid))

    before = context(latents)
    starts = np.cumsum([0] + [level.size for level in pyramid.levels])
    for i, y, x in [(0, 3, 2), (1, 0, 0), (2, 6, 6), (2, 12, 13)]:
        changed = [each.copy() for each in latents]
        changed[i][y, x] += 1000
        own = starts[i] + y * pyramid.levels[i].width + x
        assert np.array_equal(context(changed)[:, : own + 1], before[:, : own + 1])


# Densities


def test_laplace_parameters_by_a_slow_loop():
    pyramid = Pyramid(1, 30, 1, Structure(n_taps=3, n_features=2))
    params = network(pyramid, seed=4)
    context = np.random.default_rng(5).normal(0, 3, (5, 40)).astype(np.float32)
    mean, log_scale = forward.laplace_parameters(jnp.asarray(context), on_device(params))
    for i in range(40):
        x = context[:, i].astype(np.float64)
        for layer in range(2):
            w, b = params[f"context_w{layer}"], params[f"context_b{layer}"]
            x = x + np.maximum(0, w @ x + b)
        out = params["context_out"] @ x + params["context_linear"] @ context[:, i]
        out = out + params["context_b2"]
        assert mean[i] == pytest.approx(out[0], abs=1e-4)  # f32, values of about 10
        assert log_scale[i] == pytest.approx(np.clip(out[1], -5, 5), abs=1e-4)


def test_first_networks_give_the_same_density_to_all_zeros():
    pyramid = Pyramid(20, 30, 3, Structure())
    params = first_networks(pyramid, np.full(3, 0.5), np.random.default_rng(0))
    latents = [jnp.zeros((level.height, level.width)) for level in pyramid.levels]
    bits = forward.rate_bits(latents, on_device(params), pyramid)
    b = np.exp(-1)  # F(1/2) - F(-1/2) is 1 - e**(-1 / (2 b))
    expected = -np.log2(1 - np.exp(-0.5 / b))
    assert bits / pyramid.n_latents == pytest.approx(expected, rel=1e-5)


def test_rate_is_the_sum_over_all_latents():
    pyramid = Pyramid(13, 14, 3, Structure(n_hyper=1))
    latents, params = latents_of(pyramid), on_device(network(pyramid))
    floats = [jnp.asarray(each) for each in latents]
    context = forward.contexts(forward.context_inputs(floats, pyramid), params, pyramid)
    mean, log_scale = forward.laplace_parameters(context, params)
    scale = np.exp(np.asarray(log_scale, np.float64))
    y = np.concatenate([each.ravel() for each in latents])
    with np.errstate(divide="ignore"):
        expected = np.minimum(16, laplace_bits(y, np.asarray(mean, np.float64), scale))
    bits = forward.rate_bits(floats, params, pyramid)
    assert bits == pytest.approx(expected.sum(), rel=1e-4)  # f32


# Upsampling


def doubled(x, taps, size):
    """Axis 0 doubled: output o lies a quarter of a pixel left or right of the middle of o // 2."""
    x = x.astype(np.float64)

    def at(i):
        return x[min(max(i, 0), len(x) - 1)]

    out = []
    for o in range(size):
        i, side = o // 2, 1 if o % 2 else -1
        # Taps in order: one pixel away from the output's side, the nearest, and two towards it.
        out.append(sum(taps[t] * at(i + side * (t - 1)) for t in range(4)))
    return np.array(out)


def slow_features(latents, params, pyramid):
    drawn = []
    for level, y in zip(pyramid.levels, latents, strict=True):
        if level.is_hyper:
            continue
        for e in reversed(range(level.exponent)):
            height, width = pyramid.size_at(e)
            taps = params[f"up{e}"].astype(np.float64)
            y = doubled(doubled(y, taps, height).T, taps, width).T
        drawn.append(y)
    return np.stack(drawn)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (27, 5), (13, 30)])
def test_features_by_a_slow_loop(size, structure):
    pyramid = Pyramid(*size, 3, structure)
    latents, params = latents_of(pyramid), network(pyramid)
    features = forward.features_of(
        [jnp.asarray(each) for each in latents], on_device(params), pyramid
    )
    assert features.shape == (pyramid.n_drawn, *size)
    expected = slow_features(latents, params, pyramid)
    assert np.allclose(features, expected, atol=1e-4)  # f32, values of about 10


def test_hand_worked_upsampling():
    pyramid = Pyramid(1, 13, 1, Structure(first_level=1))
    taps = {"up0": np.array([8.0, 4.0, 2.0, 1.0])}
    y = np.array([[0, 0, 0, 1, 0, 0, 0]], np.float32)  # a single 1: the kernel itself, twice
    (row,) = forward.features_of([jnp.asarray(y)], on_device(taps), pyramid)[0]
    # Rows repeat at the edges: down the single row all taps add up, to 15.
    even, odd = [0, 0, 8, 4, 2, 1, 0], [0, 1, 2, 4, 8, 0]
    assert row[0::2].tolist() == [15 * each for each in even]
    assert row[1::2].tolist() == [15 * each for each in odd]


def test_a_constant_stays_constant():
    assert sum(CUBIC) == 1
    pyramid = Pyramid(27, 50, 3, Structure())
    params = first_networks(pyramid, np.full(3, 0.5), np.random.default_rng(0))
    latents = [jnp.full((level.height, level.width), 7.0) for level in pyramid.levels]
    features = forward.features_of(latents, on_device(params), pyramid)
    assert np.allclose(features, 7, atol=1e-5)


def test_the_cubic_kernel_draws_straight_lines():
    assert np.allclose(CUBIC, [keys(-1.25), keys(-0.25), keys(0.75), keys(1.75)])
    pyramid = Pyramid(1, 24, 1, Structure(first_level=1))
    latents = [jnp.arange(12, dtype=jnp.float32)[None]]
    features = forward.features_of(latents, on_device({"up0": np.array(CUBIC)}), pyramid)
    inside = slice(4, 20)  # beyond, the edges repeat
    positions = (np.arange(24) + 0.5) / 2 - 0.5
    assert np.allclose(features[0, 0, inside], positions[inside], atol=1e-5)


def keys(x, a=-0.5):
    """Keys' cubic kernel, IEEE Trans. ASSP 29(6), 1981."""
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


# Synthesis


def slow_synthesis(features, params):
    """One pixel after the other, in float64."""
    n_channels = params["synth_b1"].size
    _, height, width = features.shape
    colours = np.empty((n_channels, height, width))
    for y, x in np.ndindex(height, width):
        here = features[:, y, x].astype(np.float64)
        hidden = np.maximum(0, params["synth_w0"] @ here + params["synth_b0"])
        linear = params["synth_linear"] @ here
        colours[:, y, x] = params["synth_w1"] @ hidden + linear + params["synth_b1"]
    for i in range(2):
        before = colours.copy()
        for y, x in np.ndindex(height, width):
            around = [
                before[:, min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)]
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
            ]
            change = params[f"conv_w{i}"] @ np.concatenate(around) + params[f"conv_b{i}"]
            colours[:, y, x] += np.maximum(0, change) if i == 0 else change
    return colours


@pytest.mark.parametrize("n_channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 5)])
def test_synthesis_by_a_slow_loop(size, n_channels):
    pyramid = Pyramid(*size, n_channels, Structure(hidden=6))
    params = network(pyramid, seed=n_channels)
    features = np.random.default_rng(1).normal(size=(1, *size)).astype(np.float32)
    out = forward.synthesis(jnp.asarray(features), on_device(params))
    assert out.shape == (n_channels, *size)
    assert np.allclose(out, slow_synthesis(features, params), atol=1e-4)  # f32 sums of 36


def test_hand_worked_edges_of_the_3x3_layers():
    pyramid = Pyramid(2, 3, 1, Structure(hidden=1))
    params = {name: np.zeros(shape, np.float32) for name, shape in pyramid.shapes.items()}
    params["synth_linear"][:] = 1
    params["conv_w1"][0, 0] = 1  # the pixel up and left, or the edge's
    features = jnp.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    added = np.array([[1, 1, 2], [1, 1, 2]])
    out = forward.synthesis(features, on_device(params))
    assert out[0].tolist() == (np.asarray(features[0]) + added).tolist()
    params["conv_w0"][0, 4] = -1  # minus the pixel itself: nothing above 0 is left to add
    assert np.array_equal(forward.synthesis(features, on_device(params)), out)


def test_a_picture_of_zero_latents_is_its_mean_colour():
    pyramid = Pyramid(20, 30, 3, Structure(n_hyper=1))
    mean = np.array([0.25, 0.5, 0.75])
    params = first_networks(pyramid, mean, np.random.default_rng(0))
    latents = [jnp.zeros((level.height, level.width)) for level in pyramid.levels]
    picture = forward.synthesize(latents, on_device(params), pyramid)
    assert np.array_equal(picture, np.broadcast_to(mean[:, None, None], (3, 20, 30)))


def test_the_drawn_picture_is_clipped():
    pyramid = Pyramid(1, 3, 1, Structure(hidden=1))
    params = {name: np.zeros(shape, np.float32) for name, shape in pyramid.shapes.items()}
    params["synth_linear"][:] = 0.5
    picture = forward.synthesize([jnp.array([[-1.0, 1.0, 3.0]])], on_device(params), pyramid)
    assert picture.tolist() == [[[0, 0.5, 1]]]
