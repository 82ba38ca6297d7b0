"""Trains a set of networks that depends on lambda (inr/grid/prior.py): `assets/grid/prior_4.npz`.

train_grid_networks.py DATA BEGIN ANALYSIS OUT [--screens] [--crops N] [--steps N] [--rate R]

One set of networks is fitted to many crops at once, each with latents of its own and a lambda of
its own: every number is a polynomial in the place of lambda. The gradient of each crop counts
relative to its loss, so that all crops and lambdas count alike. Networks begin with those of BEGIN,
an earlier set or leg, and latents as the analysis network of ANALYSIS predicts them, so that what
latents mean stays near to what that network knows. DATA: see training_crops.py; all kinds of crops,
or with `--screens` those that are no photographs, and pages of text.
OUT, a file, is written every now and then, and a run that ended goes on from OUT.state. A set that
has been released never changes: files are counted from it. Another machine gives other numbers of
the same worth.
"""

import argparse
import pickle
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from network_set import Networks, read_set, tensors_at, write_set
from rendered_pages import render_pages
from training_crops import one_of_each_source, read_crops, training_rows

from inr.files import write_whole
from inr.grid.fit.analysis import in_codes, predict, step_of
from inr.grid.fit.settings import GridFit
from inr.grid.fit.soap import SoapState, scale_by_soap
from inr.grid.fit.step import (
    Fitting,
    Latents,
    Rounding,
    flatten,
    move_latents,
    start_latents,
    unflatten,
)
from inr.grid.prior import GAINED, SCREENS, lambda_of, rate_place
from inr.grid.structure import MAX_RATE, Pyramid, Structure

SEED, MAX_NORM = 1, 0.1
FIT = GridFit()
SAVE_SECONDS = 120


class State(NamedTuple):
    networks: Networks
    soap: SoapState
    latents: list[Latents]
    step: int


class Crop(NamedTuple):
    fitting: Fitting
    place: float  # of lambda, -1..1
    lambda_: float


def first_leg(
    prior: Path,
    analysis: Path,
    pictures: list[np.ndarray],
    crops: "list[Crop]",
    pyramid: Pyramid,
) -> tuple[Networks, list[Latents]]:
    """Begin with the networks of a set, and with what an analysis network predicts."""
    with np.load(analysis) as stored:
        weights = {name: stored[name].astype(np.float32) for name in stored.files}
    latents = [
        start_latents(in_codes(predict(picture, np.float32(crop.place), weights), pyramid))
        for picture, crop in zip(pictures, crops, strict=True)
    ]
    return read_set(prior, pyramid), latents


def networks_at(networks: dict[str, np.ndarray], place: float, pyramid: Pyramid) -> np.ndarray:
    """Return f32[numbers] at a place of lambda; see prior.py."""
    return flatten(tensors_at(networks, place, pyramid), pyramid)


def pull_back(gradient: np.ndarray, place: float, pyramid: Pyramid) -> dict[str, np.ndarray]:
    """Return the gradient by the factors of the polynomials, of that at a place."""
    pulled = {}
    for name, g in unflatten(gradient, pyramid).items():
        g = g * step_of(place) if name in GAINED else g
        pulled |= {f"{name} {k}": place**k * g for k in range(3)}
    return pulled


@jax.jit
def update(networks: Networks, soap: SoapState, grads: Networks, rate: Any) -> Any:
    """Make one step of SOAP."""
    scale = jnp.minimum(1, MAX_NORM / optax.tree.norm(grads))
    updates, soap = scale_by_soap().update(jax.tree.map(lambda g: g * scale, grads), soap)
    return jax.tree.map(lambda w, u: w - rate * u, networks, updates), soap


