"""printable.py: names as text that can be written anywhere, and stay apart."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inr.printable import distinct, printable

ANY = st.text(st.characters(), max_size=12)  # halves of surrogate pairs too


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (os.fsdecode(b"caf\xe9.png"), r"caf\xe9.png"),
        (os.fsdecode("café.png".encode()), "café.png"),
        ("two\nlines\t\r\x1b[31m\x7f", r"two\nlines\t\r\x1b[31m\x7f"),
        ("\x85\udc85", r"\u0085\x85"),  # the character and the byte
        ("a\u202eb\u2066c\u2028d\u200f", r"a\u202eb\u2066c\u2028d\u200f"),
        ("\ud800", r"\ud800"),
        ('画像 שלום e\u0301 <b>&"$_{\\ 😀.png', '画像 שלום e\u0301 <b>&"$_{\\ 😀.png'),
        ("", ""),
    ],
)
def test_what_is_escaped(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown


@given(ANY)
def test_all_of_it_can_be_stored(text):
    shown = printable(text)
    assert shown.encode().decode() == shown
    assert len(shown.splitlines()) <= 1


def test_texts_that_look_the_same_are_told_apart():
    byte, letters, doubled = "\udce9", r"\xe9", r"\\xe9"
    assert distinct([byte, letters, "a\\b"]) == [r"\xe9", r"\\xe9", "a\\b"]
    assert distinct([byte, letters, doubled]) == [r"\xe9", r"\\xe9", r"\\\\xe9"]
    assert distinct(["a", "a"]) == ["a", "a"]
    assert distinct([]) == []


@given(st.lists(st.text(st.sampled_from("\\xe9n\n\udce9\udc80\x80"), max_size=6), max_size=6))
def test_different_texts_stay_different(texts):
    shown = distinct(texts)
    assert len(set(shown)) == len(set(texts))
    assert all(printable(text) == text for text in shown)
