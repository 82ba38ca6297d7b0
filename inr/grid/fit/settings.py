"""How long and how fast to fit a latent grid: plain numbers, free of jax."""

from dataclasses import dataclass

from inr.errors import UsageError


@dataclass(frozen=True)
class GridFit:
    """Nothing here is stored in the file. Noise and rates are about those of Cool-chic 5.0."""

    steps: int = 2000
    learning_rate: float = 7e-3  # of the networks of the context model, by SOAP, until the tail
    # Of what draws, against that. Steps that are as large would at first spoil what the latents
    # have been fitted to, which short fits do not make good.
    drawing_rate: float = 0.7
    latent_rate: float = 0.8  # codes a step, of the finest latents, by Adam, at lambda = 0.001
    latent_slope: float = 0.5  # log2 by which that grows with each exponent
    alone: float = 0.0  # first fraction of the fit, in which the networks stay
    n_starts: int = 1  # first networks that are tried; the best goes on
    trial: float = 0.03  # fraction of the fit after which only the best start goes on
    tail: float = 0.05  # last fraction, in which the networks learn the rounded latents
    network_rate: float = 2.0  # weight of the networks' bits in the loss, against the latents'
    temperature: float = 0.5  # of soft rounding, at the start
    final_temperature: float = 0.08
    noise: float = 0.22  # standard deviation, in codes, at the start
    final_noise: float = 0.15

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise UsageError(f"fit.steps={self.steps}: expected a number of steps from 0")
        if not 1 <= self.n_starts <= 64:
            raise UsageError(f"fit.n_starts={self.n_starts} is outside 1..64")
        for name in ("trial", "tail"):
            if not 0 <= vars(self)[name] < 1:
                raise UsageError(
                    f"fit.{name}={vars(self)[name]}: expected a fraction from 0, below 1"
                )
        if not 0 <= self.alone <= 1:
            raise UsageError(f"fit.alone={self.alone}: expected a fraction from 0 to 1")
        positive = ("learning_rate", "latent_rate", "temperature", "final_temperature")
        for name in positive:
            if not 0 < vars(self)[name] < float("inf"):
                raise UsageError(f"fit.{name}={vars(self)[name]}: expected a number above 0")
        for name in ("drawing_rate", "network_rate", "noise", "final_noise", "latent_slope"):
            if not 0 <= vars(self)[name] < float("inf"):
                raise UsageError(f"fit.{name}={vars(self)[name]}: expected a number from 0")
