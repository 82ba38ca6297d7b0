"""SIREN: a multilayer perceptron whose activations are sines.

Sitzmann et al., "Implicit Neural Representations with Periodic Activation Functions" (2020),
https://arxiv.org/abs/2006.09661, section 3.2. The first layer is initialised as in the authors'
code, uniform in +-1/n_in, and not as the paper prints it; biases, which the paper leaves open,
keep their framework's default there, uniform in +-1/sqrt(n_in).
"""

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from inr.exact.work import ACTIVATION_MACS
from inr.format.wire import FloatField, VarintField, Wire
from inr.mlp.fields.protocol import NumpyParams, Params, Shapes, hidden_of, n_weights

if TYPE_CHECKING:
    import jax


@dataclass(frozen=True)
class Siren:
    """sin(omega_0 (W h + b)) n_layers times, then a linear layer."""

    hidden: int | None = None  # units of a layer; None: chosen by the target
    n_layers: int = 6  # sine layers; one linear layer follows
    first_omega_0: float = 30.0  # frequency scale of the first sine, radians per unit coordinate
    hidden_omega_0: float = 30.0  # frequency scale of every later sine

    WIRE: ClassVar[Wire] = (
        ("hidden", VarintField(1, 4096)),
        ("n_layers", VarintField(1, 64)),
        ("first_omega_0", FloatField(1e-3, 1e5)),
        ("hidden_omega_0", FloatField(1e-3, 1e5)),
    )

    def with_size(self, hidden: int, n_layers: int) -> "Siren":
        return replace(self, hidden=hidden, n_layers=n_layers)

    def shapes(self, n_channels: int) -> Shapes:
        """w0 [2, hidden], then [hidden, hidden], last [hidden, n_channels]; a bias after each."""
        sizes = [2, *[hidden_of(self)] * self.n_layers, n_channels]
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
            shapes[f"w{i}"] = (n_in, n_out)
            shapes[f"b{i}"] = (n_out,)
        return shapes

    def matrices(self, n_channels: int) -> Shapes:
        return {name: shape for name, shape in self.shapes(n_channels).items() if len(shape) == 2}

    def fixed_steps(self) -> dict[str, float]:
        return {}

    def fixed_bits(self) -> float:
        return 0.0

    def init(self, rng: "np.random.Generator", n_channels: int) -> dict[str, np.ndarray]:
        params = {}
        for name, shape in self.shapes(n_channels).items():
            if len(shape) == 2:
                n_in, bound = shape[0], self.bound(name, shape[0])
            else:  # the bias of the matrix before it
                bound = 1 / math.sqrt(n_in)
            params[name] = rng.uniform(-bound, bound, shape).astype(np.float32)
        return params

    def bound(self, name: str, n_in: int) -> float:
        """Return the largest magnitude of a matrix's first weights."""
        return 1 / n_in if name == "w0" else math.sqrt(6 / n_in) / self.hidden_omega_0

    def _omegas(self) -> list[np.float32]:
        later = [np.float32(self.hidden_omega_0)] * (self.n_layers - 1)
        return [np.float32(self.first_omega_0), *later]

    def apply(self, params: Params, coords: "jax.Array") -> "jax.Array":
        import jax.numpy as jnp

        from inr.mlp.fields.sine import sine

        # Features first: XLA's CPU products are a fifth faster than with points first. omega_0
        # goes into the small matrix, and the bias meets a row of ones, so that its gradient is
        # part of the matrix's: a tenth faster again.
        h = coords.T  # [2, n]
        ones = jnp.ones_like(h[:1])
        for i, omega_0 in enumerate(self._omegas()):
            w = jnp.concatenate([params[f"w{i}"], params[f"b{i}"][None]])  # [n_in + 1, hidden]
            h = sine((omega_0 * w).T @ jnp.concatenate([h, ones]))  # [hidden, n]
        h = params[f"w{self.n_layers}"].T @ h + params[f"b{self.n_layers}"][:, None]
        return h.T  # [n, n_channels]

    def evaluate(self, params: NumpyParams, coords: np.ndarray) -> np.ndarray:
        h = coords
        for i, omega_0 in enumerate(self._omegas()):
            h = h @ (omega_0 * params[f"w{i}"])  # [n, hidden]
            h += omega_0 * params[f"b{i}"]
            np.sin(h, out=h)
        h = h @ params[f"w{self.n_layers}"]  # [n, n_channels]
        h += params[f"b{self.n_layers}"]
        return h

    def macs(self, n_channels: int, n_points: int) -> int:
        n_sines = hidden_of(self) * self.n_layers
        return n_points * (n_weights(self.shapes(n_channels)) + ACTIVATION_MACS * n_sines)
