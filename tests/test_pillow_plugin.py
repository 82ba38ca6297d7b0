"""pillow_plugin.py: after `import inr`, an .inr file is a picture like any other to Pillow."""

import dataclasses
import gc
import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageCms, UnidentifiedImageError

import inr
from inr.coders.range_coder import RangeCoder
from inr.format import container
from inr.image.read import from_array
from inr.mlp.fields.siren import Siren
from inr.mlp.file import PictureInfo, write_file
from inr.mlp.quantize.uniform import Uniform, wire_step
from inr.mlp.splits.whole import Whole
from inr.mlp.tags import Stages

SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def inr_file(n_channels=3, bit_depth=8, icc_profile=None):
    """A file of 13 x 9 pixels with a network that was never trained."""
    net = Siren(hidden=6, n_layers=1)
    weights = net.init(np.random.default_rng(0), n_channels)
    q_step = wire_step(2**-8)
    ranges = ((0, 2**bit_depth - 1),) * n_channels
    return write_file(
        PictureInfo(9, 13, n_channels, bit_depth, ranges, icc_profile),
        Stages(Whole(), net, Uniform(), RangeCoder()),
        {name: Uniform().quantize(w, q_step) for name, w in weights.items()},
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
    image.save(tmp_path / "a.inr", recipe=inr.recipes.cae())
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
    from inr.format.container import SECTION_WEIGHTS, pack, unpack

    header, sections = unpack(inr_file())
    short = pack(header, sections | {SECTION_WEIGHTS: sections[SECTION_WEIGHTS][:5]})
    with Image.open(io.BytesIO(short)) as image, pytest.raises(OSError, match="weights"):
        image.load()


def test_other_files_are_left_alone():
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(b"hello"))


# ---------------------------------------------------------------- limits


def claiming(height, width, data=None):
    header, sections = container.unpack(data or inr_file())
    return container.pack(dataclasses.replace(header, height=height, width=width), sections)


def test_pillows_own_check_of_pixels_holds(monkeypatch):
    for limit, size in ((Image.MAX_IMAGE_PIXELS, (9459, 9460)), (100, (10, 11))):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.warns(Image.DecompressionBombWarning, match="exceeds limit"):
            assert Image.open(io.BytesIO(claiming(*size))).size == size[::-1]
        with pytest.raises(Image.DecompressionBombError, match="exceeds limit"):
            Image.open(io.BytesIO(claiming(size[0], 2 * size[1])))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with Image.open(io.BytesIO(claiming(1 << 20, 1 << 20))) as image:
        assert image.size == (1 << 20, 1 << 20)
        with pytest.raises(OSError, match="multiply-adds"):
            image.load()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pixels_above_our_own_limit_are_not_drawn():
    with Image.open(io.BytesIO(claiming(10_001, 10_000))) as image:
        for _ in range(2):
            with pytest.raises(OSError, match="100000000; give a higher"):
                image.load()


def test_too_much_work_is_refused_when_loaded_without_doing_any():
    from inr.coders.huffman import Huffman

    net = Siren(hidden=1400, n_layers=8)
    codes = {name: np.zeros(shape, np.int32) for name, shape in net.shapes(3).items()}
    facts = PictureInfo(9000, 9000, 3, 8, ((0, 255),) * 3, None)
    stages = Stages(Whole(), net, Uniform(), Huffman())
    data = write_file(facts, stages, codes, dict.fromkeys(codes, 1.0))
    assert len(data) < 100
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (9000, 9000)
        tracemalloc.start()
        with pytest.raises(OSError, match=r"multiply-adds, more than the limit of 1e\+13"):
            image.load()
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak_bytes < 1e6


def test_a_file_that_fails_to_load_is_closed(tmp_path):
    path = tmp_path / "a.inr"
    header, sections = container.unpack(inr_file())
    path.write_bytes(container.pack(header, sections | {container.SECTION_WEIGHTS: b""}))
    image = Image.open(path)
    with pytest.raises(OSError, match="weights"):
        image.load()
    del image
    gc.collect()  # a file left open would be a ResourceWarning here, hence an error


