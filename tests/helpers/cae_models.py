"""Tiny models to train, pictures for them, and chains of layers once more in numpy and float64."""

import functools
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.paths import PICTURES
from inr.cae.entropy_models import Factorized, Hyperprior
from inr.cae.layers import (
    Abs,
    Conv,
    Deconv,
    Gate,
    Gdn,
    Relu,
    Scale,
    Shuffle,
    Sum,
)
from inr.cae.model import Model
from inr.cae.training.held_out import identity
from inr.cae.training.pictures import Pictures, Source
from inr.cae.training.settings import TrainSettings
from inr.cae.training.step import init_params
from inr.cae.transforms import Balle2017, Residual

PLAIN = Model(Balle2017(4, 4, has_latent_gdn=False, is_modulated=False), Factorized(), 1e-3, 1e-3)
TINY = Model(Balle2017(4, 6, has_latent_gdn=False, has_shortcut=True), Hyperprior(4))
SLIM = Model(Balle2017(4, 4, is_modulated=False), Factorized(), 1e-3, 4e-3, widths=(2, 4))
RESIDUAL = Model(Residual(4, 4), Hyperprior(4))

QUICK = TrainSettings(steps=6, batch=2, side=64, learning_rate=1e-2, warmup_steps=1, ema=0.9)


def photo(name="flower_foveon_down3", height=128, width=128):
    """u8[height, width, 3], the upper left part of a picture of the project."""
    with Image.open(PICTURES / f"{name}.png") as image:
        return np.asarray(image.convert("RGB"))[:height, :width]


@functools.cache
def _made_once(model, seed):
    return init_params(model, seed)


def first_params(model, seed=0):
    """Weights before the first step, in dicts of their own: making them takes seconds."""
    return {group: dict(tensors) for group, tensors in _made_once(model, seed).items()}


def in_memory(*arrays):
    """Pictures without files."""
    sources = tuple(Source(Path(f"picture {i}")) for i in range(len(arrays)))
    sizes = np.array([a.shape[:2] for a in arrays])
    return Pictures(sources, sizes, arrays, 0, tuple(map(identity, arrays)))


def random_params(shapes, seed=0):
    """f64 tensors by name, those of GDN positive."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, shape in shapes.items():
        made[name] = rng.normal(size=shape) / np.sqrt(max(1, np.prod(shape[:3])))
        if name.endswith(("_beta", "_gamma")):
            made[name] = 0.05 + np.abs(made[name])
    return made


# ------------------------------------------------- layers as their definitions have them


def conv64(x, w, stride):
    """Correlation of f64[h, w, n_in] with w [kernel, kernel, n_in, n_out], a number at a time."""
    kernel = w.shape[0]
    before = max(0, kernel - stride) // 2
    rows, cols = x.shape[0] // stride, x.shape[1] // stride
    y = np.zeros((rows, cols, w.shape[3]))
    for row, col, dy, dx in np.ndindex(rows, cols, kernel, kernel):
        at = row * stride + dy - before, col * stride + dx - before
        if 0 <= at[0] < x.shape[0] and 0 <= at[1] < x.shape[1]:
            y[row, col] += x[at] @ w[dy, dx]
    return y


def deconv64(x, w, stride):
    """Each number of f64[h, w, n_in] draws its kernel w [kernel, kernel, n_out, n_in]."""
    kernel = w.shape[0]
    before = max(0, kernel - stride) // 2
    y = np.zeros((x.shape[0] * stride, x.shape[1] * stride, w.shape[2]))
    for row, col, dy, dx in np.ndindex(*x.shape[:2], kernel, kernel):
        at = row * stride + dy - before, col * stride + dx - before
        if 0 <= at[0] < y.shape[0] and 0 <= at[1] < y.shape[1]:
            y[at] += w[dy, dx] @ x[row, col]
    return y


def gdn64(x, beta, gamma, *, is_inverse=False):
    norm = np.empty_like(x)
    for i in range(x.shape[-1]):
        norm[..., i] = beta[i] + sum(gamma[i, j] * x[..., j] ** 2 for j in range(x.shape[-1]))
    return x * np.sqrt(norm) if is_inverse else x / np.sqrt(norm)


def shuffle64(x, factor):
    rows, cols, channels = x.shape
    n = channels // factor**2
    y = np.empty((rows * factor, cols * factor, n))
    for row, col, dy, dx in np.ndindex(rows, cols, factor, factor):
        start = (dy * factor + dx) * n
        y[row * factor + dy, col * factor + dx] = x[row, col, start : start + n]
    return y


def chain64(chain, params, x, scales):
    """A chain at f64[h, w, channels]; of GDN, params are the values themselves."""
    for layer in chain:
        match layer:
            case Conv(name, stride=stride):
                x = conv64(x, params[f"{name}_w"], stride) + params.get(f"{name}_b", 0)
            case Deconv(name, stride=stride):
                x = deconv64(x, params[f"{name}_w"], stride) + params.get(f"{name}_b", 0)
            case Gdn(name, is_inverse=is_inverse):
                beta, gamma = params[f"{name}_beta"], params[f"{name}_gamma"]
                x = gdn64(x, beta, gamma, is_inverse=is_inverse)
            case Scale(name):
                x = x * scales[name]
            case Relu(slope):
                x = np.where(x > 0, x, slope * x)
            case Abs():
                x = np.abs(x)
            case Shuffle(factor):
                x = shuffle64(x, factor)
            case Sum(branches):
                x = sum(chain64(branch, params, x, scales) for branch in branches)
            case Gate(gate, value):
                g = chain64(gate, params, x, scales)
                x = chain64(value, params, x, scales) * (1 + g / np.hypot(1, g)) / 2
    return x
