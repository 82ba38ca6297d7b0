"""inr.image.read: orientation, colour profiles, and the frames of an animation."""

import io
import warnings
import zlib

import numpy as np
import pytest
from helpers.image_files import (
    GREY,
    LAB_PROFILE,
    RGB,
    SRGB_PROFILE,
    chunk,
    encoded,
    exif_with,
    noise,
    png,
    tiff,
)
from PIL import Image, ImageOps

# ---------------------------------------------------------------- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bit_depth", [8, 16])
def test_exif_orientation_is_applied_as_pillow_does(read, orientation, bit_depth):
    pixels = noise(3, 5, 3)
    exif = exif_with(orientation)
    image = Image.open(io.BytesIO(encoded(Image.fromarray(pixels), "PNG", exif=exif)))
    upright = np.asarray(ImageOps.exif_transpose(image))
    if bit_depth == 8:
        data = encoded(Image.fromarray(pixels), "PNG", exif=exif)
    else:
        extra = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        data = png(5, 3, 16, RGB, (pixels.astype(">u2") * 257).tobytes(), extra)
        upright = upright.astype(np.uint16) * 257
    np.testing.assert_array_equal(read(data).pixels, upright)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_tiff_orientation_is_applied_once(read, orientation):
    rows = bytes(range(6))  # 3 wide, 2 high
    shallow = read(tiff(8, rows, 3, 2, t274=orientation)).pixels[..., 0]
    deep = read(tiff(16, b"".join(bytes([v, 0]) for v in rows), 3, 2, t274=orientation))
    expected = {1: [[0, 1, 2], [3, 4, 5]], 3: [[5, 4, 3], [2, 1, 0]], 6: [[3, 0], [4, 1], [5, 2]]}
    assert shallow.tolist() == deep.pixels[..., 0].tolist() == expected[orientation]


def test_damaged_exif_is_a_warning(read):
    notes: list[str] = []
    data = png(1, 1, 8, GREY, b"\x05", chunk(b"eXIf", b"rubbish"))
    assert read(data, warn=notes.append).pixels.tolist() == [[[5]]]
    assert len(notes) == 1
    assert "EXIF" in notes[0]


# ---------------------------------------------------------------- profiles and frames


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_profile_is_kept(read, bit_depth):
    body = b"x\0\0" + zlib.compress(SRGB_PROFILE)
    rows = bytes(3 * bit_depth // 8)
    assert read(png(1, 1, bit_depth, RGB, rows, chunk(b"iCCP", body))).icc_profile == SRGB_PROFILE


@pytest.mark.parametrize(
    ("profile", "mode", "text"),
    [
        (b"rubbish" * 30, "RGB", "damaged"),
        (SRGB_PROFILE, "L", "for RGB, the pixels are GRAY"),
        (LAB_PROFILE, "RGB", "for Lab, the pixels are RGB"),
    ],
)
def test_profile_that_does_not_fit_is_dropped_with_a_warning(read, profile, mode, text):
    notes: list[str] = []
    data = encoded(Image.new(mode, (2, 2)), "PNG", icc_profile=profile)
    assert read(data, warn=notes.append).icc_profile is None
    assert len(notes) == 1
    assert text in notes[0]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_several_with_a_warning(read, kind):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    notes: list[str] = []
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (read(data, warn=notes.append).pixels == [255, 0, 0]).all()
    assert len(notes) == 1
    assert "several frames" in notes[0]


def test_python_warnings_of_the_caller_work_inside_warn(read):
    data = encoded(Image.new("RGB", (2, 2)), "PNG", icc_profile=b"rubbish" * 30)
    with pytest.warns(UserWarning, match="profile"):
        read(data, warn=lambda text: warnings.warn(text, stacklevel=1))
