"""Latents that are predicted and then corrected for what they draw.

The analysis network predicts all levels at once. It cannot know how the others will be rounded, nor
exactly what they draw. So they are drawn, and each level in turn, the coarsest first, takes up a
part of what is missing in the mean over each of its latents: a closed loop, as in the pyramids of
Burt and Adelson (1983).
"""

from collections.abc import Iterable

import numpy as np

from inr.grid.fit.analysis import predict_latents
from inr.grid.fit.result import round_codes
from inr.grid.prior import prior_networks, rate_place
from inr.grid.structure import Pyramid
from inr.grid.synthesis import draw_samples
from inr.image.region import Region

# Of what is missing. Coarser levels cannot take up all, since what they draw is smoother than
# means; where bits are dear, the finest takes up less. By four photographs at four lambdas.
_SHARE, _SHARE_OF_FINEST, _LESS_AT_LARGEST = 0.6, 0.9, 0.35
_SAMPLE_SIDE = 256  # pixels, of the part on which colours are measured


def predict_corrected(
    picture: np.ndarray, pyramid: Pyramid, *, only_finest: bool = False
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Return the latents, f32[h, w] of each level, in codes, and the colour of the finest level as
    `colours_of` has it, None where there is nothing to tell.

    Args:
      picture: f32[c, height, width] in 0..1; where there is alpha, nothing is corrected, as no
        prior knows what it draws.
      pyramid: of the picture; its structure has a rate.
      only_finest: whether only the finest level is corrected, which takes a fifth of the time.
    Raises:
      FormatError: latents so large that they cannot be drawn exactly.
    """
    latents = predict_latents(picture, rate_place(pyramid.structure.rate), pyramid)
    if pyramid.has_alpha or not all(np.isfinite(y).all() for y in latents):
        return latents, None  # the fit of a picture that is no number will say so
    drawn = [i for i, level in enumerate(pyramid.levels) if not level.is_hyper]
    colours = colours_of(latents, drawn[-1:] if only_finest else drawn, pyramid)
    return correct_latents(latents, picture, colours, pyramid), colours.get(drawn[-1])


def correct_latents(
    latents: list[np.ndarray],
    picture: np.ndarray,
    colours: dict[int, np.ndarray],
    pyramid: Pyramid,
) -> list[np.ndarray]:
    """Return other latents, f32[h, w] of each level, in codes, neither rounded nor limited.

    Args:
      latents: f32[h, w] of each level, in codes.
      picture: f32[c, height, width] in 0..1, without alpha.
      colours: of the levels to be corrected, see `colours_of`.
      pyramid: of the picture.
    Raises:
      FormatError: latents so large that they cannot be drawn exactly.
    """
    corrected, codes = list(latents), [round_codes(y) for y in latents]
    for i, colour in sorted(colours.items()):
        exponent = pyramid.levels[i].exponent
        drawn = _draw(codes, pyramid)
        missing = sum(c * (p - d) for c, p, d in zip(colour, picture, drawn, strict=True))
        wanted = codes[i] + _means(missing / np.sum(colour**2), exponent)
        change = _share(exponent, pyramid) * (wanted - corrected[i])
        corrected[i] = corrected[i] + change.astype(np.float32)
        codes[i] = round_codes(corrected[i])
    return corrected


def colours_of(
    latents: list[np.ndarray], which: Iterable[int], pyramid: Pyramid
) -> dict[int, np.ndarray]:
    """Return how much brighter a code of each level makes each colour of its pixels, f64[c] by
    index; levels that tell nothing, such as those of zeros, are left out.

    By least squares, where the finest codes have most to tell: it is about the same everywhere.

    Args:
      latents: f32[h, w] of each level, in codes.
      which: indices of levels.
    """
    codes = [round_codes(y) for y in latents]
    part = _busiest_part(codes[-1], pyramid)
    rows, cols = part.y + np.arange(part.height), part.x + np.arange(part.width)
    drawn, colours = _draw(codes, pyramid, part), {}
    for i in which:
        exponent = pyramid.levels[i].exponent
        own = codes[i][rows >> exponent][:, cols >> exponent].astype(np.float64)
        zeros = [np.zeros_like(y) if k == i else y for k, y in enumerate(codes)]
        by_own = np.sum((drawn - _draw(zeros, pyramid, part)) * own, axis=(1, 2))
        if by_own.any():
            colours[i] = by_own / np.sum(own**2)
    return colours


def _busiest_part(finest: np.ndarray, pyramid: Pyramid) -> Region:
    """Return the part of the picture with most codes other than zero, i32[h, w] of the finest
    level."""
    side = _SAMPLE_SIDE >> pyramid.levels[-1].exponent
    tops, lefts = (range(0, size, side) for size in finest.shape)
    counts = np.add.reduceat(np.add.reduceat(finest != 0, tops, axis=0, dtype=int), lefts, axis=1)
    i, j = np.unravel_index(np.argmax(counts), counts.shape)
    y, x = int(i) * _SAMPLE_SIDE, int(j) * _SAMPLE_SIDE
    height, width = min(_SAMPLE_SIDE, pyramid.height - y), min(_SAMPLE_SIDE, pyramid.width - x)
    return Region(x, y, width, height)


def _share(exponent: int, pyramid: Pyramid) -> float:
    if exponent > 0:
        return _SHARE
    return _SHARE_OF_FINEST - _LESS_AT_LARGEST * max(0.0, rate_place(pyramid.structure.rate))


def _means(x: np.ndarray, exponent: int) -> np.ndarray:
    """f64[height, width] -> f64[h, w], means over squares of 2**exponent, edges repeated."""
    side = 1 << exponent
    padded = np.pad(x, [(0, -size % side) for size in x.shape], mode="edge")
    h, w = (size // side for size in padded.shape)
    means: np.ndarray = padded.reshape(h, side, w, side).mean(axis=(1, 3))
    return means


def _draw(codes: list[np.ndarray], pyramid: Pyramid, region: Region | None = None) -> np.ndarray:
    """Return what the networks of the prior draw, f32[c, height, width] in 0..1."""
    return draw_samples(codes, prior_networks(pyramid), pyramid, region).transpose(2, 0, 1)
