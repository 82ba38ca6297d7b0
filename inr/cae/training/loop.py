"""Trains a model in runs of any length: one folder holds all that the next run needs.

  config.json      the configuration, as text
  checkpoint.npz   weights, their running mean, Adam's moments, steps done, hashes of the pictures
  log.jsonl        a line a validation: step, seconds, loss, and R-D on the validation pictures

A run goes on exactly where the one before ended: batches, lambdas and noise depend on nothing but
pictures, seed and step. So a run with another configuration, other pictures or another start is
refused.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from inr.cae.entropy_models import HYPER_BLOCK
from inr.cae.model import Model
from inr.cae.training.autoencoder import Params, forward, vectors
from inr.cae.training.configs import Config, read_config
from inr.cae.training.origin import Origin
from inr.cae.training.pictures import Pictures, Warn, crops, prefetch
from inr.cae.training.step import State, Training, slice_width
from inr.cae.transforms import BLOCK
from inr.errors import UsageError
from inr.files import append_whole, write_whole
from inr.fitting.checkpoint import Checkpoint
from inr.fitting.jax_settings import own_jax_settings, platform

CONFIG_FILE, CHECKPOINT_FILE, LOG_FILE = "config.json", "checkpoint.npz", "log.jsonl"
_SAVE_SECONDS = 120.0  # between checkpoints
_VALIDATION_POSITIONS = (-1.0, 0.0, 1.0)  # of lambda
_GPU_STEPS = 25  # a call; on CPU a call is nothing beside a step


@dataclass(frozen=True)
class TrainProgress:
    """What a run reports after each call."""

    step: int
    n_steps: int  # of the whole training
    loss: float
    psnr_db: float  # of the mean squared error of the last batches
    bpp: float
    seconds_left: float  # of the whole training


@dataclass(frozen=True)
class TrainResult:
    """What a run ended with."""

    state: State
    loss: float | None  # running mean; None where no step was left to do
    points: list[dict[str, float]]  # R-D on the validation pictures


Report = Callable[[TrainProgress], None]


@own_jax_settings()
def train(
    config: Config,
    pictures: Pictures,
    folder: Path,
    *,
    validation: Sequence[np.ndarray] = (),
    validate_every: int = 1000,
    until: float | None = None,
    start: Params | None = None,
    report: Report | None = None,
    warn: Warn = lambda text: None,
    validation_decides: bool = False,
) -> TrainResult:
    """Train until the last step, or as long as time allows.

    Args:
      validation: u8[h, w, 3] each, sides multiples of 64.
      until: seconds of time.monotonic() at which the run ends.
      start: weights to begin with, where there is no checkpoint yet.
      warn: called with a line for what cannot be known of an older checkpoint, and if validation
        pictures are others than before.
      validation_decides: they decide the training, so that others are refused.
    Returns:
      The state; it is also in the folder.
    Raises:
      ValueError: a folder of another training.
    """
    settings = config.train
    is_gpu = platform() != "cpu"
    dtype = jnp.bfloat16 if is_gpu else jnp.float32
    training = Training(config.model, settings, config.is_trained, dtype)
    folder.mkdir(parents=True, exist_ok=True)
    _check_config(config, folder)
    checkpoint = _checkpoint(config, folder)
    state, numbers = _resume(training.start(start), checkpoint, folder)
    seconds: float = numbers.get("seconds", 0.0)
    origin = Origin.of(pictures, validation, start)
    if numbers:
        before = Origin.read(numbers)
        origin = origin.after(before, folder, warn=warn, validation_decides=validation_decides)
    with write_whole(folder / CONFIG_FILE, overwrite=True) as file:
        file.write(config.to_json().encode())
    first, n_a_call = int(state.step), _GPU_STEPS if is_gpu else 1
    run = jax.jit(training.steps, donate_argnums=0)
    lambdas = jnp.asarray(config.width_lambdas, jnp.float32)
    started_at = saved_at = time.monotonic()
    calls = range(first, settings.steps, n_a_call)

    def batch(step: int) -> np.ndarray:
        n = min(n_a_call, settings.steps - step)
        each = range(step, step + n)
        side, seed = settings.side, settings.seed
        return np.stack([crops(pictures, settings.batch, side, seed, s) for s in each])

    def trained_seconds() -> float:
        return seconds + time.monotonic() - started_at

    recent = _Recent()
    points: list[dict[str, float]] = []
    if first == settings.steps:
        return TrainResult(state, None, rd_points(config, state.mean, validation))
    with prefetch(batch, calls) as batches:
        for begin, x in zip(calls, batches, strict=True):
            state, metrics = run(state, x, lambdas)
            recent.add({name: float(value[-1]) for name, value in metrics.items()})
            step, now = begin + len(x), time.monotonic()
            if report is not None:
                left = (now - started_at) / (step - first) * (settings.steps - step)
                report(recent.progress(step, settings.steps, left))
            is_last = step == settings.steps or (until is not None and now > until)
            if is_last or step // validate_every > begin // validate_every:
                points = rd_points(config, state.mean, validation)
                _log(folder, step, trained_seconds(), recent.loss, points)
            if is_last or now - saved_at > _SAVE_SECONDS:
                leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
                numbers = {"step": step, "seconds": trained_seconds()} | origin.numbers()
                checkpoint.save(numbers, leaves)
                saved_at = time.monotonic()
            if is_last:
                break
    return TrainResult(state, recent.loss, points)


def validation_pictures(pictures: Pictures) -> list[np.ndarray]:
    """Decode u8[h, w, 3] each, cut at the right and the bottom to multiples of 64 pixels."""
    block = BLOCK * HYPER_BLOCK
    found = []
    for i in range(len(pictures.sources)):
        pixels = pictures.pixels(i)
        height, width = (n // block * block for n in pixels.shape[:2])
        if height and width:
            found.append(pixels[:height, :width])
    return found


@own_jax_settings()
def load_state(folder: Path) -> tuple[Config, State]:
    """Load what a run left behind; UsageError where there is nothing."""
    config = read_config(folder / CONFIG_FILE)
    training = Training(config.model, config.train, config.is_trained)
    start = training.start()
    state, numbers = _resume(start, _checkpoint(config, folder), folder)
    if not numbers:
        raise UsageError(f"{folder} holds no checkpoint; train first")
    return config, state


@own_jax_settings()
def rd_points(
    config: Config, params: Params, validation: Sequence[np.ndarray]
) -> list[dict[str, float]]:
    """Estimate bits and PSNR of the validation pictures, means over them.

    One point for each of three lambdas, or for each width of a slimmable model.
    """
    model, points = config.model, []
    if not validation:
        return []
    if model.widths:
        for width in model.widths:
            narrow = model.at_width(width)
            point = _mean_rd(narrow, slice_width(params, narrow), validation, 0.0)
            points.append({"width": width, **point})
        return points
    positions = _VALIDATION_POSITIONS if model.scale_vectors() else (0.0,)
    for position in positions:
        point = _mean_rd(model, params, validation, position)
        points.append({"lambda": model.lambda_at(position), **point})
    return points


def _mean_rd(
    model: Model, params: Params, validation: Sequence[np.ndarray], position: float
) -> dict[str, float]:
    rd = jax.jit(_rd, static_argnums=0)
    each = [rd(model, params, x[None], jnp.full(1, position)) for x in validation]
    bpp, psnr = (float(np.mean([point[i] for point in each])) for i in (0, 1))
    return {"bpp": round(bpp, 5), "psnr_db": round(psnr, 4)}


def _rd(
    model: Model, params: Params, x: jax.Array, position: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Estimate bits a pixel, and PSNR of 8-bit pixels of u8[1, h, w, 3]."""
    pixels = x.astype(jnp.float32)
    drawn, bits = forward(model, params, pixels / 255, vectors(model, params, position), None)
    error = jnp.square(jnp.round(jnp.clip(drawn, 0, 1) * 255) - pixels).mean()
    return bits[0] / (x.shape[1] * x.shape[2]), 10 * jnp.log10(255**2 / error)


