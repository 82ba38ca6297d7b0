"""One modulated autoencoder for all rates, against one model a rate and against bottleneck scaling.

python experiments/modulated_autoencoder/run.py --data DIR_OR_ZIP [--data ...]
       [--pictures PICTURE...] [--tiny | --full]
"""

import dataclasses
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from inr import bd_rate, bpp, psnr_db

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import charts
import lab

from inr.cae.codec import CaeCodec
from inr.cae.entropy_models import PRIOR_SCALE, Factorized, Hyperprior
from inr.cae.model import Model
from inr.cae.training.autoencoder import Params
from inr.cae.training.configs import Config
from inr.cae.training.entropy_models import FILTERS
from inr.cae.training.export import export_file
from inr.cae.training.loop import train
from inr.cae.training.pictures import Pictures, open_pictures
from inr.cae.training.settings import TrainSettings
from inr.cae.transforms import Balle2017
from inr.cae.weights import read_weights

PICTURES = [lab.ASSETS / f"kodim{n}.png" for n in ("05", "08", "15", "23")]
PUBLISHED = "as published"  # GDN before the latents, no block transform beside the layers
CONTINUED = "as published, continued"  # all trainings begin where that of its highest rate ended
PRIORS = {
    "factorized": Factorized(),
    "hyperprior": Hyperprior(hidden=32),
    PUBLISHED: Factorized(),
    CONTINUED: Factorized(),
}
MOST_LOSS_DB = 0.5  # below the independent models, where a rate counts as served


@dataclasses.dataclass(frozen=True)
class Scale:
    """How large the study is."""

    transform: Balle2017
    lambdas: tuple[float, ...]  # of the independent models, falling
    train: TrainSettings
    variants: tuple[str, ...] = tuple(PRIORS)


SMALL = Scale(
    Balle2017(hidden=32, n_latents=128, has_latent_gdn=False, has_shortcut=True),
    tuple(0.0128 / 4**i for i in range(4)),
    TrainSettings(steps=12_000, batch=4, learning_rate=1e-3, warmup_steps=100),
)
TINY = Scale(
    Balle2017(hidden=4, n_latents=6, has_latent_gdn=False, has_shortcut=True),
    (0.0032,),
    TrainSettings(steps=2, batch=2, side=64, warmup_steps=1),
    ("factorized",),
)
FULL = Scale(  # Yang et al. 2020, lambdas 1 / 64 to 1 / 4096 of our loss
    Balle2017(),
    tuple(1 / 2**i for i in range(6, 13)),
    TrainSettings(steps=550_000, side=256, learning_rate=4e-4),
    ("factorized", "hyperprior"),
)


def configs(scale: Scale, variant: str) -> list[Config]:
    """List a model a lambda, then bottleneck scaling, then the modulated autoencoder."""
    transform, prior = scale.transform, PRIORS[variant]
    if variant in (PUBLISHED, CONTINUED):
        transform = dataclasses.replace(transform, has_latent_gdn=True, has_shortcut=False)
    plain = dataclasses.replace(transform, is_modulated=False)
    scaled = dataclasses.replace(transform, only_latents=True)
    high, low = scale.lambdas[0], scale.lambdas[-1]
    made = [
        Config(f"independent_{i}", Model(plain, prior, each, each), scale.train)
        for i, each in enumerate(scale.lambdas)
    ]
    bottleneck = Model(scaled, prior, low, high)
    modulated = Model(transform, prior, low, high)
    return [
        *made,
        Config("bottleneck", bottleneck, scale.train, only_scales=True),
        Config("modulated", modulated, scale.train),
    ]


def fit(folder: Path, pictures: Sequence[Path], scale: Scale, data: Pictures) -> Iterator[lab.Row]:
    """Train or go on, and code all pictures with each model at its lambdas."""
    highest: Params | None = None  # the last independent model is that of the highest rate
    for variant in scale.variants:
        begun = highest if variant == CONTINUED else None
        for config in configs(scale, variant):
            place = folder / "work" / variant / config.name
            print(f"{variant}: {config.name}", file=sys.stderr, flush=True)
            start = begun or (highest if config.only_scales else None)
            result = train(config, data, place, start=start)
            if config.name.startswith("independent"):
                highest = result.state.mean
            codec = CaeCodec(read_weights(export_file(place)[0]))
            model = config.model
            for each in scale.lambdas:
                if model.lambda_low <= each * 1.001 and each <= model.lambda_high * 1.001:
                    for picture in pictures:
                        named = {"variant": variant, "method": config.name.partition("_")[0]}
                        yield named | {"lambda": each} | code(codec, picture, each)


def code(codec: CaeCodec, picture: Path, lambda_: float) -> lab.Row:
    """Write the latents, read them back, and measure the picture that they make."""
    with Image.open(picture) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    height, width, _ = pixels.shape
    rate = codec.rate_of(lambda_)
    data = codec.write(codec.analyse(pixels, rate), rate)
    drawn = codec.synthesize(codec.read(data, height, width, rate), height, width, rate)
    return {
        "picture": picture.name,
        "n_bytes": len(data),
        "bpp": bpp(len(data), height, width),
        "psnr_db": psnr_db(pixels, drawn),
    }


