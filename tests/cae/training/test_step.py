"""step.py, settings.py and configs.py: what a step changes, and what it must not."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.cae_models import PLAIN, QUICK, SLIM, TINY, first_params, photo

from inr.cae.training.configs import CONFIGS, Config, named_config, read_config
from inr.cae.training.losses import Distortion
from inr.cae.training.settings import TrainSettings
from inr.cae.training.step import Training, slice_width

NO_LAMBDAS = jnp.zeros(0)
BATCH = np.stack([photo(height=64, width=64), photo("prose_page", 64, 64)])
TWO = jnp.asarray(np.stack([BATCH, BATCH[:, ::-1]]))  # u8[2, n, 64, 64, 3]
ONE = TWO[:1]


def copied(state):
    return jax.tree.map(jnp.copy, state)


def largest_difference(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return max(float(np.abs(x - y).max()) for x, y in pairs)


class Compiled:
    """A training whose step is compiled once."""

    def __init__(self, model, settings=QUICK, is_trained=None):
        more = {} if is_trained is None else {"is_trained": is_trained}
        self.training = Training(model, settings, **more)
        self.first = self.training.start()
        self.step = jax.jit(self.training.steps)


@pytest.fixture(scope="module")
def plain():
    return Compiled(PLAIN)


@pytest.fixture(scope="module")
def tiny():
    """A modulated model whose analysis stays as it is."""
    return Compiled(TINY, is_trained=lambda group, name: group != "analysis")


@pytest.fixture(scope="module")
def slim():
    return Compiled(SLIM)


def test_a_few_steps_lower_the_loss(plain):
    state, losses = plain.first, []
    for _ in range(6):
        state, told = plain.step(state, ONE, NO_LAMBDAS)
        losses.append(float(told["loss"][0]))
    assert losses[-1] < 0.9 * losses[0]
    assert int(state.step) == 6


def test_the_warm_up_begins_at_a_rate_of_zero(plain):
    one, _ = plain.step(plain.first, ONE, NO_LAMBDAS)
    two, _ = plain.step(one, ONE, NO_LAMBDAS)
    assert largest_difference(one.params, plain.first.params) == 0
    assert largest_difference(two.params, plain.first.params) > 0.5 * QUICK.learning_rate


def test_the_loss_is_what_it_says(plain):
    _, told = plain.step(plain.first, ONE, NO_LAMBDAS)
    mse, bpp, lambda_ = float(told["mse"][0]), float(told["bpp"][0]), PLAIN.lambda_low
    expected = (mse + lambda_ * bpp) / lambda_**QUICK.balance
    assert float(told["loss"][0]) == pytest.approx(expected, rel=1e-5)


def test_two_steps_in_one_call_are_two_steps(plain):
    at_once, told = plain.step(plain.first, TWO, NO_LAMBDAS)
    state, each = plain.first, []
    for x in (TWO[:1], TWO[1:]):
        state, facts = plain.step(state, x, NO_LAMBDAS)
        each.append(float(facts["loss"][0]))
    np.testing.assert_allclose(told["loss"], each, rtol=1e-5)
    # Adam divides by what is nearly 0 where a gradient is: there, rounding makes whole steps.
    assert largest_difference(at_once.params, state.params) <= 2 * QUICK.learning_rate
    close = [
        np.isclose(a, b, atol=1e-6).mean()
        for a, b in zip(jax.tree.leaves(at_once.params), jax.tree.leaves(state.params), strict=True)
    ]
    assert np.mean(close) > 0.99
    assert int(at_once.step) == 2


def test_the_seed_decides(plain):
    again = Training(PLAIN, QUICK).start()
    assert largest_difference(again.params, plain.first.params) == 0
    one, _ = plain.step(plain.first, ONE, NO_LAMBDAS)
    two, _ = plain.step(copied(plain.first), ONE, NO_LAMBDAS)
    assert largest_difference(one, two) == 0
    other = Training(PLAIN, dataclasses.replace(QUICK, seed=1)).start()
    assert largest_difference(other.params, plain.first.params) > 0.01


def test_noise_depends_on_the_step(plain):
    _, first = plain.step(plain.first, ONE, NO_LAMBDAS)
    later = plain.first._replace(step=jnp.asarray(1, jnp.int32))
    _, second = plain.step(later, ONE, NO_LAMBDAS)
    assert float(first["bpp"][0]) != float(second["bpp"][0])  # the same weights and pictures


def test_the_running_mean_by_hand(plain):
    """It keeps 1/10 before the first step, 2/11 before the second."""
    one, _ = plain.step(plain.first, ONE, NO_LAMBDAS)
    two, _ = plain.step(one, ONE, NO_LAMBDAS)
    at = ("analysis", "a0_w")
    start, p1, p2 = (np.asarray(s.params[at[0]][at[1]]) for s in (plain.first, one, two))
    mean = start * 0.1 + p1 * 0.9
    np.testing.assert_allclose(one.mean[at[0]][at[1]], mean, atol=1e-6)
    np.testing.assert_allclose(two.mean[at[0]][at[1]], 2 / 11 * mean + 9 / 11 * p2, atol=1e-6)


def test_frozen_tensors_stay_to_the_bit(tiny):
    state = tiny.first
    for _ in range(2):
        state, told = tiny.step(state, ONE, NO_LAMBDAS)
    assert np.isfinite(float(told["loss"][0]))
    for group in state.params:
        moved = largest_difference(state.params[group], tiny.first.params[group])
        assert (moved == 0) == (group == "analysis"), group
    # A mean of equal numbers: off by the rounding of keep * m + (1 - keep) * m.
    assert largest_difference(state.mean["analysis"], state.params["analysis"]) < 1e-6 * 30
    # Dtypes and weak types are kept, or the second step would be compiled again.
    assert tiny.step._cache_size() == 1


def test_the_prior_moves_five_times_as_far(tiny):
    """Adam's first step of a rate above 0 has about the length of the rate."""
    state = tiny.first
    for _ in range(2):
        state, _ = tiny.step(state, ONE, NO_LAMBDAS)
    moves = {
        group: np.median(
            [np.abs(a - b).max() for a, b in zip(*leaves_of(state, tiny.first, group), strict=True)]
        )
        for group in ("prior", "synthesis")
    }
    assert moves["prior"] / moves["synthesis"] == pytest.approx(5, rel=0.2)