class _Recent:
    """Running means of the metrics of steps."""

    def __init__(self) -> None:
        self._means: dict[str, float] = {}

    def add(self, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            before = self._means.get(name, value)
            self._means[name] = before + 0.02 * (value - before)

    @property
    def loss(self) -> float:
        return self._means["loss"]

    def progress(self, step: int, n_steps: int, seconds_left: float) -> TrainProgress:
        psnr = -10 * math.log10(max(self._means["mse"], 1e-12))
        bpp = self._means["bpp"]
        return TrainProgress(step, n_steps, self.loss, psnr, bpp, seconds_left)


def _check_config(config: Config, folder: Path) -> None:
    """Refuse the folder of another training, and a config.json that no training wrote."""
    path = folder / CONFIG_FILE
    if not path.exists():
        return
    try:
        before = read_config(path)
    except UsageError as error:
        raise UsageError(f"{error}; name another folder, or delete it") from error
    if before != config and (folder / CHECKPOINT_FILE).exists():
        raise UsageError(
            f"{folder} belongs to another training: {path} is not the configuration given; name "
            f"another folder, or go on with --config {path}"
        )


def _checkpoint(config: Config, folder: Path) -> Checkpoint:
    fingerprint = hashlib.sha256(config.to_json().encode()).hexdigest()
    return Checkpoint(folder / CHECKPOINT_FILE, fingerprint)


def _resume(state: State, checkpoint: Checkpoint, folder: Path) -> tuple[State, dict[str, Any]]:
    """Load the checkpoint; the state given and no numbers if there is none."""
    try:
        loaded = checkpoint.load()
    except UsageError as error:
        raise UsageError(
            f"{folder / CHECKPOINT_FILE} is damaged, or no checkpoint of this training; name "
            "another folder, or delete it to begin again"
        ) from error
    if loaded is None:
        return state, {}
    numbers, arrays = loaded
    treedef = jax.tree.structure(state)
    return jax.tree.unflatten(treedef, [jnp.asarray(a) for a in arrays]), numbers


def _log(
    folder: Path, step: int, seconds: float, loss: float, points: list[dict[str, float]]
) -> None:
    line: dict[str, Any] = {"step": step, "seconds": round(seconds, 1), "loss": round(loss, 6)}
    append_whole(folder / LOG_FILE, (json.dumps(line | {"points": points}) + "\n").encode())
