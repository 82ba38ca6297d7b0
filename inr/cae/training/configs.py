"""Named trainings: model, settings, and which weights move.

Yang et al. 2020 train with lambdas 1/64 to 1/4096 in our units (theirs multiply the distortion);
so do these.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from inr.cae.entropy_models import Factorized, Hyperprior
from inr.cae.model import Model, model_from_json, model_to_json
from inr.cae.training.losses import Distortion
from inr.cae.training.settings import TrainSettings
from inr.cae.transforms import Balle2017, Residual
from inr.errors import InrError, UsageError


@dataclass(frozen=True)
class Config:
    """One training.

    width_lambdas: of a slimmable model, one for each width, the narrowest first.
    schedule_steps: of a slimmable model, steps of each try at which lambdas suit its widths
      (slimmable.py), before the training proper; 0 to train with width_lambdas as they are.
    only_scales: analysis and synthesis stay as they are given; only the vectors that come from
      lambda, and what tells the densities, are trained (bottleneck scaling, Theis et al., ICLR
      2017, Section 2.3; with a transform of only_latents).
    """

    name: str
    model: Model = field(default_factory=Model)
    train: TrainSettings = field(default_factory=TrainSettings)
    width_lambdas: tuple[float, ...] = ()
    schedule_steps: int = 0
    only_scales: bool = False

    def __post_init__(self) -> None:
        if len(self.width_lambdas) != len(self.model.widths):
            raise UsageError(
                f"width_lambdas={self.width_lambdas}: expected one for each of the "
                f"{len(self.model.widths)} widths of the model"
            )

    def is_trained(self, group: str, name: str) -> bool:
        """Tell whether a tensor moves."""
        return not self.only_scales or group not in ("analysis", "synthesis")

    def to_json(self) -> str:
        """Return all fields; the inverse is `read_config`."""
        fields = asdict(self) | {"model": model_to_json(self.model)}
        return json.dumps(fields, indent=1) + "\n"


def read_config(path: Path) -> Config:
    """Read the training that a config.json describes; UsageError for anything else."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        train = dict(fields["train"])
        train["distortion"] = Distortion(**train["distortion"])
        fields |= {"model": model_from_json(fields["model"]), "train": TrainSettings(**train)}
        fields["width_lambdas"] = tuple(fields["width_lambdas"])
        return Config(**fields)
    except InrError as error:
        raise UsageError(f"{path} is no configuration of a training: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no configuration of a training: {error!r}") from error


def hyperprior() -> Config:
    """Return the shipped model: one for all rates, a block transform beside three layers,
    hyperprior."""
    transform = Balle2017(hidden=96, n_latents=320, has_latent_gdn=False, has_shortcut=True)
    train = TrainSettings(steps=12000, learning_rate=8e-4, warmup_steps=300)
    return Config("hyperprior", Model(transform, Hyperprior()), train)


def factorized() -> Config:
    """Shipped too: a sixth of the weights, factorized prior; 128 latents end at 27 to 36 dB."""
    transform = Balle2017(hidden=32, n_latents=128, has_latent_gdn=False, has_shortcut=True)
    train = TrainSettings(steps=12000, batch=4, learning_rate=1e-3, warmup_steps=100)
    return Config("factorized", Model(transform, Factorized()), train)


def mae() -> Config:
    """Return the modulated autoencoder as published: 192 filters, factorized prior; for a GPU."""
    model = Model(Balle2017(), Factorized(), 1 / 4096, 1 / 64)
    return Config("mae", model, TrainSettings(steps=200_000, side=256, learning_rate=4e-4))


def residual() -> Config:
    """Residual blocks with GDN, attention and sub-pixel upsampling, 32 latents; for a GPU."""
    train = TrainSettings(steps=200_000, side=256, learning_rate=1e-4)
    return Config("residual", Model(Residual(), Hyperprior()), train)


def slimmable() -> Config:
    """SlimCAE: five widths in one set of kernels, each for its own lambda; for a GPU."""
    widths = (48, 72, 96, 144, 192)
    transform = Balle2017(is_modulated=False)
    lambdas = (1 / 128, 1 / 256, 1 / 512, 1 / 1024, 1 / 2048)
    model = Model(transform, Factorized(), lambdas[-1], lambdas[0], widths)
    train = TrainSettings(steps=200_000, side=256, learning_rate=1e-4)
    return Config("slimmable", model, train, width_lambdas=lambdas)


def smoke() -> Config:
    """Learns visibly in two minutes on two cores.

    It begins with random weights: where a shortcut begins, so short a training gets no further.
    """
    transform = Balle2017(hidden=24, n_latents=48, has_latent_gdn=False)
    train = TrainSettings(steps=600, side=64, learning_rate=2e-3, warmup_steps=50, ema=0.99)
    return Config("smoke", Model(transform, Hyperprior(hidden=16)), train)


CONFIGS: dict[str, Callable[[], Config]] = {
    "hyperprior": hyperprior,
    "factorized": factorized,
    "mae": mae,
    "residual": residual,
    "slimmable": slimmable,
    "smoke": smoke,
}


def named_config(name: str) -> Config:
    """Return the training of that name, or the one that a .json file describes."""
    if name in CONFIGS:
        return CONFIGS[name]()
    path = Path(name)
    if path.suffix != ".json" or not path.is_file():
        raise UsageError(
            f"config {name!r}: there are {', '.join(CONFIGS)}, or give a config.json that a "
            "training wrote"
        )
    return read_config(path)
