"""What a trained model is: transforms, prior, the lambdas it was trained for. No jax here.

All that is needed to read its weights stands in these fields; they go into the weights file.
"""

import dataclasses
import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from inr.cae.entropy_models import PRIOR_SCALE, Factorized, Hyperprior, Prior
from inr.cae.layers import Chain, n_params, scales
from inr.cae.transforms import Balle2017, Residual, Transform
from inr.errors import UsageError

MAX_CHANNELS = 4096  # of a layer in a file: ten times the largest that anybody trains
MAX_WIDTHS = 64


@dataclass(frozen=True)
class Model:
    """One set of weights.

    lambda_low, lambda_high: of the loss distortion + lambda * bpp; equal if the model knows one
    rate only.
    widths: of a slimmable model, rising, the last is transform.hidden; empty for other models.
    """

    transform: Transform = field(default_factory=Balle2017)
    prior: Prior = field(default_factory=Factorized)
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
            not self.transform.is_slimmable
            or list(self.widths) != sorted(set(self.widths))
            or self.widths[-1] != self.transform.hidden
        ):
            raise UsageError(
                f"widths={self.widths}: expected rising widths that end with transform.hidden, and "
                "a Balle2017 transform with as many latents as filters"
            )

    @property
    def n_latents(self) -> int:
        return self.transform.n_latents

    def at_width(self, width: int) -> "Model":
        """Return one width of a slimmable model: its kernels are corners of the larger ones, its
        GDN and its prior are its own (SlimCAE, "switchable GDN")."""
        return replace(self, transform=self.transform.at_width(width), widths=())

    def chains(self) -> dict[str, Chain]:
        """Return all chains by the group of their tensors."""
        transform = self.transform
        own = {"analysis": transform.analysis(), "synthesis": transform.synthesis()}
        return own | self.prior.chains(self.n_latents, transform.is_modulated)

    @property
    def n_coded(self) -> int:
        """Channels under the factorized density: latents, or hyperlatents where there are any."""
        return self.prior.n_coded(self.n_latents)

    def scale_vectors(self) -> dict[str, int]:
        """Return names and lengths of all vectors that come from lambda."""
        found: dict[str, int] = {}
        for chain in self.chains().values():
            found |= scales(chain)
        return found | ({PRIOR_SCALE: self.n_coded} if found else {})

    def n_network_params(self) -> int:
        """Count the numbers in the chains, without those of modulation and prior."""
        return sum(n_params(chain) for chain in self.chains().values())

    def position(self, lambda_: float) -> float:
        """Compute where a lambda lies by its logarithm: -1 at lambda_low, 1 at lambda_high."""
        if self.lambda_low == self.lambda_high:
            return 0.0
        low, high = math.log(self.lambda_low), math.log(self.lambda_high)
        return 2 * (math.log(lambda_) - low) / (high - low) - 1

    def lambda_at(self, position: float) -> float:
        """Invert `position`."""
        low, high = math.log(self.lambda_low), math.log(self.lambda_high)
        return math.exp(low + (position + 1) / 2 * (high - low))


def model_to_json(model: Model) -> dict[str, Any]:
    """Return all fields, ready for JSON; the classes of transform and prior as "kind"."""
    fields = asdict(model)
    for name in ("transform", "prior"):
        fields[name]["kind"] = type(vars(model)[name]).__name__
    return fields


def model_from_json(fields: Any) -> Model:
    """Make the model of what `model_to_json` returned.

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
        made[name] = _construct(named[0], own)
    widths = made.get("widths", [])
    if not isinstance(widths, list) or len(widths) > MAX_WIDTHS:
        raise UsageError(f"widths={widths!r}: expected a list of at most {MAX_WIDTHS}")
    for i, width in enumerate(widths):
        _check_field(f"widths[{i}]", int, width)
    model: Model = _construct(Model, made | {"widths": tuple(widths)})
    return model


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{name} is {type(value).__name__}; expected is an object")
    return value


def _construct(kind: Any, values: dict[str, Any]) -> Any:
    """Make one of our classes of what a file says."""
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
