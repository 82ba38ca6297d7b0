"""Draws a grid picture: upsampling and synthesis of `inr.grid.fit.model` in exact fixed point.

    round(v, k)     floor(v * 2**k + 0.5) * 2**-k
    latents         integers, which count 2**-octaves (Pyramid.octaves)
    features        round(., 10) once an octave, after the pass over rows and that over columns
    hidden          exact, or rounded as `inr.grid.synthesis_bounds` says
    colours         round(., 20) and clipped to +-8, then round(., 20) after each convolution
    samples         round(colour in 0..1 * peak, 0)

In structures with a rate the latents go on beyond the picture as their edges are, and features and
colours there follow from them; in the others each size of features, and the colours that the second
convolution sees, are repeated at the edges.

A larger picture is drawn of features that are interpolated by cubic convolution (resample.py),
first along columns, and round(., 10) after each axis: of photographs at half size, that comes
nearer to the original than the drawn picture interpolated (scripts/bench grid scale).

`check_exact` proves that all sums are exact, so that their order does not matter. The picture is
drawn in tiles that stay in cache; nothing but the output grows with its size.
"""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from inr.exact.fixed_point import round_in_place
from inr.exact.threads import tile_pool
from inr.grid.structure import Pyramid
from inr.grid.synthesis_bounds import (
    COLOUR_BITS,
    COLOUR_LIMIT,
    FEATURE_BITS,
    NumpyParams,
    Rounding,
    check_exact,
)
from inr.image.region import Region
from inr.image.resample import Taps, apply_taps, taps_between

TILE = 128  # rows and columns; features over them are 1 MB
_CHUNK = 1024  # pixels whose hidden values are at hand at once: 400 kB for a width of 48
MARGIN = 2  # pixels around a tile that two 3x3 convolutions see
_COMPARED_BITS = 16  # bit depth of what is drawn to be compared
_OVERSHOOT = 1.25**2  # of cubic convolution along both axes
_FEATURE_UNIT, _COLOUR_UNIT = 2.0**-FEATURE_BITS, 2.0**-COLOUR_BITS