# ---------------------------------------------------------------- options of save

GREY = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16), np.uint8))


def saved(tmp_path, image=GREY, **options):
    path = tmp_path / "saved.inr"
    path.unlink(missing_ok=True)
    try:
        image.save(path, **options)
    except ValueError:
        assert not path.exists()
        raise
    return path.read_bytes()


def test_options_are_those_of_encode(tmp_path):
    cae = inr.recipes.cae()
    plain = inr.encode(GREY, cae)
    assert saved(tmp_path, recipe=cae) == saved(tmp_path, recipe="cae") == plain
    file = io.BytesIO()
    GREY.save(file, "INR", recipe="cae", target_psnr=9, seed=3, time_budget=60)
    assert file.getvalue() == inr.encode(GREY, cae, target_psnr=9) != plain
    assert saved(tmp_path, recipe="cae", target_psnr=None, seed=None) == plain
    with pytest.raises(ValueError, match="target_bytes and target_psnr exclude each other"):
        saved(tmp_path, recipe="cae", target_bytes=99, target_psnr=30)
    with pytest.raises(ValueError, match="too small"):
        saved(tmp_path, recipe="cae", target_bpp=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"traget_bpp": 0.9}, "no option traget_bpp; there are recipe, target_bpp, target_bytes"),
        ({"quality": 90, "optimize": True}, "no option optimize, quality; there are .*icc_profile"),
        ({"recipe": "jpeg"}, "unknown recipe 'jpeg'; there are siren"),
        ({"recipe": 3}, "recipe=3: expected one of siren"),
        ({"append_images": [GREY]}, "holds one picture, not 2"),
        ({"save_all": True, "append_images": [GREY, GREY]}, "holds one picture, not 3"),
    ],
)
def test_other_options_are_refused_by_name(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        saved(tmp_path, **options)
    file = io.BytesIO()
    with pytest.raises(ValueError, match=message):
        GREY.save(file, "INR", **options)
    assert file.getvalue() == b""


def test_what_code_for_any_format_hands_on(tmp_path):
    plain = saved(tmp_path, recipe="cae")
    assert saved(tmp_path, recipe="cae", save_all=True) == plain
    assert saved(tmp_path, recipe="cae", save_all=False, append_images=[]) == plain
    assert saved(tmp_path, recipe="cae", exif=b"", icc_profile=None) == plain
    assert saved(tmp_path, recipe="cae", exif=Image.Exif()) == plain
    gif = io.BytesIO()
    GREY.save(gif, "GIF", save_all=True, append_images=[Image.new("L", (16, 12))])
    with Image.open(gif) as frames, pytest.raises(ValueError, match="not 2 frames"):
        saved(tmp_path, frames, recipe="cae", save_all=True)
    with pytest.warns(UserWarning, match="no EXIF data; it is left out"):
        assert saved(tmp_path, recipe="cae", exif=b"Exif\0\0") == plain


def test_a_profile_that_is_named_takes_the_place_of_the_image_s_own(tmp_path):
    colour = Image.new("RGB", (4, 4), (1, 2, 3))
    colour.info["icc_profile"] = b"its own, which is damaged"
    with_profile = saved(tmp_path, colour, icc_profile=SRGB_PROFILE)
    with Image.open(io.BytesIO(with_profile)) as image:
        assert image.info["icc_profile"] == SRGB_PROFILE
    colour.info["icc_profile"] = SRGB_PROFILE
    assert saved(tmp_path, colour) == with_profile
    assert saved(tmp_path, colour, icc_profile=None) == inr.encode(
        Image.new("RGB", (4, 4), (1, 2, 3))
    )
    assert colour.info["icc_profile"] == SRGB_PROFILE


def test_the_suffix_and_the_mime_type_are_known():
    assert Image.registered_extensions()[".inr"] == "INR"
    assert Image.MIME["INR"] == "image/x-inr"
