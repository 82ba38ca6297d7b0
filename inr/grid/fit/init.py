"""The first networks of a fit."""

import numpy as np

from inr.grid.prior import prior_networks
from inr.grid.structure import Pyramid, Shape

# Keys' cubic at a quarter of a pixel, nearest taps in the middle: where the upsampling starts.
CUBIC = (-0.0703125, 0.8671875, 0.2265625, -0.0234375)
_CONTEXT_GAIN = 0.3  # of uniform weights scaled by 1 / sqrt(inputs); larger ones start unstable
_COLOUR_GAIN = 0.1
_HIDDEN_COLOUR_GAIN = 0.03
_N_BRIGHTNESS = 3  # finest levels that begin as plain brightness: random colours there cost 3 %
_CONV_BIAS = 1 / 16  # of the first 3x3 layer: at 0 its rectifier would pass no gradient, ever
_LOG_SCALE = -1.0  # of the first Laplace densities


def first_networks(
    pyramid: Pyramid, mean: np.ndarray, rng: np.random.Generator, spread: float = 0.0
) -> dict[str, np.ndarray]:
    """f32 tensors: those of the prior, and random ones where there is none.

    Args:
      mean: without a prior, the colour, f32[c] in 0..1, in which zero latents are drawn.
      spread: standard deviation of factors on the prior, about 1.
    """
    prior = prior_networks(pyramid)
    networks = {}
    for name, shape in pyramid.shapes.items():
        random = _tensor(name, shape, mean, rng)
        known = prior[name] * (1 + spread * rng.standard_normal(shape)) if spread else prior[name]
        # A row of zeros is none that was trained; a single zero may be.
        is_known = np.any(known != 0, axis=tuple(range(1, known.ndim)), keepdims=True)
        networks[name] = np.where(is_known, known, random).astype(np.float32)
    return networks


def _tensor(name: str, shape: Shape, mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if name.startswith("up"):
        return np.array(CUBIC, np.float32)
    if name == "synth_b1":
        return (mean - _CONV_BIAS).astype(np.float32)
    if name == "conv_b0":
        return np.full(shape, _CONV_BIAS, np.float32)
    if name.endswith("_b2"):
        return np.array([0, _LOG_SCALE], np.float32)
    if name.startswith("conv") or len(shape) == 1:
        return np.zeros(shape, np.float32)
    gain = 1.0
    if name.startswith("context"):
        gain = _CONTEXT_GAIN
    elif name == "synth_linear":
        gain = _COLOUR_GAIN
    elif name == "synth_w1":
        gain = _HIDDEN_COLOUR_GAIN
    weights: np.ndarray = gain * rng.uniform(-1, 1, shape) / np.sqrt(shape[1])
    if name == "synth_linear":
        weights[:, -_N_BRIGHTNESS:] = _COLOUR_GAIN
    return weights.astype(np.float32)
