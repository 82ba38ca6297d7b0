"""entropy_models.py: densities that a hyperprior predicts, worked by hand; what comes with them."""

import numpy as np
import pytest

from inr.cae.density_tables import LIMIT, tables_of
from inr.cae.entropy_models import CodingTools, Factorized, Hyperprior, round_to_codes

TABLES = tables_of(lambda x: (1 + np.tanh(x)) / 2, np.ones((1, 1)))


def telling(*numbers, m=None):
    """Tools whose hyper synthesis tells the same numbers of each place."""

    def apply(group, features):
        assert group == "hyper_synthesis"
        rows, cols = (4 * side for side in features.shape[:2])
        return np.broadcast_to(np.array(numbers, float), (rows, cols, len(numbers)))

    log_m = None if m is None else np.log2(m) * np.float64(0.693359375)  # as float16 has log 2
    return CodingTools(TABLES, 0, apply, m, log_m)


def test_latents_are_rounded_halves_up_and_clipped():
    features = np.array([-8192, -0.5, -0.500244140625, 0.499755859375, 0.5, 8192])
    assert round_to_codes(features).tolist() == [-LIMIT, 0, -1, 0, 1, LIMIT]
    assert round_to_codes(features).dtype == np.int32


def test_latents_are_extended_to_whole_hyperblocks():
    seen = []

    def apply(group, features):
        seen.append(features)
        return np.full((*(-(-side // 4) for side in features.shape[:2]), 1), 2.5)

    tools = CodingTools(TABLES, 0, apply, None, None)
    y = np.arange(1, 3, dtype=np.int32).reshape(1, 2, 1)
    latents = Hyperprior(1).latents_of(y, tools)
    assert seen[0][..., 0].tolist() == [[1, 2, 2, 2]] * 4
    assert latents.z.tolist() == [[[3]]]
    Hyperprior(1).latents_of(np.zeros((4, 8, 2), np.int32), tools)
    assert seen[1].shape == (4, 8, 2)
    assert Factorized().latents_of(y, tools).z is None


@pytest.mark.parametrize(("m", "log_m"), [(16, 2.7734375), (2, 0.693359375)])
def test_scales_and_means_follow_the_vector_of_lambda(m, log_m):
    tools = telling(0.25, 0.25, 0.5, 0.5, m=np.array([m, m]))  # twice log b, then twice the mean
    mean, scale = Hyperprior(1).densities(np.zeros((1, 1, 1), np.int32), (2, 3, 2), tools)
    assert mean.shape == scale.shape == (2, 3, 2)
    assert set(mean.flat) == {m * 0.5 * 32}
    assert set(scale.flat) == {round(80 + 16 * (0.25 + log_m))}


def test_scales_and_means_are_clipped():
    tools = telling(8000, -8000, 8000, -8000)
    mean, scale = Hyperprior(1).densities(np.zeros((1, 1, 1), np.int32), (1, 1, 2), tools)
    assert scale[0, 0].tolist() == [160, 0]
    assert mean[0, 0].tolist() == [LIMIT * 32, -LIMIT * 32]


def test_without_means_the_centre_is_zero():
    prior = Hyperprior(1, has_mean=False)
    mean, scale = prior.densities(np.zeros((1, 1, 1), np.int32), (1, 2, 1), telling(0.5))
    assert mean.tolist() == [[[0], [0]]]
    assert scale.tolist() == [[[88], [88]]]
