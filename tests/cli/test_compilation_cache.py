"""compilation_cache.py: a fit is compiled once a machine, and never in vain."""

import os
from pathlib import Path

import pytest
from helpers.cli_runs import SMALL, noise, run_process
from PIL import Image

from inr.cli.compilation_cache import cache_folder, keep_compilations, limit_size

JAX = "JAX_COMPILATION_CACHE_DIR"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of our own, where the tests have one for all."""
    for name in list(os.environ):
        if name.startswith(("JAX_COMPILATION", "JAX_PERSIST")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("INR_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Image.fromarray(noise()).save("a.png")
    return tmp_path / "cache"


def encode(name):
    ran = run_process("encode", "a.png", "-q", "-o", name, *SMALL)
    assert (ran.code, ran.err) == (0, "")
    with open(name, "rb") as file:
        return file.read()


def programs(cache):
    return {path: path.read_bytes() for path in cache.rglob("*-cache")}


@pytest.mark.slow  # processes that compile
def test_the_second_process_compiles_nothing_and_damage_changes_nothing(cache):
    first = encode("1.inr")
    kept = programs(cache)
    assert len(kept) > 3
    assert encode("2.inr") == first
    assert programs(cache) == kept
    for i, (path, program) in enumerate(kept.items()):
        path.write_bytes(program[: i % 3 * len(program) // 3])  # as of a process that was killed
    assert encode("3.inr") == first


@pytest.mark.slow  # a process that compiles
@pytest.mark.parametrize("content", ["a file where the folder should be", None])
def test_without_a_cache_it_runs_as_well(cache, content, monkeypatch):
    if content is None:
        monkeypatch.setenv("INR_CACHE", "")
    else:
        cache.write_text(content)
    encode("a.inr")
    assert not cache.is_dir()


def test_the_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("INR_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder().name == "inr"
    monkeypatch.setenv("INR_CACHE", "other")
    assert cache_folder() == Path.cwd() / "other"
    monkeypatch.setenv("INR_CACHE", "")
    assert cache_folder() is None


@pytest.mark.parametrize("name", [JAX, "JAX_ENABLE_COMPILATION_CACHE"])
def test_what_is_said_to_jax_itself_holds(cache, name, monkeypatch):
    monkeypatch.setenv(name, "0")
    before = dict(os.environ)
    keep_compilations()
    assert dict(os.environ) == before
    monkeypatch.delenv(name)
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "2")
    monkeypatch.setattr(os, "environ", dict(os.environ))  # what follows stays in this test
    keep_compilations()
    assert os.environ[JAX].startswith(str(cache / "xla"))
    assert os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "2"


def test_what_was_not_used_for_longest_goes_and_nothing_else(tmp_path):
    for i, name in enumerate(["jit_a-1-cache", "jit_b-2-cache", "jit_c-3-cache", "notes-cache"]):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1e9 - i, 1e9 - i))
    limit_size(tmp_path, 250)
    assert {path.name for path in tmp_path.iterdir()} == {
        "jit_a-1-cache",
        "jit_b-2-cache",
        "notes-cache",
    }
    limit_size(tmp_path / "none", 0)  # no folder, nothing to do
