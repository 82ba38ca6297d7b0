"""A machine without one of the codecs."""

import dataclasses

import pytest

from inr.studies.baselines import CODECS
from inr.studies.compare import inputs as compare_inputs


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
