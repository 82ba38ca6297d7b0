"""inr decode, info, eval and recipes, and all of them in processes of their own."""

import os
import subprocess
import sys

import numpy as np
import pytest
from helpers.cli_runs import SMALL, SRGB_PROFILE, UNTRAINED, Ran, names, noise, opened, run_process
from PIL import Image

import inr

# ---------------------------------------------------------------- decode


def test_decode_names_its_output_after_the_input(run, folder, file):
    assert run("decode", "photo.inr") == Ran(0, "photo.decoded.png: 16x12 pixels\n", "")
    np.testing.assert_array_equal(opened("photo.decoded.png"), inr.decode(file))


def test_decode_json(run, folder, file):
    told = run("decode", "photo.inr", "-o", "x.png", "--scale", 2.5, "--json").json
    assert told == {"output": "x.png", "width": 40, "height": 30}


@pytest.mark.parametrize("recipe", ["siren", "siren_wavelet"])
def test_scale_size_and_region_agree_with_each_other(run, folder, recipe):
    run("encode", "photo.png", *UNTRAINED, "--recipe", recipe)
    for name, options in {
        "scale.png": ("--scale", 3),
        "size.png": ("--size", "48x36"),
        "size2.png": ("--size", "48X36"),
        "part.png": ("--scale", 3, "--region", "10,20,5,6"),
    }.items():
        assert run("decode", "photo.inr", "-o", name, *options).code == 0
    np.testing.assert_array_equal(opened("scale.png"), opened("size.png"))
    np.testing.assert_array_equal(opened("scale.png"), opened("size2.png"))
    np.testing.assert_array_equal(opened("scale.png")[20:26, 10:15], opened("part.png"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--scale", 2, "--size", "4x4"), "exclude each other"),
        (("--size", "4"), r"--size 4: expected 2 whole numbers, as in 768x512"),
        (("--size", "4x4x4"), "--size 4x4x4: expected"),
        (("--size", "4,4"), "--size 4,4: expected"),
        (("--size", "axb"), "--size axb: expected"),
        (("--size", "1.5x2"), "--size 1.5x2: expected"),
        (("--size", "0x4"), "size 0x4"),
        (("--size", ""), "--size"),
        (("--size", "99999999999999999999x1"), "more than the limit|each side may have"),
        (
            ("--size", "9999999x9999999", "--max-pixels", 10**20, "--max-macs", "inf"),
            "more than any memory holds",
        ),
        (("--region", "1,2,3"), "--region 1,2,3: expected 4 whole numbers, as in 0,0,64,64"),
        (("--region", "0,0,17,12"), "does not lie inside the picture of 16x12"),
        (("--region", "-1,0,4,4"), "does not lie inside"),
        (("--region", "0,0,0,4"), "does not lie inside"),
        (("--scale", 0), "scale=0"),
        (("--scale", "nan"), "scale=nan"),
        (("--scale", "inf"), "scale=inf"),
        (("--scale", 1e9), "scale|limit"),
        (("--max-pixels", 191), "limit of 191; .*--max-pixels"),
        (("-o", "out.xyz"), r"cannot write '\.xyz' files; choose one of \.png"),
        (("-o", "out"), "cannot write '' files"),
    ],
)
def test_bad_decode_options(run, folder, file, options, text):
    before = names(folder)
    run("decode", "photo.inr", *options).failed(text)
    assert names(folder) == before


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ".webp", ".tiff", ".bmp", ".ppm"])
def test_the_suffix_chooses_the_format(run, folder, file, suffix):
    assert run("decode", "photo.inr", "-o", f"out{suffix}").code == 0
    decoded = opened(f"out{suffix}")
    # One colour: JPEG at quality 95 is off by a rounding or two of YCbCr.
    assert np.abs(decoded.astype(int) - inr.decode(file)).max() <= (2 if suffix == ".jpg" else 0)


@pytest.mark.parametrize(
    ("pixel", "dtype", "text"),
    [
        ((1, 2, 3, 4), np.uint8, r"\.jpg holds no alpha, .*; choose \.png"),
        ((1, 2), np.uint8, r"\.jpg holds no alpha, .*; choose \.png"),
        ((1, 2, 3), np.uint16, r"\.jpg holds 8 bits, the picture has 16; choose \.png"),
        ((1,), np.uint16, r"\.jpg holds 8 bits, the picture has 16; choose \.png"),
    ],
)
def test_jpeg_refuses_what_it_cannot_hold(run, folder, pixel, dtype, text):
    data = inr.encode(np.full((4, 5, len(pixel)), pixel, dtype))
    (folder / "photo.inr").write_bytes(data)
    run("decode", "photo.inr", "-o", "out.jpg").failed(text)
    assert "out.jpg" not in names(folder)


def test_the_colour_profile_goes_into_the_decoded_file(run, folder):
    Image.new("RGB", (5, 4), (1, 2, 3)).save("flat.png", icc_profile=SRGB_PROFILE)
    assert run("encode", "flat.png").code == 0
    assert run("decode", "flat.inr").code == 0
    with Image.open("flat.decoded.png") as image:
        assert image.info["icc_profile"] == SRGB_PROFILE


