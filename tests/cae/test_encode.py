"""encode.py: from picture to file with tiny models, and targets with the shipped one."""

import re

import numpy as np
import pytest
from helpers.cae_coding_models import TINY, decode, models_folder, picture, recipe
from helpers.options import encode_options

import inr
from inr.cae import encode
from inr.cae.file import MAX_SIDE, read_content
from inr.cae.recipe import CaeRecipe
from inr.codec import batch_key, encode_batch, encode_picture
from inr.errors import FitError, FormatError, UsageError
from inr.format.container import SECTION_ALPHA, SECTION_ICC_PROFILE, icc_profile_of, unpack
from inr.image.metrics import psnr_db
from inr.image.picture import Picture
from inr.options import EncodeOptions, Job, Target
from inr.settings import paths, with_settings


def encoded(pixels, chosen=None, **options):
    return encode_picture(Picture(pixels), chosen or recipe(), encode_options(**options))


def opened(data):
    return read_content(*unpack(data))


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("height", "width"), [(1, 2), (15, 17), (16, 16), (64, 64), (65, 33), (300, 20)]
)
def test_pictures_of_every_kind_and_size_are_encoded(height, width, n_channels):
    pixels = picture(height, width, n_channels)
    made = encoded(pixels)
    decoded = decode(made.data)
    assert decoded.dtype == np.uint8
    assert decoded.shape == (pixels.shape if n_channels > 1 else (height, width))
    decoded = decoded.reshape(pixels.shape)
    assert made.psnr_db == psnr_db(pixels, decoded)
    assert made.n_steps == 0
    assert made.seconds > 0
    if n_channels in (2, 4):
        np.testing.assert_array_equal(decoded[..., -1], pixels[..., -1])
    assert (SECTION_ALPHA in unpack(made.data)[1]) == (n_channels in (2, 4))
    assert encoded(pixels).data == made.data


@pytest.mark.parametrize("name", ["factorized", "residual", "slimmable"])
def test_other_models(name):
    pixels = picture(33, 47)
    made = encoded(pixels, recipe(name))
    coded = opened(made.data).coded
    assert (coded.model, coded.sha256.hex()) == (0, TINY[name].sha256[:32])
    assert psnr_db(pixels, decode(made.data)) == made.psnr_db


def test_widths_of_a_slimmable_model():
    pixels = picture(33, 47)
    narrow, wide = (encoded(pixels, recipe("slimmable", width=n, lambda_=5e-3)) for n in (4, 6))
    assert [opened(each.data).coded.width_index for each in (narrow, wide)] == [0, 1]
    assert encoded(pixels, recipe("slimmable", lambda_=5e-3)).data == wide.data
    assert not np.array_equal(decode(narrow.data), decode(wide.data))
    with pytest.raises(ValueError, match="width=5: the model slimmable has 4, 6"):
        encoded(pixels, recipe("slimmable", width=5))
    for width in (4, -1):
        with pytest.raises(ValueError, match=f"width={width}: the model tiny has only one, 0"):
            encoded(pixels, recipe(width=width))


def test_the_colour_profile_is_kept():
    made = encode_picture(Picture(picture(20, 20), b"a profile"), recipe(), EncodeOptions())
    assert SECTION_ICC_PROFILE in unpack(made.data)[1]
    assert icc_profile_of(opened(made.data).sections) == b"a profile"


def test_one_colour_becomes_a_field_as_of_all_recipes():
    made = encoded(np.full((40, 50, 3), (9, 8, 7), np.uint8))
    assert unpack(made.data)[0].kind == 0
    assert len(made.data) < 100
    two = np.full((40, 50, 3), 9, np.uint8)
    two[20, 20] = 10
    assert unpack(encoded(two).data)[0].kind == 2


def test_lambda_steers_size():
    pixels = picture(64, 96)
    made = [encoded(pixels, recipe(lambda_=each)) for each in (2e-4, 1e-3, 1.28e-2)]
    sizes = [len(each.data) for each in made]
    assert sizes == sorted(set(sizes), reverse=True)
    assert [opened(each.data).coded.rate for each in made] == [0, 99, 255]


def test_seed_and_checkpoint_change_nothing(tmp_path):
    pixels = picture(20, 30)
    path = tmp_path / "notes.txt"
    path.write_text("my notes")
    options = {"seed": 7, "time_budget": 1000.0, "checkpoint": path}
    assert encoded(pixels, **options).data == encoded(pixels).data
    assert path.read_text() == "my notes"


