"""What a trained model is: transforms, prior, the lambdas it was trained for. No jax here.

All that is needed to read its weights stands in these fields; they go into the weights file.
"""

import dataclasses
import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from inr.cae.layers import Abs, Chain, Conv, Deconv, Relu, Scale, n_params, scales
from inr.cae.transforms import Balle2017, Residual
from inr.errors import UsageError

Transform = Balle2017 | Residual

MAX_CHANNELS = 4096  # of a layer in a file: ten times the largest that anybody trains
MAX_WIDTHS = 64


@dataclass(frozen=True)
class Factorized:
    """Each channel of latents has one density, of Balle et al., "Variational image compression with
    a scale hyperprior", ICLR 2018, Appendix 6.1. It is stretched by a vector that comes from
    lambda."""


@dataclass(frozen=True)
class Hyperprior:
    """A second, smaller autoencoder tells the scale of each latent (Balle et al. 2018, Section 3).

    Densities are Laplace, as in kind grid, because their tables are made of integers alone; with
    has_mean their centres are told too (Minnen et al., "Joint autoregressive and hierarchical
    priors", 2018, Section 3). Both are told of latents before lambda's vector multiplies them: what
    that does to a density is known.
    """

    hidden: int = 64  # channels of the hyperlatents and of the layers inside
    has_mean: bool = True

    def analysis(self, n_latents: int, is_modulated: bool) -> Chain:
        n = self.hidden
        return (
            *_scale(HYPER_INPUT_SCALE, n_latents, is_modulated),
            *(() if self.has_mean else (Abs(),)),
            *(Conv("ha0", n_latents, n, 3), *_scale("mha0", n, is_modulated), Relu()),
            *(Conv("ha1", n, n, 5, 2), *_scale("mha1", n, is_modulated), Relu()),
            *(Conv("ha2", n, n, 5, 2), *_scale("mha2", n, is_modulated)),
        )

    def synthesis(self, n_latents: int, is_modulated: bool) -> Chain:
        """To the natural logarithms of the scales, and behind them the means if there are any."""
        n, m = self.hidden, n_latents * (2 if self.has_mean else 1)
        return (
            *(*_scale("mhs0", n, is_modulated), Deconv("hs0", n, n, 5, 2), Relu()),
            *(*_scale("mhs1", n, is_modulated), Deconv("hs1", n, n, 5, 2), Relu()),
            *(*_scale("mhs2", n, is_modulated), Conv("hs2", n, m, 3)),
        )


HYPER_BLOCK = 4  # latents a side for which there is one hyperlatent of each channel
PRIOR_SCALE = "mp"  # the vector that stretches a factorized density
HYPER_INPUT_SCALE = "mhy"  # the vector that takes back from latents what lambda does to them