def make_step(
    state: State, crops: list[Crop], pyramid: Pyramid, share: float, rate_of_networks: float
) -> tuple[State, Any]:
    """Make one step at a share 0..1 of the training; also log(MSE + lambda bpp) of each crop."""
    rounding = Rounding(
        np.float32(FIT.temperature + (FIT.final_temperature - FIT.temperature) * share),
        np.float32(FIT.noise + (FIT.final_noise - FIT.noise) * share),
        np.bool_(False),
    )
    cosine = 0.5 * (1 + np.cos(np.pi * share))
    networks = {name: np.asarray(w, np.float64) for name, w in state.networks.items()}
    total = {name: np.zeros(w.shape) for name, w in networks.items()}
    moved, losses = [], []
    for (fitting, place, lambda_), latents in zip(crops, state.latents, strict=True):
        found = fitting.gradients(
            networks_at(networks, place, pyramid),
            latents.y,
            rounding,
            state.step,
            networks_by=slice(None),
        )
        loss = found.measured.mse + fitting.lambda_per_bit * found.measured.bits
        relative = fitting.lambda_per_bit / (loss * len(crops))
        for name, g in pull_back(found.networks * relative, place, pyramid).items():
            total[name] += g
        rate = FIT.latent_rate * (1e-3 / lambda_) ** 0.2 * cosine  # as in fit/program.py
        rates = [rate * 2 ** (FIT.latent_slope * octaves) for octaves in pyramid.octaves]
        moved.append(move_latents(latents, found.latents, rates, pyramid))
        losses.append(np.log(loss))
    grads = {name: jnp.asarray(g, jnp.float32) for name, g in total.items()}
    updated, soap = update(state.networks, state.soap, grads, np.float32(rate_of_networks * cosine))
    return State(updated, soap, moved, state.step + 1), np.array(losses)


def crops_of(args: argparse.Namespace) -> list[np.ndarray]:
    """Read or draw u8[3, height, width] of each crop."""
    rows = one_of_each_source(training_rows(args.data, SEED))
    if not args.screens:
        return list(read_crops(args.data, rows[: args.crops]))
    rows = [row for row in rows if row["kind"] != "photo"][: 2 * args.crops // 3]
    crops = list(read_crops(args.data, rows))
    crops += render_pages(args.crops - len(rows), crops[0].shape[1], SEED)
    order = np.random.default_rng(SEED).permutation(len(crops))
    return [crops[i] for i in order]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("begin", type=Path)
    parser.add_argument("analysis", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--screens", action="store_true")
    parser.add_argument("--crops", type=int, default=24)
    parser.add_argument("--steps", type=int, default=450)
    parser.add_argument("--rate", type=float, default=1e-2, help="of the networks, by SOAP")
    args = parser.parse_args()
    pictures = [crop.astype(np.float32) / 255 for crop in crops_of(args)]
    pyramid = Pyramid(*pictures[0].shape[1:], 3, Structure(prior=SCREENS if args.screens else 3))
    zeros = flatten({name: np.zeros(shape) for name, shape in pyramid.shapes.items()}, pyramid)
    crops = []
    for i, (picture, rate) in enumerate(
        zip(pictures, np.linspace(0, MAX_RATE, len(pictures)), strict=True)
    ):
        fitting = Fitting.of(picture, pyramid, lambda_of(rate), zeros, (SEED, i))
        crops.append(Crop(fitting, rate_place(rate), lambda_of(rate)))
    kept = args.out.with_suffix(".state")
    if kept.exists():
        state = jax.tree.map(lambda x: x, pickle.loads(kept.read_bytes()))
    else:
        networks, latents = first_leg(args.begin, args.analysis, pictures, crops, pyramid)
        state = State(networks, scale_by_soap().init(networks), latents, 0)
    saved_at = started_at = time.monotonic()
    while state.step < args.steps:
        state, losses = make_step(state, crops, pyramid, state.step / args.steps, args.rate)
        if not np.isfinite(losses).all():
            raise SystemExit(f"the loss stopped being a number at step {state.step}")
        is_last = state.step == args.steps
        if state.step % 10 == 0 or is_last:
            quarters = [f"{each.mean():.3f}" for each in np.array_split(losses, 4)]
            text = f"step {state.step}: {losses.mean():.4f} ({' '.join(quarters)})"
            print(f"{text}, {time.monotonic() - started_at:.0f} s", flush=True)
        if is_last or time.monotonic() - saved_at > SAVE_SECONDS:
            write_set(state.networks, pyramid, args.out)
            with write_whole(kept, overwrite=True) as file:
                file.write(pickle.dumps(jax.tree.map(np.asarray, state)))
            saved_at = time.monotonic()


if __name__ == "__main__":
    main()
