"""Files of every format version decode for ever: codes exactly, pixels within one level, of kinds
grid and cae exactly. Of kind cae the same picture gives the same bytes again."""

import make_golden
import numpy as np
import pytest
from helpers.golden import codes_sha256
from helpers.paths import ROOT

from inr.codec import decode_picture, describe
from inr.mlp.tags import CODERS, FIELDS, QUANTIZERS, SPLITS

GOLDEN = sorted((ROOT / "tests" / "golden").glob("v*/*.inr"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_codes_are_exact(path):
    assert codes_sha256(path.read_bytes()) == path.with_suffix(".sha256").read_text().strip()


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_pixels_are_within_a_level(path):
    expected = np.load(path.with_suffix(".npy"))
    pixels = decode_picture(path.read_bytes()).pixels
    assert pixels.dtype == expected.dtype
    # f32 sums in another order differ by about 1e-6 of the range: a rounding tie at 8 bits,
    # up to a level or two at 16. Those of kinds grid and cae are exact in any order.
    tolerance = 1 if expected.dtype == np.uint8 else 4
    if describe(path.read_bytes())["kind"] in ("grid", "cae"):
        tolerance = 0
    assert np.abs(pixels.astype(int) - expected.astype(int)).max() <= tolerance


def test_there_is_a_golden_file_of_all_that_the_format_has():
    assert {path.stem for path in GOLDEN} >= set(make_golden.cases())
    described = [describe(path.read_bytes()) for path in GOLDEN]
    of_mlp = [told for told in described if told["kind"] == "mlp"]
    stages = {"split": SPLITS, "field": FIELDS, "quantizer": QUANTIZERS, "coder": CODERS}
    for stage, classes in stages.items():
        there = {told[stage]["name"] for told in of_mlp}
        assert there == {method.__name__.lower() for method in classes.values()}
    forms = {(told["kind"], told["n_channels"], told["bit_depth"]) for told in described}
    channels, depths = (1, 2, 3, 4), (8, 16)
    assert forms >= {(kind, n, d) for kind in ("mlp", "grid") for n in channels for d in depths}
    assert forms >= {("cae", n, 8) for n in channels}
    assert any("icc_profile" in told["sections"] for told in described)


@pytest.mark.parametrize("name", [name for name in make_golden.cases() if name.startswith("cae")])
def test_what_is_exact_end_to_end_is_encoded_to_the_same_bytes(name):
    expected = next(path for path in GOLDEN if path.stem == name).read_bytes()
    assert make_golden.cases()[name]() == expected


def test_golden_files_are_never_overwritten(tmp_path):
    data = GOLDEN[0].read_bytes()
    assert make_golden.write_golden(tmp_path, {"a": lambda: data}) == []
    assert make_golden.write_golden(tmp_path, {"a": pytest.fail}) == ["a"]
    assert (tmp_path / "a.inr").read_bytes() == data
