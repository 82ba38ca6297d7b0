"""How long and how fast to fit: plain numbers, free of jax, so that recipes load quickly."""

from dataclasses import dataclass, field


def _check_rate(name: str, rate: float) -> None:
    if not 0 < rate < float("inf"):
        raise ValueError(f"fit.optimizer.{name}={rate}: expected a number above 0")


@dataclass(frozen=True)
class Adam:
    """Kingma and Ba (2014), https://arxiv.org/abs/1412.6980, on all tensors."""

    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        _check_rate("learning_rate", self.learning_rate)


@dataclass(frozen=True)
class Muon:
    """Orthogonalised momentum for the matrices, Adam for biases and thin matrices.

    Jordan et al. (2024), https://kellerjordan.github.io/posts/muon/. Every update has the same
    spectral norm, however weak the gradient: at rates or batches where noise rules (3e-3 with
    8192 pixels on kodim08) weights grow until the field turns chaotic.
    """

    learning_rate: float = 2.6e-3  # of the matrices
    adam_learning_rate: float = 2e-3  # of the rest

    def __post_init__(self) -> None:
        _check_rate("learning_rate", self.learning_rate)
        _check_rate("adam_learning_rate", self.adam_learning_rate)


@dataclass(frozen=True)
class FitSettings:
    """Nothing here is stored in the file."""

    steps: int = 3400
    batch: int | None = None  # pixels a step; None: all of them on a GPU if they fit, else 12288
    optimizer: Muon | Adam = field(default_factory=Muon)
    warmup: float = 0.03  # first fraction of the fit, in which the rate rises from 0
    final_rate: float = 0.01  # rate at the end of the cosine, as a fraction of its peak
    rounding: float = 0.15  # last fraction of the fit, with rounded weights
    n_seeds: int = 1  # starts fitted at once; the best goes on
    seed_trial: float = 0.1  # fraction of the fit after which only the best start goes on

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"fit.steps={self.steps}: at least 1 step is needed")
        if self.batch is not None and self.batch < 1:
            raise ValueError(f"fit.batch={self.batch}: at least 1 pixel is needed")
        for name in ("warmup", "final_rate", "rounding", "seed_trial"):
            value = vars(self)[name]
            if not 0 <= value <= 1:
                raise ValueError(f"fit.{name}={value} is outside 0..1")
        if not 1 <= self.n_seeds <= 64:
            raise ValueError(f"fit.n_seeds={self.n_seeds} is outside 1..64")
