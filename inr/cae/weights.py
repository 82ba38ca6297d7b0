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
        name, facts = str(meta["name"]), dict(meta["facts"])
    except FormatError:
        raise
    except Exception as error:  # numpy, zipfile and json raise a dozen kinds for damaged files
        raise FormatError(f"this is no weights file of an autoencoder: {error}") from error
    tensors: dict[str, dict[str, np.ndarray]] = {group: {} for group in model.chains()}
    vectors: dict[str, np.ndarray] = {}
    for path, array in arrays.items():
        group, _, tensor = path.partition("/")
        if group in tensors:
            tensors[group][tensor] = array
        elif group == "vectors":
            vectors[tensor] = array
    _check(model, tensors, vectors, densities)
    return Weights(
        name, model, tensors, vectors, densities, facts, hashlib.sha256(data).hexdigest()
    )


def _check(
    model: Model,
    tensors: dict[str, dict[str, np.ndarray]],
    vectors: dict[str, np.ndarray],
    densities: dict[int, DensityTables],
) -> None:
    wanted = {
        f"{group}/{name}": shape
        for group, chain in model.chains().items()
        for name, shape in shapes(chain).items()
    }
    lengths = model.scale_vectors()
    if lengths:
        lengths[LOG_LATENT_SCALE] = model.n_latents
    wanted |= {f"vectors/{name}": (N_KNOTS, n) for name, n in lengths.items()}
    given = {f"{g}/{name}": t.shape for g, group in tensors.items() for name, t in group.items()}
    given |= {f"vectors/{name}": v.shape for name, v in vectors.items()}
    if model.widths:  # GDN of the widths stands beside
        given = {name: shape for name, shape in given.items() if "@" not in name}
    if given != wanted:
        unlike = sorted(set(wanted.items()) ^ set(given.items()))
        raise FormatError(f"weights do not fit their model: {unlike[:4]}")
    for width, tables in densities.items():
        tables.check()
        n_channels = model.at_width(width).n_coded if width else model.n_coded
        n_knots = N_KNOTS if vectors else 1
        if tables.firsts.shape != (n_knots, n_channels):
            raise FormatError(
                f"densities of shape {tables.firsts.shape}; expected {(n_knots, n_channels)}"
            )


def _densities(width: int) -> str:
    return f"densities@{width}" if width else "densities"
