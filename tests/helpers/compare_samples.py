"""What the tests of `inr compare` share: rows that are made up, and small pictures."""

import dataclasses

import numpy as np
from PIL import Image

from inr.studies.compare.summary import Row

ROW = Row("a.png", "jpeg", 50.0, 1000, 0.5, 30.0, None, 0.1, 0.2)


def rows_of(codec, rates, psnrs, picture="a.png", similarities=None):
    similarities = similarities or [None] * len(rates)
    return [
        dataclasses.replace(
            ROW, picture=picture, codec=codec, setting=i, bpp=bpp, psnr_db=psnr, ms_ssim=similarity
        )
        for i, (bpp, psnr, similarity) in enumerate(zip(rates, psnrs, similarities, strict=True))
    ]


RATES = [0.2, 0.4, 0.8, 1.6]
PSNRS = [26.0, 29.0, 32.0, 35.0]
HALF = [0.1, 0.2, 0.4, 0.8]


def noise(height=24, width=32, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height)))


def saved(path, pixels):
    Image.fromarray(pixels).save(path)
    return path
