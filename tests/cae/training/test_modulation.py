"""modulation.py: what the vectors are at the start, and the paper's count."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from helpers.cae_models import PLAIN, TINY
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.cae.entropy_models import HYPER_INPUT_SCALE, PRIOR_SCALE, Factorized
from inr.cae.layers import scales
from inr.cae.model import Model
from inr.cae.training.autoencoder import modulation_of, vectors
from inr.cae.training.modulation import HIDDEN, Modulation
from inr.cae.transforms import Balle2017

POSITIONS = jnp.linspace(-1.0, 1.0, 9)


def started(module):
    return module.init(jax.random.key(3), jnp.zeros(1))


def test_published_count():
    """Six vectors of 192: 59,352 parameters."""
    transform = Balle2017()
    found = scales(transform.analysis()) | scales(transform.synthesis())
    params = jax.eval_shape(lambda: started(Modulation(tuple(found.items()))))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 59_352
    assert HIDDEN == 50


@settings(deadline=None, max_examples=10)
@given(st.floats(-3, 3))
def test_scales_begin_as_the_exponential_of_a_slope(slope):
    module = Modulation((("a", 3), ("b", 3)), (("a", slope),))
    made = module.apply(started(module), POSITIONS)
    expected = np.exp(slope * np.asarray(POSITIONS, np.float64))
    np.testing.assert_allclose(made["a"], expected[:, None].repeat(3, 1), rtol=3e-6)
    assert (np.asarray(made["b"]) == 1).all()


def test_dtypes_are_those_that_steps_keep():
    """A weak type would become strong with the first step, and the second be compiled again."""
    module = Modulation((("a", 2),), (("a", 0.5),))
    for leaf in jax.tree.leaves(started(module)):
        assert leaf.dtype == jnp.float32
        assert not leaf.weak_type


def test_encoder_and_decoder_begin_as_inverses():
    params = {"modulation": started(modulation_of(TINY))["params"]}
    made = vectors(TINY, params, POSITIONS)
    assert {name: v.shape for name, v in made.items()} == {
        name: (9, n) for name, n in TINY.scale_vectors().items()
    }
    finer = made["ma2"]
    np.testing.assert_allclose(finer * made["ms0"], np.ones((9, 6)), rtol=2e-6)
    np.testing.assert_allclose(finer * made[HYPER_INPUT_SCALE], np.ones((9, 6)), rtol=2e-6)
    assert (np.asarray(made[PRIOR_SCALE]) == 1).all()  # hyperlatents do not follow lambda
    # A uniform quantizer's step goes with the root of lambda: 64 times that, 8 times the step.
    low, high = np.asarray(finer[0]), np.asarray(finer[-1])
    np.testing.assert_allclose(low / high, math.sqrt(TINY.lambda_high / TINY.lambda_low), rtol=1e-5)


def test_factorized_densities_follow_their_latents():
    model = Model(TINY.transform, Factorized())
    params = {"modulation": started(modulation_of(model))["params"]}
    made = vectors(model, params, POSITIONS)
    np.testing.assert_allclose(made[PRIOR_SCALE], made["ma2"], rtol=2e-6)


def test_every_part_of_the_range_can_be_bent():
    """The kinks of the hidden units lie on both sides of the middle, and some slopes are live."""
    params = started(Modulation((("a", 1),)))["params"]
    w, b = np.asarray(params["a_w0"][0]), np.asarray(params["a_b0"])
    kinks = -b / w
    for low, high in ((-1, -0.5), (-0.5, 0), (0, 0.5), (0.5, 1)):
        assert ((kinks > low) & (kinks < high)).sum() >= 3
    assert (w[0], b[0]) == (1, 1)  # the unit that carries the slope at the start


def test_a_model_of_one_rate_has_no_vectors():
    assert vectors(PLAIN, {}, POSITIONS) == {}


def test_each_picture_has_the_vectors_of_its_own_lambda():
    module = Modulation((("a", 3),), (("a", 1.0),))
    params = started(module)
    both = module.apply(params, jnp.array([-0.3, 0.8]))["a"]
    for i, position in enumerate((-0.3, 0.8)):
        one = module.apply(params, jnp.array([position]))["a"]
        np.testing.assert_allclose(both[i : i + 1], one, rtol=1e-6)
    assert both.shape == (2, 3)
