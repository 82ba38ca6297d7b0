"""Layers of `inr.cae.exact.chain` that change each place by itself, in place, and their numbers.

Features are integers here, in units of 2**-12, in float64.
"""

from collections.abc import Callable, Mapping

import numpy as np

from inr.cae.layers import Abs, Gdn, Layer, Relu, Scale
from inr.exact.fixed_point import round_in_place

FEATURE_BITS = 12  # fraction of a feature
FEATURE_LIMIT = 2.0**13  # largest |feature|
ONE = 2.0**FEATURE_BITS  # what a feature of 1 is here
LIMIT = FEATURE_LIMIT * ONE
SQUARED_BITS = 8  # fraction of a feature that GDN squares
SQUARED_LIMIT = 2.0**10  # largest |feature| that GDN squares, not in units

Tensors = Mapping[str, np.ndarray]
Change = Callable[[np.ndarray], object]


def change_of(layer: Layer, tensors: Tensors, scales: Tensors) -> Change:
    """Return the layer as a function that changes f64[places, channels].

    Args:
      tensors, scales: rounded, by the names of layers.
    """
    match layer:
        case Gdn(name, _, is_inverse):
            beta, gamma = tensors[f"{name}_beta"], tensors[f"{name}_gamma"]
            return lambda x: _normalize(x, beta, gamma, is_inverse)
        case Scale(name):
            return lambda x: round_and_clip(np.multiply(x, scales[name], out=x))
        case Relu(slope):
            return lambda x: _relu(x, slope)
        case Abs():
            return lambda x: np.abs(x, out=x)
        case _:
            raise AssertionError(f"{layer} changes more than single places")


def _normalize(x: np.ndarray, beta: np.ndarray, gamma: np.ndarray, is_inverse: bool) -> None:
    u = round_in_place(x * (2.0**SQUARED_BITS / ONE))
    u *= 2.0**-SQUARED_BITS
    np.clip(u, -SQUARED_LIMIT, SQUARED_LIMIT, out=u)
    u *= u
    norm = u @ gamma.T
    norm += beta
    np.sqrt(norm, out=norm)
    round_and_clip((np.multiply if is_inverse else np.divide)(x, norm, out=x))


def _relu(x: np.ndarray, slope: float) -> None:
    np.maximum(x, round_in_place(x * slope), out=x)
    np.clip(x, -LIMIT, LIMIT, out=x)  # slopes above 1


def round_and_clip(x: np.ndarray) -> None:
    """End a layer, in place: round to 2**-12 and clip."""
    round_in_place(x)
    np.clip(x, -LIMIT, LIMIT, out=x)
