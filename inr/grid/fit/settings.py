"""How long and how fast to fit a latent grid: plain numbers, free of jax."""

from dataclasses import dataclass

from inr.errors import UsageError


@dataclass(frozen=True)
class GridFit:
    """Nothing here is stored in the file. Noise and rates are about those of Cool-chic 5.0."""

    steps: int = 1000
    learning_rate: float = 5e-3  # of the networks, by SOAP
    latent_rate: float = 1e-2  # of the latents / gain, by Adam, at lambda = 0.001
    gain: float = 32.0  # latents are optimized in units of so many codes
    n_starts: int = 1  # first networks that are tried; the best goes on
    trial: float = 0.03  # fraction of the fit after which only the best start goes on
    tail: float = 0.05  # last fraction, in which the networks learn the rounded latents
    network_rate: float = 2.0  # weight of the networks' bits in the loss, against the latents'
    temperature: float = 0.5  # of soft rounding, at the start
    final_temperature: float = 0.08
    noise: float = 0.22  # standard deviation, in codes, at the start
    final_noise: float = 0.15

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"fit.steps={self.steps}: at least 1 step is needed")
        if not 1 <= self.n_starts <= 64:
            raise UsageError(f"fit.n_starts={self.n_starts} is outside 1..64")
        for name in ("trial", "tail"):
            if not 0 <= vars(self)[name] < 1:
                raise UsageError(
                    f"fit.{name}={vars(self)[name]}: expected a fraction from 0, below 1"
                )
        positive = ("learning_rate", "latent_rate", "gain", "temperature", "final_temperature")
        for name in positive:
            if not 0 < vars(self)[name] < float("inf"):
                raise UsageError(f"fit.{name}={vars(self)[name]}: expected a number above 0")
        for name in ("network_rate", "noise", "final_noise"):
            if not 0 <= vars(self)[name] < float("inf"):
                raise UsageError(f"fit.{name}={vars(self)[name]}: expected a number from 0")