def curve(rows: Sequence[lab.Row], variant: str, method: str) -> list[tuple[float, float]]:
    """Return (bpp, PSNR), each the mean over the pictures, by rising rate."""
    own = [row for row in rows if row["variant"] == variant and row["method"] == method]
    groups: dict[float, list[lab.Row]] = {}
    for row in own:
        groups.setdefault(row["lambda"], []).append(row)
    means = [
        tuple(float(np.mean([row[name] for row in group])) for name in ("bpp", "psnr_db"))
        for group in groups.values()
    ]
    return sorted(means)


def plot(path: Path, rows: Sequence[lab.Row]) -> None:
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    panels = [
        charts.Panel(each, "bits a pixel", "PSNR, dB", {m: curve(rows, each, m) for m in methods})
        for each in variants
    ]
    charts.plot(path, panels)


def good_rates(
    reference: list[tuple[float, float]], points: list[tuple[float, float]]
) -> tuple[float, float]:
    """Find the lowest and the highest rate at which a curve is at most MOST_LOSS_DB below another,
    both straight between their points over the logarithm of the rate; zeros where it never is."""
    (own, own_db), (other, other_db) = (np.array(curve).T for curve in (points, reference))
    rates = np.geomspace(max(own[0], other[0]), min(own[-1], other[-1]), 1000)
    drawn, asked = (
        np.interp(np.log(rates), np.log(x), y) for x, y in ((own, own_db), (other, other_db))
    )
    good = rates[drawn >= asked - MOST_LOSS_DB]
    return (float(good[0]), float(good[-1])) if good.size else (0.0, 0.0)


def table_of(rows: Sequence[lab.Row]) -> str:
    """Write mean rates, those not far below the independent models, and BD-rates against these."""
    lines = []
    for variant in dict.fromkeys(row["variant"] for row in rows):
        reference = curve(rows, variant, "independent")
        for method in dict.fromkeys(row["method"] for row in rows):
            points = curve(rows, variant, method)
            (low, low_db), (high, high_db) = points[0], points[-1]
            good = good_rates(reference, points)
            try:
                percent = bd_rate(*zip(*reference, strict=True), *zip(*points, strict=True)).percent
            except ValueError:  # too few points or too little in common
                percent = None
            reached = [low, high, high / low, low_db, high_db]
            lines.append([variant, method, *reached, *good, percent])
    columns = ["variant", "method", "lowest bpp", "highest bpp", "ratio", "lowest dB", "highest dB"]
    return charts.table([*columns, "good from", "good to", "BD-rate % to independent"], lines)


def sizes() -> str:
    """Count the numbers of the published model, 192 filters, for 1, 3 and 7 rates."""
    n = 192
    base = Model(Balle2017(is_modulated=False)).n_network_params()
    density = n_density_params(n)
    nets = sum(2 * 50 + 50 * n + n for n in _vectors(Model(Balle2017())))
    lines = []
    for k in (1, 3, 7):
        each = {
            "independent": k * (base + density),
            "bottleneck": base + density + k * 2 * n,
            "modulated, a density a rate": base + nets + k * density,
            "modulated, one density (ours)": base + nets + (2 * 50 + 50 * n + n) + density,
        }
        lines += [[k, name, total, 4 * total / 1e6] for name, total in each.items()]
    return charts.table(["rates", "method", "numbers", "MB in f32"], lines)


def n_density_params(n: int) -> int:
    """Count matrices, offsets and factors of n factorized densities; see entropy_models.py."""
    widths = (1, *FILTERS, 1)
    matrices = sum(a * b for a, b in itertools.pairwise(widths))
    return n * (matrices + sum(widths[1:]) + sum(FILTERS))


def _vectors(model: Model) -> list[int]:
    """Return the lengths of the vectors that multiply channels of transforms."""
    return [n for name, n in model.scale_vectors().items() if name != PRIOR_SCALE]


def check_tiny(rows: Sequence[lab.Row]) -> None:
    assert len(rows) == 3, "one lambda of one picture for each of three methods"


def main() -> None:
    made = lab.parser(__doc__ or "", full=True)
    made.add_argument("--data", type=Path, action="append", metavar="DIR_OR_ZIP")
    given = made.parse_args()
    scale = TINY if given.tiny else FULL if given.full else SMALL
    with lab.open_results(Path(__file__).parent, tiny=given.tiny, full=given.full) as folder:
        if not given.plot_only:
            data = _data(given.data, folder, is_tiny=given.tiny)
            pictures = given.pictures or (PICTURES[:1] if given.tiny else PICTURES)
            lab.save(folder, list(fit(folder, pictures, scale, data)))
        rows = lab.load(folder)
        plot(folder / "plot.png", rows)
        print(table_of(rows), sizes(), sep="\n\n")
        if given.tiny:
            check_tiny(rows)


def _data(paths: list[Path] | None, folder: Path, *, is_tiny: bool) -> Pictures:
    if is_tiny:
        noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
        (folder / "work").mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).save(folder / "work" / "noise.png")
        paths = [folder / "work"]
    if not paths:
        raise SystemExit("give --data: a folder or .zip of pictures to train on")
    return open_pictures(*paths, warn=lambda text: print(text, file=sys.stderr))


if __name__ == "__main__":
    main()
