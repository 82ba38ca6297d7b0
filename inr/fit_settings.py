"""How long and how fast to fit: plain numbers, free of jax, so that recipes load quickly."""

from dataclasses import dataclass, field

from inr.errors import UsageError
from inr.optimizers import Adam, Muon

# With fewer pixels, noise makes hard pictures of 768x512 unstable at useful rates; a small
# picture is seen whole often enough with a sixteenth of it a step (256x256: 27.5 dB after 3,400
# steps of 4,096 pixels, 27.2 after as many of 12,288).
_MOST_PIXELS, _LEAST_PIXELS, _SHARE = 12288, 4096, 16


def cpu_batch(n_pixels: int) -> int:
    """Pixels a step of a picture, where the recipe names none and no GPU is at hand."""
    return min(n_pixels, max(_LEAST_PIXELS, min(_MOST_PIXELS, n_pixels // _SHARE)))


@dataclass(frozen=True)
class FitSettings:
    """Nothing here is stored in the file."""

    steps: int = 3400
    # Pixels a step; None: on a GPU all of them if they fit, else as `cpu_batch` says.
    batch: int | None = None
    optimizer: Muon | Adam = field(default_factory=Muon)
    warmup: float = 0.03  # first fraction of the fit, in which the rate rises from 0
    final_rate: float = 0.01  # rate at the end of the cosine, as a fraction of its peak
    rounding: float = 0.15  # last fraction of the fit, with rounded weights
    n_seeds: int = 1  # starts fitted at once; the best goes on
    seed_trial: float = 0.1  # fraction of the fit after which only the best start goes on
    # Weight of the file's estimated bits per pixel in the loss, MSE on 0..1 + rate_lambda * bpp;
    # with a target it is not read, since the target implies one. None: no rate term.
    rate_lambda: float | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"fit.steps={self.steps}: at least 1 step is needed")
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"fit.batch={self.batch}: at least 1 pixel is needed")
        if self.rate_lambda is not None and not 0 < self.rate_lambda < float("inf"):
            raise UsageError(f"fit.rate_lambda={self.rate_lambda}: expected a number above 0")
        for name in ("warmup", "final_rate", "rounding", "seed_trial"):
            value = vars(self)[name]
            if not 0 <= value <= 1:
                raise UsageError(f"fit.{name}={value} is outside 0..1")
        if not 1 <= self.n_seeds <= 64:
            raise UsageError(f"fit.n_seeds={self.n_seeds} is outside 1..64")
