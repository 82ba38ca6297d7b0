"""The layers of `inr.cae.exact.chain`, which says what they compute and why it is exact.

Features are integers here, in units of 2**-12, in float64. A layer makes its output in bands of
rows that stay in the cache and that threads share; the layers behind it that change each place by
itself follow at once on the same band.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from inr.cae.exact.pointwise import LIMIT, ONE, Change, Tensors, change_of, round_and_clip
from inr.cae.layers import Abs, Chain, Conv, Deconv, Gate, Gdn, Layer, Relu, Scale, Shuffle, Sum

_BAND_VALUES = 1 << 18  # 2 MB of the matrix that a band is made of


def compute(
    chain: Chain, tensors: Tensors, scales: Tensors, x: np.ndarray, pool: Executor
) -> np.ndarray:
    """Compute what the chain makes of x.

    Args:
      tensors, scales: of `exact_tensors` and `exact_scales`.
      x: f64[height, width, channels], integers up to 2**25, in units of 2**-12.
      pool: threads that share the rows of each layer.
    Returns:
      f64[height', width', channels'] in the same units; x itself if the chain is empty.
    Raises:
      ValueError: a layer takes other channels or whole blocks of pixels only.
    """
    for part in parts(chain):
        head = _head(part[0], tensors, scales, x, pool)
        x = _fill(head, [change_of(layer, tensors, scales) for layer in part[1:]], pool)
    return x


def parts(chain: Chain) -> Iterator[Chain]:
    """Cut the chain into layers, each with those behind it that change single places."""
    while chain:
        n = 1
        while n < len(chain) and isinstance(chain[n], Gdn | Scale | Relu | Abs):
            n += 1
        yield chain[:n]
        chain = chain[n:]


@dataclass(frozen=True)
class _Head:
    """How the output of a layer is made, some of its first axis at a time."""

    shape: tuple[int, int, int, int]  # [h, s, width, channels] of h * s rows
    values: int  # that fill works on for one of h
    fill: Callable[[int, np.ndarray], None]  # makes out[start : start + len(band)] in band


def _fill(head: _Head, then: list[Change], pool: Executor) -> np.ndarray:
    h, s, width, n = head.shape
    out = np.empty(head.shape)
    size = max(1, _BAND_VALUES // head.values)

    def fill(start: int) -> None:
        band = out[start : start + size]
        head.fill(start, band)
        for change in then:
            change(band.reshape(-1, n))

    for _ in pool.map(fill, range(0, h, size)):
        pass
    return out.reshape(h * s, width, n)


def _head(layer: Layer, tensors: Tensors, scales: Tensors, x: np.ndarray, pool: Executor) -> _Head:
    match layer:
        case Conv():
            return _convolve(layer, tensors, x)
        case Deconv():
            return _deconvolve(layer, tensors, x)
        case Shuffle(factor):
            return _shuffle(factor, x)
        case Sum(branches):
            return _sum([compute(branch, tensors, scales, x, pool) for branch in branches])
        case Gate(gate, value):
            g, v = (compute(part, tensors, scales, x, pool) for part in (gate, value))
            return _gate(g, v)
        case _:
            if isinstance(layer, Gdn | Scale):
                _check(x, layer, layer.n)
            return _change(change_of(layer, tensors, scales), x)


def _convolve(layer: Conv, tensors: Tensors, x: np.ndarray) -> _Head:
    """Each band is one product: the kernels' inputs, copied side by side, times w."""
    k, s = layer.kernel, layer.stride
    _check(x, layer, layer.n_in, s)
    height, width, n_in = x.shape
    before = max(0, k - s) // 2
    w = tensors[f"{layer.name}_w"].reshape(k * k * n_in, layer.n_out)
    bias = _bias(layer, tensors)
    cols = (-before, width - s - before + k)

    def fill(start: int, band: np.ndarray) -> None:
        first = start * s - before
        part = _window(x, (first, first + (len(band) - 1) * s + k), cols)
        seen = np.lib.stride_tricks.sliding_window_view(part, (k, k), (0, 1))[::s, ::s]
        seen = seen.transpose(0, 1, 3, 4, 2).reshape(-1, k * k * n_in)  # [places, inputs], a copy
        y = np.matmul(seen, w, out=band.reshape(-1, layer.n_out))
        y += bias
        round_and_clip(y)

    h, columns = height // s, width // s
    return _Head((h, 1, columns, layer.n_out), columns * k * k * n_in, fill)


def _deconvolve(layer: Deconv, tensors: Tensors, x: np.ndarray) -> _Head:
    """Input blocks times w give k x k outputs each; where those overlap they are added."""
    k, s, n = layer.kernel, layer.stride, layer.n_out
    _check(x, layer, layer.n_in)
    h, width, n_in = x.shape
    w, bias = tensors[f"{layer.name}_w"], _bias(layer, tensors)
    blocks = _blocks(k, s)

    def fill(start: int, band: np.ndarray) -> None:
        out = band.reshape(len(band), s, width, s, n)
        out[:] = bias
        for dy, rows, ky in blocks:  # output block i has the rows of ky from input i - dy
            first, last = max(start - dy, 0), min(start + len(band) - dy, h)
            if first >= last:
                continue
            part = x[first:last].reshape(-1, n_in)
            y = part @ w[ky].reshape(-1, n_in).T
            y = y.reshape(last - first, width, -1, k, n).transpose(0, 2, 1, 3, 4)
            below = out[first + dy - start : last + dy - start, rows]
            for dx, cols, kx in blocks:
                left, right = max(dx, 0), min(width + dx, width)
                if left < right:
                    below[:, :, left:right, cols] += y[:, :, left - dx : right - dx, kx]
        round_and_clip(band)

    return _Head((h, s, width * s, n), width * max(-(-k // s) * s * k, s * s) * n, fill)


def _blocks(kernel: int, stride: int) -> list[tuple[int, slice, slice]]:
    """List the blocks of the output that one input reaches: how far on they lie, the places inside
    of the block, and those of the kernel."""
    before = max(0, kernel - stride) // 2
    found = []
    for d in range(-before // stride, (kernel - 1 - before) // stride + 1):
        first, last = max(0, d * stride + before), min(kernel, (d + 1) * stride + before)
        place = first - before - d * stride
        found.append((d, slice(place, place + last - first), slice(first, last)))
    return found


def _shuffle(factor: int, x: np.ndarray) -> _Head:
    height, width, n = x.shape
    if n % factor**2:
        raise ValueError(f"Shuffle({factor}) takes a multiple of {factor**2} channels, x has {n}")
    channels = n // factor**2

    def fill(start: int, band: np.ndarray) -> None:
        part = x[start : start + len(band)].reshape(-1, width, factor, factor, channels)
        band.reshape(-1, factor, width, factor, channels)[:] = part.swapaxes(1, 2)

    return _Head((height, factor, width * factor, channels), width * n, fill)


def _sum(branches: list[np.ndarray]) -> _Head:
    def fill(start: int, band: np.ndarray) -> None:
        band[:, 0] = branches[0][start : start + len(band)]
        for branch in branches[1:]:
            band[:, 0] += branch[start : start + len(band)]
        np.clip(band, -LIMIT, LIMIT, out=band)

    return _alike(branches[0], fill)


def _gate(gate: np.ndarray, value: np.ndarray) -> _Head:
    def fill(start: int, band: np.ndarray) -> None:
        g = gate[start : start + len(band), None] * (1 / ONE)
        root = g * g
        root += 1
        np.sqrt(root, out=root)
        g /= root
        g += 1
        np.multiply(value[start : start + len(band), None], g, out=band)
        band *= 0.5
        round_and_clip(band)

    return _alike(value, fill)


def _change(change: Change, x: np.ndarray) -> _Head:
    def fill(start: int, band: np.ndarray) -> None:
        band[:, 0] = x[start : start + len(band)]
        change(band.reshape(-1, band.shape[-1]))

    return _alike(x, fill)


def _alike(x: np.ndarray, fill: Callable[[int, np.ndarray], None]) -> _Head:
    h, width, n = x.shape
    return _Head((h, 1, width, n), width * n, fill)


def _bias(layer: Conv | Deconv, tensors: Tensors) -> np.ndarray:
    return tensors[f"{layer.name}_b"] * ONE if layer.has_bias else np.zeros(layer.n_out)


def _window(x: np.ndarray, rows: tuple[int, int], cols: tuple[int, int]) -> np.ndarray:
    """Cut x[rows, cols], with zeros where x has none."""
    height, width, n = x.shape
    top, bottom = max(rows[0], 0), min(rows[1], height)
    left, right = max(cols[0], 0), min(cols[1], width)
    out = np.zeros((rows[1] - rows[0], cols[1] - cols[0], n))
    if top < bottom and left < right:
        part = x[top:bottom, left:right]
        out[top - rows[0] : bottom - rows[0], left - cols[0] : right - cols[0]] = part
    return out


def _check(x: np.ndarray, layer: Conv | Deconv | Gdn | Scale, n: int, stride: int = 1) -> None:
    """Refuse channels and sides that the layer does not take."""
    *sides, channels = x.shape
    if channels != n:
        raise ValueError(f"{layer.name!r} takes {n} channels, not {channels}; check the input")
    if any(side % stride for side in sides):
        raise ValueError(f"{layer.name!r} takes multiples of {stride}, not {sides}; extend it")
