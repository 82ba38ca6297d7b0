"""decoders.py: what belongs to the process is left alone."""

import io
import struct
import subprocess
import sys

import pytest
from helpers.image_files import (
    encoded,
    no_warning,
)
from PIL import Image

from inr.image.read import from_pil, load_bytes


def test_the_limit_of_pillow_neither_binds_nor_changes(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)  # Pillow alone would refuse above 8
    data = encoded(Image.new("L", (6, 6)), "PNG")
    assert load_bytes(data, "x", warn=no_warning).width == 6
    assert from_pil(Image.new("L", (6, 6)), warn=no_warning).width == 6
    assert Image.MAX_IMAGE_PIXELS == 4


def test_warnings_of_pillow_reach_nobody_and_no_filter_is_changed():
    entry = struct.pack("<HHHII", 1, 270, 2, 100, 5000)  # a description beyond the end of the EXIF
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + entry + bytes(4)
    data = encoded(Image.new("RGB", (2, 2)), "JPEG", exif=exif)
    with pytest.warns(UserWarning, match="Corrupt EXIF|larger than"):  # what is to be kept quiet
        Image.open(io.BytesIO(data)).getexif().get(270)
    code = (
        "import sys, warnings; from inr.image.read import load_bytes; before = warnings.filters[:];"
        "load_bytes(sys.stdin.buffer.read(), 'x', warn=print); print(warnings.filters == before)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True)
    assert (done.stdout.split(), done.stderr) == ([b"True"], b"")
