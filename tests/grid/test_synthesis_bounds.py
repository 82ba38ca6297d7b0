"""draw_exact.py: what it accepts is drawn exactly, rounded where needed; the rest is refused."""

from itertools import permutations
from math import floor

import numpy as np
import pytest
from helpers.grid_models import moderate, on_grid, with_fractions, zeros
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.coders.laplace_tables import LATENT_LIMIT
from inr.errors import FormatError
from inr.grid.structure import Pyramid, Structure
from inr.grid.synthesis import max_drawn, synthesize
from inr.grid.synthesis_bounds import Rounding, check_exact


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 16),
    st.sampled_from([1, 30, LATENT_LIMIT]),
    st.sampled_from([0, 2]),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_whatever_is_accepted_is_exact(seed, bits, max_latent, prior):
    rng = np.random.default_rng(seed)
    pyramid = Pyramid(1, 25, 1, Structure(hidden=2, prior=prior))  # two octaves, or five
    latents = [rng.choice([-max_latent, max_latent], (y.height, y.width)) for y in pyramid.levels]
    latents = [y.astype(np.int32) for y in latents]
    params = zeros(pyramid)
    for name, w in params.items():
        limit = 4 if name.startswith("up") else 64
        params[name] = on_grid(rng.uniform(-1, 1, w.shape) * limit * 2.0 ** -rng.integers(8), bits)
    try:
        rounding = check_exact(params, pyramid, max_latent)
    except FormatError:
        return
    # 16 bits, since such networks mostly draw black and white.
    samples = synthesize(latents, params, pyramid, 16)
    assert np.array_equal(samples, with_fractions(latents, params, pyramid, 16, rounding))


@pytest.mark.parametrize("prior", [0, 2])
def test_a_file_that_needs_rounding_is_drawn_alike_everywhere(prior):
    structure = Structure(hidden=32, prior=prior)
    latents, params, pyramid = moderate(3, 40, 1, structure=structure)
    params = {name: w + 2.0**-16 for name, w in params.items()}
    latents[-1][0, 0] = 4000
    rounding = check_exact(params, pyramid, max_drawn(latents, pyramid))
    assert rounding.hidden_bits is not None
    assert any(bits is not None for bits in rounding.row_bits)
    samples = synthesize(latents, params, pyramid, 16)
    assert len(np.unique(samples)) > 10  # not only black and white
    assert np.array_equal(samples, with_fractions(latents, params, pyramid, 16, rounding))


def test_the_order_of_sums_changes_nothing():
    # Colours are a + t - a of the hidden values. With a = 64 * 64 * 4095 the last bits of t, just
    # below a half of 2**-20, would be lost by a + t, and the rounding would go the other way.
    pyramid = Pyramid(1, 1, 1, Structure(hidden=3))
    latents = [np.array([[LATENT_LIMIT]], np.int32)]
    params = zeros(pyramid)
    params["conv_w1"][0, 4] = 64  # so that 2**-20 of colour is 4 levels
    w0, w1 = np.array([64, 64, 2.0**-16]), np.array([64, -64, 2049 * 2.0**-16])
    seen = []
    for order in permutations(range(3)):
        params["synth_w0"][:, 0], params["synth_w1"][0] = w0[list(order)], w1[list(order)]
        seen.append(int(synthesize(latents, params, pyramid, 16)[0, 0, 0]))
    rounding = check_exact(params, pyramid, LATENT_LIMIT)
    assert rounding == Rounding((), 12)  # 25 bits of 2 * 64 * 64 * 4095, and 16 of the weight
    # t = round(4095 / 16) * 2**-12 * 2049 * 2**-16 = 2049 * 2**-20
    assert seen == [floor(65 * 2049 * 2.0**-20 * 65535 + 0.5)] * 6


@pytest.mark.parametrize(("prior", "n_octaves"), [(0, 6), (2, 5)])
def test_common_networks_need_no_rounding(prior, n_octaves):
    for bits in range(4, 11):
        structure = Structure(hidden=48, prior=prior)
        _, params, pyramid = moderate(512, 768, structure=structure)
        params = {name: on_grid(w, bits) for name, w in params.items()}
        assert check_exact(params, pyramid, 100) == Rounding((None,) * n_octaves, None)


def test_hand_worked_rounding():
    pyramid = Pyramid(1, 1, 1, Structure(hidden=1))
    params = zeros(pyramid)
    params["synth_w0"][:] = params["synth_w1"][:] = 63 + 2.0**-16
    # |hidden| <= 4095 w + 1 < 2**18, |colour| <= that * w + 1 < 2**24, and 53 - 24 - 16 = 13.
    assert check_exact(params, pyramid, LATENT_LIMIT) == Rounding((), 13)
    params["synth_w1"][:] = 63  # multiples of 1: 53 - 24 = 29 bits are more than the 16 there are
    assert check_exact(params, pyramid, LATENT_LIMIT) == Rounding((), None)


def refused(change, max_latent=10, size=(100, 100)):
    _, params, pyramid = moderate(*size, structure=Structure(hidden=4))
    change(params)
    check_exact(params, pyramid, max_latent)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("up1", 4.25, r"'up1' has a weight outside \+-4"),
        ("synth_w0", -65.0, r"'synth_w0' has a weight outside \+-64"),
        ("synth_w1", np.nan, r"'synth_w1' has a weight outside \+-64"),
        ("synth_b1", np.inf, r"'synth_b1' has a weight outside \+-64"),
        ("synth_linear", 2.0**-17, r"'synth_linear' is finer than 2\*\*-16"),
        ("conv_w0", 64 - 2.0**-16, r"sums of 'conv_w1' may reach \d+ in steps of 2\*\*-16"),
    ],
)
def test_what_the_decoder_refuses(name, value, message):
    def change(params):
        params[name][:] = value
        if name == "conv_w0":
            params["conv_w1"][:] = value

    with pytest.raises(FormatError, match=message):
        refused(change)


def test_upsampling_that_explodes_is_refused():
    def change(params):
        for e in range(6):
            params[f"up{e}"][:] = 4  # * 256 an octave

    with pytest.raises(FormatError, match=r"sums of 'up\d' may reach \d+ in steps of"):
        refused(change, size=(512, 768))


def test_latents_beyond_the_limit_are_refused():
    with pytest.raises(FormatError, match=r"\|latent\| 4096 is outside 0\.\.4095"):
        refused(lambda _: None, LATENT_LIMIT + 1)
    latents, params, pyramid = moderate(4, 4)
    latents[0][2, 2] = -5000
    with pytest.raises(FormatError, match="5000"):
        synthesize(latents, params, pyramid, 8)


def test_only_drawn_levels_count():
    latents, _, pyramid = moderate(30, 30, structure=Structure(n_hyper=1))
    assert pyramid.levels[0].is_hyper
    latents = [np.full_like(y, -7 + i) for i, y in enumerate(latents)]
    assert max_drawn(latents, pyramid) == 6
