"""transforms.py: the published counts, shapes, names, and where vectors stand."""

import math

import jax
import pytest
from helpers.cae_models import PLAIN, RESIDUAL, SLIM, TINY

from inr.cae.entropy_models import HYPER_INPUT_SCALE, PRIOR_SCALE, Factorized, Hyperprior
from inr.cae.layers import Conv, Deconv, Gdn, Scale, n_params, scales, shapes, walk
from inr.cae.model import Model
from inr.cae.training.networks import Network
from inr.cae.transforms import Balle2017, Residual

MODELS = {
    "plain": PLAIN,
    "tiny": TINY,
    "slim": SLIM,
    "residual": RESIDUAL,
    "scales only": Model(TINY.transform, Hyperprior(4, has_mean=False)),
    "bottleneck": Model(Balle2017(4, 6, only_latents=True)),
}


def counts(transform):
    """Parameters of convolutions and of GDN, both ways."""
    every = shapes(transform.analysis()) | shapes(transform.synthesis())
    sizes = {name: math.prod(shape) for name, shape in every.items()}
    of_gdn = sum(n for name, n in sizes.items() if name.endswith(("_beta", "_gamma")))
    return sum(sizes.values()) - of_gdn, of_gdn


def test_published_counts_of_the_modulated_autoencoder():
    assert counts(Balle2017()) == (3_780_483, 222_336)  # 6 GDN of 192^2 + 192
    assert Model().n_network_params() == 3_780_483 + 222_336


@pytest.mark.parametrize(
    ("width", "thousands"), [(192, 4012), (144, 2276), (96, 1029), (72, 589), (48, 270)]
)
def test_published_counts_of_narrower_models(width, thousands):
    prior = 46 * width  # theirs; quantiles among them, which ours has none of
    assert round((sum(counts(Balle2017(width, width))) + prior) / 1000) == thousands


def test_counts_of_the_slimmable_models_gdn():
    """449,136: 6 GDN for each of five widths."""
    widths = (48, 72, 96, 144, 192)
    transform = Balle2017(is_modulated=False)
    model = Model(transform, Factorized(), 1e-3, 1e-2, widths)
    assert sum(counts(model.at_width(width).transform)[1] for width in widths) == 449_136


def test_counts_of_the_residual_transform_by_hand():
    n, m = 192, 32
    conv, pointwise, gdn = 9 * n * n + n, n * n + n, n * n + n
    block = 2 * conv + gdn + pointwise
    attention = 6 * block + 2 * pointwise
    first = 9 * 3 * n + n + conv + gdn + 3 * n + n
    last = 9 * n * m + m
    assert n_params(Residual().analysis()) == first + 5 * block + 2 * attention + last == 13_125_536
    upsampled = 9 * n * 4 * n + 4 * n + conv + gdn + 4 * (n * n + n)
    ends = 9 * m * n + n + 9 * n * 3 + 3
    made = n_params(Residual().synthesis())
    assert made == ends + 4 * block + 4 * upsampled + 2 * attention == 19_398_147


def test_bottleneck_scaling_is_all_that_stands_between_network_and_rounding():
    modulated, scaled = Balle2017(4, 6), Balle2017(4, 6, only_latents=True)
    ends = [(t.analysis()[-1], t.synthesis()[0]) for t in (scaled, modulated)]
    assert ends[0] == (Scale("ma2", 6), Scale("ms0", 6))
    assert ends[1] == (Gdn("ga2", 6), Gdn("gs0", 6, is_inverse=True))
    assert scales(scaled.analysis() + scaled.synthesis()) == {"ma2": 6, "ms0": 6}


@pytest.mark.parametrize("name", MODELS)
def test_shapes_of_what_chains_make(name):
    model = MODELS[name]
    sizes = {
        "analysis": ((64, 128, 3), (4, 8, model.n_latents)),
        "synthesis": ((4, 8, model.n_latents), (64, 128, 3)),
        "hyper_analysis": ((4, 8, model.n_latents), (1, 2, model.n_coded)),
        "hyper_synthesis": ((1, 2, model.n_coded), (4, 8, model.n_latents)),
    }
    for group, chain in model.chains().items():
        given_shape, made_shape = sizes[group]
        if group == "hyper_synthesis" and model.prior.has_mean:
            made_shape = (4, 8, 2 * model.n_latents)
        vectors = {
            name: jax.ShapeDtypeStruct((1, n), "float32") for name, n in scales(chain).items()
        }
        x = jax.ShapeDtypeStruct((1, *given_shape), "float32")
        key = jax.eval_shape(lambda: jax.random.key(0))
        made, variables = jax.eval_shape(Network(chain).init_with_output, key, x, vectors)
        assert made.shape == (1, *made_shape)
        found = {name: w.shape for name, w in variables["params"].items()}
        assert found == shapes(chain)


@pytest.mark.parametrize("name", MODELS)
def test_no_two_layers_share_a_name(name):
    for chain in MODELS[name].chains().values():
        own = [layer for layer in walk(chain) if isinstance(layer, Conv | Deconv | Gdn | Scale)]
        assert len({layer.name for layer in own}) == len(own)
    every = [name for chain in MODELS[name].chains().values() for name in scales(chain)]
    assert len(set(every)) == len(every)


def test_vectors_stand_where_the_paper_has_them():
    """conv * m then GDN; inverse GDN, * m, then deconv."""
    kinds = [type(layer).__name__ for layer in Balle2017().analysis()]
    assert kinds == ["Conv", "Scale", "Gdn"] * 3
    kinds = [type(layer).__name__ for layer in Balle2017().synthesis()]
    assert kinds == ["Gdn", "Scale", "Deconv"] * 3
    assert all(layer.is_inverse for layer in Balle2017().synthesis() if isinstance(layer, Gdn))
    biases = [layer.has_bias for layer in Balle2017().analysis() if isinstance(layer, Conv)]
    assert biases == [True, True, False]


def test_which_vectors_there_are():
    hidden = {f"{side}{i}": 4 for side in ("ma", "ms") for i in (0, 1, 2)}
    own = hidden | {"ma2": 6, "ms0": 6}
    told = {f"{side}{i}": 4 for side in ("mha", "mhs") for i in (0, 1, 2)}
    assert TINY.scale_vectors() == own | told | {HYPER_INPUT_SCALE: 6, PRIOR_SCALE: 4}
    assert MODELS["bottleneck"].scale_vectors() == {"ma2": 6, "ms0": 6, PRIOR_SCALE: 6}
    assert PLAIN.scale_vectors() == {}
    for model in MODELS.values():
        if model.scale_vectors():
            assert model.transform.LATENT_SCALE in scales(model.chains()["analysis"])


def test_widths_are_corners_with_their_own_gdn():
    narrow = SLIM.at_width(2)
    assert (narrow.n_latents, narrow.transform.hidden, narrow.widths) == (2, 2, ())
    wide = shapes(SLIM.transform.analysis())
    found = shapes(narrow.transform.analysis())
    assert found["a1_w"] == (5, 5, 2, 2)
    assert {name for name in found if name not in wide} == {
        f"{name}@2_{part}" for name in ("ga0", "ga1", "ga2") for part in ("beta", "gamma")
    }
