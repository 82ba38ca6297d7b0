"""From the state of a training to the weights file that codes pictures."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from inr.cae.density_tables import DensityTables, tables_of
from inr.cae.entropy_models import PRIOR_SCALE
from inr.cae.layers import shapes
from inr.cae.model import Model
from inr.cae.training import gdn
from inr.cae.training.autoencoder import Params, vectors
from inr.cae.training.entropy_models import FactorizedDensity
from inr.cae.training.loop import LOG_FILE, load_state
from inr.cae.weights import LOG_LATENT_SCALE, N_KNOTS, Weights, read_weights, write_weights
from inr.errors import UsageError
from inr.fitting.jax_settings import own_jax_settings


@own_jax_settings()
def export_weights(name: str, model: Model, params: Params, metadata: dict[str, Any]) -> Weights:
    """Round the weights to the numbers of the file, and build its tables.

    Args:
      params: those to be used, as a rule `State.mean`.
      metadata: what the file says of its training, ready for JSON.
    Raises:
      ValueError: weights that are not finite.
    """
    positions = jnp.linspace(-1.0, 1.0, N_KNOTS)
    scales = {k: np.asarray(v) for k, v in vectors(model, params, positions).items()}
    tensors = {
        group: {
            tensor: _to_plain(tensor, params[group][tensor])
            for tensor in sorted(_names(model, group, params))
        }
        for group in model.chains()
    }
    if scales:
        with np.errstate(divide="ignore"):  # -inf, which is refused
            scales[LOG_LATENT_SCALE] = np.log(scales[model.transform.LATENT_SCALE])
    halves = {k: _to_half(k, v) for k, v in scales.items()}
    densities = {}
    for width in model.widths or (0,):
        own = model.at_width(width) if width else model
        prior = params[f"prior@{width}" if width else "prior"]
        stretches = scales[PRIOR_SCALE] if scales else np.ones((1, own.n_coded))
        densities[width] = _make_tables(prior, own.n_coded, stretches)
    data = write_weights(Weights(name, model, tensors, halves, densities, metadata, ""))
    return read_weights(data)


@own_jax_settings()
def export_file(folder: Path, name: str | None = None) -> tuple[bytes, dict[str, Any]]:
    """Make the weights file of a training, and say what it is, ready for JSON.

    Args:
      folder: what `train` wrote.
      name: of the model; None for that of its configuration.
    Raises:
      ValueError: there is no training in the folder.
    """
    config, state = load_state(folder)
    seconds, points = _last_record(folder / LOG_FILE)
    metadata = {
        "config": json.loads(config.to_json()),
        "steps_done": int(state.step),
        "train_seconds": seconds,
        "validation": points,
    }
    weights = export_weights(name or config.name, config.model, state.mean, metadata)
    summary = {"name": weights.name, "sha256": weights.sha256, "step": int(state.step)}
    return write_weights(weights), summary


def _last_record(path: Path) -> tuple[float, list[Any]]:
    """Read seconds and R-D points from the last line of a log."""
    try:
        record = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
        return record["seconds"], record["points"]
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} does not end in a record of a training ({error!r}); train for another step"
        ) from error


def _names(model: Model, group: str, params: Params) -> set[str]:
    """List the tensors of a group, with those of every width of a slimmable model."""
    models = [model, *(model.at_width(width) for width in model.widths)]
    return {name for each in models for name in shapes(each.chains()[group])}


def _to_plain(name: str, tensor: jax.Array) -> np.ndarray:
    if name.endswith("_beta"):
        tensor = gdn.from_trainable(tensor, gdn.BETA_LEAST)
    elif name.endswith("_gamma"):
        tensor = gdn.from_trainable(tensor, 0.0)
    return _to_half(name, np.asarray(tensor, np.float32))


def _to_half(name: str, tensor: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # infinity, which is refused
        half = tensor.astype(np.float16)
    if not np.isfinite(half).all():
        raise UsageError(f"tensor {name} has numbers that float16 does not hold; train again")
    return half


def _make_tables(prior: dict[str, jax.Array], n: int, stretches: np.ndarray) -> DensityTables:
    density = FactorizedDensity(n)

    def cumulative(x: np.ndarray) -> np.ndarray:
        logits = density.apply({"params": prior}, jnp.asarray(x, jnp.float32))
        half = np.asarray(logits, np.float64) / 2
        return (1 + np.tanh(half)) / 2

    return tables_of(cumulative, stretches.astype(np.float64))
