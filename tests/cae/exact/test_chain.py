"""chain.py: hand-worked layers, a second implementation, and the same bits however it is cut."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.cae import layers
from inr.cae.exact.chain import ExactChain, analyse, synthesize
from inr.cae.layers import Abs, Conv, Deconv, Gate, Gdn, Relu, Scale, Shuffle, Sum
from inr.cae.transforms import Balle2017, Residual
from inr.image.region import Region

UNIT = 2.0**-12
TRANSFORMS = [
    Balle2017(hidden=4, n_latents=6),
    Balle2017(hidden=4, n_latents=6, has_latent_gdn=False, has_shortcut=True),
    Residual(hidden=4, n_latents=2),
]


def params_of(chain, seed=0):
    """Features stay near 1 with these."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in layers.shapes(chain).items():
        w = rng.normal(size=shape)
        match name.rsplit("_", 1)[1]:
            case "w":
                w /= np.sqrt(np.prod(shape[:3]))
            case "b":
                w *= 0.1
            case "beta":
                w = 0.5 + np.abs(w)
            case "gamma":
                w = 0.1 * np.eye(len(w)) + 0.05 * np.abs(w)
        found[name] = w.astype(np.float32)
    return found


def scales_of(chain, seed=0):
    rng = np.random.default_rng(seed)
    sizes = layers.scales(chain)
    return {name: rng.uniform(0.5, 2, n).astype(np.float32) for name, n in sizes.items()}


def multiples(shape, seed=0, unit=UNIT):
    return np.floor(np.random.default_rng(seed).normal(size=shape) / unit) * unit


def applied(layer, x, params, scales=None):
    return ExactChain.of((layer,), params).apply(x, scales or {})


def rounded(x):
    return np.floor(x * 4096 + 0.5) / 4096


