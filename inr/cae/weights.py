"""The weights file of a model: an .npz that numpy reads without pickles.

  meta                 JSON: format, name, the fields of Model, facts of the training
  GROUP/TENSOR         f16, the tensors of the chains, as `layers.shapes` names them; of GDN the
                       values themselves, not what was trained in their place
  vectors/NAME         f16 [N_KNOTS, n]: the scales of channels at N_KNOTS positions of lambda, and
                       the logarithms of those of the latents
  densities/FIELD      the integer tables of the factorized density, see density_tables.py

A slimmable model has its tensors at the full width, and densities@WIDTH for each of its widths.
The name of a model in files is the SHA-256 of these bytes.
"""

import dataclasses
import hashlib
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from inr.cae.density_tables import DensityTables
from inr.cae.exact_tensors import exact_scales, exact_tensors
from inr.cae.layers import shapes
from inr.cae.model import Model, model_from_json, model_to_json
from inr.errors import FormatError

FORMAT = 1
N_KNOTS = 33  # positions of lambda whose scales are kept, evenly over the model's range
LOG_LATENT_SCALE = "log_m"  # a vector that is no network's: log of what multiplies latents
_TABLE_FIELDS = ("firsts", "lengths", "frequencies")


@dataclass(frozen=True)
class Weights:
    """A model ready for coding."""

    name: str
    model: Model
    tensors: dict[str, dict[str, np.ndarray]]  # group -> tensor -> f16
    vectors: dict[str, np.ndarray]  # f16 [N_KNOTS, n]
    densities: dict[int, DensityTables]  # by width; 0 for a model of one width
    facts: dict[str, Any]  # of the training
    sha256: str  # hexadecimal, of the file

    def at_width(self, width: int) -> "Weights":
        """One width of a slimmable model, as a model of its own; 0 for the model itself."""
        if width == 0:
            return self
        narrow = self.model.at_width(width)
        tensors = {
            group: {
                name: self.tensors[group][name][tuple(slice(n) for n in shape)]
                for name, shape in shapes(chain).items()
            }
            for group, chain in narrow.chains().items()
        }
        densities = {0: self.densities[width]}
        return dataclasses.replace(self, model=narrow, tensors=tensors, densities=densities)


def write_weights(weights: Weights) -> bytes:
    """The bytes of the file; weights.sha256 is not looked at."""
    meta = {
        "format": FORMAT,
        "name": weights.name,
        "model": model_to_json(weights.model),
        "facts": weights.facts,
    }
    arrays: dict[str, Any] = {f"vectors/{name}": v for name, v in weights.vectors.items()}
    for group, tensors in weights.tensors.items():
        arrays |= {f"{group}/{name}": tensor for name, tensor in tensors.items()}
    for width, tables in weights.densities.items():
        arrays |= {f"{_densities(width)}/{name}": vars(tables)[name] for name in _TABLE_FIELDS}
    file = io.BytesIO()
    np.savez_compressed(file, meta=np.array(json.dumps(meta, sort_keys=True)), **arrays)
    return file.getvalue()


def read_weights(data: bytes) -> Weights:
    """The inverse of `write_weights`; raises FormatError for anything else."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        meta = json.loads(str(arrays.pop("meta")))
        if meta["format"] != FORMAT:
            raise FormatError(f"weights of format {meta['format']}; this version reads {FORMAT}")
        model = model_from_json(meta["model"])
        widths = model.widths or (0,)
        densities = {
            width: DensityTables(*(arrays[f"{_densities(width)}/{f}"] for f in _TABLE_FIELDS))
            for width in widths
        }
        tensors: dict[str, dict[str, np.ndarray]] = {group: {} for group in model.chains()}
        vectors: dict[str, np.ndarray] = {}
        for path, array in arrays.items():
            group, _, tensor = path.partition("/")
            if group in tensors:
                tensors[group][tensor] = array
            elif group == "vectors":
                vectors[tensor] = array
        name, facts, sha256 = str(meta["name"]), dict(meta["facts"]), hashlib.sha256(data)
        made = Weights(name, model, tensors, vectors, densities, facts, sha256.hexdigest())
        _check(made)
        return made
    except FormatError:
        raise
    except Exception as error:  # numpy, zipfile and json raise a dozen kinds for damaged files
        raise FormatError(f"this is no weights file of an autoencoder: {error}") from error


def _check(weights: Weights) -> None:
    """Raises FormatError for weights with which pictures could not be coded, or not exactly."""
    model = weights.model
    wanted: dict[str, tuple[int, ...]] = {}
    for each in (*(model.at_width(width) for width in model.widths), model):  # the largest last
        for group, chain in each.chains().items():
            wanted |= {f"{group}/{name}": shape for name, shape in shapes(chain).items()}
    lengths = model.scale_vectors()
    if lengths:
        lengths[LOG_LATENT_SCALE] = model.n_latents
    wanted |= {f"vectors/{name}": (N_KNOTS, n) for name, n in lengths.items()}
    groups = weights.tensors | {"vectors": weights.vectors}
    given = {f"{group}/{name}": w for group, own in groups.items() for name, w in own.items()}
    unlike = set(wanted.items()) ^ {(name, w.shape) for name, w in given.items()}
    if unlike:
        raise FormatError(f"weights do not fit their model: {sorted(unlike)[:4]}")
    for name, w in given.items():
        if w.dtype != np.float16 or not np.isfinite(w).all():
            raise FormatError(f"{name} is {w.dtype} or not finite; expected are float16 numbers")
    for width in model.widths or (0,):
        _check_width(weights.at_width(width))


def _check_width(weights: Weights) -> None:
    model, tables = weights.model, weights.densities[0]
    tables.check()
    expected = N_KNOTS if weights.vectors else 1, model.n_coded
    if tables.firsts.shape != expected:
        raise FormatError(f"densities of shape {tables.firsts.shape}; expected {expected}")
    try:
        for group, chain in model.chains().items():
            exact_tensors(chain, weights.tensors[group])
            for knot in range(N_KNOTS if weights.vectors else 0):
                exact_scales(chain, {name: v[knot] for name, v in weights.vectors.items()})
    except ValueError as error:
        raise FormatError(f"weights that could not be computed with exactly: {error}") from error


def _densities(width: int) -> str:
    return f"densities@{width}" if width else "densities"
