"""Makes a set of networks that pictures of kind grid begin with: `assets/grid/prior_N.npz`.

train_grid_prior.py DIR OUT

One set of networks is fitted to many crops at once, each with latents of its own and one of several
lambdas. DIR holds manifest.csv, with columns file, archive, split, kind and source_path, and the
zip archives that it names, of RGB pictures of one size. A set that has been released never changes:
files are counted from it. Another run, or another machine, gives other numbers of the same worth.
"""

import argparse
import csv
import io
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from inr.files import write_whole
from inr.fitting.random_keys import fit_key
from inr.grid.fit.init import first_networks
from inr.grid.fit.settings import GridFit
from inr.grid.fit.soap import scale_by_soap
from inr.grid.fit.step import (
    LATENT_ADAM,
    Data,
    Inputs,
    Stepper,
    noise_pool,
    update_latents,
    update_networks,
)
from inr.grid.prior import PRIOR_LIMIT, UNIT_BITS
from inr.grid.structure import Pyramid, Structure

LAMBDAS = (4e-3, 1e-3, 3e-4, 1e-4)  # of the crops in turn
WEIGHT = 0.8  # losses grow about as this power of lambda; divided by it, all count alike
N_CROPS, N_STEPS, SEED = 24, 600, 1
FIT = GridFit(learning_rate=1e-2, gain=24.0, network_rate=0.0)
STEPS_A_BLOCK = 10


def crops(folder: Path, n: int, seed: int) -> np.ndarray:
    """Read f32[n, 3, height, width] in 0..1, each of another photograph."""
    with (folder / "manifest.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["split"] == "train" and r["kind"] == "photo"]
    np.random.default_rng(seed).shuffle(rows)
    first_of_source = {row["source_path"]: row for row in reversed(rows)}
    pictures = []
    for row in [row for row in rows if first_of_source[row["source_path"]] is row][:n]:
        with zipfile.ZipFile(folder / row["archive"]) as archive:
            image = Image.open(io.BytesIO(archive.read(row["file"]))).convert("RGB")
        pictures.append(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)
    return np.stack(pictures)


def fit_to_all(pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Fit f32 tensors that suit all pictures."""
    n, n_channels, height, width = pictures.shape
    pyramid = Pyramid(height, width, n_channels, Structure())
    stepper = Stepper(pyramid, FIT)
    pool = jnp.asarray(noise_pool(max(level.size for level in pyramid.levels)))
    lambdas = np.resize(np.array(LAMBDAS), n)
    no_prior = {name: np.zeros((n, *shape), np.float32) for name, shape in pyramid.shapes.items()}
    data = Data(pictures, (lambdas / (height * width)).astype(np.float32), no_prior)
    weights = jnp.asarray((1e-3 / lambdas) ** WEIGHT / n, jnp.float32)
    first = first_networks(pyramid, np.full(n_channels, 0.5), np.random.default_rng([SEED, 1, 0]))
    params = {name: jnp.asarray(w) for name, w in first.items()}
    latents = [jnp.zeros((n, level.height, level.width)) for level in pyramid.levels]
    state = params, latents, scale_by_soap().init(params), LATENT_ADAM.init(latents)

    keys = jnp.stack([fit_key(SEED, i) for i in range(n)])

    def weighted(params, latents, key, pool, x, data, weight):
        loss, metrics = stepper.loss(params, latents, key, pool, x, data)
        return weight * loss, metrics

    @jax.jit
    def block(state, xs, data, weights, pool):
        def step(state, x):
            params, latents, soap, adam = state

            def add(total, i):
                picked, of_crop = jax.tree.map(lambda leaf: leaf[i], (latents, data))
                grads, metrics = jax.grad(weighted, (0, 1), has_aux=True)(
                    params, picked, keys[i], pool, x, of_crop, weights[i]
                )
                return jax.tree.map(jnp.add, total, grads[0]), (grads[1], metrics)

            zeros = jax.tree.map(jnp.zeros_like, params)
            total, (of_latents, metrics) = jax.lax.scan(add, zeros, jnp.arange(n))
            cosine = 0.5 * (1 + jnp.cos(jnp.pi * x.position))
            params, soap = update_networks(params, soap, total, FIT.learning_rate * cosine)
            latents, adam = update_latents(
                latents, adam, of_latents, FIT.latent_rate * cosine, stepper.gains
            )
            bpp = metrics.bits / (height * width)
            return (params, latents, soap, adam), weights @ (metrics.mse + lambdas * bpp)

        return jax.lax.scan(step, state, xs)

    for begin in range(0, N_STEPS, STEPS_A_BLOCK):
        ids = np.arange(begin, begin + STEPS_A_BLOCK)
        always, zeros = np.ones(ids.size, bool), np.zeros(ids.size, np.float32)
        position = (ids / N_STEPS).astype(np.float32)
        xs = Inputs(always, ~always, position, zeros, ids.astype(np.uint32))
        state, losses = block(state, xs, data, weights, pool)
        if begin % (5 * STEPS_A_BLOCK) == 0:
            print(f"step {ids[-1] + 1} of {N_STEPS}: loss {float(losses[-1]):.4e}", flush=True)
    return {name: np.asarray(state[0][name]) for name in pyramid.shapes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    units = {
        name: np.rint(np.ldexp(w.astype(np.float64), UNIT_BITS)).astype(np.int32)
        for name, w in fit_to_all(crops(args.folder, N_CROPS, SEED)).items()
    }
    if max(np.abs(w).max() for w in units.values()) >= PRIOR_LIMIT * 2**UNIT_BITS:
        raise SystemExit("a number is too large for a prior")
    with write_whole(args.out, overwrite=False) as file:
        np.savez(file, **{name: w.astype(np.int16) for name, w in units.items()})


if __name__ == "__main__":
    main()
