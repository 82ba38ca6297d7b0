"""Trains an analysis network (inr/grid/fit/analysis.py): `assets/grid/analysis.npz`, or with
`--screens` `assets/grid/analysis_screens.npz`.

train_grid_analysis.py DATA PRIOR OUT [--screens] [--steps N] [--from FILE] [--networks FILE]

The network makes the latents of a crop, noise stands for their rounding, and the networks of PRIOR
(train_grid_networks.py) draw them and count their bits. The loss is the mean over crops of
log(MSE + lambda * bits per pixel), so that all crops and lambdas count alike. DATA: see
training_crops.py; all kinds of crops, or with `--screens` those that are no photographs, and pages
of text. OUT, a file, is written every few minutes, and a run that ended goes on from OUT.state.
`--from` begins a further leg with the file of another. Files do not know this network: a better one
may take its place at any time.

With `--networks` the networks learn too, from those of PRIOR on, and FILE becomes their set: what
files without a fit are best drawn with. Fits, whose latents say more than can be predicted, need
networks that know such latents (train_grid_networks.py). What train_grid_networks.py says of
released sets holds for these.
"""

import argparse
import functools
import pickle
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from network_set import Networks, read_set, tensors_at, within_limits, write_set
from optax import contrib
from rendered_pages import render_pages
from training_crops import read_crops, training_rows

from inr.files import write_whole
from inr.grid.fit.analysis import first_weights, in_codes, predict
from inr.grid.fit.model import soft_round
from inr.grid.fit.soap import SoapState, scale_by_soap
from inr.grid.fit.tile import MARGIN, Tile, Weights, tile_sums
from inr.grid.fit.tile_contexts import HALO
from inr.grid.prior import LAMBDA_RANGE, SCREENS
from inr.grid.structure import Pyramid, Structure

SIDE, BATCH, SEED = 256, 4, 1
RATE, ADAM_RATE, MAX_NORM = 1e-3, 5e-4, 0.1
NETWORK_RATE = 1.5e-3  # by SOAP
WARMUP = 50  # steps
TEMPERATURES = 0.3, 0.1  # of soft rounding, at the start and at the end
STEPS_A_BLOCK = 10
SAVE_SECONDS = 180
N_PAGES = 600  # of text
POOL = 1 << 21  # uniform numbers, of which each crop takes slices
ADAM_NAMES = ("_b", "_gain", "gain", "head")  # what is no matrix of a layer

Tensors = dict[str, jax.Array]


class State(NamedTuple):
    weights: Tensors
    muon: Any
    networks: Networks
    soap: SoapState
    step: Any


@functools.cache
def inside(pyramid: Pyramid) -> tuple[np.ndarray, np.ndarray]:
    """Tell which places of a crop are pixels, and which latents of windows are its own."""
    is_pixel = np.arange(SIDE * (SIDE + 2 * MARGIN)) % (SIDE + 2 * MARGIN) < SIDE
    is_latent = [
        np.pad(np.ones((level.height, level.width), np.float32), HALO).reshape(-1)
        for level in pyramid.levels
    ]
    return is_pixel.astype(np.float32), np.concatenate(is_latent)


def loss_of_crop(weights, networks, crop, place, key, temperature, pool, pyramid):
    """log(MSE + lambda * bits per pixel) of u8[3, SIDE, SIDE].

    Noise is as wide as rounding is: what is predicted cannot bend to it, as fitted latents can.
    """
    picture = crop.astype(jnp.float32) / 255
    params = tensors_at(networks, place, pyramid, jnp)
    latents = in_codes(predict(picture, place, weights, jnp), pyramid)
    starts = jax.random.randint(key, (len(latents),), 0, pool.size - SIDE * SIDE)
    seen = []
    for y, begin in zip(latents, starts, strict=True):
        added = jax.lax.dynamic_slice(pool, (begin,), (y.size,)).reshape(y.shape)
        disturbed = soft_round(soft_round(y, temperature) + added, temperature)
        seen.append(jnp.pad(disturbed, HALO, mode="edge"))
    picture = jnp.pad(picture, ((0, 0), (0, 0), (0, 2 * MARGIN))).reshape(3, -1)
    plain = Weights(jnp.float32(0), jnp.float32(0), jnp.float32(0))
    tile = Tile(picture, *inside(pyramid))
    sums = tile_sums(params, seen, tile, plain, pyramid)
    low, high = LAMBDA_RANGE
    lambda_ = low * (high / low) ** ((place + 1) / 2)
    return jnp.log(sums.errors / (3 * SIDE**2) + lambda_ * sums.bits / SIDE**2)


def muon() -> optax.GradientTransformation:
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
        adam_learning_rate=ADAM_RATE / RATE,
        muon_weight_dimension_numbers=numbers,
    )


def clip(grads: Tensors) -> Tensors:
    """Scale to a norm of MAX_NORM, at most."""
    scale = jnp.minimum(1, MAX_NORM / optax.tree.norm(grads))
    return jax.tree.map(lambda g: g * scale, grads)