def test_a_time_budget_that_is_too_short_is_refused():
    with pytest.raises(
        UsageError, match=r"a time budget of 0\.001 s is too short: with one encoding"
    ):
        encoded(picture(20, 30), time_budget=1e-3)


def test_a_quality_that_every_file_has_is_met_by_the_smallest():
    pixels = picture(48, 40)
    smallest = encoded(pixels, recipe(lambda_=1.28e-2))
    made = encoded(pixels, target_psnr=5.0)
    assert made.psnr_db > 5.1
    assert made.missed is None
    assert len(made.data) <= len(smallest.data)


def test_a_size_that_no_file_reaches_is_told():
    made = encoded(picture(48, 40), target_bytes=100_000)
    assert re.search(r"takes only \d+ of the 100000 bytes asked for", made.missed)


# ---------------------------------------------------------------- own weights


def test_shipped_weights_need_no_folder_and_own_ones_do(monkeypatch):
    pixels = picture(33, 47)
    made = encoded(pixels, inr.recipes.cae())
    assert opened(made.data).coded.model == 1
    assert psnr_db(pixels, inr.decode(made.data)) == made.psnr_db
    made = encoded(pixels)
    monkeypatch.setenv("INR_MODELS", str(models_folder()))  # which the command line alone reads
    digest = TINY["tiny"].sha256[:32]
    with pytest.raises(FormatError, match=f"SHA-256 {digest}.*set INR_MODELS to it, or .*`models`"):
        inr.decode(made.data)
    assert psnr_db(pixels, decode(made.data)) == made.psnr_db


