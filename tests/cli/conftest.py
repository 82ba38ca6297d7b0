"""Fixtures of the command line's tests, which call main() in this process, to be fast."""

import numpy as np
import pytest
from helpers.cli_runs import main_runner, noise
from PIL import Image

import inr


@pytest.fixture
def run(monkeypatch, capsys):
    return main_runner(monkeypatch, capsys)


@pytest.fixture
def no_fit(monkeypatch):
    def encode_picture(*_, **__):
        pytest.fail("the fit began; this should have failed before it")

    monkeypatch.setattr("inr.codec.encode_picture", encode_picture)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with photo.png in it (16 x 12 pixels)."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(noise()).save("photo.png")
    return tmp_path


@pytest.fixture
def file(folder):
    """photo.inr in the current folder: 16 x 12 pixels of one colour."""
    data = inr.encode(np.full((12, 16, 3), [10, 200, 30], np.uint8))
    (folder / "photo.inr").write_bytes(data)
    return data
