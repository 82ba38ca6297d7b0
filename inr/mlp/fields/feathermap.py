"""SIREN whose matrices are read from one product of two thin ones: structured multi-hashing.

Eban et al., "Structured Multi-Hashing for Model Compression" (2020),
https://arxiv.org/abs/1911.11177, figure 2: all weights stand row by row in one square matrix, and
that is A B. Differs from the paper: biases are parameters of their own, and the factor of each
tensor is the constant that gives its weights SIREN's first variance, not trained.
"""

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from inr.errors import FormatError
from inr.format.wire import StageField, VarintField, Wire
from inr.mlp.fields.protocol import NumpyParams, Params, Shapes, n_weights
from inr.mlp.fields.siren import Siren

if TYPE_CHECKING:
    import jax

# Of the expanded network. A few stored numbers can stand for many: without a limit a small file
# could ask for gigabytes.
MAX_EXPANDED_WEIGHTS = 1 << 24

# Of the entries of A B as they are drawn. About what SIREN's hidden layers have, so that the rates
# of the optimizers suit A and B too: with 1, fits of 800 steps ended 3 to 6 dB lower; with 0.0004
# some turned chaotic.
_FIRST_DEVIATION = 0.01


@dataclass(frozen=True)
class FeathermapSiren:
    """A Siren whose matrices are parts of M = A B, [n, n]; A is [n, rank] and B [rank, n]."""

    siren: Siren = field(default_factory=Siren)
    rank: int = 6  # columns of A, rows of B; 6 leaves a tenth of the parameters of Siren(64)

    WIRE: ClassVar[Wire] = (("siren", StageField(Siren)), ("rank", VarintField(1, 4096)))

    @property
    def hidden(self) -> int | None:
        return self.siren.hidden

    @property
    def n_layers(self) -> int:
        return self.siren.n_layers

    def with_size(self, hidden: int, n_layers: int) -> "FeathermapSiren":
        return replace(self, siren=self.siren.with_size(hidden, n_layers))

    def shapes(self, n_channels: int) -> Shapes:
        """a [n, rank], b [rank, n], then the biases b0, b1, ... of Siren."""
        expanded = self.siren.matrices(n_channels)
        n = side_of(n_weights(expanded))
        shapes: dict[str, tuple[int, ...]] = {"a": (n, self.rank), "b": (self.rank, n)}
        for name, shape in self.siren.shapes(n_channels).items():
            if name not in expanded:
                shapes[name] = shape
        return shapes

    def matrices(self, n_channels: int) -> Shapes:
        return {}  # a zero in a or b would not be one in the Siren

    def fixed_steps(self) -> dict[str, float]:
        return {}

    def fixed_bits(self) -> float:
        return 0.0

    def init(self, rng: "np.random.Generator", n_channels: int) -> dict[str, np.ndarray]:
        """a and b uniform, so that the weights have mean 0 and SIREN's variance; Siren's biases."""
        biases = self.siren.init(rng, n_channels)
        # An entry of M is a sum of rank products: its variance is rank * variance(a)**2.
        deviation = math.sqrt(_FIRST_DEVIATION) * self.rank**-0.25
        bound = math.sqrt(3) * deviation
        return {
            name: biases[name]
            if name in biases
            else rng.uniform(-bound, bound, shape).astype(np.float32)
            for name, shape in self.shapes(n_channels).items()
        }

    def apply(self, params: Params, coords: "jax.Array") -> "jax.Array":
        return self.siren.apply(self._expand(params), coords)

    def evaluate(self, params: NumpyParams, coords: np.ndarray) -> np.ndarray:
        # Expanded anew for every tile: rank products a weight, where the tile has thousands.
        return self.siren.evaluate(self._expand(params), coords)

    def macs(self, n_channels: int, n_points: int) -> int:
        n = side_of(n_weights(self.siren.matrices(n_channels)))
        return n * n * self.rank + self.siren.macs(n_channels, n_points)

    def _factor(self, name: str, n_in: int) -> np.float32:
        """Return what makes weights of a tensor, drawn in +-bound by Siren, of entries of M."""
        return np.float32(self.siren.bound(name, n_in) / math.sqrt(3) / _FIRST_DEVIATION)

    def _expand(self, params: Any) -> Any:
        """Return the parameters of the Siren; jax or numpy, as given."""
        matrices = self.siren.matrices(params[f"b{self.n_layers}"].shape[0])
        n_expanded = n_weights(matrices)
        if n_expanded > MAX_EXPANDED_WEIGHTS:
            raise FormatError(
                f"feathermap expands to {n_expanded} weights, above the limit of "
                f"{MAX_EXPANDED_WEIGHTS}"
            )
        entries = (params["a"] @ params["b"]).reshape(-1)  # [n * n]
        expanded = {name: w for name, w in params.items() if name not in ("a", "b")}
        start = 0
        for name, shape in matrices.items():
            end = start + math.prod(shape)
            expanded[name] = self._factor(name, shape[0]) * entries[start:end].reshape(shape)
            start = end
        return expanded


def side_of(n_entries: int) -> int:
    """Return the rows of the smallest square matrix of so many entries: ceil(sqrt(n_entries))."""
    return math.isqrt(n_entries - 1) + 1