def leaves_of(state, other, group):
    return tuple(jax.tree.leaves(s.params[group]) for s in (state, other))


def test_weights_to_begin_with():
    given = {"analysis": {"a0_w": jnp.full((9, 9, 3, 4), 0.5), "unknown": jnp.zeros(3)}}
    state = Training(PLAIN, QUICK).start(given)
    for params in (state.params, state.mean):
        assert (np.asarray(params["analysis"]["a0_w"]) == 0.5).all()
        assert "unknown" not in params["analysis"]
    default = first_params(PLAIN, QUICK.seed)
    np.testing.assert_array_equal(state.params["analysis"]["a1_w"], default["analysis"]["a1_w"])


# ---------------------------------------------------------------- slimmable


def test_a_width_is_a_corner_of_the_kernels():
    params = first_params(SLIM)
    narrow = slice_width(params, SLIM.at_width(2))
    whole = np.asarray(params["analysis"]["a1_w"])
    np.testing.assert_array_equal(narrow["analysis"]["a1_w"], whole[:, :, :2, :2])
    np.testing.assert_array_equal(
        narrow["synthesis"]["s2_w"], params["synthesis"]["s2_w"][:, :, :3, :2]
    )
    np.testing.assert_array_equal(narrow["analysis"]["a1_b"], params["analysis"]["a1_b"][:2])
    assert narrow["analysis"]["ga1@2_gamma"].shape == (2, 2)
    assert narrow["prior"]["matrix0"].shape == (2, 1, 3)
    wide = slice_width(params, SLIM.at_width(4))
    np.testing.assert_array_equal(wide["analysis"]["a1_w"], whole)


