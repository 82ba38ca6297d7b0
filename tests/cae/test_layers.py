"""layers.py: names and counts worked by hand, counts and reach against layers that are run."""

import numpy as np
import pytest
from helpers.cae_models import chain64, conv64, deconv64, random_params
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.cae.layers import (
    Abs,
    Conv,
    Deconv,
    Gate,
    Gdn,
    Relu,
    Scale,
    Shuffle,
    Sum,
    macs,
    n_params,
    reach,
    scales,
    shapes,
    walk,
)
from inr.cae.transforms import Balle2017, Residual

MIXED = (
    Conv("a", 2, 4, 3, 2),
    Scale("m", 4),
    Sum(((Conv("b", 4, 4, 1, has_bias=False), Relu(0.2)), (), (Gate((Gdn("g", 4),), (Abs(),)),))),
    Deconv("d", 4, 3, 5, 2),
)


def test_names_and_shapes_of_a_mixed_chain():
    assert shapes(MIXED) == {
        **{"a_w": (3, 3, 2, 4), "a_b": (4,), "b_w": (1, 1, 4, 4)},
        **{"g_beta": (4,), "g_gamma": (4, 4), "d_w": (5, 5, 3, 4), "d_b": (3,)},
    }
    assert list(shapes(MIXED)) == ["a_w", "a_b", "b_w", "g_beta", "g_gamma", "d_w", "d_b"]
    assert scales(MIXED) == {"m": 4}
    assert n_params(MIXED) == 72 + 4 + 16 + 4 + 16 + 300 + 3
    kinds = [type(layer).__name__ for layer in walk(MIXED)]
    assert kinds == ["Conv", "Scale", "Conv", "Relu", "Gdn", "Abs", "Deconv"]


def test_multiplications_of_a_mixed_chain():
    # Of a picture of 2 x 2 pixels: one place after the Conv, 2 x 2 after the Deconv.
    conv, branch, gdn, deconv = 9 * 2 * 4, 4 * 4, 4 * 4, 25 * 4 * 3
    assert macs(MIXED) == (conv + branch + gdn + deconv) / 4
    assert macs(MIXED, 0.5) == macs(MIXED) / 2
    assert macs((Conv("a", 1, 4, 1), Shuffle(2), Conv("b", 1, 1, 3))) == 4 + 4 * 9


@pytest.mark.parametrize(
    ("width", "thousands"), [(192, 23.9), (144, 14.0), (96, 6.7), (72, 4.0), (48, 2.0)]
)
def test_multiplications_of_published_widths(width, thousands):
    transform = Balle2017(width, width)
    assert round(macs(transform.analysis()) / 1000, 1) == thousands
    assert macs(transform.synthesis(), 1 / 256) == pytest.approx(macs(transform.analysis()))


def test_reach_worked_by_hand():
    # 9x9 of stride 4 sees 3 pixels behind its block, 5x5 of stride 2 sees 2 samples: 2 * 4, 2 * 8.
    assert reach(Balle2017().analysis()) == 3 + 2 * 4 + 2 * 8
    assert reach(Balle2017().synthesis()) == reach(Balle2017().analysis())
    assert reach((Conv("a", 1, 1, 1, 2), Gdn("g", 1), Relu(), Scale("m", 1))) == 0
    assert reach((Conv("a", 1, 4, 3), Shuffle(2), Conv("b", 1, 1, 3))) == 2 + 1


def pitch_of(chain):
    """Samples a side that become one latent, or that one latent becomes."""
    made = 1
    for layer in walk(chain):
        made *= getattr(layer, "stride", 1) * getattr(layer, "factor", 1)
    return made


def positive(chain):
    """Weights under which nothing cancels."""
    return {name: np.abs(w) + 0.1 for name, w in random_params(shapes(chain)).items()}


STACKS = [
    [("c", kernel, stride) for kernel, stride in stack]
    for stack in ([(9, 4), (5, 2)], [(3, 1), (5, 2)], [(4, 4), (3, 1)], [(2, 2), (3, 2)])
]


@pytest.mark.parametrize("stack", STACKS)
def test_reach_is_as_far_as_one_sample_is_seen(stack):
    down = tuple(Conv(f"{i}", 1, 1, k, s, False) for i, (_, k, s) in enumerate(stack))
    up = tuple(Deconv(f"{i}", 1, 1, k, s, False) for i, (_, k, s) in enumerate(reversed(stack)))
    pitch, n = pitch_of(down), 7
    one = np.zeros((n, n, 1))
    one[n // 2, n // 2] = 1
    drawn = chain64(up, positive(up), one, {})  # where this latent is drawn
    rows = np.flatnonzero(drawn.any((1, 2)))
    top = n // 2 * pitch
    outside = max(top - rows[0], rows[-1] - (top + pitch - 1))
    assert outside == reach(up) == reach(down)
    for row in (top - reach(down) - 1, top + pitch + reach(down)):  # a pixel too far for it
        pixel = np.zeros((n * pitch, n * pitch, 1))
        pixel[row, top] = 1
        assert chain64(down, positive(down), pixel, {})[n // 2, n // 2] == 0


def test_reach_of_branches_is_the_widest():
    wide, narrow = (Conv("a", 1, 4, 5),), (Conv("b", 1, 4, 1),)
    assert reach((Sum((narrow, wide, ())),)) == 2
    assert reach((Gate(narrow, wide),)) == 2
    up = (Sum(((Conv("c", 1, 4, 3), Shuffle(2), Conv("d", 1, 1, 3)), (Shuffle(2),))),)
    assert reach(up) == 3
    assert reach(Residual(4, 4).synthesis()) > reach(Balle2017(4, 4).synthesis())


@settings(max_examples=30, deadline=None)
@given(
    kernel_and_stride=st.sampled_from([(9, 4), (5, 2), (3, 1), (1, 2), (4, 4), (2, 1), (7, 2)]),
    n_in=st.integers(1, 2),
    n_out=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_the_definitions_that_tests_rely_on_are_adjoint(kernel_and_stride, n_in, n_out, seed):
    kernel, stride = kernel_and_stride
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(kernel, kernel, n_in, n_out))
    x = rng.normal(size=(2 * stride, 3 * stride, n_in))
    y = rng.normal(size=(2, 3, n_out))
    assert np.vdot(conv64(x, w, stride), y) == pytest.approx(np.vdot(x, deconv64(y, w, stride)))
