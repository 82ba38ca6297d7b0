"""Sets of networks that depend on lambda, as trainings hold them and as files of sets do.

In training, networks are f32 tensors by "name k": the factor of place**k, k = 0, 1, 2, of each
tensor of the pyramid (inr/grid/prior.py).
"""

from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from inr.files import write_whole
from inr.grid.fit.analysis import step_of
from inr.grid.prior import GAIN_BITS, GAINED, PRIOR_LIMIT, RATE_UNIT_BITS, rate_place
from inr.grid.structure import MAX_RATE, Pyramid

Networks = dict[str, jax.Array]


def read_set(path: Path, pyramid: Pyramid) -> Networks:
    """Read a set that `write_set` or an earlier training wrote."""
    with np.load(path) as stored:
        return {
            f"{name} {k}": jnp.asarray(np.ldexp(stored[name][k], -RATE_UNIT_BITS), jnp.float32)
            for name in pyramid.shapes
            for k in range(3)
        }


def tensors_at(
    networks: Networks, place: Any, pyramid: Pyramid, xp: ModuleType = np
) -> dict[str, Any]:
    """Return the tensors of the pyramid at a place of lambda; see prior.py."""
    gain = step_of(place, xp)
    return {
        name: sum(place**k * networks[f"{name} {k}"] for k in range(3))
        * (gain if name in GAINED else 1.0)
        for name in pyramid.shapes
    }


def within_limits(networks: Networks) -> Networks:
    """Return the networks with every number brought within what a set may hold at any place."""

    def limited(name: str) -> jax.Array:
        tensor = name[: name.rindex(" ")]
        most = sum(jnp.abs(networks[f"{tensor} {k}"]) for k in range(3))
        return networks[name] * jnp.minimum(1, 0.99 * _limit(tensor) / jnp.maximum(most, 1e-30))

    return {name: limited(name) for name in networks}


def _limit(name: str) -> float:
    return 1.0 if name.startswith("up") else PRIOR_LIMIT


def write_set(networks: Networks, pyramid: Pyramid, out: Path) -> None:
    """Write the set as prior.py reads it."""
    stored = {}
    for name in pyramid.shapes:
        w = np.stack([np.asarray(networks[f"{name} {k}"], np.float64) for k in range(3)])
        stored[name] = np.rint(np.ldexp(w, RATE_UNIT_BITS)).astype(np.int32)
        if np.abs(w).sum(axis=0).max() >= _limit(name):
            raise SystemExit(f"{name}: a number is too large for a prior")
    gains = [step_of(rate_place(rate)) for rate in range(MAX_RATE + 1)]
    stored["gain"] = np.rint(np.ldexp(gains, GAIN_BITS)).astype(np.int32)
    with write_whole(out, overwrite=True) as file:
        np.savez(file, **stored)