def test_unknown_models_and_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match=r"model 'big': there are hyperprior, factorized, or "):
        encoded(picture(9, 9), CaeRecipe("cae", "big"))
    (tmp_path / "bad.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"bad\.npz: this is no weights file"):
        encoded(picture(9, 9), CaeRecipe("cae", str(tmp_path / "bad.npz")))


# ---------------------------------------------------------------- what is refused


def test_sixteen_bits_are_refused():
    with pytest.raises(ValueError, match="trained on 8 bits a sample and this picture has 16"):
        inr.encode(picture(9, 9).astype(np.uint16) * 257, recipe())


@pytest.mark.parametrize("lambda_", [1.9e-4, 1.3e-2, 100.0])
def test_lambdas_that_the_model_does_not_know(lambda_):
    with pytest.raises(ValueError, match=rf"lambda={lambda_}: the model tiny knows 0\.0002\.\.0"):
        encoded(picture(9, 9), recipe(lambda_=lambda_))


@pytest.mark.parametrize("lambda_", [0.0, -1.0, 1e3, np.nan, np.inf])
def test_lambdas_that_are_none(lambda_):
    with pytest.raises(ValueError, match=rf"lambda={lambda_}: expected a number above 0"):
        recipe(lambda_=lambda_)


def test_sides_that_files_do_not_hold():
    pixels = np.zeros((1, MAX_SIDE + 1, 3), np.uint8)
    pixels[0, 0] = 1
    with pytest.raises(ValueError, match=r"16385x1 pixels: each side must be 1\.\.16384; cut"):
        encoded(pixels)


def test_a_file_that_does_not_give_the_picture_back_is_not_returned(monkeypatch):
    monkeypatch.setattr(encode, "pixels_crc", lambda colours: 1)
    with pytest.raises(FormatError, match="do not match their checksum"):
        encoded(picture(20, 20))
    monkeypatch.undo()


def test_a_decoder_of_other_pixels_is_noticed(monkeypatch):
    monkeypatch.setattr(encode, "render_content", lambda *_, **__: np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(FitError, match="does not give back the picture it was made of"):
        encoded(picture(20, 20))


# ---------------------------------------------------------------- targets


@pytest.mark.parametrize(
    ("target", "rate"), [(5000, 0), (1000, 0), (999, 1), (998, 1), (700, 150), (490, 255)]
)
def test_a_target_is_the_finest_rate_that_fits(monkeypatch, target, rate):
    monkeypatch.setattr(encode._Encoder, "n_bytes_at", lambda _, rate: 1000 - 2 * rate)
    made = encoded(picture(20, 20), target_bytes=target)
    assert opened(made.data).coded.rate == rate
    by_bpp = encoded(picture(20, 20), target_bpp=8 * target / 400 + 1e-9)
    assert by_bpp.data == made.data


def test_a_target_is_one_of_bytes_on_disk():
    pixels = picture(48, 40)
    encoder = encode._Encoder(Picture(pixels), recipe())
    least, most = encoder.n_bytes_at(255), encoder.n_bytes_at(0)
    for target in (least, (least + most) // 2, most):
        made = encoded(pixels, target_bytes=target)
        rate = opened(made.data).coded.rate
        assert len(made.data) == encoder.n_bytes_at(rate) <= target
        assert rate == 0 or encoder.n_bytes_at(rate - 1) > target
    with pytest.raises(ValueError, match=rf"target of {least - 1} bytes is too small: at the "):
        encoded(pixels, target_bytes=least - 1)
    with pytest.raises(ValueError, match=rf"this picture takes {least}$"):
        encoded(pixels, target_bpp=1e-6)


def test_alpha_and_profile_count_in_a_target():
    pixels = picture(48, 40, 4)
    profile = bytes(range(200))
    made = encode_picture(
        Picture(pixels, profile), recipe(), EncodeOptions(target=Target(n_bytes=4000))
    )
    assert len(made.data) <= 4000
    with pytest.raises(ValueError, match="is too small"):
        encode_picture(
            Picture(pixels, profile), recipe(), EncodeOptions(target=Target(n_bytes=200))
        )


def test_a_psnr_that_the_model_reaches_and_one_that_it_does_not():
    pixels = picture(48, 40)
    quality = encoded(pixels, recipe(lambda_=2e-3)).psnr_db
    made = encoded(pixels, target_psnr=quality)
    assert abs(made.psnr_db - quality) <= 0.1
    with pytest.raises(FitError, match=r"a PSNR of 70 dB was not reached: the best .* dB; give"):
        encoded(pixels, target_psnr=70)


def test_targets_of_a_model_that_knows_one_rate():
    pixels, slimmable = picture(48, 40), recipe("slimmable", lambda_=5e-3)
    made = encoded(pixels, slimmable)
    assert encoded(pixels, slimmable, target_bytes=len(made.data)).data == made.data
    assert encoded(pixels, slimmable, target_psnr=round(made.psnr_db, 2)).data == made.data
    with pytest.raises(ValueError, match="too small"):
        encoded(pixels, slimmable, target_bytes=len(made.data) - 1)


def test_targets_with_the_shipped_model_end_within_three_percent():
    pixels = picture(256, 256, seed=3)
    chosen = inr.recipes.cae()
    largest, smallest = (
        len(encoded(pixels, with_settings(chosen, {"lambda": each})).data)
        for each in ("0.0002", "0.0128")
    )
    target = round((largest * smallest) ** 0.5)
    made = encoded(pixels, chosen, target_bytes=target)
    assert 0.97 * target <= len(made.data) <= target


def test_a_psnr_with_the_shipped_model():
    pixels = picture(64, 96, seed=3)
    chosen = inr.recipes.cae()
    coarse, fine = (
        encoded(pixels, with_settings(chosen, {"lambda": each})).psnr_db
        for each in ("0.0128", "0.0002")
    )
    target = (coarse + fine) / 2
    assert abs(encoded(pixels, chosen, target_psnr=target).psnr_db - target) <= 0.1


# ---------------------------------------------------------------- beside other recipes


def test_settings_of_the_recipe():
    chosen = with_settings(inr.recipes.cae(), {"lambda": "0.01", "model": "x.npz", "width": "48"})
    assert (chosen.lambda_, chosen.model, chosen.width) == (0.01, "x.npz", 48)
    assert sorted(paths(inr.recipes.cae())) == ["lambda=0.002", "model=hyperprior", "width=0"]
    with pytest.raises(ValueError, match=r"unknown setting fit\.steps"):
        with_settings(inr.recipes.cae(), {"fit.steps": "5"})


def test_files_are_made_one_by_one():
    one, two = Picture(picture(20, 20)), Picture(picture(20, 20, seed=1))
    assert batch_key(Job(one, recipe())) is None
    (made,) = encode_batch([Job(one, recipe())])
    assert made.data == encoded(one.pixels).data
    with pytest.raises(ValueError, match="cannot run as one batch"):
        encode_batch([Job(one, recipe()), Job(two, recipe())])
