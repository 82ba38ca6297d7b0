"""Trains what pictures of kind grid start from: the networks of prior 2, and the analysis network.

train_grid_start.py DATA OUT [--steps N] [--from FOLDER]

Both are trained together: the analysis network makes latents of a crop, noise stands for their
rounding, and the networks at the crop's lambda draw them and count their bits. The loss is the mean
over crops of log(MSE + lambda * bits per pixel), so that all crops and lambdas count alike.

DATA is read as by train_grid_prior.py, all kinds of crops. OUT, a folder, gets prior_2.npz and
analysis.npz, and every few minutes state.npz, from which a run that ended goes on. Rates fall
in a cosine over all steps; `--from` begins a further leg with the files of another.
A set that has been released never changes: files are counted from it. Another machine gives other
numbers of the same worth.
"""

import argparse
import csv
import io
import time
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax import contrib
from PIL import Image

from inr.files import write_whole
from inr.grid.fit.analysis import first_weights, predict, step_of
from inr.grid.fit.init import CUBIC
from inr.grid.fit.model import soft_round
from inr.grid.fit.soap import scale_by_soap
from inr.grid.fit.tile import HALO, MARGIN, Tile, Weights, tile_sums
from inr.grid.prior import (
    GAIN_BITS,
    GAINED,
    LAMBDA_RANGE,
    PRIOR_LIMIT,
    SCALED_UNIT_BITS,
    rate_place,
)
from inr.grid.structure import MAX_RATE, Pyramid, Structure

SIDE, BATCH, SEED = 256, 4, 1
NETWORK_RATE, ANALYSIS_RATE, ADAM_RATE = 2e-3, 2e-3, 1e-3
MAX_NORM = 0.1
WARMUP = 50  # steps
TEMPERATURES = 0.3, 0.1  # of soft rounding, at the start and at the end
STEPS_A_BLOCK = 10
SAVE_SECONDS = 300
PYRAMID = Pyramid(SIDE, SIDE, 3, Structure(prior=2))
POOL = 1 << 21  # uniform numbers, of which each crop takes slices
ADAM_NAMES = ("_b", "_gain", "gain", "head")  # what is no matrix of a layer


def inside() -> tuple[np.ndarray, np.ndarray]:
    """Tell which places of a crop are pixels, and which latents of windows are its own."""
    is_pixel = np.arange(SIDE * (SIDE + 2 * MARGIN)) % (SIDE + 2 * MARGIN) < SIDE
    is_latent = [
        np.pad(np.ones((level.height, level.width), np.float32), HALO).reshape(-1)
        for level in PYRAMID.levels
    ]
    return is_pixel.astype(np.float32), np.concatenate(is_latent)


IS_INSIDE = inside()


class State(NamedTuple):
    networks: dict[str, jax.Array]  # "name 0", "name 1", "name 2": for 1, t, t**2
    analysis: dict[str, jax.Array]
    soap: Any
    muon: Any
    step: jax.Array


