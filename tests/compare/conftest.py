"""A machine without one of the codecs."""

import dataclasses

import pytest

from inr import compare_inputs
from inr.baselines import CODECS


@pytest.fixture
def without_vvc(monkeypatch):
    codecs = [
        dataclasses.replace(codec, missing=lambda: "no ffmpeg") if codec.name == "vvc" else codec
        for codec in CODECS
    ]
    monkeypatch.setattr(compare_inputs, "CODECS", tuple(codecs))
    monkeypatch.setattr(
        compare_inputs,
        "codec_named",
        lambda name: next(codec for codec in codecs if codec.name == name),
    )
