"""The tensors of `inr.cae.exact.chain`, rounded so that sums of their products are exact."""

import numpy as np

from inr.cae import layers
from inr.cae.exact.pointwise import (
    FEATURE_BITS,
    FEATURE_LIMIT,
    ONE,
    SQUARED_BITS,
    SQUARED_LIMIT,
    Tensors,
)
from inr.cae.layers import Chain, Conv, Deconv, Gdn, Shape
from inr.errors import UsageError
from inr.exact.fixed_point import EXACT_BITS, Bounds, round_to

WEIGHT_BITS = 14  # fraction of a weight and of what Scale multiplies by
_SUM_BITS = FEATURE_BITS + WEIGHT_BITS
_GAMMA_BITS = 24  # most bits of fraction of a gamma
_LEAST_BETA = 1e-6


def exact_tensors(chain: Chain, params: Tensors) -> dict[str, np.ndarray]:
    """Round the tensors of all layers.

    Args:
      params: f16, f32 or f64, at least the tensors of `layers.shapes(chain)`.
    Returns:
      f64 tensors of those names and shapes.
    Raises:
      ValueError: a tensor is missing, has another shape, is not finite or so large that sums could
        be inexact, or a Gdn has a negative number.
    """
    found = {name: _require(name, shape, params) for name, shape in layers.shapes(chain).items()}
    tensors: dict[str, np.ndarray] = {}
    for layer in layers.walk(chain):
        match layer:
            case Conv() | Deconv():
                tensors |= _exact_conv(layer, found)
            case Gdn(name):
                tensors |= _exact_gdn(name, found)
            case _:
                pass
    return tensors


def exact_scales(chain: Chain, scales: Tensors) -> dict[str, np.ndarray]:
    """Round the vectors of all Scale layers.

    Args:
      scales: f16, f32 or f64[n] by the names of the layers.
    Returns:
      f64[n] by those names.
    Raises:
      ValueError: a vector is missing, has another length, is not finite or too large.
    """
    found: dict[str, np.ndarray] = {}
    for name, n in layers.scales(chain).items():
        found[name] = round_to(_require(name, (n,), scales), WEIGHT_BITS)
        _check(name, np.abs(found[name]) * FEATURE_LIMIT)
    return found


def _require(name: str, shape: Shape, params: Tensors) -> np.ndarray:
    if name not in params:
        raise UsageError(f"{name!r} is missing; pass the tensors of this very architecture")
    w = np.asarray(params[name], np.float64)
    if w.shape != shape:
        raise UsageError(f"{name!r} is {list(w.shape)}, not {list(shape)}; is it another width?")
    if not np.isfinite(w).all():
        raise UsageError(f"{name!r} holds numbers that are not finite; train it again")
    return w


def _exact_conv(layer: Conv | Deconv, found: Tensors) -> dict[str, np.ndarray]:
    """Round kernel and bias. Each output of a Deconv meets a part of its kernel only, so that there
    the bound is not tight."""
    name = f"{layer.name}_w"
    tensors = {name: round_to(found[name], WEIGHT_BITS)}
    axes = (0, 1, 2) if isinstance(layer, Conv) else (0, 1, 3)
    sums = np.abs(tensors[name]).sum(axes) * FEATURE_LIMIT
    if layer.has_bias:
        b = tensors[f"{layer.name}_b"] = round_to(found[f"{layer.name}_b"], _SUM_BITS)
        sums += np.abs(b)
    _check(name, sums)
    return tensors


def _exact_gdn(name: str, found: Tensors) -> dict[str, np.ndarray]:
    beta, gamma = found[f"{name}_beta"], found[f"{name}_gamma"]
    for tensor, w in ((f"{name}_beta", beta), (f"{name}_gamma", gamma)):
        if (w < 0).any():
            raise UsageError(f"{tensor!r} holds {w.min()}, below 0; export what GDN itself uses")
    for bits in reversed(range(_GAMMA_BITS + 1)):
        unit = 2.0 ** (2 * SQUARED_BITS + bits)  # of the sum
        b = np.maximum(round_to(beta, 2 * SQUARED_BITS + bits), np.ceil(_LEAST_BETA * unit) / unit)
        g = round_to(gamma, bits)
        if Bounds.of(g.sum(1) * SQUARED_LIMIT**2 + b, 2 * SQUARED_BITS + bits).is_exact():
            return {f"{name}_beta": b, f"{name}_gamma": g}
    raise UsageError(
        f"{name}_gamma: a row sums up to {gamma.sum(1).max():g}, so that sums could be inexact; "
        f"keep them below {2.0 ** (EXACT_BITS - 2 * SQUARED_BITS) / SQUARED_LIMIT**2:g}"
    )


def _check(name: str, sums: np.ndarray) -> None:
    """Refuse sums up to these that, with the half that rounding adds, could be inexact."""
    if not Bounds.of(sums + 0.5 / ONE, _SUM_BITS).is_exact():
        limit = 2.0 ** (EXACT_BITS - _SUM_BITS)
        raise UsageError(
            f"{name!r}: sums may reach {sums.max():g} and could be inexact; keep the weights of an "
            f"output below {limit / FEATURE_LIMIT:g} in sum"
        )