def read_crops(folder: Path) -> np.ndarray:
    """Read u8[n, 3, SIDE, SIDE]."""
    with (folder / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    archives = {name: zipfile.ZipFile(folder / name) for name in {row["archive"] for row in rows}}
    crops = []
    for row in rows:
        image = Image.open(io.BytesIO(archives[row["archive"]].read(row["file"]))).convert("RGB")
        crops.append(np.asarray(image).transpose(2, 0, 1))
    return np.stack(crops)


def first_networks(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Make networks that draw the sum of the levels, grey, and know little of their densities."""
    tensors = {}
    for name, shape in PYRAMID.shapes.items():
        w = np.zeros(shape)
        if name.startswith("up"):
            w = np.array(CUBIC)
        elif name == "synth_linear":
            w = np.ones(shape)
        elif name == "synth_b1":
            w = np.full(shape, 0.5 - 1 / 16)
        elif name == "conv_b0":
            w = np.full(shape, 1 / 16)  # at 0 its rectifier would pass no gradient
        elif name.endswith("_b2"):
            w = np.array([0.0, -1.0])
        elif len(shape) == 2 and not name.startswith("conv"):
            gain = 0.1 if name == "synth_w1" else 0.3 if name != "synth_w0" else 2.0
            w = gain * rng.uniform(-1, 1, shape) / np.sqrt(shape[1])
        tensors |= {f"{name} 0": w, f"{name} 1": 0 * w, f"{name} 2": 0 * w}
    return {name: w.astype(np.float32) for name, w in tensors.items()}


def networks_at(networks: dict[str, jax.Array], place: jax.Array) -> dict[str, jax.Array]:
    """Return the networks at a place of lambda; see prior.py."""
    gain = step_of(0.0) * jnp.exp(jnp.log(step_of(1.0) / step_of(0.0)) * place)
    at = {}
    for name in PYRAMID.shapes:
        a, b, c = (networks[f"{name} {k}"] for k in range(3))
        at[name] = (a + place * b + place**2 * c) * (gain if name in GAINED else 1.0)
    return at


def loss_of_crop(trained, crop, place, key, temperature, pool):
    """log(MSE + lambda * bits per pixel) of u8[3, SIDE, SIDE], and both terms.

    Noise is as wide as rounding is: what is predicted cannot bend to it, as fitted latents can.
    """
    networks, analysis = trained
    picture = crop.astype(jnp.float32) / 255
    params = networks_at(networks, place)
    latents = predict(picture, place, analysis, jnp)
    starts = jax.random.randint(key, (len(latents),), 0, pool.size - SIDE * SIDE)
    seen = []
    for y, begin in zip(latents, starts, strict=True):
        added = jax.lax.dynamic_slice(pool, (begin,), (y.size,)).reshape(y.shape)
        disturbed = soft_round(soft_round(y, temperature) + added, temperature)
        seen.append(jnp.pad(disturbed, HALO, mode="edge").reshape(-1))
    picture = jnp.pad(picture, ((0, 0), (0, 0), (0, 2 * MARGIN))).reshape(3, -1)
    tile = Tile(picture, *IS_INSIDE)
    weights = Weights(jnp.float32(0), jnp.float32(0), jnp.float32(0))  # the plain sums are enough
    sums = tile_sums(params, jnp.concatenate(seen), tile, weights, PYRAMID)
    mse, bpp = sums.errors / (3 * SIDE**2), sums.bits / SIDE**2
    low, high = LAMBDA_RANGE
    lambda_ = low * (high / low) ** ((place + 1) / 2)
    return jnp.log(mse + lambda_ * bpp), (mse, bpp)


def muon():
    """Muon for the matrices, Adam for the rest."""

    def is_matrix(name: str) -> bool:
        return not any(name.endswith(end) or name.startswith(end) for end in ADAM_NAMES)

    numbers = {
        name: contrib.MuonDimensionNumbers(1, 0) if is_matrix(name) else None
        for name in first_weights(np.random.default_rng(0))
    }
    return contrib.muon(
        1.0,
        consistent_rms=0.2,
        adam_learning_rate=ADAM_RATE / ANALYSIS_RATE,
        muon_weight_dimension_numbers=numbers,
    )


@jax.jit
def run_block(state: State, crops, places, keys, rates, temperatures, pool):
    """Make one step for each u8[BATCH, 3, SIDE, SIDE] of crops."""

    def step(state, given):
        crops, places, keys, rate, temperature = given
        trained = state.networks, state.analysis

        def add(total, each):
            (loss, terms), grads = jax.value_and_grad(loss_of_crop, has_aux=True)(
                trained, *each, temperature, pool
            )
            return jax.tree.map(lambda a, b: a + b / BATCH, total, grads), (loss, *terms)

        zeros = jax.tree.map(jnp.zeros_like, trained)
        grads, measured = jax.lax.scan(add, zeros, (crops, places, keys))
        of_networks, of_analysis = grads
        scale = jnp.minimum(1, MAX_NORM / optax.tree.norm(of_networks))
        updates, soap = scale_by_soap().update(
            jax.tree.map(lambda g: g * scale, of_networks), state.soap
        )
        networks = jax.tree.map(lambda w, u: w - NETWORK_RATE * rate * u, state.networks, updates)
        scale = jnp.minimum(1, MAX_NORM / optax.tree.norm(of_analysis))
        of_analysis = jax.tree.map(lambda g: g * scale, of_analysis)
        updates, by_muon = muon().update(of_analysis, state.muon, state.analysis)
        analysis = jax.tree.map(
            lambda w, u: w + ANALYSIS_RATE * rate * u, state.analysis, updates
        )
        return State(networks, analysis, soap, by_muon, state.step + 1), measured

    return jax.lax.scan(step, state, (crops, places, keys, rates, temperatures))


def batch_at(step: int, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose crops, turned and mirrored, and the places of lambda, one of each quarter."""
    rng = np.random.default_rng([SEED, step])
    picked = []
    for i in rng.choice(len(crops), BATCH, replace=False):
        crop = crops[i]
        if rng.random() < 0.5:
            crop = crop[:, :, ::-1]
        picked.append(crop)
    places = (rng.permutation(BATCH) + rng.random(BATCH)) / BATCH * 2 - 1
    keys = rng.integers(0, 1 << 32, (BATCH, 2), np.uint32)
    return np.stack(picked), places.astype(np.float32), keys


def export(state: State, out: Path) -> None:
    """Write prior_2.npz and analysis.npz."""
    stored = {}
    for name in PYRAMID.shapes:
        w = np.stack([np.asarray(state.networks[f"{name} {k}"], np.float64) for k in range(3)])
        stored[name] = np.rint(np.ldexp(w, SCALED_UNIT_BITS)).astype(np.int32)
        if np.abs(w).sum(axis=0).max() >= PRIOR_LIMIT:
            raise SystemExit(f"{name}: a number is too large for a prior")
    gains = [step_of(rate_place(rate)) for rate in range(MAX_RATE + 1)]
    stored["gain"] = np.rint(np.ldexp(gains, GAIN_BITS)).astype(np.int32)
    analysis = {name: np.asarray(w, np.float16) for name, w in state.analysis.items()}
    for name, arrays in (("prior_2.npz", stored), ("analysis.npz", analysis)):
        with write_whole(out / name, overwrite=True) as file:
            np.savez(file, **arrays)


def load(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Read networks and analysis as `export` wrote them."""
    networks = {}
    with np.load(folder / "prior_2.npz") as stored:
        for name in PYRAMID.shapes:
            for k in range(3):
                networks[f"{name} {k}"] = np.ldexp(stored[name][k], -SCALED_UNIT_BITS)
    with np.load(folder / "analysis.npz") as stored:
        analysis = {name: stored[name].astype(np.float32) for name in stored.files}
    return {name: w.astype(np.float32) for name, w in networks.items()}, analysis


def start(folder: Path | None) -> State:
    """Make the first state, or that of another leg's files."""
    rng = np.random.default_rng(SEED)
    networks, analysis = first_networks(rng), first_weights(rng)
    if folder is not None:
        networks, analysis = load(folder)
    on_device = jax.tree.map(jnp.asarray, (networks, analysis))
    return State(
        *on_device, scale_by_soap().init(on_device[0]), muon().init(on_device[1]), jnp.int32(0)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--from", type=Path, dest="begin")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    crops = read_crops(args.data)
    pool = jnp.asarray(np.random.default_rng([SEED, 0]).random(POOL, np.float32) - 0.5)
    state, kept = start(args.begin), args.out / "state.npz"
    if kept.exists():
        with np.load(kept) as stored:
            leaves, tree = jax.tree.flatten(state)
            state = jax.tree.unflatten(tree, [jnp.asarray(stored[f"{i}"]) for i in range(len(leaves))])
    saved_at, mean = time.monotonic(), None
    while (begin := int(state.step)) < args.steps:
        ids = np.arange(begin, min(begin + STEPS_A_BLOCK, args.steps))
        batches = [np.stack(each) for each in zip(*(batch_at(i, crops) for i in ids), strict=True)]
        rates = np.minimum(1, (ids + 1) / WARMUP) * 0.5 * (1 + np.cos(np.pi * ids / args.steps))
        share, (hot, cold) = ids / args.steps, TEMPERATURES
        schedules = [each.astype(np.float32) for each in (rates, hot * (cold / hot) ** share)]
        started_at = time.monotonic()
        state, measured = run_block(state, *batches, *schedules, pool)
        losses = np.asarray(measured[0])
        order = np.argsort(batches[1], axis=1)
        by_quarter = np.take_along_axis(losses, order, axis=1).mean(axis=0)
        mean = by_quarter if mean is None else 0.9 * mean + 0.1 * by_quarter
        if not np.isfinite(losses).all():
            raise SystemExit(f"the loss stopped being a number before step {begin}")
        if begin % (5 * STEPS_A_BLOCK) == 0:
            seconds = (time.monotonic() - started_at) / ids.size
            text = " ".join(f"{x:.4f}" for x in mean)
            print(f"step {ids[-1] + 1}: {mean.mean():.4f} ({text}), {seconds:.2f} s", flush=True)
        is_last = ids[-1] + 1 == args.steps
        if is_last or time.monotonic() - saved_at > SAVE_SECONDS:
            with write_whole(kept, overwrite=True) as file:
                np.savez(file, **{f"{i}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(state))})
            export(state, args.out)
            saved_at = time.monotonic()


if __name__ == "__main__":
    main()