def test_every_width_is_trained_in_shared_kernels(slim):
    state = slim.first
    lambdas = jnp.array([4e-3, 1e-3])
    for _ in range(2):
        state, told = slim.step(state, ONE, lambdas)
    assert np.isfinite(float(told["loss"][0]))
    moved = {
        (group, name): np.abs(np.asarray(w) - slim.first.params[group][name])
        for group, tensors in state.params.items()
        for name, w in tensors.items()
    }
    for width in (2, 4):
        assert moved["analysis", f"ga0@{width}_gamma"].any()
        assert moved["synthesis", f"gs2@{width}_beta"].any()
        assert moved[f"prior@{width}", "matrix0"].any()
    kernel = moved["analysis", "a1_w"]
    assert kernel[:, :, :2, :2].all()  # of both
    assert kernel[:, :, 2:, 2:].all()  # of the wide one alone
    # Those of no width: the GDN of the names without a width, and the prior that none uses.
    assert not moved["analysis", "ga0_gamma"].any()
    assert not moved["prior", "matrix0"].any()


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"side": 96}, "side=96: expected a multiple of 64"),
        ({"side": 0}, "side=0: expected a multiple of 64"),
        ({"steps": 0}, "steps=0: expected at least 1"),
        ({"batch": -1}, "batch=-1: expected at least 1"),
        ({"hard_from": 1.5}, r"hard_from=1\.5 is outside 0\.\.1"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainSettings(**changes)


@pytest.mark.parametrize("warmup_steps", [-1, 6, 200])
def test_a_warm_up_longer_than_the_training_is_refused(warmup_steps):
    settings = dataclasses.replace(QUICK, warmup_steps=warmup_steps)
    with pytest.raises(ValueError, match=f"warmup_steps={warmup_steps}: expected 0 or more, and"):
        Training(PLAIN, settings)


@pytest.mark.parametrize("name", CONFIGS)
def test_named_configs_come_back_from_json(name, tmp_path):
    config = named_config(name)
    assert config.name == name
    path = tmp_path / "config.json"
    path.write_text(config.to_json())
    assert read_config(path) == config
    assert named_config(str(path)) == config
    Training(config.model, config.train)  # its schedule is possible


def test_configs_are_what_papers_have():
    mae = named_config("mae").model
    assert (mae.transform.hidden, mae.transform.n_latents) == (192, 192)
    assert (1 / mae.lambda_low, 1 / mae.lambda_high) == pytest.approx((4096, 64))
    slimmable = named_config("slimmable")
    assert slimmable.model.widths == (48, 72, 96, 144, 192)
    assert [round(1 / each) for each in slimmable.width_lambdas] == [128, 256, 512, 1024, 2048]


def test_other_configs(tmp_path):
    with pytest.raises(ValueError, match="config 'huge': there are hyperprior, factorized, mae"):
        named_config("huge")
    with pytest.raises(ValueError, match=r"expected one for each of the 2 widths"):
        Config("slim", SLIM, QUICK, width_lambdas=(1e-3,))
    bottleneck = Config("bottleneck", TINY, QUICK, only_scales=True)
    assert not bottleneck.is_trained("analysis", "a0_w")
    assert bottleneck.is_trained("modulation", "ma2_w0")
    assert bottleneck.is_trained("hyper_analysis", "ha0_w")


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.pop("model"),
        lambda fields: fields["train"].update(wings=2),
        lambda fields: fields["model"]["transform"].update(kind="Unknown"),
        lambda fields: fields["train"].update(distortion=3),
        lambda fields: fields.update(more=1),
        lambda fields: fields.update(train=[1]),
        lambda fields: fields.update(train="x"),
    ],
)
def test_damaged_configs_are_refused(change, tmp_path):
    config = Config("plain", PLAIN, dataclasses.replace(QUICK, distortion=Distortion(ms_ssim=0.5)))
    fields = json.loads(config.to_json())
    change(fields)
    (tmp_path / "a.json").write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=r"a\.json is no configuration of a training"):
        read_config(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b"[" * 100_000)
    with pytest.raises(ValueError, match=r"a\.json is no configuration of a training"):
        read_config(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b"\xff{")
    with pytest.raises(ValueError, match=r"a\.json is no configuration of a training"):
        read_config(tmp_path / "a.json")
