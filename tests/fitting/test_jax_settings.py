"""jax_settings.py: the caller's settings of jax change no byte, and what jax lacks is told."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.cli_runs import noise, run_process, run_shell
from helpers.tiny_fits import smooth, tiny
from PIL import Image

import inr
from inr.errors import BackendError, OutOfMemoryError
from inr.fitting.jax_settings import own_jax_settings, platform
from inr.settings import with_settings

# What a caller may have set, and what this package computes under.
SETTINGS = {
    "jax_enable_x64": (True, False),
    "jax_numpy_dtype_promotion": ("strict", "standard"),
    "jax_numpy_rank_promotion": ("raise", "allow"),
    "jax_default_matmul_precision": ("bfloat16", None),
    "jax_default_prng_impl": ("rbg", "threefry2x32"),
    "jax_threefry_partitionable": (False, True),
    "jax_enable_custom_prng": (True, False),
    "jax_legacy_prng_key": ("error", "allow"),
    "jax_debug_nans": (True, False),
    "jax_debug_infs": (True, False),
    "jax_debug_key_reuse": (True, False),
    "jax_check_tracer_leaks": (True, False),
    "jax_enable_checks": (True, False),
    "jax_disable_jit": (True, False),
    "jax_no_tracing": (True, False),
    "jax_no_execution": (True, False),
    "jax_transfer_guard_host_to_device": ("disallow_explicit", "allow"),
    "jax_transfer_guard_device_to_host": ("disallow_explicit", "allow"),
    "jax_transfer_guard_device_to_device": ("disallow_explicit", "allow"),
}
GRID = {"structure.hidden": "4", "fit.steps": "3"}


@pytest.fixture
def hostile():
    """Settings under which neither kind of fit would run, and random numbers would be others."""
    before = {name: jax.config.values[name] for name in SETTINGS}
    offset = jax.config.values["jax_random_seed_offset"]

    def set_all():
        for name, (callers, _) in SETTINGS.items():
            jax.config.update(name, callers)
        jax.config.update("jax_random_seed_offset", 5)

    yield set_all
    for name, value in before.items():
        jax.config.update(name, value)
    jax.config.update("jax_random_seed_offset", offset)


def test_the_settings_hold_in_the_block_alone(hostile):
    hostile()
    with own_jax_settings():
        assert {name: jax.config.values[name] for name in SETTINGS} == {
            name: own for name, (_, own) in SETTINGS.items()
        }
        with jax.numpy_rank_promotion("raise"):  # single ones may be changed inside
            assert jax.config.values["jax_numpy_rank_promotion"] == "raise"
    assert {name: jax.config.values[name] for name in SETTINGS} == {
        name: callers for name, (callers, _) in SETTINGS.items()
    }


def test_an_error_ends_the_settings_too():
    with jax.enable_x64(True):
        with pytest.raises(KeyboardInterrupt), own_jax_settings():
            raise KeyboardInterrupt
        assert jnp.zeros(1, float).dtype == np.float64


@pytest.mark.parametrize(
    "recipe",
    [tiny({"fit.steps": "3"}), with_settings(inr.recipes.grid_fast(), GRID)],
    ids=["siren", "grid_fast"],
)
def test_the_bytes_are_those_without_settings(recipe, hostile):
    plain = inr.encode(smooth(), recipe, seed=3)
    hostile()
    assert inr.encode(smooth(), recipe, seed=3) == plain
    assert jax.config.values["jax_enable_x64"]


def test_a_default_device_is_heeded():
    with jax.default_device(jax.devices("cpu")[0]):
        assert platform() == "cpu"
    with jax.default_device("cpu"):
        assert platform() == "cpu"


def test_a_device_that_is_not_there_is_told():
    with (
        jax.default_device("tpu"),
        pytest.raises(BackendError, match=r"JAX_DEFAULT_DEVICE=tpu; installed here: cpu.*; unset"),
    ):
        inr.encode(noise(), tiny())


def test_want_of_memory_is_told():
    with pytest.raises(OutOfMemoryError, match=r"not enough memory .*; try a smaller"):
        with own_jax_settings():
            jnp.zeros(1 << 50, jnp.uint8).block_until_ready()


def test_other_errors_of_jax_stay_what_they_are():
    with pytest.raises(jax.errors.ConcretizationTypeError), own_jax_settings():
        jax.jit(lambda x: 1 if x else 0)(1)


ENCODE = "inr encode a.png -o a.inr --set fit.steps=1"
NONSENSE = {"JAX_PLATFORMS": "nonsense"}


@pytest.mark.slow  # each starts jax in a process of its own
@pytest.mark.parametrize(
    ("command", "env", "reason"),
    [
        (ENCODE, {"JAX_PLATFORMS": "cuda,rocm"}, "jax cannot compute on JAX_PLATFORMS=cuda,rocm; "),
        (ENCODE, {"JAX_ENABLE_X64": "perhaps"}, "jax cannot be loaded: .*perhaps"),
        (f"{ENCODE} --recipe grid_fast", NONSENSE, "jax cannot compute"),
        ("inr sweep a.png --recipe siren -q -o out", NONSENSE, "jax cannot compute"),
        (
            "inr sweep a.png --recipe siren --seed 0 --seed 1 --jobs 2 -q -o out",
            NONSENSE,
            "jax cannot compu",
        ),
        ("inr compare a.png --recipe siren -q -o out", NONSENSE, "jax cannot compute"),
        ("inr cae train --data . -q -o out", NONSENSE, "jax cannot compute"),
    ],
)
def test_a_backend_that_is_not_there_is_one_line(command, env, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(noise()).save("a.png")
    done = run_shell(command, **env)
    assert done.returncode == 1, done.stderr
    assert re.fullmatch(rf"error: {reason}[^\n]+\n", done.stderr.decode()), done.stderr.decode()


@pytest.mark.slow  # seven processes
def test_what_needs_no_jax_runs_without_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(noise()).save("a.png")
    Image.fromarray(noise() * 0).save("flat.png")
    for command in (
        "encode a.png -q --recipe cae",
        "decode a.inr -q",
        "info a.inr",
        "encode flat.png -q",
        "decode flat.inr -q",
        "eval a.png a.inr",
        "sweep a.png flat.png -q --recipe cae --vary lambda=0.005,0.01 -o out",
    ):
        ran = run_process(*command.split(), before="import sys; sys.modules['jax'] = None")
        assert (ran.code, ran.err) == (0, ""), command