@dataclass(frozen=True)
class Model:
    """One set of weights.

    lambda_low, lambda_high: of the loss distortion + lambda * bpp; equal if the model knows one
    rate only.
    widths: of a slimmable model, rising, the last is transform.hidden; empty for other models.
    """

    transform: Transform = field(default_factory=Balle2017)
    prior: Factorized | Hyperprior = field(default_factory=Factorized)
    lambda_low: float = 2e-4
    lambda_high: float = 1.28e-2
    widths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.lambda_low <= self.lambda_high < 1e3:
            raise UsageError(
                f"lambda_low={self.lambda_low}, lambda_high={self.lambda_high}: expected "
                "0 < lambda_low <= lambda_high"
            )
        if self.widths and (
            not isinstance(self.transform, Balle2017)
            or list(self.widths) != sorted(set(self.widths))
            or self.widths[-1] != self.transform.hidden
            or self.transform.hidden != self.transform.n_latents
        ):
            raise UsageError(
                f"widths={self.widths}: expected rising widths that end with transform.hidden, and "
                "a Balle2017 transform with as many latents as filters"
            )

    @property
    def n_latents(self) -> int:
        return self.transform.n_latents

    def at_width(self, width: int) -> "Model":
        """The model that one width of a slimmable model is: its kernels are corners of the larger
        ones, its GDN and its prior are its own (SlimCAE, "switchable GDN")."""
        assert isinstance(self.transform, Balle2017)
        transform = replace(self.transform, hidden=width, n_latents=width, gdn_suffix=f"@{width}")
        return replace(self, transform=transform, widths=())

    def chains(self) -> dict[str, Chain]:
        """All chains by the group of their tensors."""
        found = {"analysis": self.transform.analysis(), "synthesis": self.transform.synthesis()}
        if isinstance(self.prior, Hyperprior):
            is_modulated = self.transform.is_modulated
            found |= {
                "hyper_analysis": self.prior.analysis(self.n_latents, is_modulated),
                "hyper_synthesis": self.prior.synthesis(self.n_latents, is_modulated),
            }
        return found

    @property
    def n_coded(self) -> int:
        """Channels under the factorized density: latents, or hyperlatents where there are any."""
        return self.prior.hidden if isinstance(self.prior, Hyperprior) else self.n_latents

    def scale_vectors(self) -> dict[str, int]:
        """Names and lengths of all vectors that come from lambda."""
        found: dict[str, int] = {}
        for chain in self.chains().values():
            found |= scales(chain)
        return found | ({PRIOR_SCALE: self.n_coded} if found else {})

    def n_network_params(self) -> int:
        """Numbers in the chains; those of modulation and prior are not among them."""
        return sum(n_params(chain) for chain in self.chains().values())

    def position(self, lambda_: float) -> float:
        """Where a lambda lies: -1 at lambda_low, 1 at lambda_high, in between by its logarithm."""
        if self.lambda_low == self.lambda_high:
            return 0.0
        low, high = math.log(self.lambda_low), math.log(self.lambda_high)
        return 2 * (math.log(lambda_) - low) / (high - low) - 1

    def lambda_at(self, position: float) -> float:
        """The inverse of `position`."""
        low, high = math.log(self.lambda_low), math.log(self.lambda_high)
        return math.exp(low + (position + 1) / 2 * (high - low))


def model_to_json(model: Model) -> dict[str, Any]:
    """All fields, ready for JSON; the classes of transform and prior as "kind"."""
    fields = asdict(model)
    for name in ("transform", "prior"):
        fields[name]["kind"] = type(vars(model)[name]).__name__
    return fields


def model_from_json(fields: Any) -> Model:
    """The inverse.

    Args:
      fields: anything that JSON can hold.
    Raises:
      UsageError: a field is missing, unknown, of another type or out of range.
    """
    made = dict(_object("model", fields))
    for name, kinds in _KINDS.items():
        own = dict(_object(name, made.get(name)))
        given = own.pop("kind", None)
        named = [kind for kind in kinds if kind.__name__ == given]
        if not named:
            known = ", ".join(kind.__name__ for kind in kinds)
            raise UsageError(f"{name} of kind {given!r}; known are {known}")
        made[name] = _made(named[0], own)
    widths = made.get("widths", [])
    if not isinstance(widths, list) or len(widths) > MAX_WIDTHS:
        raise UsageError(f"widths={widths!r}: expected a list of at most {MAX_WIDTHS}")
    for i, width in enumerate(widths):
        _check_field(f"widths[{i}]", int, width)
    model: Model = _made(Model, made | {"widths": tuple(widths)})
    return model


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{name} is {type(value).__name__}; expected is an object")
    return value


def _made(kind: Any, values: dict[str, Any]) -> Any:
    """Makes one of our classes of what a file says."""
    known = {each.name: each.type for each in dataclasses.fields(kind)}
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"{kind.__name__} has no field {name!r}")
        if known[name] in (int, float, bool, str):
            _check_field(name, known[name], value)
    return kind(**values)


def _check_field(name: str, kind: Any, value: Any) -> None:
    is_right = type(value) is kind or (kind is float and type(value) is int)
    if not is_right or (kind is int and not 1 <= value <= MAX_CHANNELS):
        raise UsageError(
            f"{name}={value!r}: expected {kind.__name__}"
            + (f" in 1..{MAX_CHANNELS}" if kind is int else "")
        )


_KINDS: dict[str, tuple[Any, ...]] = {
    "transform": (Balle2017, Residual),
    "prior": (Factorized, Hyperprior),
}


def _scale(name: str, n: int, is_modulated: bool) -> Chain:
    return (Scale(name, n),) if is_modulated else ()
