"""What decides a training besides the model and the pictures."""

from dataclasses import dataclass, field

from inr.cae.training.losses import Distortion
from inr.errors import UsageError


@dataclass(frozen=True)
class TrainSettings:
    """All in all.

    The defaults are where a configuration of one's own may begin. Those of configs.py state what
    differs; hyperprior and factorized are what the shipped weights were trained with.
    """

    steps: int = 20000
    batch: int = 8  # crops
    side: int = 128  # pixels of a crop, a multiple of 64
    learning_rate: float = 4e-4  # highest, after the warm-up; it falls by a cosine
    last_rate: float = 0.02  # share of the learning rate that is left at the end
    warmup_steps: int = 200
    clip_norm: float = 1.0  # of all gradients together
    hard_from: float = 0.75  # share of the steps from which decoders see rounded latents
    ema: float = 0.999  # of the running mean of the weights
    balance: float = 0.8  # each picture's loss is divided by its lambda to this power
    distortion: Distortion = field(default_factory=Distortion)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.side < 64 or self.side % 64:
            raise UsageError(f"side={self.side}: expected a multiple of 64 pixels")
        for name in ("steps", "batch"):
            if vars(self)[name] < 1:
                raise UsageError(f"{name}={vars(self)[name]}: expected at least 1")
        if not 0 <= self.hard_from <= 1:
            raise UsageError(f"hard_from={self.hard_from} is outside 0..1")
