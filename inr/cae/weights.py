"""The weights file of a model: an .npz that numpy reads without pickles.

  meta                 JSON: format, name, the fields of Model, metadata of the training
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
from inr.cae.exact.tensors import exact_scales, exact_tensors
from inr.cae.layers import shapes
from inr.cae.model import Model, model_from_json, model_to_json
from inr.cae.npz import Member, Npz
from inr.errors import FormatError, UsageError

FORMAT = 1
N_KNOTS = 33  # positions of lambda whose scales are kept, evenly over the model's range
LOG_LATENT_SCALE = "log_m"  # a vector that is no network's: log of what multiplies latents
MAX_META_BYTES = 1 << 22  # 4 a character; those of shipped models have 5 kB
MAX_ARRAY_BYTES = 1 << 28  # unpacked; the largest configuration has 65 MB
_TABLE_FIELDS = ("firsts", "lengths", "frequencies")
_META = "meta"


@dataclass(frozen=True)
class Weights:
    """A model ready for coding."""

    name: str
    model: Model
    tensors: dict[str, dict[str, np.ndarray]]  # group -> tensor -> f16
    vectors: dict[str, np.ndarray]  # f16 [N_KNOTS, n]
    densities: dict[int, DensityTables]  # by width; 0 for a model of one width
    metadata: dict[str, Any]  # of the training; "facts" in the file
    sha256: str  # hexadecimal, of the file

    def at_width(self, width: int) -> "Weights":
        """Return one width of a slimmable model, as a model of its own; 0 for the model itself."""
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
    """Make the bytes of the file; weights.sha256 is not looked at."""
    meta = {
        "format": FORMAT,
        "name": weights.name,
        "model": model_to_json(weights.model),
        "facts": weights.metadata,
    }
    arrays: dict[str, Any] = {f"vectors/{name}": v for name, v in weights.vectors.items()}
    for group, tensors in weights.tensors.items():
        arrays |= {f"{group}/{name}": tensor for name, tensor in tensors.items()}
    for width, tables in weights.densities.items():
        values = tables.firsts, tables.lengths, tables.frequencies
        arrays |= dict(zip(_table_paths(width), values, strict=True))
    file = io.BytesIO()
    np.savez_compressed(file, meta=np.array(json.dumps(meta, sort_keys=True)), **arrays)
    return file.getvalue()


def read_weights(data: bytes) -> Weights:
    """Read what `write_weights` wrote.

    Names, types and shapes are held against the model before any tensor is unpacked: a file that
    is none costs next to nothing, whatever it claims.

    Raises:
      FormatError: the bytes are something else, or weights that pictures cannot be coded with.
    """
    try:
        stored = Npz(data)
        name, model, metadata = _read_meta(stored)
        _check_claims(stored.members, model)
        arrays = {path: stored.read(path) for path in stored.members if path != _META}
    except FormatError as error:
        raise FormatError(f"this is no weights file of an autoencoder: {error}") from error
    tensors: dict[str, dict[str, np.ndarray]] = {group: {} for group in model.chains()}
    vectors: dict[str, np.ndarray] = {}
    for path, array in arrays.items():
        group, _, tensor = path.partition("/")
        if group in tensors:
            tensors[group][tensor] = array
        elif group == "vectors":
            vectors[tensor] = array
    densities = {
        width: DensityTables(*(arrays[path] for path in _table_paths(width)))
        for width in model.widths or (0,)
    }
    sha256 = hashlib.sha256(data).hexdigest()
    made = Weights(name, model, tensors, vectors, densities, metadata, sha256)
    _check(made)
    return made


def _read_meta(stored: Npz) -> tuple[str, Model, dict[str, Any]]:
    """Read name, model and metadata of the training."""
    claimed = stored.members.get(_META)
    if claimed is None:
        raise FormatError(f"{_META!r} is missing")
    if claimed.shape or claimed.dtype.kind != "U" or claimed.n_bytes > MAX_META_BYTES:
        raise FormatError(
            f"{_META!r} is {claimed.dtype}{list(claimed.shape)}, no text of at most "
            f"{MAX_META_BYTES} bytes"
        )
    try:
        meta = json.loads(str(stored.read(_META)))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{_META!r} is no JSON: {error}") from error
    if not isinstance(meta, dict):
        raise FormatError(f"{_META!r} is no JSON object")
    if meta.get("format") != FORMAT:
        raise FormatError(f"weights of format {meta.get('format')}; this version reads {FORMAT}")
    name, metadata = meta.get("name"), meta.get("facts")
    if not isinstance(name, str) or not isinstance(metadata, dict):
        raise FormatError(f"{_META!r} has no name and no facts of the training")
    try:
        return name, model_from_json(meta.get("model")), metadata
    except UsageError as error:
        raise FormatError(str(error)) from error


def _list_shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """List names and shapes of all tensors and vectors of the model."""
    wanted: dict[str, tuple[int, ...]] = {}
    for each in (*(model.at_width(width) for width in model.widths), model):  # the largest last
        for group, chain in each.chains().items():
            wanted |= {f"{group}/{name}": shape for name, shape in shapes(chain).items()}
    lengths = model.scale_vectors()
    if lengths:
        lengths[LOG_LATENT_SCALE] = model.n_latents
    return wanted | {f"vectors/{name}": (N_KNOTS, n) for name, n in lengths.items()}


def _check_claims(members: dict[str, Member], model: Model) -> None:
    """Raise FormatError for arrays that are not those of the model, or too large."""
    tables = [path for width in model.widths or (0,) for path in _table_paths(width)]
    for path in tables:
        if path not in members:
            raise FormatError(f"{path!r} is missing")
    wanted = _list_shapes(model)
    others = {_META, *tables}
    given = {path: each.shape for path, each in members.items() if path not in others}
    unlike = set(wanted.items()) ^ set(given.items())
    if unlike:
        raise FormatError(f"weights do not fit their model: {sorted(unlike)[:4]}")
    for path in given:
        if members[path].dtype != np.float16:
            raise FormatError(
                f"{path} is {members[path].dtype} or not finite; expected are float16 numbers"
            )
    n_bytes = sum(member.n_bytes for member in members.values())
    if n_bytes > MAX_ARRAY_BYTES:
        raise FormatError(f"arrays of {n_bytes} bytes, more than the {MAX_ARRAY_BYTES} allowed")


def _check(weights: Weights) -> None:
    """Raise FormatError for weights with which pictures could not be coded, or not exactly."""
    groups = weights.tensors | {"vectors": weights.vectors}
    for group, tensors in groups.items():
        for name, w in tensors.items():
            if not np.isfinite(w).all():
                raise FormatError(
                    f"{group}/{name} is {w.dtype} or not finite; expected are float16 numbers"
                )
    for width in weights.model.widths or (0,):
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
    except UsageError as error:
        raise FormatError(f"weights that could not be computed with exactly: {error}") from error


def _table_paths(width: int) -> list[str]:
    group = f"densities@{width}" if width else "densities"
    return [f"{group}/{name}" for name in _TABLE_FIELDS]
