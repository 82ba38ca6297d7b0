"""How long and how fast to fit: plain numbers, free of jax, so that recipes load quickly."""

from dataclasses import dataclass, field

from inr.errors import UsageError
from inr.mlp.fit.optimizers import Adam, Muon

# With fewer pixels, noise makes hard pictures of 768x512 unstable at useful rates; a small
# picture is seen whole often enough with a sixteenth of it a step (256x256: 27.5 dB after 3,400
# steps of 4,096 pixels, 27.2 after as many of 12,288).
_MOST_PIXELS, _LEAST_PIXELS, _SHARE = 12288, 4096, 16
RATE_LAMBDA = 1e-3  # of a rate term, where neither the recipe nor a target says another


def cpu_batch(n_pixels: int) -> int:
    """Pixels a step of a picture, where the recipe names none and no GPU is at hand."""
    return min(n_pixels, max(_LEAST_PIXELS, min(_MOST_PIXELS, n_pixels // _SHARE)))


@dataclass(frozen=True)
class FitSettings:
    """Nothing here is stored in the file."""

    steps: int = 3400  # 0 leaves the first weights as they are
    # Pixels a step; None: on a GPU all of them if they fit, else as `cpu_batch` says.
    batch: int | None = None
    optimizer: Muon | Adam = field(default_factory=Muon)
    warmup: float = 0.03  # first fraction of the fit, in which the rate rises from 0
    final_rate: float = 0.01  # rate at the end of the cosine, as a fraction of its peak
    rounding: float = 0.15  # last fraction of the fit, with rounded weights
    n_seeds: int = 1  # starts fitted at once; the best goes on
    seed_trial: float = 0.1  # fraction of the fit after which only the best start goes on
    rate_term: bool = False  # True: weights and steps pay for their bits (rate.py)
    # Weight of a bit per pixel in the loss, MSE on 0..1 + rate_lambda * bpp, of a file without a
    # target (field.hidden is given); naming it asks for a rate term. A target implies a weight, and
    # refuses one that is named. None: RATE_LAMBDA where there is a rate term.
    rate_lambda: float | None = None

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise UsageError(f"fit.steps={self.steps}: expected 0 or more")
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

    @property
    def has_rate_term(self) -> bool:
        return self.rate_term or self.rate_lambda is not None

    def weight_of_bpp(self, has_target: bool) -> float | None:
        """Weight of a bit per pixel in the loss; None where the target decides, or nothing is paid.

        Raises:
          UsageError: a weight that would not be read.
        """
        if has_target and self.rate_lambda is not None:
            raise UsageError(
                f"fit.rate_lambda={self.rate_lambda} is for files without a target, and this one "
                "has a target, which implies a weight; give fit.rate_term=true instead, or fix the "
                "network with field.hidden and give no target in bits or bytes"
            )
        if has_target or not self.has_rate_term:
            return None
        return RATE_LAMBDA if self.rate_lambda is None else self.rate_lambda
