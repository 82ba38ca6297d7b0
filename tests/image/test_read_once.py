"""inr.image.read: a file is read once, from any source that gives bytes, and not without end."""

import io
import os
import struct
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from helpers.image_files import (
    RGB,
    SRGB_PROFILE,
    chunk,
    encoded,
    exif_with,
    no_warning,
    noise,
    one_line_error,
    png,
)
from PIL import Image

from inr.errors import ImageError, UsageError
from inr.image import sixteen_bit as image_16bit
from inr.image.read import from_pil, load, load_bytes, max_file_bytes, read_stream

FILES = {
    "png": encoded(Image.fromarray(noise(5, 4, 3)), "PNG", icc_profile=SRGB_PROFILE),
    "png16": image_16bit.encode_png(noise(5, 4, 3, 16), SRGB_PROFILE),
    "tiff": encoded(Image.fromarray(noise(5, 4, 3)), "TIFF"),
    "tiff16": image_16bit.encode_tiff(noise(5, 4, 3, 16), None),
    "jpeg": encoded(Image.fromarray(noise(5, 4, 3)), "JPEG", exif=exif_with(6)),
    "webp": encoded(Image.fromarray(noise(5, 4, 3)), "WEBP"),
    "gif": encoded(Image.fromarray(noise(5, 4, 1)[..., 0]), "GIF"),
    "ppm16": b"P6 1 1 65535\n" + bytes(6),
    "jp2": encoded(Image.fromarray(noise(5, 4, 3)), "JPEG2000"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs")
@pytest.mark.parametrize("kind", FILES)
def test_a_pipe_is_read_like_a_file(tmp_path, kind):
    (tmp_path / "file").write_bytes(FILES[kind])
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(FILES[kind],))
    writer.start()
    through_pipe = load(tmp_path / "pipe", warn=no_warning)
    writer.join()
    from_file = load(tmp_path / "file", warn=no_warning)
    from_memory = load_bytes(FILES[kind], "picture", warn=no_warning)
    for picture in (through_pipe, from_memory):
        np.testing.assert_array_equal(picture.pixels, from_file.pixels)
        assert picture.icc_profile == from_file.icc_profile


@pytest.mark.skipif(not os.path.exists("/dev/stdin"), reason="needs /dev/stdin")
def test_standard_input_is_read_by_its_name():
    code = "from inr.image.read import load; print(load('/dev/stdin', warn=print).pixels.shape)"
    done = subprocess.run([sys.executable, "-c", code], input=FILES["png"], capture_output=True)
    assert (done.stdout, done.stderr) == (b"(5, 4, 3)\n", b"")


def test_errors_and_warnings_name_what_the_caller_names():
    with pytest.raises(ImageError, match=r"^standard input: not a picture"):
        load_bytes(b"text", "standard input", warn=no_warning)
    notes: list[str] = []
    damaged = encoded(Image.new("RGB", (2, 2)), "PNG", icc_profile=b"rubbish" * 30)
    load_bytes(damaged, "standard input", warn=notes.append)
    assert notes[0].startswith("standard input: colour profile")


def test_a_file_longer_than_its_limit_is_refused_unread(tmp_path):
    path = tmp_path / "long.tif"
    with path.open("wb") as file:
        file.truncate(max_file_bytes(10) + 1)  # takes no room on the disk
    one_line_error(path, rf"more than {max_file_bytes(10)} bytes.*--max-pixels", max_pixels=10)


class Endless(io.RawIOBase):
    """Gives one value for ever."""

    def __init__(self, value: int) -> None:
        self.value, self.n_given = value, 0

    def read(self, n: int = -1) -> bytes:
        assert n > 0
        self.n_given += n
        return bytes([self.value]) * n


def test_a_stream_without_end_is_refused():
    stream = Endless(1)
    with pytest.raises(ImageError, match=r"^ones: more than \d+ bytes, the limit of a file"):
        read_stream(stream, "ones", max_pixels=1)
    assert stream.n_given <= max_file_bytes(1) + (1 << 20)
    stream = Endless(0)
    with pytest.raises(ImageError, match="zeros"):
        read_stream(stream, "nothing", max_pixels=10**12)
    assert stream.n_given == 1 << 20
    with pytest.raises(UsageError, match="max_pixels=0 is below 1"):
        read_stream(stream, "x", max_pixels=0)


def test_own_mistakes_are_not_told_as_damaged_pictures():
    class Mistake(Exception):
        pass

    def warn(text: str) -> None:
        raise Mistake(text)

    damaged = encoded(Image.new("RGB", (2, 2)), "PNG", icc_profile=b"rubbish" * 30)
    with pytest.raises(Mistake):
        load_bytes(damaged, "x", warn=warn)
    with pytest.raises(AttributeError):
        from_pil("picture.png", warn=warn)
    with pytest.raises(TypeError):
        load_bytes("picture.png", "x", warn=warn)


# ---------------------------------------------------------------- what belongs to the process


def test_pillows_limit_is_raised_for_a_while_and_never_taken_away(monkeypatch):
    seen: list[int | None] = []
    real_open = Image.open

    def watched(*arguments, **options):
        seen.append(Image.MAX_IMAGE_PIXELS)
        return real_open(*arguments, **options)

    monkeypatch.setattr(Image, "open", watched)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    load_bytes(FILES["png"], "x", max_pixels=1500, warn=no_warning)
    load_bytes(FILES["png"], "x", max_pixels=50_001, warn=no_warning)
    from_pil(real_open(io.BytesIO(FILES["png"])), warn=no_warning)
    assert set(seen) == {1000, 25_001}
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_our_limit_binds_below_pillows():
    def header(width: int, height: int) -> bytes:
        return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, RGB, 0, 0, 0))

    large = png(1, 1, 8, RGB, bytes(3)).replace(header(1, 1), header(16384, 4096))
    with pytest.raises(ImageError, match="67108864 pixels, over the limit of 1000000"):
        load_bytes(large, "x", max_pixels=10**6, warn=no_warning)


def test_python_warnings_of_pillow_are_not_passed_on():
    data = encoded(Image.new("RGB", (60, 60)), "PNG")
    with warnings.catch_warnings(record=True) as caught, pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("always")
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # Pillow warns above this
        load_bytes(data, "x", warn=no_warning)
    assert not caught
