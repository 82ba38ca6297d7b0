"""How a process of the command line takes memory from the system."""

import ctypes
import platform

import pytest

from inr.cli.memory import use_few_arenas


@pytest.fixture
def calls(monkeypatch):
    made = []

    class Library:
        def __init__(self, name):
            assert name is None

        def mallopt(self, *arguments):
            made.append(arguments)
            return 1

    monkeypatch.setattr(ctypes, "CDLL", Library)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    for name in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    return made


def test_threads_share_two_arenas(calls):
    use_few_arenas()
    assert calls == [(-8, 2)]  # M_ARENA_MAX of <malloc.h>


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_what_the_user_has_set_stays(calls, monkeypatch, name):
    monkeypatch.setenv(name, "8")
    use_few_arenas()
    assert calls == []


def test_other_libraries_are_left_alone(calls, monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    use_few_arenas()
    assert calls == []
