"""pillow_plugin.py: after `import inr`, an .inr file is a picture like any other to Pillow."""

import dataclasses
import gc
import io

import numpy as np
import pytest
from PIL import Image, ImageCms, UnidentifiedImageError

import inr
from inr import container
from inr.coders.range_coder import RangeCoder
from inr.fields.siren import Siren
from inr.image import from_array
from inr.mlp_file import PictureFacts, write_file
from inr.quantize.uniform import Uniform, wire_step
from inr.splits.whole import Whole
from inr.tags import Stages

SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def inr_file(n_channels=3, bit_depth=8, icc_profile=None):
    """A file of 13 x 9 pixels with a network that was never trained."""
    net = Siren(hidden=6, n_layers=1)
    weights = net.init(np.random.default_rng(0), n_channels)
    q_step = wire_step(2**-8)
    ranges = ((0, 2**bit_depth - 1),) * n_channels
    return write_file(
        PictureFacts(9, 13, n_channels, bit_depth, ranges, icc_profile),
        Stages(Whole(), net, Uniform(), RangeCoder()),
        {name: Uniform().codes(w, q_step) for name, w in weights.items()},
        dict.fromkeys(weights, q_step),
    )


@pytest.mark.parametrize(
    ("n_channels", "bit_depth", "mode"),
    [(1, 8, "L"), (2, 8, "LA"), (3, 8, "RGB"), (4, 8, "RGBA"), (1, 16, "I;16")],
)
def test_pixels_are_those_of_decode(n_channels, bit_depth, mode):
    data = inr_file(n_channels, bit_depth)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode, image.size) == ("INR", mode, (13, 9))
        np.testing.assert_array_equal(np.asarray(image), inr.decode(data))


@pytest.mark.parametrize(("n_channels", "mode"), [(2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_sixteen_bit_colour_is_rounded_to_the_eight_that_pillow_has(n_channels, mode):
    data = inr_file(n_channels, bit_depth=16)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == mode
        expected = np.rint(inr.decode(data) / 257)
        np.testing.assert_array_equal(np.asarray(image), expected)


@pytest.mark.parametrize("n_channels", [1, 4])
def test_files_of_kind_cae(tmp_path, n_channels):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, n_channels), np.uint8)
    image = Image.fromarray(pixels.squeeze())
    image.save(tmp_path / "a.inr", recipe=inr.recipes.cae(), target_bytes=5000)
    data = (tmp_path / "a.inr").read_bytes()
    with Image.open(tmp_path / "a.inr") as drawn:
        assert (drawn.format, drawn.mode, drawn.size) == ("INR", image.mode, (30, 20))
        np.testing.assert_array_equal(np.asarray(drawn), inr.decode(data))
    header, sections = container.unpack(data)
    short = container.pack(dataclasses.replace(header, stages=b"?"), sections)
    with pytest.raises(OSError, match="the model is cut short"):
        Image.open(io.BytesIO(short))


def test_the_colour_profile_is_passed_on():
    with Image.open(io.BytesIO(inr_file(icc_profile=SRGB_PROFILE))) as image:
        assert image.info["icc_profile"] == SRGB_PROFILE
        assert image.convert("L").size == (13, 9)


def test_files_on_disk_are_closed_after_loading(tmp_path):
    path = tmp_path / "photo.inr"
    path.write_bytes(inr_file())
    image = Image.open(path)
    image.load()
    image.load()  # again: nothing more to do
    assert image.getpixel((12, 8)) == tuple(inr.decode(inr_file())[8, 12])
    del image
    gc.collect()  # a file left open would be a ResourceWarning here, hence an error


def test_the_usual_operations_work(tmp_path):
    path = tmp_path / "photo.inr"
    path.write_bytes(inr_file())
    with Image.open(path) as image:
        image.verify()
    with Image.open(path) as image:
        assert image.resize((5, 5)).size == (5, 5)
    with Image.open(path) as image:
        image.thumbnail((6, 6))
        assert max(image.size) == 6
    with Image.open(path) as image:
        copy = image.copy()
    np.testing.assert_array_equal(np.asarray(copy), inr.decode(inr_file()))
    with Image.open(path) as image:
        image.save(tmp_path / "photo.png")
    with Image.open(tmp_path / "photo.png") as image:
        np.testing.assert_array_equal(np.asarray(image), inr.decode(inr_file()))


def test_a_picture_opened_by_pillow_can_be_encoded_again():
    data = inr.encode(np.full((4, 5, 3), [1, 2, 3], np.uint8))
    with Image.open(io.BytesIO(data)) as image:
        assert inr.encode(image) == data


def test_save_encodes(tmp_path):
    image = Image.new("RGB", (5, 4), (1, 2, 3))
    image.save(tmp_path / "flat.inr")
    assert (tmp_path / "flat.inr").read_bytes() == inr.encode(image)
    np.testing.assert_array_equal(
        inr.decode((tmp_path / "flat.inr").read_bytes())[None, 0, 0], [[1, 2, 3]]
    )
    assert from_array(np.asarray(image)).n_channels == 3


@pytest.mark.parametrize("cut", [1, 4, 5, 30, -1])
def test_damaged_files_raise_what_pillow_users_catch(tmp_path, cut):
    path = tmp_path / "photo.inr"
    path.write_bytes(inr_file()[:cut])
    with pytest.raises(OSError, match=r"photo|checksum|cut short|not an"):
        Image.open(path)
    with pytest.raises(OSError, match=r"BytesIO|checksum|cut short|not an"):
        Image.open(io.BytesIO(inr_file()[:cut]))
    gc.collect()


def test_weights_that_cannot_be_read_raise_when_loading(monkeypatch):
    from inr.container import SECTION_WEIGHTS, pack, unpack

    header, sections = unpack(inr_file())
    short = pack(header, sections | {SECTION_WEIGHTS: sections[SECTION_WEIGHTS][:5]})
    with Image.open(io.BytesIO(short)) as image, pytest.raises(OSError, match="weights"):
        image.load()


def test_other_files_are_left_alone():
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(b"hello"))


def test_a_huge_header_is_a_decompression_bomb():
    import dataclasses

    from inr.container import pack, unpack

    header, sections = unpack(inr_file())
    huge = pack(dataclasses.replace(header, height=1 << 20, width=1 << 20), sections)
    with pytest.raises((Image.DecompressionBombError, OSError)):
        Image.open(io.BytesIO(huge))


def test_the_suffix_and_the_mime_type_are_known():
    assert Image.registered_extensions()[".inr"] == "INR"
    assert Image.MIME["INR"] == "image/x-inr"
