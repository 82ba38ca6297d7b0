"""How the tests of inr.image.read read bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.image_files import no_warning

from inr.image.picture import Picture
from inr.image.read import load


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], Picture]:
    def read_bytes(data: bytes, name: str = "in", warn: Callable[[str], None] = no_warning):
        (tmp_path / name).write_bytes(data)
        return load(tmp_path / name, warn=warn)

    return read_bytes
