"""The layers that transforms are made of, as data.

One chain of layers is read by several: `networks` computes it in float32 with gradients, `exact` in
integers for files, and this module counts its parameters, its multiplications and its reach.

Pictures and features are [n, height, width, channels]. A convolution of stride s takes blocks of
s x s and centres its kernel on them: the input is padded with zeros, max(0, kernel - s) // 2 of
them before and the rest behind, and n * s samples become n. A Deconv is the adjoint of the Conv of
its kernel and stride.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Conv:
    """Correlation with w [kernel, kernel, n_in, n_out], plus b [n_out] if it has a bias."""

    name: str
    n_in: int
    n_out: int
    kernel: int
    stride: int = 1
    has_bias: bool = True

    @property
    def shapes(self) -> dict[str, Shape]:
        w = (self.kernel, self.kernel, self.n_in, self.n_out)
        return _with_bias(self.name, w, self.n_out if self.has_bias else 0)


@dataclass(frozen=True)
class Deconv:
    """The adjoint of a Conv from n_out to n_in channels: w [kernel, kernel, n_out, n_in], which
    makes stride times as many rows and columns, plus b [n_out] if it has a bias."""

    name: str
    n_in: int
    n_out: int
    kernel: int
    stride: int
    has_bias: bool = True

    @property
    def shapes(self) -> dict[str, Shape]:
        w = (self.kernel, self.kernel, self.n_out, self.n_in)
        return _with_bias(self.name, w, self.n_out if self.has_bias else 0)


@dataclass(frozen=True)
class Gdn:
    """Divides x_i by sqrt(beta_i + sum_j gamma_ij x_j^2); the inverse multiplies by that root."""

    name: str
    n: int
    is_inverse: bool = False

    @property
    def shapes(self) -> dict[str, Shape]:
        return {f"{self.name}_beta": (self.n,), f"{self.name}_gamma": (self.n, self.n)}


@dataclass(frozen=True)
class Scale:
    """Multiplies channel i by number i of the vector of that name, which comes from lambda."""

    name: str
    n: int


@dataclass(frozen=True)
class Relu:
    """max(x, slope * x)."""

    slope: float = 0.0


@dataclass(frozen=True)
class Abs:
    """|x|."""


@dataclass(frozen=True)
class Shuffle:
    """Depth to space: channel (row * factor + col) * n + c becomes channel c of pixel row, col in
    each block of factor x factor."""

    factor: int


@dataclass(frozen=True)
class Sum:
    """The sum of what each branch makes of the input; an empty branch gives the input back."""

    branches: tuple["Chain", ...]


@dataclass(frozen=True)
class Gate:
    """value(x) * (1 + g / sqrt(1 + g^2)) / 2 with g = gate(x).

    The sigmoid of the literature, but of operations that IEEE 754 defines to the last bit.
    """

    gate: "Chain"
    value: "Chain"

    @property
    def branches(self) -> tuple["Chain", ...]:
        return self.gate, self.value


Layer = Conv | Deconv | Gdn | Scale | Relu | Abs | Shuffle | Sum | Gate
Chain = tuple[Layer, ...]


def join(*parts: Layer | Chain) -> Chain:
    """Join layers and chains, one behind the other."""
    joined: list[Layer] = []
    for part in parts:
        joined += part if isinstance(part, tuple) else (part,)
    return tuple(joined)


def modulate(name: str, n: int, is_on: bool) -> Chain:
    """Return the layer that multiplies n channels by the vector of that name; nothing if off."""
    return (Scale(name, n),) if is_on else ()


def walk(chain: Chain) -> Iterator[Layer]:
    """List all layers, those inside of Sum and Gate in their place."""
    for layer in chain:
        match layer:
            case Sum() | Gate():
                for branch in layer.branches:
                    yield from walk(branch)
            case _:
                yield layer


def shapes(chain: Chain) -> dict[str, Shape]:
    """Return the shapes of all tensors by name, in the order of the chain."""
    found: dict[str, Shape] = {}
    for layer in walk(chain):
        if isinstance(layer, Conv | Deconv | Gdn):
            found |= layer.shapes
    return found


def scales(chain: Chain) -> dict[str, int]:
    """Return the vectors that multiply channels, and their lengths."""
    return {layer.name: layer.n for layer in walk(chain) if isinstance(layer, Scale)}


def n_params(chain: Chain) -> int:
    """Count the numbers to be trained."""
    return sum(math.prod(shape) for shape in shapes(chain).values())


def macs(chain: Chain, samples: float = 1.0) -> float:
    """Count multiply-adds of the convolutions, and of the sums of GDN.

    Args:
      samples: places of the input, as a share of the picture's pixels; the result is per pixel.
    """
    return _macs(chain, samples)[0]


def reach(chain: Chain) -> int:
    """Count the samples of the finer end between one output and the farthest input it sees.

    These are pixels around the block that becomes a latent, or that a latent is drawn on.
    """
    is_synthesis = any(isinstance(layer, Deconv | Shuffle) for layer in walk(chain))
    return _reach(tuple(reversed(chain)) if is_synthesis else chain, 1, is_synthesis)[0]


def _with_bias(name: str, w: Shape, n_bias: int) -> dict[str, Shape]:
    return {f"{name}_w": w} | ({f"{name}_b": (n_bias,)} if n_bias else {})


def _macs(chain: Chain, samples: float) -> tuple[float, float]:
    total = 0.0
    for layer in chain:
        match layer:
            case Conv(_, n_in, n_out, kernel, stride):
                samples /= stride**2
                total += samples * kernel**2 * n_in * n_out
            case Deconv(_, n_in, n_out, kernel, stride):
                total += samples * kernel**2 * n_in * n_out
                samples *= stride**2
            case Gdn(_, n):
                total += samples * n * n
            case Shuffle(factor):
                samples *= factor**2
            case Sum() | Gate():
                each = [_macs(branch, samples) for branch in layer.branches]
                total += sum(own for own, _ in each)
                samples = each[0][1]
            case _:
                pass
    return total, samples


def _reach(chain: Chain, pitch: int, is_synthesis: bool) -> tuple[int, int]:
    """Count in samples of the finer end, pitch apart before the chain; also the pitch after it."""
    total = 0
    for layer in chain:
        match layer:
            case Conv(_, _, _, kernel, stride) | Deconv(_, _, _, kernel, stride):
                total += -(-(kernel - stride) // 2) * pitch
                pitch *= stride
            case Shuffle(factor):
                pitch *= factor
            case Sum() | Gate():
                each = [
                    _reach(tuple(reversed(b)) if is_synthesis else b, pitch, is_synthesis)
                    for b in layer.branches
                ]
                total += max(own for own, _ in each)
                pitch = each[0][1]
            case _:
                pass
    return total, pitch
