"""The guard of a fit: one that collapses goes back to where it was well, and on at half the rate.

Muon's updates have the same size however small the gradient is; where noise rules, at a few pixels
a step or next to no error, weights can grow until the field is chaotic.
"""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from inr.mlp.fit.run import Run
from inr.mlp.fit.step import State

if TYPE_CHECKING:
    from inr.mlp.fit.program import Fitting

_COLLAPSE = 4.0  # times the lowest error, 6 dB
_FORGETTING = 1.15  # a block: as the budget tightens, errors may rise, but not at once


def guard(fitting: "Fitting", run: Run, errors: np.ndarray) -> None:
    """Takes the fits that collapsed back; errors: f64[n_jobs], of the block just run."""
    if run.is_rounding or run.progress <= fitting.settings.warmup:
        return
    if run.n_mask_updates < len(fitting.mask_edges):
        # Right after weights were moved errors are high: only the end of each interval counts.
        if run.progress < fitting.mask_edges[run.n_mask_updates] - 1e-9:
            return
    on_host: State | None = None
    for i, (member, error) in enumerate(zip(run.members, errors, strict=True)):
        if error > _COLLAPSE * member.lowest_error and member.good_state is not None:
            good = member.good_state
            run.state = fitting.with_member(run.state, i, jax.tree.map(jnp.copy, good))
            member.rate_scale /= 2
            fitting.count_kept(run)  # the masks went back too
        elif error <= _FORGETTING * member.lowest_error:
            member.lowest_error = float(error)
            if on_host is None:  # a copy, because the next block takes the state's memory
                on_host = jax.tree.map(np.array, run.state)
            member.good_state = fitting.member(on_host, i)
        else:
            member.lowest_error *= _FORGETTING