@functools.partial(jax.jit, static_argnames=("pyramid", "with_networks"))
def run_block(state, crops, places, keys, rates, temperatures, pool, *, pyramid, with_networks):
    """Make one step for each u8[BATCH, 3, SIDE, SIDE] of crops."""
    learned = (0, 1) if with_networks else (0,)

    def step(state, given):
        crops, places, keys, rate, temperature = given

        def add(total, each):
            loss, grads = jax.value_and_grad(loss_of_crop, learned)(
                state.weights, state.networks, *each, temperature, pool, pyramid
            )
            return jax.tree.map(lambda a, b: a + b / BATCH, total, grads), loss

        zeros = jax.tree.map(jnp.zeros_like, (state.weights, state.networks)[: len(learned)])
        grads, losses = jax.lax.scan(add, zeros, (crops, places, keys))
        updates, by_muon = muon().update(clip(grads[0]), state.muon, state.weights)
        weights = jax.tree.map(lambda w, u: w + RATE * rate * u, state.weights, updates)
        networks, soap = state.networks, state.soap
        if with_networks:
            updates, soap = scale_by_soap().update(clip(grads[1]), soap)
            moved = jax.tree.map(lambda w, u: w - NETWORK_RATE * rate * u, networks, updates)
            networks = within_limits(moved)
        return State(weights, by_muon, networks, soap, state.step + 1), losses

    return jax.lax.scan(step, state, (crops, places, keys, rates, temperatures))


def batch_at(step: int, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose crops, some mirrored, and the places of lambda, one of each quarter."""
    rng = np.random.default_rng([SEED, step])
    picked = [
        crops[i][:, :, :: rng.choice([-1, 1])] for i in rng.choice(len(crops), BATCH, replace=False)
    ]
    places = (rng.permutation(BATCH) + rng.random(BATCH)) / BATCH * 2 - 1
    keys = rng.integers(0, 1 << 32, (BATCH, 2), np.uint32)
    return np.stack(picked), places.astype(np.float32), keys


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("prior", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--screens", action="store_true")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--from", type=Path, dest="begin")
    parser.add_argument("--networks", type=Path, help="set to be written, if networks learn too")
    args = parser.parse_args()
    pyramid = Pyramid(SIDE, SIDE, 3, Structure(prior=SCREENS if args.screens else 2))
    rows = training_rows(args.data)
    if args.screens:
        rows = [row for row in rows if row["kind"] != "photo"]
    pages = render_pages(N_PAGES if args.screens else 0, SIDE, SEED)
    crops = np.stack([*read_crops(args.data, rows), *pages])
    pool = jnp.asarray(np.random.default_rng([SEED, 0]).random(POOL, np.float32) - 0.5)
    networks = read_set(args.prior, pyramid)
    weights = first_weights(np.random.default_rng(SEED))
    if args.begin is not None:
        with np.load(args.begin) as stored:
            weights = {name: stored[name].astype(np.float32) for name in stored.files}
    weights = jax.tree.map(jnp.asarray, weights)
    soap, kept = scale_by_soap().init(networks), args.out.with_suffix(".state")
    state = State(weights, muon().init(weights), networks, soap, jnp.int32(0))
    if kept.exists():
        leaves, tree = pickle.loads(kept.read_bytes()), jax.tree.structure(state)
        state = jax.tree.unflatten(tree, [jnp.asarray(leaf) for leaf in leaves])
    saved_at = started_at = time.monotonic()
    mean: np.ndarray | None = None
    while (begin := int(state.step)) < args.steps:
        ids = np.arange(begin, min(begin + STEPS_A_BLOCK, args.steps))
        batches = [np.stack(each) for each in zip(*(batch_at(i, crops) for i in ids), strict=True)]
        share, (hot, cold) = ids / args.steps, TEMPERATURES
        rates = np.minimum(1, (ids + 1) / WARMUP) * 0.5 * (1 + np.cos(np.pi * share))
        schedules = [each.astype(np.float32) for each in (rates, hot * (cold / hot) ** share)]
        state, losses = run_block(
            state,
            *batches,
            *schedules,
            pool,
            pyramid=pyramid,
            with_networks=args.networks is not None,
        )
        losses = np.asarray(losses)
        if not np.isfinite(losses).all():
            raise SystemExit(f"the loss stopped being a number before step {ids[-1] + 1}")
        order = np.argsort(batches[1], axis=1)
        quarters = np.take_along_axis(losses, order, axis=1).mean(axis=0)
        mean = quarters if mean is None else 0.9 * mean + 0.1 * quarters
        is_last = ids[-1] + 1 == args.steps
        if begin % (5 * STEPS_A_BLOCK) == 0 or is_last:
            text = f"step {ids[-1] + 1}: {mean.mean():.4f} ({' '.join(f'{x:.3f}' for x in mean)})"
            print(f"{text}, {time.monotonic() - started_at:.0f} s", flush=True)
        if is_last or time.monotonic() - saved_at > SAVE_SECONDS:
            with write_whole(kept, overwrite=True) as file:
                file.write(pickle.dumps([np.asarray(leaf) for leaf in jax.tree.leaves(state)]))
            with write_whole(args.out, overwrite=True) as file:
                np.savez(file, **{n: np.asarray(w, np.float16) for n, w in state.weights.items()})
            if args.networks is not None:
                write_set(state.networks, pyramid, args.networks)
            saved_at = time.monotonic()


if __name__ == "__main__":
    main()
