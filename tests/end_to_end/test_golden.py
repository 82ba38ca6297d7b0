"""Files of every format version decode for ever: codes exactly, pixels within one level, of kinds
grid and cae exactly. Of kind cae the same picture gives the same bytes again."""

import make_golden
import numpy as np
import pytest
from helpers.paths import ROOT

from inr.codec import decode_picture, describe

GOLDEN = sorted((ROOT / "tests" / "golden").glob("v*/*.inr"))
# Of each field and kind that jax can draw: elsewhere it would be numpy again.


def test_there_are_golden_files():
    assert len(GOLDEN) >= 10


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_codes_are_exact(path):
    digest = make_golden.codes_sha256(path.read_bytes())
    assert digest == path.with_suffix(".sha256").read_text().strip()


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


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in GOLDEN
        if path.stem.startswith("cae") and path.stem not in make_golden.ENCODED_OTHERWISE
    ],
    ids=lambda path: path.stem,
)
def test_what_is_exact_end_to_end_is_encoded_to_the_same_bytes(path):
    assert make_golden.encoded(*make_golden.pictures()[path.stem]) == path.read_bytes()
