"""Small models of kind cae of random weights, made with numpy alone."""

import numpy as np

from inr.cae.density_tables import DensityTables, tables_of
from inr.cae.entropy_models import PRIOR_SCALE, Factorized, Hyperprior
from inr.cae.layers import Conv, Deconv, Gdn, walk
from inr.cae.model import Model
from inr.cae.transforms import Balle2017, Residual
from inr.cae.weights import LOG_LATENT_SCALE, N_KNOTS, Weights, read_weights, write_weights

_SMALL = Balle2017(hidden=4, n_latents=6, has_latent_gdn=False, has_shortcut=True)
HYPERPRIOR = Model(_SMALL, Hyperprior(hidden=4))
SCALES_ONLY = Model(_SMALL, Hyperprior(hidden=4, has_mean=False))
FACTORIZED = Model(_SMALL, Factorized())
RESIDUAL = Model(Residual(hidden=4, n_latents=6), Hyperprior(hidden=4))
SLIMMABLE = Model(
    Balle2017(hidden=6, n_latents=6, is_modulated=False), Factorized(), 1e-3, 1e-2, widths=(4, 6)
)
MODELS = {
    "hyperprior": HYPERPRIOR,
    "scales_only": SCALES_ONLY,
    "factorized": FACTORIZED,
    "residual": RESIDUAL,
    "slimmable": SLIMMABLE,
}


def weights_of(model: Model = HYPERPRIOR, name: str = "tiny", seed: int = 0) -> Weights:
    """Weights under which latents of a few hundred values differ and files differ by lambda."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, dict[str, np.ndarray]] = {}
    for own in (model, *(model.at_width(width) for width in model.widths)):
        for group, chain in own.chains().items():
            for layer in walk(chain):
                for tensor, shape in _shapes(layer).items():
                    found = _tensor(tensor, shape, _gain(own, group), rng).astype(np.float16)
                    tensors.setdefault(group, {}).setdefault(tensor, found)
    vectors = _vectors(model)
    densities = {width: _densities(model, width, vectors) for width in model.widths or (0,)}
    kept = {name: vector.astype(np.float16) for name, vector in vectors.items()}
    made = Weights(name, model, tensors, kept, densities, {"seed": seed}, "")
    return read_weights(write_weights(made))


def _shapes(layer) -> dict[str, tuple[int, ...]]:
    return layer.shapes if isinstance(layer, Conv | Deconv | Gdn) else {}


def _gain(model: Model, group: str) -> float:
    """So that latents and hyperlatents of small pictures take several values."""
    if isinstance(model.transform, Residual):
        return 1.0
    return 3.0 if group == "analysis" and not model.transform.is_modulated else 2.0


def _tensor(name: str, shape: tuple[int, ...], gain: float, rng: np.random.Generator) -> np.ndarray:
    if name.endswith("_gamma"):
        return np.abs(rng.normal(0, 0.05, shape)) + 0.1 * np.eye(shape[0])
    if name.endswith("_beta"):
        return rng.uniform(0.5, 1.5, shape)
    if name.endswith("_b"):
        return rng.normal(0, 0.05, shape)
    return rng.normal(0, gain / np.sqrt(np.prod(shape[:3])), shape)


def _vectors(model: Model) -> dict[str, np.ndarray]:
    """Those of the analysis fall with lambda, those of the synthesis take that back."""
    lengths = model.scale_vectors()
    if not lengths:
        return {}
    fall = np.geomspace(16, 2, N_KNOTS)[:, None]  # of the latents, over the model's range
    found = {name: np.full((N_KNOTS, n), 1.0) for name, n in lengths.items()}
    latent_scale = model.transform.LATENT_SCALE
    found[latent_scale] = fall * np.linspace(1, 1.5, model.n_latents)
    found["ms0"] = 1 / found[latent_scale]
    if "mhy" in found:
        found["mhy"] = 1 / found[latent_scale]
    found[PRIOR_SCALE] = np.full((N_KNOTS, model.n_coded), 1.0) * np.sqrt(fall)
    found[LOG_LATENT_SCALE] = np.log(found[latent_scale])
    return found


def _densities(model: Model, width: int, vectors: dict[str, np.ndarray]) -> DensityTables:
    n_coded = model.at_width(width).n_coded if width else model.n_coded
    stretches = vectors.get(PRIOR_SCALE, np.full((1, n_coded), 2.0))
    return tables_of(lambda x: (1 + np.tanh(x / 2)) / 2 + np.zeros(n_coded), stretches)
