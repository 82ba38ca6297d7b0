"""Fourier features: sines and cosines of random frequencies, then a ReLU perceptron.

Tancik et al., "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional
Domains" (2020), https://arxiv.org/abs/2006.10739, section 5. Coordinates here span [-1, 1], not
[0, 1], so their sigma of 10 is 5 here. The frequencies are drawn on a grid of 1/16 of a cycle and
stored as whole numbers: the decoder draws nothing.
"""

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from inr.exact.work import ACTIVATION_MACS
from inr.format.wire import FloatField, VarintField, Wire
from inr.mlp.fields.protocol import NumpyParams, Params, Shapes, hidden_of, n_weights

if TYPE_CHECKING:
    import jax

FREQUENCY_STEP = 1 / 16  # cycles per unit coordinate; coarse enough to be cheap, exact in float32
_MOST_PHASES = 1 << 20  # at once, 4 MB: a narrow network may have thousands of frequencies


@dataclass(frozen=True)
class Fourier:
    """[cos(2 pi v B), sin(2 pi v B)], n_layers of ReLU, then a linear layer."""

    hidden: int | None = None  # units of a layer; None: chosen by the target
    n_layers: int = 4  # ReLU layers; one linear layer follows
    n_frequencies: int = 64  # columns of B; the perceptron sees twice as many features
    sigma: float = 6.0  # standard deviation of the frequencies, cycles per unit coordinate

    WIRE: ClassVar[Wire] = (
        ("hidden", VarintField(1, 4096)),
        ("n_layers", VarintField(1, 64)),
        ("n_frequencies", VarintField(1, 4096)),
        ("sigma", FloatField(1e-3, 1e3)),
    )

    def with_size(self, hidden: int, n_layers: int) -> "Fourier":
        return replace(self, hidden=hidden, n_layers=n_layers)

    def shapes(self, n_channels: int) -> Shapes:
        """frequencies [2, n_frequencies], then weights and bias of each layer."""
        sizes = [2 * self.n_frequencies, *[hidden_of(self)] * self.n_layers, n_channels]
        shapes: dict[str, tuple[int, ...]] = {"frequencies": (2, self.n_frequencies)}
        for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
            shapes[f"w{i}"] = (n_in, n_out)
            shapes[f"b{i}"] = (n_out,)
        return shapes

    def matrices(self, n_channels: int) -> Shapes:
        return {
            name: shape
            for name, shape in self.shapes(n_channels).items()
            if len(shape) == 2 and name != "frequencies"
        }

    def fixed_steps(self) -> dict[str, float]:
        return {"frequencies": FREQUENCY_STEP}

    def fixed_bits(self) -> float:
        # The entropy of a Gaussian, log2(sigma sqrt(2 pi e)), on a grid of that step.
        bits = 0.5 * np.log2(2 * np.pi * np.e) + np.log2(self.sigma / FREQUENCY_STEP)
        return float(2 * self.n_frequencies * max(0.0, bits))

    def init(self, rng: "np.random.Generator", n_channels: int) -> dict[str, np.ndarray]:
        """Frequencies N(0, sigma**2) on their grid; weights uniform after He et al. (2015)."""
        params = {}
        for name, shape in self.shapes(n_channels).items():
            if name == "frequencies":
                drawn = rng.normal(0.0, self.sigma, shape)
                params[name] = np.round(drawn / FREQUENCY_STEP) * FREQUENCY_STEP
            elif len(shape) == 2:
                bound = np.sqrt(6 / shape[0])
                params[name] = rng.uniform(-bound, bound, shape)
            else:
                params[name] = np.zeros(shape)
        return {name: value.astype(np.float32) for name, value in params.items()}

    def apply(self, params: Params, coords: "jax.Array") -> "jax.Array":
        import jax.numpy as jnp

        from inr.mlp.fields.sine import sine

        # Features first, as in siren.py.
        phase = (np.float32(2 * np.pi) * params["frequencies"]).T @ coords.T  # [n_frequencies, n]
        h = jnp.concatenate([sine(phase + np.float32(np.pi / 2)), sine(phase)])
        for i in range(self.n_layers):
            h = jnp.maximum(params[f"w{i}"].T @ h + params[f"b{i}"][:, None], 0)  # [hidden, n]
        h = params[f"w{self.n_layers}"].T @ h + params[f"b{self.n_layers}"][:, None]
        return h.T  # [n, n_channels]

    def evaluate(self, params: NumpyParams, coords: np.ndarray) -> np.ndarray:
        n = max(1, _MOST_PHASES // self.n_frequencies)
        parts = [self._evaluate(params, coords[i : i + n]) for i in range(0, len(coords), n)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def macs(self, n_channels: int, n_points: int) -> int:
        # Of each frequency a sine, a cosine, and as much again to make and to copy them.
        n_activations = 4 * self.n_frequencies + hidden_of(self) * self.n_layers
        return n_points * (n_weights(self.shapes(n_channels)) + ACTIVATION_MACS * n_activations)

    def _evaluate(self, params: NumpyParams, coords: np.ndarray) -> np.ndarray:
        phase = np.float32(2 * np.pi) * (coords @ params["frequencies"])
        h = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
        for i in range(self.n_layers):
            h = h @ params[f"w{i}"]
            h += params[f"b{i}"]
            np.maximum(h, 0, out=h)
        h = h @ params[f"w{self.n_layers}"]
        h += params[f"b{self.n_layers}"]
        return h