# ---------------------------------------------------------------- info, eval, recipes


def test_info_accounts_for_every_byte(run, folder):
    run("encode", "photo.png", "--recipe", "fourier", *UNTRAINED, "--set", "field.n_frequencies=5")
    told = run("info", "photo.inr", "--json").json
    n_bytes = (folder / "photo.inr").stat().st_size
    assert told["n_bytes"] == n_bytes == sum(told["sections"].values()) + told["overhead_bytes"]
    assert (told["height"], told["width"], told["n_channels"], told["bit_depth"]) == (12, 16, 3, 8)
    assert told["bpp"] == 8 * n_bytes / 192
    assert told["field"]["name"] == "fourier"
    assert (told["field"]["hidden"], told["field"]["n_frequencies"]) == (4, 5)
    assert told["coder"]["name"] == "rangecoder"
    text = run("info", "photo.inr").out
    for key in ("height: 12", "field:", "  hidden: 4", "sections:", "  weights: "):
        assert f"{key}" in text


def test_eval_json_has_the_promised_keys(run, folder, file):
    told = run("eval", "photo.png", "photo.inr", "--json").json
    assert set(told) == {"psnr_db", "ms_ssim", "n_bytes", "bpp"}
    assert told["n_bytes"] == len(file)
    assert told["bpp"] == 8 * len(file) / 192
    assert told["ms_ssim"] is None  # 16 x 12 pixels are too few for its five scales
    assert told["psnr_db"] == inr.image.metrics.psnr_db(noise(), inr.decode(file))


def test_eval_of_two_pictures_tells_no_size(run, folder):
    Image.fromarray(noise() ^ 1).save("other.png")
    told = run("eval", "photo.png", "other.png", "--json").json
    assert set(told) == {"psnr_db", "ms_ssim"}
    assert told["psnr_db"] == pytest.approx(20 * np.log10(255))  # every sample is off by one
    assert run("eval", "photo.png", "other.png").out.startswith("PSNR 48.1308 dB, MS-SSIM needs")


def test_eval_of_large_pictures_has_ms_ssim(run, folder):
    Image.fromarray(noise(161, 161)).save("large.png")
    told = run("eval", "large.png", "large.png", "--json").json
    assert told == {"psnr_db": None, "ms_ssim": pytest.approx(1)}


@pytest.mark.parametrize("shape", [(12, 15, 3), (16, 12, 3), (12, 16, 4)])
def test_eval_refuses_pictures_of_other_sizes(run, folder, shape):
    Image.fromarray(noise(*shape)).save("other.png")
    run("eval", "photo.png", "other.png").failed(
        r"photo.png is 16x12 RGB of 8 bits, other.png is \d+x\d+"
    )


def test_recipes_are_listed_with_their_settings(run):
    listed = run("recipes", "--json").json
    assert list(listed) == list(inr.recipes.all_recipes())
    assert listed["siren"]["settings"]["fit.steps"] == str(inr.recipes.siren().fit.steps)
    assert all(facts["summary"] for facts in listed.values())
    text = run("recipes").out
    for name in inr.recipes.all_recipes():
        assert f"\n{name}: " in "\n" + text


@pytest.mark.parametrize("name", inr.recipes.all_recipes())
def test_every_setting_that_is_listed_can_be_set(run, name):
    from inr.settings import with_settings

    recipe = inr.recipes.named(name)
    for path, value in run("recipes", "--json").json[name]["settings"].items():
        changed = with_settings(recipe, {path: value})
        assert path == "field.hidden" or changed == recipe


# ---------------------------------------------------------------- processes


def test_reading_never_loads_jax(folder, file):
    before = """
import atexit, sys
atexit.register(lambda: print("loaded", sorted({"jax", "optax", "flax"} & set(sys.modules))))
"""
    for arguments in (("info", "photo.inr"), ("decode", "photo.inr", "-q"), ("recipes",)):
        ran = run_process(*arguments, before=before)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.endswith("loaded []\n")


@pytest.mark.skipif(os.name == "nt", reason="no such thing as a broken pipe there")
@pytest.mark.parametrize("unbuffered", ["", "1"])  # written at the end, or line by line
def test_a_reader_that_goes_away_is_no_error(folder, unbuffered):
    process = subprocess.Popen(
        [sys.executable, "-m", "inr", "recipes"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    process.stdout.close()  # long before the first line is printed
    err = process.stderr.read()
    process.stderr.close()
    process.wait()
    assert err == b""


def test_a_failing_process_prints_one_line(folder):
    run_process("info", "missing.inr").failed("missing.inr: No such file")


@pytest.mark.slow  # starts jax and compiles a fit in another process
def test_a_real_process_encodes_and_decodes(folder):
    told = run_process("encode", "photo.png", *SMALL, "--json")
    assert told.json["steps"] == 5
    assert told.err == ""
    assert run_process("decode", "photo.inr", "--json").json["width"] == 16
    assert run_process("eval", "photo.png", "photo.inr", "--json").json["psnr_db"] == pytest.approx(
        told.json["psnr_db"]
    )