def as_float(chain, x, params, scales):
    """The chain in plain float64, place by place, without any rounding."""
    for layer in chain:
        match layer:
            case Conv() | Deconv():
                x = loops(layer, x, params[f"{layer.name}_w"])
                x = x + params.get(f"{layer.name}_b", 0)
            case Gdn(name, _, is_inverse):
                norm = np.sqrt(params[f"{name}_beta"] + x**2 @ params[f"{name}_gamma"].T)
                x = x * norm if is_inverse else x / norm
            case Scale(name):
                x = x * scales[name]
            case Relu(slope):
                x = np.maximum(x, slope * x)
            case Abs():
                x = np.abs(x)
            case Shuffle(f):
                h, w, n = x.shape
                y = np.empty((h * f, w * f, n // f**2))
                for i, j in itertools.product(range(f), repeat=2):
                    y[i::f, j::f] = x[:, :, (i * f + j) * y.shape[2] :][:, :, : y.shape[2]]
                x = y
            case Sum(branches):
                x = sum(as_float(branch, x, params, scales) for branch in branches)
            case Gate(gate, value):
                g = as_float(gate, x, params, scales)
                x = as_float(value, x, params, scales) * (1 + g / np.sqrt(1 + g**2)) / 2
    return x


def loops(layer, x, w):
    """Conv or Deconv by the definition in layers.py, tap by tap."""
    k, s, before = layer.kernel, layer.stride, max(0, layer.kernel - layer.stride) // 2
    is_conv = isinstance(layer, Conv)
    h, width = (side // s if is_conv else side for side in x.shape[:2])
    out = np.zeros((h, width, layer.n_out) if is_conv else (h * s, width * s, layer.n_out))
    for i, j, ky, kx in itertools.product(range(h), range(width), range(k), range(k)):
        y, z = i * s + ky - before, j * s + kx - before
        if 0 <= y < h * s and 0 <= z < width * s:
            if is_conv:
                out[i, j] += x[y, z] @ w[ky, kx]
            else:
                out[y, z] += w[ky, kx] @ x[i, j]
    return out


def test_hand_worked_convolution_of_stride_2():
    x = np.zeros((2, 4, 1))
    x[0, :, 0] = [1, 2, 3, 4]
    odd, even = np.zeros((3, 3, 1, 1)), np.zeros((4, 4, 1, 1))
    odd[0, :, 0, 0] = [1, 10, 100]  # places 0 1 2 and 2 3 4 of the row
    even[1, :, 0, 0] = [1, 10, 100, 1000]  # one before: places -1 0 1 2 and 1 2 3 4
    y = applied(Conv("a", 1, 1, 3, 2, has_bias=False), x, {"a_w": odd})
    assert y.tolist() == [[[1 + 20 + 300], [3 + 40]]]
    y = applied(Conv("a", 1, 1, 4, 2), x, {"a_w": even, "a_b": np.array([0.5])})
    assert y.tolist() == [[[10 + 200 + 3000 + 0.5], [2 + 30 + 400 + 0.5]]]


def test_hand_worked_deconvolution_of_stride_2():
    w = np.zeros((3, 3, 1, 1))
    w[0, :, 0, 0] = [1, 10, 100]  # onto places 0 1 2 from the first, 2 3 4 from the second
    y = applied(Deconv("a", 1, 1, 3, 2, has_bias=False), np.array([[[2.0], [3.0]]]), {"a_w": w})
    assert y[:, :, 0].tolist() == [[2, 20, 200 + 3, 30], [0, 0, 0, 0]]


def test_halves_are_rounded_up_and_large_features_clipped():
    x = np.array([-3, -1, 0, 1, 3, 2**25, -(2**25)]).reshape(1, -1, 1) * UNIT
    half, twice = ({"a_w": np.full((1, 1, 1, 1), w)} for w in (0.5, 2.0))
    layer = Conv("a", 1, 1, 1, has_bias=False)
    assert (applied(layer, x, half) / UNIT).ravel().tolist() == [-1, 0, 0, 1, 2, 2**24, -(2**24)]
    assert applied(layer, x, twice).ravel()[-2:].tolist() == [8192, -8192]
    fine = {"a_w": np.full((1, 1, 1, 1), 2.0**-15)}  # becomes 2**-14
    assert applied(layer, x, fine).ravel()[-2:].tolist() == [0.5, -0.5]


@given(st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_convolutions_are_the_loops_and_each_others_adjoints(data):
    kernel, stride = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 4))
    n, m = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    h, width = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    w = rng.integers(-4, 5, (kernel, kernel, n, m)).astype(float)
    x = rng.integers(-4, 5, (h * stride, width * stride, n)).astype(float)
    y = rng.integers(-4, 5, (h, width, m)).astype(float)
    conv = Conv("a", n, m, kernel, stride, has_bias=False)
    deconv = Deconv("a", m, n, kernel, stride, has_bias=False)
    forth, back = applied(conv, x, {"a_w": w}), applied(deconv, y, {"a_w": w})
    assert np.array_equal(forth, loops(conv, x, w))
    assert np.array_equal(back, loops(deconv, y, w))
    assert np.sum(forth * y) == np.sum(x * back)


def test_hand_worked_gdn():
    params = {"g_beta": np.zeros(2), "g_gamma": np.ones((2, 2))}  # beta becomes about 1e-6
    x = np.array([[[3.0, 4.0]]])  # the root is 5
    assert applied(Gdn("g", 2), x, params).ravel().tolist() == [2458 * UNIT, 3277 * UNIT]
    assert applied(Gdn("g", 2, True), x, params).ravel().tolist() == [15, 20]
    # Squares are of features up to 1024 only.
    assert applied(Gdn("g", 2), x * 2048, params).ravel().tolist() == [
        rounded(6144 / np.sqrt(2**21)),
        rounded(8192 / np.sqrt(2**21)),
    ]


@pytest.mark.parametrize(("row_sum", "bits"), [(2.0**-9, 24), (0.9, 17), (1.5, 16), (1e5, 0)])
def test_gamma_keeps_as_many_bits_as_sums_allow(row_sum, bits):
    gamma = np.array([[row_sum * 0.7, row_sum * 0.3], [0.0, row_sum * 0.1]])
    tensors = ExactChain.of((Gdn("g", 2),), {"g_beta": np.zeros(2), "g_gamma": gamma}).tensors
    assert np.array_equal(tensors["g_gamma"], np.floor(gamma * 2.0**bits + 0.5) / 2.0**bits)
    assert tensors["g_beta"].min() >= 1e-6
    assert (tensors["g_beta"] * 2.0 ** (16 + bits) % 1 == 0).all()


LAYERS = [
    Conv("a", 4, 3, 5, 2),
    Conv("a", 4, 3, 1, 2),
    Deconv("a", 4, 3, 9, 4),
    Gdn("a", 4),
    Gdn("a", 4, is_inverse=True),
    Scale("a", 4),
    Relu(),
    Relu(0.2),
    Abs(),
    Shuffle(2),
    Sum(((Conv("a", 4, 4, 3),), ())),
    Gate((Conv("a", 4, 4, 1),), (Relu(0.2),)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_each_layer_is_the_plain_one_rounded(layer):
    x = multiples((6, 8, 4), unit=2.0**-8)  # so that GDN squares x itself
    params = {name: rounded(w) for name, w in params_of((layer,)).items()}
    scales = {name: rounded(m) for name, m in scales_of((layer,)).items()}
    expected = as_float((layer,), x, params, scales)
    y = applied(layer, x, params, scales)
    assert y.shape == expected.shape
    # Half a unit, and what it does to the gate, whose slope is at most 1/2 times |value| < 4.
    error = (0.5 + 0.5 * 2 + 0.5) if isinstance(layer, Gate) else 0.5
    assert np.abs(y - expected).max() <= error * UNIT * (1 + 1e-9)  # float64 of the plain one


@pytest.mark.parametrize("net", TRANSFORMS, ids=repr)
def test_whole_transforms_come_near_the_plain_ones(net):
    for chain, x in (
        (net.analysis(), multiples((32, 16, 3))),
        (net.synthesis(), multiples((2, 1, net.n_latents))),
    ):
        params, scales = params_of(chain), scales_of(chain)
        y = ExactChain.of(chain, params).apply(x, scales)
        expected = as_float(chain, x, params, scales)
        assert expected.std() > 0.05
        # Tens of layers, each of 2**-13 at its end and 2**-9 in what GDN squares.
        assert np.abs(y - expected).max() < 0.01 * max(1, np.abs(expected).max())


def test_the_network_that_is_trained_is_the_same():
    from inr.cae.training.networks import Network

    inner = (Conv("b", 4, 4, 3, 2), Relu(0.2), Conv("c", 4, 12, 4))
    chain = (
        Conv("a", 3, 4, 9, 4),
        Sum((inner, (Conv("d", 4, 12, 1, 2),))),
        *(Shuffle(2), Scale("m", 3), Deconv("e", 3, 2, 5, 2), Deconv("f", 2, 3, 9, 4)),
    )
    params, scales = params_of(chain), scales_of(chain)
    x = multiples((16, 24, 3))
    y = ExactChain.of(chain, params).apply(x, scales)
    theirs = Network(chain).apply(
        {"params": {name: jnp.asarray(w) for name, w in params.items()}},
        jnp.asarray(x[None], jnp.float32),
        {name: jnp.asarray(m[None]) for name, m in scales.items()},
    )
    assert np.abs(np.asarray(theirs[0]) - y).max() < 0.005  # rounding of five layers


@pytest.mark.parametrize("net", TRANSFORMS, ids=repr)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (17, 33), (70, 300)])
def test_tiles_threads_and_regions_change_nothing(net, height, width):
    chain = net.analysis()
    scales = scales_of(chain) | scales_of(net.synthesis(), 1)
    exact = ExactChain.of(chain, params_of(chain))
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    h, w = -(-height // 16), -(-width // 16)
    extended = np.pad(pixels, [(0, h * 16 - height), (0, w * 16 - width), (0, 0)], mode="edge")
    latents = exact.apply(rounded(extended / 255 - 0.5), scales, n_threads=1)
    assert latents.shape == (h, w, net.n_latents)
    for tile, n_threads in ((None, 1), (16, 4), (48, 1), (48, 4)):
        assert latents.tobytes() == analyse(exact, pixels, scales, n_threads, tile).tobytes()

    exact = ExactChain.of(net.synthesis(), params_of(net.synthesis(), 1))
    latents = np.floor(latents * 3)
    colours = exact.apply(latents, scales, n_threads=4)[:height, :width]
    picture = np.floor(np.clip(colours + 0.5, 0, 1) * 255 + 0.5).astype(np.uint8)
    assert picture.size < 10 or 20 < picture.mean() < 235  # not only black and white
    for tile, n_threads in ((None, 4), (16, 1), (48, 4)):
        mine = synthesize(exact, latents, height, width, scales, n_threads=n_threads, tile=tile)
        assert np.array_equal(mine, picture)
    region = Region(width // 3, height // 4, -(-width // 2), -(-height // 2))
    part = picture[region.y :, region.x :][: region.height, : region.width]
    assert np.array_equal(part, synthesize(exact, latents, height, width, scales, region))
    assert np.array_equal(part, synthesize(exact, latents, height, width, scales, region, tile=32))


@given(st.permutations(range(7)))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_the_order_of_sums_changes_nothing(order):
    chain = (Conv("a", 3, 7, 5, 2), Gdn("g", 7), Deconv("b", 7, 3, 5, 2))
    params, x = params_of(chain), multiples((8, 12, 3))
    y = ExactChain.of(chain, params).apply(x, {})
    params["a_w"], params["a_b"] = params["a_w"][..., order], params["a_b"][order]
    params["g_beta"], params["g_gamma"] = (
        params["g_beta"][order],
        params["g_gamma"][order][:, order],
    )
    params["b_w"] = params["b_w"][..., order]
    assert y.tobytes() == ExactChain.of(chain, params).apply(x, {}).tobytes()


def test_the_largest_sums_are_exact():
    # Two products of 2**26 in units of 2**-26 cancel. Of the third, half a unit or 2**-26 less,
    # nothing may be lost.
    large, fine = 2.0**13 - 2.0**-13 - 2.0**-14, 2.0**-14
    layer = Conv("a", 3, 1, 1, has_bias=False)
    for third, expected in ((2.0, UNIT), (2.0 - UNIT, 0)):
        for order in map(list, itertools.permutations(range(3))):
            w = np.array([large, -large, fine])[order].reshape(1, 1, 3, 1)
            x = np.array([8192 - UNIT, 8192 - UNIT, third])[order].reshape(1, 1, 3)
            assert applied(layer, x, {"a_w": w}).item() == expected


def _conv_with(w, b=0.0):
    return {"a_w": np.full((1, 1, 2, 1), w), "a_b": np.full(1, b)}


@pytest.mark.parametrize(
    ("layer", "params", "text"),
    [
        (Conv("a", 2, 1, 1), {}, "'a_w' is missing"),
        (Conv("a", 2, 3, 1), _conv_with(1), r"'a_w' is \[1, 1, 2, 1\], not \[1, 1, 2, 3\]"),
        (Conv("a", 2, 1, 1), _conv_with(1, np.inf), "'a_b' holds numbers that are not finite"),
        (Conv("a", 2, 1, 1), _conv_with(np.nan), "'a_w' holds numbers that are not finite"),
        (Conv("a", 2, 1, 1), _conv_with(8192), "'a_w': sums may reach .* below 16384 in sum"),
        (Conv("a", 2, 1, 1), _conv_with(0, 2.0**27), "'a_w': sums may reach"),
        (Conv("a", 2, 1, 1), _conv_with(1e308), "'a_w': sums may reach inf"),
        (Gdn("g", 1), {"g_beta": np.ones(1), "g_gamma": -np.ones((1, 1))}, "'g_gamma' holds -1.0"),
        (Gdn("g", 1), {"g_beta": -np.ones(1), "g_gamma": np.ones((1, 1))}, "'g_beta' holds -1.0"),
        (
            Gdn("g", 1),
            {"g_beta": np.ones(1), "g_gamma": np.full((1, 1), 2.0**17)},
            "g_gamma: a row sums up to 131072, .* below 131072",
        ),
    ],
)
def test_tensors_that_are_refused(layer, params, text):
    with pytest.raises(ValueError, match=text):
        ExactChain.of((layer,), params)


def test_inputs_that_are_refused():
    exact = ExactChain.of((Scale("m", 2), Conv("a", 2, 1, 1, 2)), _conv_with(1))
    x, ok = np.zeros((2, 2, 2)), {"m": np.ones(2)}
    for bad, scales, text in (
        (x, {}, "'m' is missing"),
        (x, {"m": np.ones(3)}, r"'m' is \[3\], not \[2\]"),
        (x, {"m": np.full(2, 2.0**14)}, "'m': sums may reach"),
        (x[0], ok, r"features are float64\[2, 2\]"),
        (x[:0], ok, "of at least one"),
        (x + 2.0**-13, ok, r"multiples of 2\*\*-12 within"),
        (x + np.nan, ok, r"multiples of 2\*\*-12 within"),
        (x - 8193, ok, r"multiples of 2\*\*-12 within"),
        (x[..., :1], ok, "'m' takes 2 channels, not 1"),
        (x[:1], ok, r"'a' takes multiples of 2, not \[1, 2\]"),
    ):
        with pytest.raises(ValueError, match=text):
            exact.apply(bad, scales)
    with pytest.raises(ValueError, match=r"Shuffle\(2\) takes a multiple of 4 channels, x has 2"):
        applied(Shuffle(2), x, {})


def test_pictures_that_are_refused():
    net = TRANSFORMS[0]
    analysis = ExactChain.of(net.analysis(), params_of(net.analysis()))
    scales = scales_of(net.analysis()) | scales_of(net.synthesis())
    for pixels in (np.zeros((2, 2, 3)), np.zeros((2, 2), np.uint8), np.zeros((2, 2, 4), np.uint8)):
        with pytest.raises(ValueError, match=r"pixels are .*, not uint8\[height, width, 3\]"):
            analyse(analysis, pixels, scales)
    with pytest.raises(ValueError, match=r"pixels are uint8\[0, 2, 3\]: none"):
        analyse(analysis, np.zeros((0, 2, 3), np.uint8), scales)
    with pytest.raises(ValueError, match="tile=24 is not a multiple of 16"):
        analyse(analysis, np.zeros((2, 2, 3), np.uint8), scales, tile=24)
    synthesis = ExactChain.of(net.synthesis(), params_of(net.synthesis()))
    with pytest.raises(ValueError, match=r"latents are .*: not those of 17 x 16 pixels"):
        synthesize(synthesis, np.zeros((1, 1, 6)), 16, 17, scales)
    for region in (Region(1, 0, 16, 16), Region(0, -1, 2, 2), Region(0, 0, 0, 1)):
        with pytest.raises(ValueError, match="does not lie inside the picture of 16x16"):
            synthesize(synthesis, np.zeros((1, 1, 6)), 16, 16, scales, region)