def synthesize(
    latents: list[np.ndarray],
    params: NumpyParams,
    pyramid: Pyramid,
    bit_depth: int,
    region: Region | None = None,
    n_threads: int | None = None,
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Draw the picture, or a region of it.

    Args:
      latents: i32[h, w] of each level of `pyramid.levels`, in that order.
      params: f64, the tensors of `pyramid.synthesis_groups`, multiples of 2**-16.
      bit_depth: 8 or 16.
      region: the part to draw, within the picture of that size; None for all.
      n_threads: tiles drawn at once; None for one a core.
      size: height and width, neither below the picture's own; None for these.
    Returns:
      u8 or u16 [region height, region width, n_channels]
    Raises:
      FormatError: the sums could be inexact, see `check_exact`.
    """
    height, width = size if size is not None else (pyramid.height, pyramid.width)
    region = region if region is not None else Region(0, 0, width, height)
    most = max_drawn(latents, pyramid)
    rounding = check_exact(params, pyramid, most if size is None else math.ceil(_OVERSHOOT * most))
    planes, units = _planes(latents, pyramid), _units(pyramid)
    net = _Net.of(params, rounding)
    peak = 2**bit_depth - 1
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    out = np.empty((region.height, region.width, pyramid.n_channels), dtype)
    heights, widths = zip(*(pyramid.size_at(e) for e in range(len(planes))), strict=True)

    def synthesize_tile(tile: tuple[_Span, _Span]) -> None:
        row, col = tile
        features = _features(planes, units, row, col, rounding.row_bits)
        for axis, span in ((1, row), (2, col)):
            if span.taps is not None:
                features = round_in_place(apply_taps(features, span.taps, axis))
        colours = _synthesis(features, net, row, col)
        samples = np.clip(colours, 0, 1 / _COLOUR_UNIT) * (peak * _COLOUR_UNIT)
        y, x = row.start - region.y, col.start - region.x
        out[y : y + row.size, x : x + col.size] = round_in_place(samples).transpose(1, 2, 0)

    with tile_pool(n_threads) as pool:
        is_endless = pyramid.structure.has_rate
        cols = _spans(params, widths, region.x, region.width, width, is_endless)
        rows = _spans(params, heights, region.y, region.height, height, is_endless)
        for _ in pool.map(synthesize_tile, product(rows, cols)):
            pass
    return out


def draw_samples(
    latents: list[np.ndarray], params: NumpyParams, pyramid: Pyramid, region: Region | None = None
) -> np.ndarray:
    """Draw f32[height, width, n_channels] in 0..1, to be compared with a picture; else as
    `synthesize`."""
    drawn = synthesize(latents, params, pyramid, _COMPARED_BITS, region)
    samples: np.ndarray = drawn.astype(np.float32) / np.float32((1 << _COMPARED_BITS) - 1)
    return samples


def max_drawn(latents: list[np.ndarray], pyramid: Pyramid) -> int:
    """Return the largest |latent| of the drawn levels, which `check_exact` wants."""
    drawn = [y for level, y in zip(pyramid.levels, latents, strict=True) if not level.is_hyper]
    return max(max(int(y.max()), -int(y.min())) for y in drawn)


def _planes(latents: list[np.ndarray], pyramid: Pyramid) -> list[list[np.ndarray]]:
    """By exponent, what joins the features there: drawn latents, and a 1 for the biases at 0."""
    planes: list[list[np.ndarray]] = [[] for _ in range(pyramid.levels[0].exponent + 1)]
    for level, y in zip(pyramid.levels, latents, strict=True):
        if not level.is_hyper:
            planes[level.exponent].append(y)
    planes[0].append(np.broadcast_to(np.int32(1), pyramid.size_at(0)))
    return planes


def _units(pyramid: Pyramid) -> list[float]:
    """By exponent, what a latent counts, in units of features."""
    exponents = range(pyramid.levels[0].exponent + 1)
    return [math.ldexp(1 / _FEATURE_UNIT, -pyramid.octaves_at(e)) for e in exponents]


@dataclass(frozen=True)
class _Span:
    """Rows of a tile, or its columns, and what they are made of."""

    start: int
    size: int
    # The first and the last row of the picture, where colours beyond it are repeated.
    touches: tuple[bool, bool]
    # By exponent: positions that are needed. At 0 they include the margin, edges repeated unless
    # it is endless, and unless there are taps.
    needed: tuple[np.ndarray, ...]
    # By exponent of the finer size: f64[needed there, needed one coarser], edges folded in.
    doubling: tuple[np.ndarray, ...]
    # Of a picture that is larger along this axis: from what is needed at 0 to the positions with
    # their margin, edges repeated.
    taps: Taps | None


def _spans(
    params: NumpyParams,
    sizes: tuple[int, ...],
    start: int,
    size: int,
    out_of: int,
    is_endless: bool,
) -> list[_Span]:
    """Cut size positions from start on, of out_of in all, into spans.

    Args:
      sizes: of the features by exponent.
      is_endless: features go on beyond the picture.
    """
    spans = []
    repeats = not is_endless or out_of != sizes[0]  # what is interpolated has edges
    for at in range(start, start + size, TILE):
        n = min(TILE, start + size - at)
        positions = np.arange(at - MARGIN, at + n + MARGIN)
        if repeats:
            positions = np.clip(positions, 0, out_of - 1)
        taps, needed = None, [positions]
        if out_of != sizes[0]:
            taps = taps_between(sizes[0], out_of, positions[0], positions[-1] + 1)
            first, places = taps.index.min(), positions - positions[0]
            needed = [np.arange(first, taps.index.max() + 1)]
            taps = Taps(taps.index[places] - first, taps.weights[places])
        doubling = []
        for e, coarser in enumerate(sizes[1:]):
            first, last = needed[e][[0, -1]] // 2
            of = np.arange(first - 2, last + 3)
            if not is_endless:
                of = of[(of >= 0) & (of < coarser)]
            needed.append(of)
            doubling.append(_doubling(params[f"up{e}"], needed[e], of))
        touches = (at == 0 and repeats, at + n == out_of and repeats)
        spans.append(_Span(at, n, touches, tuple(needed), tuple(doubling), taps))
    return spans


def _doubling(taps: np.ndarray, to: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return the matrix that doubles one axis: `taps` for odd positions, mirrored ones for even.
    Positions beyond `of` are its ends."""
    matrix = np.zeros((to.size, of.size))
    is_odd = to % 2
    for t in range(4):
        source = np.clip(to // 2 - 2 + is_odd + t, of[0], of[-1])
        matrix[np.arange(to.size), source - of[0]] += np.where(is_odd, taps[t], taps[3 - t])
    return matrix


def _features(
    planes: list[list[np.ndarray]],
    units: list[float],
    row: _Span,
    col: _Span,
    row_bits: tuple[int | None, ...],
) -> np.ndarray:
    """f64[n_drawn + 1, rows, columns] in units of 2**-10; the last is 1."""
    coarser = np.empty((0, 0, 0))
    for e in reversed(range(len(planes))):
        n, h, w = len(coarser), row.needed[e].size, col.needed[e].size
        stack = np.empty((n + len(planes[e]), h, w))
        if n > 0:
            tall = row.doubling[e] @ coarser  # [n, h, coarser w]
            bits = row_bits[e]
            if bits is not None:
                tall = round_in_place(tall * 2.0 ** (bits - FEATURE_BITS)) * 2.0 ** (
                    FEATURE_BITS - bits
                )
            wide = stack[:n].reshape(n * h, w)
            np.matmul(tall.reshape(n * h, -1), col.doubling[e].T, out=wide)
            round_in_place(wide)
        for i, y in enumerate(planes[e], n):
            at = [np.clip(s.needed[e], 0, n - 1) for s, n in zip((row, col), y.shape, strict=True)]
            np.multiply(y[np.ix_(*at)], units[e], out=stack[i])
        coarser = stack
    return coarser


@dataclass(frozen=True)
class _Net:
    """The synthesis for features in units of 2**-10 and colours in units of 2**-20."""

    w0: np.ndarray  # [hidden, n_drawn + 1]
    w1: np.ndarray  # [4, hidden]
    linear: np.ndarray  # [4, n_drawn + 1]
    convs: tuple[tuple[np.ndarray, np.ndarray], ...]  # [3 c, 3 c] and [c, 1, 1]
    hidden_bits: int | None

    @classmethod
    def of(cls, params: NumpyParams, rounding: Rounding) -> "_Net":
        c = len(params["synth_b1"])
        rows = ((0, max(0, 4 - c)), (0, 0))  # OpenBLAS takes half as long for 4 rows as for 3
        convs = []
        for i in range(2):
            w = params[f"conv_w{i}"].reshape(c, 3, 3, c).swapaxes(0, 1)  # [y, c_out, x, c_in]
            b = params[f"conv_b{i}"][:, None, None] / _COLOUR_UNIT
            convs.append((w.reshape(3 * c, 3 * c), b))
        linear = np.column_stack([params["synth_linear"], params["synth_b1"]])
        return cls(
            np.column_stack([params["synth_w0"], params["synth_b0"]]) * _FEATURE_UNIT,
            np.pad(params["synth_w1"], rows) / _COLOUR_UNIT,
            np.pad(linear, rows) * (_FEATURE_UNIT / _COLOUR_UNIT),
            tuple(convs),
            rounding.hidden_bits,
        )


def _synthesis(features: np.ndarray, net: _Net, row: _Span, col: _Span) -> np.ndarray:
    """f64[n_channels, row.size, col.size] in units of 2**-20, not clipped."""
    x = features.reshape(len(features), -1)
    out = np.empty((len(net.w1), x.shape[1]))
    hidden = np.empty((len(net.w0), min(_CHUNK, x.shape[1])))
    for at in range(0, x.shape[1], _CHUNK):
        part = x[:, at : at + _CHUNK]
        h = np.matmul(net.w0, part, out=hidden[:, : part.shape[1]])
        np.maximum(h, 0, out=h)
        if net.hidden_bits is not None:
            h = round_in_place(h * 2.0**net.hidden_bits) * 2.0**-net.hidden_bits
        out[:, at : at + _CHUNK] = net.w1 @ h + net.linear @ part
    limit = COLOUR_LIMIT / _COLOUR_UNIT
    (w0, b0), (w1, b1) = net.convs
    colours = out[: len(b0)].reshape(len(b0), *features.shape[1:])
    colours = np.clip(round_in_place(colours), -limit, limit, out=colours)
    change = _convolve(colours, w0, b0)
    np.maximum(change, 0, out=change)
    colours = round_in_place(np.add(change, colours[:, 1:-1, 1:-1], out=change))
    _repeat_edges(colours, row, col)
    change = _convolve(colours, w1, b1)
    return round_in_place(np.add(change, colours[:, 1:-1, 1:-1], out=change))


def _convolve(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """3x3 convolution of [c, h, w] without its outermost pixels."""
    c, h, width = x.shape
    shifted = np.stack([x[:, :, j : j + width - 2] for j in range(3)])  # [3, c, h, width - 2]
    y = (w @ shifted.reshape(3 * c, -1)).reshape(3, c, h, width - 2)  # one of each row of w
    out: np.ndarray = y[0, :, :-2] + y[1, :, 1:-1]
    out += y[2, :, 2:]
    out += b
    return out


def _repeat_edges(x: np.ndarray, row: _Span, col: _Span) -> None:
    """Where a margin of one pixel lies outside the picture, copies the picture's edge there."""
    for axis, span in ((1, row), (2, col)):
        view = np.moveaxis(x, axis, 0)
        if span.touches[0]:
            view[0] = view[1]
        if span.touches[1]:
            view[-1] = view[-2]
